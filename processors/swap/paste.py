"""Puts an aligned crop back into its picture, touching only the region that it covers.

Whoever pastes by warping crop and mask to the size of the whole picture pays for every pixel of
it. Here the region is found first, crop and mask travel through one warp as a picture of four
channels (with premultiplied alpha: Porter and Duff, "Compositing Digital Images", SIGGRAPH 1984),
and everything stays in 8 bits: where the mask is 255 the warped crop comes out unchanged, where it
is 0 the picture stays as it was, bit for bit, in between the error is about one level.
"""

import math
from typing import Any

import numpy as np

from engine.pipeline.frame import Image
from processors.faces.align import Transform, inverse, scale_of
from processors.swap.geometry import ROUNDING, Mask, shifted, shrunk

MARGIN = 1
"""Pixels around the region, for interpolation at its rim."""

SHRINK_FROM = 2
"""Pixels of the crop per pixel of the picture from which on bilinear sampling alone would skip
pixels, so that the crop is averaged down first."""


def paste(frame: Image, crop: Image, transform: Transform, mask: Mask) -> bool:
    """Blend ``crop`` into ``frame``, in place.

    Args:
        frame: ``uint8[h, w, 3]``; changed.
        crop: ``uint8[s, s, 3]``, channels in the frame's order.
        transform: ``[2, 3]``: takes a point of the frame to its place in the crop; pixel
            centres are at whole numbers.
        mask: ``uint8[m, m]``, of any size, covers the crop: 255 shows the crop, 0 the frame.

    Returns:
        Whether any of it lies within the frame.
    """
    import cv2

    size = crop.shape[0]
    region = region_of(mask, size, transform, frame.shape)
    if region is None:
        return False
    left, top, right, bottom = region
    if mask.shape[0] != size:
        mask = np.asarray(cv2.resize(mask, (size, size)), np.uint8)
    layers = _premultiplied(cv2, crop, mask)
    if (factor := int(scale_of(transform) + ROUNDING)) >= SHRINK_FROM:
        layers, transform = shrunk(layers, transform, factor)
    warped = cv2.warpAffine(
        layers,
        shifted(transform, left, top),
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    _blend(cv2, frame[top:bottom, left:right], np.asarray(warped, np.uint8))
    return True


def _premultiplied(cv2: Any, crop: Image, mask: Mask) -> Image:
    alpha = cv2.cvtColor(mask, cv2.COLOR_GRAY2BGR)
    colour = cv2.multiply(crop, alpha, scale=1 / 255)
    return np.asarray(cv2.merge([*cv2.split(colour), mask]), np.uint8)


def _blend(cv2: Any, part: Image, layers: Image) -> None:
    kept = cv2.bitwise_not(cv2.cvtColor(cv2.extractChannel(layers, 3), cv2.COLOR_GRAY2BGR))
    old = cv2.multiply(part, kept, scale=1 / 255)
    cv2.add(old, cv2.cvtColor(layers, cv2.COLOR_BGRA2BGR), dst=part)


def region_of(
    mask: Mask, size: int, transform: Transform, shape: tuple[int, ...]
) -> tuple[int, int, int, int] | None:
    """What a mask covers of a frame.

    Args:
        mask: ``uint8[m, m]``, covers the crop.
        size: Side of the crop.
        transform: From the frame to the crop.
        shape: Of the frame: height, width.

    Returns:
        Left, top, right, bottom within the frame; None if nothing is covered.
    """
    import cv2

    x, y, width, height = cv2.boundingRect(mask)
    if not width or not height:
        return None
    step = size / mask.shape[0]
    # A pixel of the mask reaches half a pixel beyond its centre, and interpolation one further.
    low = np.array([x - 1.0, y - 1.0]) * step - 0.5
    high = np.array([x + width + 1.0, y + height + 1.0]) * step - 0.5
    corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
    back = inverse(transform)
    points = corners @ back[:, :2].T + back[:, 2]
    if not np.isfinite(points).all():
        return None
    left, top = np.floor(points.min(axis=0)) - MARGIN
    right, bottom = np.ceil(points.max(axis=0)) + MARGIN + 1
    if right <= 0 or bottom <= 0 or left >= shape[1] or top >= shape[0]:
        return None
    return (
        max(0, math.floor(left)),
        max(0, math.floor(top)),
        min(shape[1], math.ceil(right)),
        min(shape[0], math.ceil(bottom)),
    )
