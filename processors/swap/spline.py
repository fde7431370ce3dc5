"""A smooth map through scattered points: thin-plate splines (Bookstein, "Principal Warps",
PAMI 1989), evaluated on a coarse grid, since the map is smooth.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image

Floats = npt.NDArray[np.floating[Any]]

CELLS = 24
"""Cells across the evaluated grid; between its points the map is taken as linear."""


def thin_plate_map(
    start: Floats, end: Floats, size: int, stiffness: float
) -> npt.NDArray[np.float32]:
    """Where each pixel of a square comes from.

    Args:
        start: ``[n, 2]`` points in the square, in pixels.
        end: ``[n, 2]`` where they come from.
        size: Side of the square.
        stiffness: 0 goes through all points; larger values bend less. Relative to the square's
            side, so that the result does not depend on the resolution.

    Returns:
        ``float32[size, size, 2]``, for ``cv2.remap``.
    """
    import cv2

    unit = np.asarray(start, np.float64) / size
    count = len(unit)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(unit, unit) + stiffness * np.eye(count)
    system[:count, count:] = _affine(unit)
    system[count:, :count] = system[:count, count:].T
    wanted = np.zeros((count + 3, 2))
    wanted[:count] = end
    weights = np.linalg.solve(system, wanted)
    # Points in the middle of cells: resizing keeps them there.
    ticks = (np.arange(CELLS) + 0.5) / CELLS - 0.5 / size
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    coarse = np.hstack([_kernel(grid, unit), _affine(grid)]) @ weights
    coarse = coarse.reshape(CELLS, CELLS, 2).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def bent(image: Image, back: npt.NDArray[np.float32], cubic: bool = False) -> Image:
    """A picture through a map; beyond its edges its last pixels are repeated.

    Args:
        image: ``uint8[h, w, 3]``.
        back: ``float32[a, b, 2]``: where each pixel comes from.
        cubic: Sharper, and slower.
    """
    import cv2

    way = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    no_second_map: Any = None
    out = cv2.remap(image, back, no_second_map, way, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)


def _kernel(points: Floats, centres: Floats) -> Floats:
    squared = np.square(points[:, None] - centres[None]).sum(axis=-1)
    return np.asarray(squared * np.log(squared + 1e-12))


def _affine(points: Floats) -> Floats:
    return np.hstack([np.ones((len(points), 1)), points])
