"""Pixel boost: a model for small crops on a larger one, as phases of its pixels.

A crop of ``k * n`` pixels is taken apart into ``k * k`` crops of ``n`` pixels: tile ``(y, x)``
holds the pixels ``(k * i + y, k * j + x)``. Each tile shows the whole face, displaced by less than
a pixel of its own, so each is what a model expects that was trained on aligned faces; a tile cut
from a corner would show it a cheek where it looks for a face. Putting the phases together again is
exact. Rope introduced this for inswapper as "subsampling", FaceFusion calls it pixel boost; as an
operation it is space to depth and its inverse, the pixel shuffle of Shi et al. ("Real-Time Single
Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR
2016).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image

Floats = npt.NDArray[np.float32]


def to_tiles(
    crops: Sequence[Image], boost: int, mean: Sequence[float], std: Sequence[float]
) -> Floats:
    """A model's input for all tiles of all crops: ``(rgb / 255 - mean) / std``.

    Args:
        crops: ``uint8[boost * n, boost * n, 3]``, BGR.
        boost: Tiles along a side.
        mean: Of red, green and blue, in units of 255.
        std: Of red, green and blue, in units of 255.

    Returns:
        ``float32[len(crops) * boost * boost, 3, n, n]``, RGB; the tiles of a crop one after the
        other, row by row.
    """
    size = crops[0].shape[0] // boost
    tiles = np.empty((len(crops), boost, boost, 3, size, size), np.float32)
    lines = [_line(mean[channel], std[channel]) for channel in range(3)]
    for index, crop in enumerate(crops):
        phases = crop.reshape(size, boost, size, boost, 3)
        for channel, (factor, offset) in enumerate(lines):
            plane = tiles[index, :, :, channel]
            np.multiply(phases[..., 2 - channel].transpose(1, 3, 0, 2), factor, out=plane)
            if offset:
                plane += offset
    return tiles.reshape(-1, 3, size, size)


def from_tiles(
    tiles: npt.NDArray[Any], boost: int, mean: Sequence[float], std: Sequence[float]
) -> list[Image]:
    """Pictures from a model's output: the inverse of ``to_tiles``, rounded and limited to 0..255.

    Args:
        tiles: ``[m * boost * boost, 3, n, n]``, RGB.
        boost: Tiles along a side.
        mean: See ``to_tiles``.
        std: See ``to_tiles``.

    Returns:
        ``m`` pictures ``uint8[boost * n, boost * n, 3]``, BGR.
    """
    size = tiles.shape[-1]
    phases = tiles.reshape(-1, boost, boost, 3, size, size)
    crops = np.empty((len(phases), size, boost, size, boost, 3), np.uint8)
    for channel in range(3):
        levels = np.multiply(phases[:, :, :, channel], np.float32(255 * std[channel]))
        levels += np.float32(255 * mean[channel] + 0.5)
        np.clip(levels, 0, 255, out=levels)
        crops[..., 2 - channel] = levels.transpose(0, 3, 1, 4, 2)
    return list(crops.reshape(-1, size * boost, size * boost, 3))


def _line(mean: float, std: float) -> tuple[np.float32, np.float32]:
    return np.float32(1 / (255 * std)), np.float32(-mean / std)
