"""Fills what a mask shows, region by region."""

from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image
from processors.generate.lama.masks import Mask, merged, softened
from processors.generate.lama.regions import Region, regions

_MULTIPLE = 8
_LEAST_SIDE = 64
"""Less than that leaves the innermost layers, an eighth of it, nothing to mirror at their edges."""


class Filler(Protocol):
    """A model that fills holes; ``loading.LamaModel`` is one."""

    def fill(
        self, picture: npt.NDArray[np.float32], hole: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Fill a picture.

        Args:
            picture: ``[3, h, w]``, RGB, 0..1; sides are multiples of 8.
            hole: ``[1, h, w]``, 1 where it is to be filled, else 0.

        Returns:
            ``[3, h, w]``, RGB, about 0..1.
        """


def filled(
    image: Image,
    mask: Mask,
    feather: int,
    longest: int,
    model: Filler,
    progress: Callable[[float, Image], None],
) -> tuple[Image, int]:
    """Return a picture without what a mask shows, and how many regions were computed.

    Args:
        image: ``uint8[h, w, 3]``, BGR; what the mask does not show is kept exactly.
        mask: ``bool[h, w]``.
        feather: Pixels within the mask's edge over which the old picture goes over into the new.
        longest: Longest side in pixels that is computed; larger regions are scaled down.
        model: What fills.
        progress: Told after each region the share that is done, and the picture so far.
    """
    found = list(regions(mask))
    picture, left = image.copy(), mask.copy()
    for number, region in enumerate(found, 1):
        rows, columns = region.rows, region.columns
        part = picture[rows, columns]
        new = _fill(part, left[rows, columns], longest, model)
        weights = _weights(mask, region, feather)
        picture[rows, columns] = merged(part, new, weights)
        left[rows, columns] &= ~region.own
        progress(number / len(found), picture)
    return picture, len(found)


def _weights(mask: Mask, region: Region, feather: int) -> npt.NDArray[np.float32]:
    soft = softened(mask[region.rows, region.columns], feather)
    return np.where(region.own, soft, np.float32(0))


def _fill(part: Image, hole: Mask, longest: int, model: Filler) -> Image:
    height, width = hole.shape
    scale = min(1.0, longest / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small, small_hole = part, hole.astype(np.float32)
    if scale < 1:
        small = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
        shrunk = cv2.resize(small_hole, size, interpolation=cv2.INTER_AREA)
        # A pixel with any part of the hole in it shows something of what is to go.
        small_hole = np.asarray(shrunk > 0, np.float32)
    new = _run(small, small_hole, model)
    if scale < 1:
        new = np.asarray(cv2.resize(new, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    return new


def _run(part: Image, hole: npt.NDArray[np.float32], model: Filler) -> Image:
    height, width = hole.shape
    below = max(_LEAST_SIDE, -(-height // _MULTIPLE) * _MULTIPLE) - height
    beside = max(_LEAST_SIDE, -(-width // _MULTIPLE) * _MULTIPLE) - width
    padded, padded_hole = (
        cv2.copyMakeBorder(values, 0, below, 0, beside, cv2.BORDER_REFLECT)
        for values in (part, hole)
    )
    rgb = np.ascontiguousarray(padded[..., ::-1].transpose(2, 0, 1), np.float32) / 255
    new = model.fill(rgb, np.ascontiguousarray(padded_hole[None], np.float32))
    bgr = new[::-1, :height, :width].transpose(1, 2, 0)
    return np.asarray(np.rint(np.clip(bgr, 0, 1) * 255), np.uint8)
