"""Processors that need no model: none and mirror."""

from collections.abc import Sequence

import numpy as np

from engine.pipeline.frame import Frame, Image
from engine.pipeline.protocols import Traits


class NoProcessor:
    """Passes every frame as it is."""

    name = "none"
    traits = Traits(parallel=True, fails_closed=False, resizes=False)

    def process(self, frames: Sequence[Frame]) -> Sequence[Image]:
        """The same images."""
        return [frame.image for frame in frames]

    def close(self) -> None:
        """Nothing to release."""


class Mirror:
    """Left becomes right, as in a mirror."""

    name = "mirror"
    traits = Traits(parallel=True, fails_closed=False, resizes=False)

    def __init__(self) -> None:
        import cv2

        self._flip = cv2.flip

    def process(self, frames: Sequence[Frame]) -> Sequence[Image]:
        """Mirrored about the vertical axis; the images given are left as they are."""
        return [np.asarray(self._flip(frame.image, 1), np.uint8) for frame in frames]

    def close(self) -> None:
        """Nothing to release."""
