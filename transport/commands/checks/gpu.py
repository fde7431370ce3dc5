"""Whether models run on the GPU, and if not, why."""

import importlib.util
import os
import re
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import AvatarServerError
from engine.pipeline.model_settings import RuntimeSettings
from transport.commands.checks.finding import Finding, fault, ok, warning

_GPU_PACKAGE = (
    "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install 'onnxruntime-gpu[cuda,cudnn]'"
)
_CONSOLIDATED = 13
"""Major version of CUDA from which cuFFT has its next number."""


@dataclass(frozen=True, slots=True)
class Build:
    """The installed onnxruntime.

    Attributes:
        package: Name of the package it calls itself.
        version: Its version.
        cuda: The version of CUDA that it was built for; "" for none.
        providers: What it offers.
    """

    package: str
    version: str
    cuda: str
    providers: tuple[str, ...]


def onnxruntime_build() -> Build | None:
    """The installed onnxruntime, or None."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime  # type: ignore[import-untyped]  # it ships none
    from onnxruntime.capi import build_and_package_info as info  # type: ignore[import-untyped]

    return Build(
        info.package_name,
        onnxruntime.__version__,
        str(getattr(info, "cuda_version", "") or ""),
        tuple(onnxruntime.get_available_providers()),
    )


def has_nvidia_driver() -> bool:
    """Whether the driver of an NVIDIA GPU is loaded."""
    return Path("/proc/driver/nvidia/version").exists()


def installed_libraries() -> set[str]:
    """File names of the shared libraries of CUDA that can be found.

    They may be known to the loader, lie in ``LD_LIBRARY_PATH``, or have been installed by pip.
    """
    names: set[str] = set()
    for program in ("ldconfig", "/sbin/ldconfig"):
        try:
            listed = subprocess.run([program, "-p"], capture_output=True, text=True, check=False)
        except OSError:
            continue
        names |= {line.split()[0] for line in listed.stdout.splitlines()[1:] if line.strip()}
        break
    folders = [Path(part) for part in os.environ.get("LD_LIBRARY_PATH", "").split(":") if part]
    spec = importlib.util.find_spec("nvidia")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folders += Path(place).glob("*/lib")
    for folder in folders:
        names |= {path.name for path in folder.glob("*.so*")}
    return names


def needed_libraries(cuda: str, tensorrt: bool = False) -> tuple[str, ...]:
    """What onnxruntime's CUDA provider loads.

    Args:
        cuda: The version of CUDA that it was built for, e.g. ``12.8``.
        tensorrt: With TensorRT.
    """
    major = cuda.partition(".")[0]
    fft = 12 if major.isdigit() and int(major) >= _CONSOLIDATED else 11
    names = [f"lib{name}.so.{major}" for name in ("cudart", "cublas", "cublasLt")]
    names += [f"libcufft.so.{fft}", "libcurand.so.10", "libcudnn.so.9"]
    return (*names, "libnvinfer.so.10") if tensorrt else tuple(names)


def check_gpu(
    build: Build | None, driver: bool, libraries: Collection[str], settings: RuntimeSettings
) -> Finding:
    """Whether onnxruntime, the driver, CUDA and cuDNN fit together.

    Args:
        build: See ``onnxruntime_build``.
        driver: See ``has_nvidia_driver``.
        libraries: See ``installed_libraries``.
        settings: What is asked for.
    """
    topic = "GPU"
    wanted = settings.provider in ("cuda", "tensorrt")
    say = fault if wanted else warning
    if build is None:
        return say(
            topic, "models do not run: onnxruntime is missing", "pip install -r requirements-ai.txt"
        )
    name = f"{build.package} {build.version}"
    if not build.cuda and "CUDAExecutionProvider" not in build.providers:
        if wanted:
            text = f"runtime.provider is {settings.provider}, but {name} has no CUDA."
            return fault(topic, text, _GPU_PACKAGE)
        if driver and settings.provider != "cpu":
            text = f"There is an NVIDIA GPU, but {name} runs models on the CPU."
            return warning(topic, text, _GPU_PACKAGE)
        return ok(topic, f"not used: {name} runs models on the CPU")
    if not driver:
        return say(
            topic,
            f"{name} is made for an NVIDIA GPU, but no driver is loaded: models run on the CPU.",
            "Install the driver (nvidia-smi must work), or set runtime.provider to cpu.",
        )
    if settings.provider == "cpu":
        return ok(topic, "not used, as runtime.provider is cpu")
    needed = needed_libraries(build.cuda or "12", settings.provider == "tensorrt")
    missing = [library for library in needed if library not in libraries]
    if missing:
        return _missing(build, missing, libraries)
    return ok(topic, f"{name} with CUDA {build.cuda} and cuDNN 9")


def check_runs(
    opened: str | AvatarServerError | None, settings: RuntimeSettings
) -> Iterator[Finding]:
    """Whether a real model ran, and on what.

    Args:
        opened: What it ran on, or why it did not; None if it was not tried.
        settings: What was asked for.
    """
    topic = "model run"
    if isinstance(opened, AvatarServerError):
        yield fault(topic, opened.description, opened.hint)
    elif opened is not None:
        yield ok(topic, f"a model ran on {opened} (runtime.provider is {settings.provider})")


def _missing(build: Build, missing: list[str], libraries: Collection[str]) -> Finding:
    others = sorted(
        other
        for other in libraries
        for name in missing
        if other != name and re.fullmatch(rf"{re.escape(name.rpartition('.')[0])}\.\d+", other)
    )
    instead = f" Another version is there: {', '.join(others)}." if others else ""
    return fault(
        "GPU",
        f"{build.package} {build.version} needs CUDA {build.cuda} and cuDNN 9, but there is no "
        f"{', '.join(missing)}: models fall back to the CPU.{instead}",
        "pip install 'onnxruntime-gpu[cuda,cudnn]' brings fitting ones.",
    )
