"""Crops of faces: cut without aliasing, moved, scaled.

Transforms are those of ``processors.faces.align``: from the picture to the crop, pixel centres at
whole numbers.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from engine.errors import InvalidInput
from engine.pipeline.frame import Image
from processors.faces.align import Transform, inverse, scale_of, similarity
from processors.faces.face import Points

Mask = npt.NDArray[np.uint8]
"""``uint8[m, m]``: how much of a crop is shown, 255 for all of it."""

FFHQ_512: Final = (
    (192.98138, 239.94708),
    (318.90277, 240.1936),
    (256.63416, 314.01935),
    (201.26117, 371.41043),
    (313.08905, 371.15118),
)
"""Where the 512 pixel crops of FFHQ have the five landmarks (Karras et al., "A Style-Based
Generator Architecture for Generative Adversarial Networks", CVPR 2019; these values are those of
facexlib, with which GFPGAN aligns)."""

LEAST_SPREAD = 1.0
"""Root mean square distance of the landmarks from their middle, in pixels; below it they say
nothing about direction and size."""


ROUNDING: Final = 0.01
"""A scale of 3.999 counts as 4."""


class FaceNotUsable(InvalidInput):
    """A face of which no aligned crop can be cut."""


def ffhq_template(size: int) -> Points:
    """The five landmarks in an FFHQ crop of this side: ``float32[5, 2]``."""
    return np.asarray(np.array(FFHQ_512) * (size / 512), np.float32)


def usable(landmarks: Points) -> bool:
    """Whether five landmarks are numbers and do not lie all in one place."""
    if not np.isfinite(landmarks).all():
        return False
    spread = np.square(landmarks - landmarks.mean(axis=0)).sum(axis=1).mean()
    return bool(spread >= LEAST_SPREAD**2)


def fitted(landmarks: Points, template: npt.ArrayLike) -> Transform:
    """The similarity that takes the landmarks of a face to a template.

    Raises:
        FaceNotUsable: The landmarks are not numbers or lie all in one place.
    """
    if not usable(landmarks):
        raise FaceNotUsable(
            "The landmarks of a face lie all in one place or are not numbers.",
            "Take a picture that shows the face larger.",
        )
    return similarity(landmarks, template)


def shifted(transform: Transform, left: float, top: float) -> Transform:
    """The transform for the part of the picture that begins at ``(left, top)``."""
    moved = transform.copy()
    moved[:, 2] += transform[:, :2] @ (left, top)
    return moved


def scaled(transform: Transform, factor: float) -> Transform:
    """The transform to the same crop, ``factor`` times as large.

    Keeps corners of pixels on corners of pixels, as resizing does.
    """
    grown = transform * factor
    grown[:, 2] += (factor - 1) / 2
    return grown


def shrunk(crop: Image, transform: Transform, factor: int) -> tuple[Image, Transform]:
    """A crop averaged down by ``factor``, and its transform."""
    import cv2

    size = max(1, crop.shape[0] // factor)
    small = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), scaled(transform, size / crop.shape[0])


def cut(image: Image, transform: Transform, size: int) -> Image:
    """An aligned crop; black beyond the picture's edges.

    A face much larger than the crop is averaged down first, in its own region: sampled bilinearly
    alone it would skip pixels, and skin and hair would shimmer from frame to frame. Up to twice
    the size of the crop the result is that of ``processors.faces.align.crop``.

    Args:
        image: ``uint8[h, w, 3]``.
        transform: From the picture to the crop.
        size: Side of the crop in pixels.
    """
    import cv2

    factor = int(1 / max(scale_of(transform), 1e-6) + ROUNDING)
    if factor >= 2:
        image, transform = _averaged(image, transform, size, factor)
    return np.asarray(cv2.warpAffine(image, transform, (size, size)), np.uint8)


def _averaged(
    image: Image, transform: Transform, size: int, factor: int
) -> tuple[Image, Transform]:
    """The region that the crop shows, ``factor`` times smaller, and its transform."""
    import cv2

    back = inverse(transform)
    corners = np.array([[-1, -1], [size, -1], [size, size], [-1, size]]) @ back[:, :2].T
    corners = corners + back[:, 2]
    left, top = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    right, bottom = np.maximum(np.ceil(corners.max(axis=0)), 0).astype(int)
    part = image[top:bottom, left:right]
    width, height = part.shape[1] // factor, part.shape[0] // factor
    if not width or not height:
        return image, transform
    part = part[: height * factor, : width * factor]
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    # The point p of the small picture is (p + 0.5) * factor - 0.5 of the part.
    transform = shifted(transform, left + (factor - 1) / 2, top + (factor - 1) / 2)
    transform[:, :2] *= factor
    return np.asarray(small, np.uint8), transform
