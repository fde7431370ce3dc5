"""Hides every face. Fails closed: a picture it could not look at is not shown."""

from collections.abc import Callable, Sequence

import numpy as np

from engine.pipeline.frame import Frame, Image
from engine.pipeline.protocols import Traits
from engine.pipeline.settings import AnonymiseSettings
from processors.face_hold import FaceHold
from processors.faces.face import Face

CELLS = 5
"""Of a hidden face this many values remain across its width: too few to tell who it is."""


class Anonymise:
    """Blurs or pixelates faces in place, within an ellipse larger than the face.

    Args:
        detect: Finds the faces of a picture; whatever it raises withholds the picture.
        settings: Effect, margin, hold.
    """

    name = "anonymise"
    traits = Traits(parallel=False, fails_closed=True, resizes=False)

    def __init__(
        self, detect: Callable[[Image], Sequence[Face]], settings: AnonymiseSettings
    ) -> None:
        import cv2

        self._cv2 = cv2
        self._detect = detect
        self._settings = settings
        self._hold = FaceHold(settings.hold_s)

    def process(self, frames: Sequence[Frame]) -> Sequence[Image]:
        """The same images, their faces hidden."""
        for frame in frames:
            faces = self._hold.update(self._detect(frame.image), frame.captured_at)
            for face in faces:
                self._hide(frame.image, face)
        return [frame.image for frame in frames]

    def close(self) -> None:
        """Nothing to release beyond memory."""

    def _hide(self, image: Image, face: Face) -> None:
        cv2 = self._cv2
        grow = 1.0 + self._settings.margin
        centre, size = face.centre, (face.box[2:] - face.box[:2]).tolist()
        half = (max(1.0, size[0] * grow / 2), max(1.0, size[1] * grow / 2))
        left, right = _clip(centre[0] - half[0], centre[0] + half[0], image.shape[1])
        top, bottom = _clip(centre[1] - half[1], centre[1] + half[1], image.shape[0])
        if left >= right or top >= bottom:
            return
        part = image[top:bottom, left:right]
        cell = max(1.0, max(size) * grow / CELLS)
        few = (max(1, round((right - left) / cell)), max(1, round((bottom - top) / cell)))
        small = cv2.resize(part, few, interpolation=cv2.INTER_AREA)
        smooth = self._settings.effect == "blur"
        hidden = cv2.resize(
            small,
            (right - left, bottom - top),
            interpolation=cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST,
        )
        mask = np.zeros(part.shape[:2], np.uint8)
        at = (round(centre[0] - left), round(centre[1] - top))
        cv2.ellipse(mask, at, (round(half[0]), round(half[1])), 0, 0, 360, 255, -1)
        cv2.copyTo(hidden, mask, part)


def _clip(low: float, high: float, size: int) -> tuple[int, int]:
    return max(0, int(low)), min(size, int(np.ceil(high)))
