"""Pictures of any size into one size."""

import numpy as np

from engine.pipeline.frame import Image


def fit(image: Image, size: tuple[int, int]) -> Image:
    """The picture scaled into a size with black bars; the same array where it already has it.

    Args:
        image: ``uint8[h, w, 3]``.
        size: Width and height in pixels.
    """
    width, height = size
    if image.shape[1] == width and image.shape[0] == height:
        return image
    import cv2

    scale = min(width / image.shape[1], height / image.shape[0])
    inner = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    smaller = cv2.resize(image, inner, interpolation=cv2.INTER_AREA)
    whole = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    whole[top : top + inner[1], left : left + inner[0]] = smaller
    return whole


def even_size(image: Image) -> tuple[int, int]:
    """The picture's width and height, made even (at least 2): what 4:2:0 video needs."""
    height, width = image.shape[:2]
    return max(2, width & ~1), max(2, height & ~1)
