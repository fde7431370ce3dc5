"""Whether what processors make must be declared, by IPTC's digital source types.

The vocabulary: http://cv.iptc.org/newscodes/digitalsourcetype/.
"""

from collections.abc import Collection
from typing import Final

from engine.pipeline.settings import ProcessorSettings
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.swap.models import WARP
from processors.swap.processor import FaceSwap

_SCHEME: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"

TRAINED: Final = _SCHEME + "trainedAlgorithmicMedia"
"""Made by a model that was trained on sampled content: faces of a swap model."""

EDITED: Final = _SCHEME + "compositeWithTrainedAlgorithmicMedia"
"""Augmented by such a model: faces of the warp swap, enhanced."""

COMPOSITE: Final = _SCHEME + "composite"
"""A composite of elements that may or may not be generative: the warp swap bends a picture of a
face into another picture. No model is involved, and what that picture was is not known."""


def source_type(names: Collection[str], settings: ProcessorSettings) -> str | None:
    """What exports of a chain must declare.

    Args:
        names: The processors.
        settings: Their sections.

    Returns:
        The URI of a digital source type; None where nothing needs to be said.
    """
    return source_type_of_swap(settings.face_swap) if FaceSwap.name in names else None


def source_type_of_swap(settings: FaceSwapSettings) -> str:
    """The same for pictures with swapped faces."""
    if settings.model != WARP:
        return TRAINED
    return EDITED if settings.enhancer else COMPOSITE
