"""The ladder of diffusion models: ways to run that need less and less memory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from engine.pipeline.memory_settings import MemorySettings
from processors.generate.ladder import FIRST_RUNG, Rung


@dataclass(frozen=True, slots=True)
class Way:
    """How a model is run.

    Attributes:
        sliced: Attention is computed head by head.
        tiled: Pictures are decoded in tiles.
        offload: What comes to the GPU at a time: all, one model, or one layer.
        half: Half the width and height, enlarged afterwards.
        model: Whose: the one that was named, the smaller one of the settings, or that of an
            external server.
    """

    sliced: bool = False
    tiled: bool = False
    offload: Literal["none", "model", "sequential"] = "none"
    half: bool = False
    model: Literal["own", "smaller", "external"] = "own"


def ladder(
    settings: MemorySettings, on_gpu: bool, smaller: bool, external: bool
) -> list[Rung[Way]]:
    """Return the rungs, best first.

    Args:
        settings: What is always so, and what is never done.
        on_gpu: Off-loading makes sense.
        smaller: There is a smaller model.
        external: There is an external server.
    """
    return list(_rungs(settings, on_gpu, smaller, external))


def _rungs(
    settings: MemorySettings, on_gpu: bool, smaller: bool, external: bool
) -> Iterator[Rung[Way]]:
    way = Way(
        sliced=settings.attention == "sliced",
        tiled=settings.vae == "tiled",
        offload=settings.offload if on_gpu and settings.offload != "auto" else "none",
    )
    yield Rung(FIRST_RUNG, way)
    if settings.attention == "auto":
        way = replace(way, sliced=True)
        yield Rung("sliced attention", way)
    if settings.vae == "auto":
        way = replace(way, tiled=True)
        yield Rung("tiled VAE", way)
    if on_gpu and settings.offload == "auto":
        way = replace(way, offload="model")
        yield Rung("model off-load", way)
        way = replace(way, offload="sequential")
        yield Rung("sequential off-load", way)
    yield Rung("half resolution", replace(way, half=True))
    if smaller:
        # It is small enough to be moved as a whole, or model by model.
        offload = "model" if way.offload == "sequential" else way.offload
        yield Rung("smaller model", replace(way, offload=offload, model="smaller"))
    if external:
        yield Rung("external API", Way(model="external"))
