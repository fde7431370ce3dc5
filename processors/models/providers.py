"""Which of onnxruntime's execution providers run a model, and with what options."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import MissingDependency
from engine.pipeline.model_settings import RuntimeSettings

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
COREML = "CoreMLExecutionProvider"

_NAMED = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT, "openvino": OPENVINO, "coreml": COREML}

_AUTO = ("cuda", "coreml", "openvino", "cpu")
"""Best first. TensorRT is left out: it works for minutes on each model before its first picture."""

_FIXES = {
    "cuda": (
        "pip uninstall onnxruntime onnxruntime-gpu, then pip install 'onnxruntime-gpu[cuda,cudnn]'"
    ),
    "tensorrt": (
        "pip uninstall onnxruntime onnxruntime-gpu, then "
        "pip install 'onnxruntime-gpu[cuda,cudnn]' tensorrt"
    ),
    "openvino": "pip uninstall onnxruntime, then pip install onnxruntime-openvino",
    "coreml": "use onnxruntime on a Mac",
    "cpu": "install onnxruntime again: every build of it has this one",
}


class ProviderUnavailable(MissingDependency):
    """What should run models is not there, or does not work."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What one attempt runs a model with.

    Attributes:
        name: As in the settings.
        required: The provider that the session must have in the end.
        providers: With their options, in onnxruntime's order of preference.
    """

    name: str
    required: str
    providers: tuple[tuple[str, dict[str, Any]], ...]


def choices(settings: RuntimeSettings, available: Sequence[str]) -> tuple[Choice, ...]:
    """What to try, in order: one for a named provider, several for ``auto``.

    Args:
        settings: ``provider`` and its options.
        available: What this build of onnxruntime offers.

    Raises:
        ProviderUnavailable: The named provider is not in this build; says which package has it.
    """
    names: tuple[str, ...] = (settings.provider,)
    if settings.provider == "auto":
        names = tuple(name for name in _AUTO if _NAMED[name] in available)
    if not names or _NAMED[names[0]] not in available:
        name = settings.provider
        raise ProviderUnavailable(
            f"onnxruntime has no {_NAMED.get(name, CPU)} here (it has {', '.join(available)}).",
            f"{fix_of(name)}, or set runtime.provider to auto.",
        )
    return tuple(
        Choice(name, _NAMED[name], _with_options(name, settings, available)) for name in names
    )


def fix_of(name: str) -> str:
    """What to install for a provider, as a sentence without its end."""
    return f"To get it: {_FIXES.get(name, _FIXES['cpu'])}"


def _with_options(
    name: str, settings: RuntimeSettings, available: Sequence[str]
) -> tuple[tuple[str, dict[str, Any]], ...]:
    cpu: tuple[str, dict[str, Any]] = (CPU, {})
    if name == "tensorrt":
        rest = [(CUDA, _cuda_options(settings))] if CUDA in available else []
        return ((TENSORRT, _tensorrt_options(settings)), *rest, cpu)
    if name == "cuda":
        return ((CUDA, _cuda_options(settings)), cpu)
    if name == "openvino":
        return ((OPENVINO, {"cache_dir": str(settings.engines)}), cpu)
    if name == "coreml":
        return ((COREML, {"ModelCacheDirectory": str(settings.engines)}), cpu)
    return (cpu,)


def _cuda_options(settings: RuntimeSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "device_id": settings.device,
        "cudnn_conv_algo_search": settings.convolutions.upper(),
        # Without it the arena doubles with each growth and takes memory that jobs need.
        "arena_extend_strategy": "kSameAsRequested",
    }
    if settings.gpu_memory_mb:
        options["gpu_mem_limit"] = settings.gpu_memory_mb << 20
    return options


def _tensorrt_options(settings: RuntimeSettings) -> dict[str, Any]:
    return {
        "device_id": settings.device,
        "trt_fp16_enable": settings.half,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(settings.engines),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(settings.engines),
    }
