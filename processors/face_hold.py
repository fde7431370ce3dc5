"""Keeps faces that the detector has just lost, so that none shows through a short drop-out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from processors.faces.face import Face

GROWTH_PER_S = 1.0
"""How fast the box of a lost face grows, as a part of its size: the face may have moved."""


@dataclass(frozen=True, slots=True)
class _Held:
    face: Face
    seen_at: float


class FaceHold:
    """Remembers faces for a while after they were last detected.

    A face detected near a remembered one (its centre within that box) takes its place.

    Args:
        seconds: How long a face is remembered.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._held: list[_Held] = []

    def update(self, detected: Sequence[Face], at: float) -> list[Face]:
        """The faces to hide: those detected now, and those lost a short while ago.

        Args:
            detected: Faces in the present picture.
            at: Seconds; the time of the picture, not before that of the last call.
        """
        lost = [
            held
            for held in self._held
            if at - held.seen_at <= self._seconds
            and not any(_same(held.face, face) for face in detected)
        ]
        self._held = [*lost, *(_Held(face, at) for face in detected)]
        return [*detected, *(_grown(held.face, at - held.seen_at) for held in lost)]


def _same(before: Face, now: Face) -> bool:
    x, y = now.centre
    left, top, right, bottom = before.box
    return bool(left <= x <= right and top <= y <= bottom)


def _grown(face: Face, seconds: float) -> Face:
    reach = (face.box[2:] - face.box[:2]) * (max(0.0, seconds) * GROWTH_PER_S / 2)
    return replace(face, box=(face.box + np.concatenate([-reach, reach])).astype(np.float32))
