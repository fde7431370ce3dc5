"""A swap without a swap model: the source's face itself, bent to the target's pose and light.

The source is turned to the front once. For each face the pose follows from its five landmarks, a
mesh of points over the whole face follows from the pose, and a thin-plate spline carries the
texture there, so it tilts, nods and turns with the head. Its colours and shading become those of
the face that it covers. The expression stays that of the source; with ``Look.keep_mouth`` the mouth
stays that of the picture and speaks.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from processors.faces.align import align, scale_of, transformed
from processors.swap.backend import Patch, Remembered, SourceFace, SwapBackend, SwapJob
from processors.swap.colour import match_shading
from processors.swap.geometry import cut
from processors.swap.head import mesh, outline, pose_of
from processors.swap.masks import hull_mask
from processors.swap.spline import bent, thin_plate_map
from processors.swap.texture import Texture, texture_of

SIZES: Final = (128, 256, 384)
"""Sides of patches; the one is taken that comes closest to the face's own resolution."""

SEEN: Final = 128
"""Side of the crop of the old face: light needs no more."""

SKIN: Final = 0.85
"""The part of the outline within which light is compared: hair and background stay out."""

_STIFFNESS: Final = 1e-4


class WarpSwap(SwapBackend):
    """The backend ``warp``; needs nothing but landmarks."""

    name = "warp"

    def __init__(self) -> None:
        self._textures: Remembered[SourceFace, Texture] = Remembered(
            lambda source: texture_of(source.image, source.face)
        )

    def prepare(self, jobs: Sequence[SwapJob]) -> list[SwapJob]:
        """The jobs: what they show of their pictures is read by ``run``."""
        return list(jobs)

    def run(self, prepared: Sequence[SwapJob]) -> list[Patch]:
        """See ``SwapBackend``.

        Raises:
            FaceNotUsable: The landmarks of a source lie all in one place.
        """
        return [self._patch(job, self._textures(job.source)) for job in prepared]

    def patches(self, made: list[Patch]) -> list[Patch]:
        """They are ready."""
        return made

    def close(self) -> None:
        """Forget the sources."""
        self._textures.clear()

    def _patch(self, job: SwapJob, texture: Texture) -> Patch:
        side = _side(128 / scale_of(align(job.face.landmarks, 128)))
        transform = align(job.face.landmarks, side)
        target = cut(job.image, align(job.face.landmarks, SEEN), SEEN)
        landmarks = transformed(job.face.landmarks, transform)
        pose = pose_of(landmarks)
        back = thin_plate_map(mesh(landmarks, pose), texture.points, side, _STIFFNESS)
        skin = hull_mask((outline(pose, SKIN) + np.float32(0.5)) / np.float32(side), 0.0)
        crop = match_shading(bent(texture.image, back), target, skin)
        return Patch(crop, target, transform, outline(pose), matched=True)


def _side(wanted: float) -> int:
    return min(SIZES, key=lambda size: abs(size - wanted))
