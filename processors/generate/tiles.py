"""Cutting pictures into tiles that overlap, and putting what becomes of them together."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from processors.generate.picture_files import Bytes


@dataclass(frozen=True, slots=True)
class Tile:
    """Part of a picture; all in pixels of it, ends excluded.

    Attributes:
        left: Of what is kept of the result; so top, right and bottom.
        around: What is worked on: the same with a margin, as far as the picture goes; left, top,
            right, bottom.
    """

    left: int
    top: int
    right: int
    bottom: int
    around: tuple[int, int, int, int]


def tiles(width: int, height: int, side: int, overlap: int) -> Iterator[Tile]:
    """Yield tiles that cover a picture, row by row.

    Args:
        width: Of the picture.
        height: Of the picture.
        side: Longest side of a tile, its margins excluded.
        overlap: Width of the margins. Where it is at least as far as a network looks, the tiles'
            results are those of the whole picture.
    """
    for top in range(0, height, side):
        for left in range(0, width, side):
            right, bottom = min(width, left + side), min(height, top + side)
            around = (
                max(0, left - overlap),
                max(0, top - overlap),
                min(width, right + overlap),
                min(height, bottom + overlap),
            )
            yield Tile(left, top, right, bottom, around)


def by_tiles(
    picture: Bytes,
    scale: int,
    side: int,
    overlap: int,
    enlarge: Callable[[Bytes], Bytes],
    progress: Callable[[float], None],
) -> Bytes:
    """Enlarge a picture tile by tile.

    Args:
        picture: ``uint8[h, w, 3]``.
        scale: How many times larger ``enlarge`` makes pictures.
        side: See ``tiles``.
        overlap: See ``tiles``.
        enlarge: Takes and returns ``uint8[h, w, 3]``.
        progress: Told the share that is done after each tile; may raise.
    """
    height, width = picture.shape[:2]
    result = np.empty((height * scale, width * scale, 3), np.uint8)
    for tile in tiles(width, height, side, overlap):
        left, top, right, bottom = tile.around
        made = enlarge(picture[top:bottom, left:right])
        x, y = (tile.left - left) * scale, (tile.top - top) * scale
        columns, rows = (tile.right - tile.left) * scale, (tile.bottom - tile.top) * scale
        result[tile.top * scale : tile.bottom * scale, tile.left * scale : tile.right * scale] = (
            made[y : y + rows, x : x + columns]
        )
        progress((tile.top * width + tile.right * (tile.bottom - tile.top)) / (width * height))
    return result
