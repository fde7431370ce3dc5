"""Pictures in other sizes."""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""``uint8[h, w]`` or ``uint8[h, w, channels]``."""


def resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return a picture in another size (width, height); the same array where it has that one."""
    import cv2

    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    smaller = size[0] * size[1] < width * height
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)


def covering(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return the middle of a picture, in a size (width, height) of another shape."""
    height, width = pixels.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    whole = (max(size[0], round(width * scale)), max(size[1], round(height * scale)))
    left, top = (whole[0] - size[0]) // 2, (whole[1] - size[1]) // 2
    part = resized(pixels, whole)[top : top + size[1], left : left + size[0]]
    return np.ascontiguousarray(part)
