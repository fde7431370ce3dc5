"""Which parts of a picture are looked at to fill a mask; what is near each other goes together."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from processors.generate.lama.masks import Mask

_BLOCK = 16
"""Distances are told in steps of so many pixels, so that a mask of specks costs no more."""
_LEAST_MARGIN = 128
_CONTEXT = 0.5


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a picture.

    Attributes:
        rows: Of the picture.
        columns: Likewise.
        own: ``bool``, in the region's size: what is to be filled when this region is looked at;
            other parts of the mask may reach into it.
    """

    rows: slice
    columns: slice
    own: Mask


def regions(mask: Mask) -> Iterator[Region]:
    """Yield regions that together own all of a mask, each pixel once.

    A region has at least 128 px, and half of the longer side of what it owns, around that.
    """
    height, width = mask.shape
    coarse = _coarse(mask)
    reach = 2 * -(-_LEAST_MARGIN // (2 * _BLOCK)) + 1
    near = cv2.dilate(coarse, np.ones((reach, reach), np.uint8))
    count, labels = cv2.connectedComponents(near, connectivity=8)
    for label in range(1, count):
        blocks = np.asarray((labels == label) & (coarse > 0), np.uint8)
        left, top, wide, high = (_BLOCK * value for value in cv2.boundingRect(blocks))
        rows, columns = slice(top, min(top + high, height)), slice(left, min(left + wide, width))
        margin = max(_LEAST_MARGIN, round(_CONTEXT * max(wide, high)))
        outer_rows = slice(max(0, rows.start - margin), min(height, rows.stop + margin))
        outer_columns = slice(max(0, columns.start - margin), min(width, columns.stop + margin))
        fine = _fine(blocks, rows, columns)
        own = np.zeros(mask[outer_rows, outer_columns].shape, np.bool_)
        inner = own[
            rows.start - outer_rows.start : rows.stop - outer_rows.start,
            columns.start - outer_columns.start : columns.stop - outer_columns.start,
        ]
        inner[:] = mask[rows, columns] & fine
        yield Region(outer_rows, outer_columns, own)


def _coarse(mask: Mask) -> npt.NDArray[np.uint8]:
    """Return which blocks a mask touches."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % _BLOCK), (0, -width % _BLOCK)))
    rows, columns = padded.shape[0] // _BLOCK, padded.shape[1] // _BLOCK
    blocks = padded.reshape(rows, _BLOCK, columns, _BLOCK).any(axis=(1, 3))
    return np.asarray(blocks, np.uint8)


def _fine(blocks: npt.NDArray[np.uint8], rows: slice, columns: slice) -> Mask:
    """Return part of the blocks' map in pixels; both slices begin where a block does."""
    part = blocks[
        rows.start // _BLOCK : -(-rows.stop // _BLOCK),
        columns.start // _BLOCK : -(-columns.stop // _BLOCK),
    ]
    whole = np.repeat(np.repeat(part, _BLOCK, axis=0), _BLOCK, axis=1)
    return np.asarray(whole[: rows.stop - rows.start, : columns.stop - columns.start] > 0, np.bool_)
