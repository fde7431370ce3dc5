"""Masks: read from files, grown, and with soft edges."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engine.errors import InvalidInput
from engine.pipeline.frame import Image
from processors.generate.picture_files import read_picture

Mask = npt.NDArray[np.bool_]

_WHITE = 128
_SAME_SHAPE = 0.01


class MaskUnusable(InvalidInput):
    """A mask shows nothing, or is of another shape than the picture."""


def read_mask(path: Path, height: int, width: int) -> Mask:
    """Read a mask: what is white (at least 128 of 255) and not transparent is meant.

    One of another size is scaled if its proportions are the picture's (within 1 %).

    Args:
        path: A PNG, JPEG, WebP or BMP.
        height: Of the picture.
        width: Likewise.

    Raises:
        BadPicture: It cannot be read.
        MaskUnusable: It is of another shape, or shows nothing.
    """
    picture = read_picture(path)
    grey = np.asarray(cv2.cvtColor(picture.colour, cv2.COLOR_BGR2GRAY), np.uint8)
    if picture.alpha is not None:
        grey = np.minimum(grey, picture.alpha)
    if grey.shape != (height, width):
        grey = _scaled(grey, path.name, height, width)
    mask = np.asarray(grey >= _WHITE, np.bool_)
    if not mask.any():
        raise MaskUnusable(
            f"The mask '{path.name}' is empty.", "Paint white what is to be removed."
        )
    return mask


def grown(mask: Mask, by: int) -> Mask:
    """Return a mask with everything within a distance of it.

    Args:
        mask: ``bool[h, w]``.
        by: Pixels; 0 changes nothing.
    """
    if not by or not mask.any():
        return mask.copy()
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    rows = slice(max(0, top - by), top + height + by)
    columns = slice(max(0, left - by), left + width + by)
    inner = (~mask[rows, columns]).view(np.uint8)
    distance = cv2.distanceTransform(inner, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    found = np.zeros_like(mask)
    found[rows, columns] = distance <= by
    return found


def softened(mask: Mask, feather: int) -> npt.NDArray[np.float32]:
    """Return weights that rise from the edge of a mask inwards: 0 outside, 1 from ``feather`` on.

    Args:
        mask: ``bool[h, w]``.
        feather: Pixels; 0 gives a hard edge.
    """
    if feather <= 0 or mask.all():
        return mask.astype(np.float32)
    distance = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.minimum(distance / feather, 1.0), np.float32)


def merged(image: Image, filled: Image, weights: npt.NDArray[np.float32]) -> Image:
    """Return one picture laid over another; where a weight is 0, the other is kept exactly."""
    share = weights[..., None]
    mixed = image * (1 - share) + filled * share
    return np.asarray(np.where(share > 0, np.rint(mixed), image), np.uint8)


def _scaled(
    grey: npt.NDArray[np.uint8], name: str, height: int, width: int
) -> npt.NDArray[np.uint8]:
    own_height, own_width = grey.shape
    if abs(own_width / own_height * height / width - 1) > _SAME_SHAPE:
        raise MaskUnusable(
            f"The mask '{name}' has {own_width}x{own_height} pixels, the picture {width}x{height}.",
            "Make the mask in the picture's size, or at least in its proportions.",
        )
    smaller = own_width > width
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (width, height), interpolation=how), np.uint8)
