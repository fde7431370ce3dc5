"""What a face swap needs of the memory, and its models there, kept from job to job."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from engine.pipeline.model_settings import RuntimeSettings
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.generate.declaration import Context, Memory, Place, Services
from processors.generate.ladder import FIRST_RUNG, Rung
from processors.generate.swap_options import built_in_models, swap_models
from processors.models.memory import ModelSpec
from processors.models.memory_devices import CPU, resolve
from processors.swap.models import WARP, SwapModels

ENHANCE_S: Final = 600.0
"""Longest wait for the enhancement of one face, on a slow CPU."""

_BASE: Final = 250_000_000
"""What decoder, encoder and libraries take."""

_UNKNOWN: Final = 300_000_000
"""Bytes of a model whose size is not known."""

_COPIES: Final = 8
"""Pictures in memory for each frame of a batch: decoded, BGR, grey for the flow, encoded ..."""

_ACTIVATIONS: Final = 1_000_000_000
"""What computing takes on a GPU, CUDA's own share included."""


@dataclass(frozen=True, slots=True)
class Way:
    """How much memory a swap may take.

    Attributes:
        batch_size: Frames at once.
        most_tiles: Crops in one call of the swap model; 0: all.
        on_cpu: Leave the GPU alone.
    """

    batch_size: int
    most_tiles: int
    on_cpu: bool = False


def ways(batch_size: int, settings: FaceSwapSettings, place: Place) -> list[Rung[Way]]:
    """Return ways to swap that need less and less memory."""
    found = [Rung(FIRST_RUNG, Way(batch_size, settings.most_tiles))]
    if batch_size > 1 or settings.model != WARP:
        found.append(Rung("one at a time", Way(1, 1)))
    if place.device != CPU and onnx_models(settings):
        found.append(Rung("cpu", Way(1, 1, on_cpu=True)))
    return found


def onnx_models(settings: FaceSwapSettings) -> tuple[str, ...]:
    """Return the models that onnxruntime runs; YuNet runs in OpenCV, on the CPU."""
    return tuple(name for name in swap_models(settings) if name != "yunet")


def swap_memory(
    settings: FaceSwapSettings | None, size: tuple[int, int] | None, batch_size: int
) -> Memory:
    """Estimate what processing takes.

    Args:
        settings: Of the face swap; None: there is none.
        size: Width and height of the frames; None: unknown.
        batch_size: Frames at once.
    """
    weights = sum(map(_bytes, onnx_models(settings))) if settings is not None else 0
    working = _working(size, batch_size)
    if not weights:
        return {"cpu": working, "cuda": 0}
    return {"cpu": working + 2 * weights, "cuda": weights + _ACTIVATIONS}


def runtime_at(runtime: RuntimeSettings, place: Place, on_cpu: bool = False) -> RuntimeSettings:
    """Return the settings of onnxruntime for a place."""
    changed: dict[str, object] = {"threads": place.threads or runtime.threads}
    kind, _, number = place.device.partition(":")
    if (on_cpu or kind == CPU) and runtime.provider in ("auto", "cuda", "tensorrt"):
        changed["provider"] = CPU
    elif number.isdecimal():
        changed["device"] = int(number)
    return runtime.model_copy(update=changed)


@contextmanager
def swap_models_in_memory(
    services: Services,
    settings: FaceSwapSettings | None,
    way: Way,
    size: tuple[int, int] | None,
    context: Context,
) -> Iterator[SwapModels]:
    """Reserve memory and open the graphs of a face swap; they stay until others need the room.

    Args:
        services: Where models are, and the memory.
        settings: Of the face swap; None: there is none.
        way: How much it may take.
        size: Of the frames.
        context: Of the job.

    Raises:
        OutOfMemory: There is no room.
        AvatarServerError: A model cannot be used.
    """
    runtime = runtime_at(services.runtime, context.place, way.on_cpu)
    names = onnx_models(settings) if settings is not None else ()
    on_gpu = bool(names) and runtime.provider not in (CPU, "openvino", "coreml")
    device = resolve(context.place.device) if on_gpu else CPU

    def load() -> _Held:
        held = _Held(SwapModels(services.library, runtime, ENHANCE_S))
        if settings is not None:
            held.open(settings, names)
        return held

    spec = ModelSpec(
        key=f"face_swap/{'+'.join(names) or 'none'}@{runtime.provider}:{device}/{runtime.threads}",
        bytes=sum(map(_bytes, names)),
        load=load,
        home=device,
    )
    working = _working(size, way.batch_size) if device == CPU else _ACTIVATIONS
    with services.memory.use(spec, device, working, context) as held:
        yield held.models


class _Held:
    """Models of a swap whose graphs stay open."""

    def __init__(self, models: SwapModels) -> None:
        self.models = models
        self._open: list[object] = []

    def open(self, settings: FaceSwapSettings, names: tuple[str, ...]) -> None:
        self.models.require(settings)
        for name in names:
            swaps = name == settings.model
            self._open.append(self.models.session(name, "model", batched=swaps))


def _working(size: tuple[int, int] | None, batch_size: int) -> int:
    width, height = size or (1920, 1080)
    return _BASE + width * height * 3 * _COPIES * (batch_size + 1)


def _bytes(name: str) -> int:
    catalog = built_in_models()
    return (catalog[name].size if name in catalog else None) or _UNKNOWN
