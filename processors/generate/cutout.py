"""Working on the mask of a cut-out: soft edges, clean colours, less flicker, another background.

Masks and alphas are ``uint8[h, w]``: 255 belongs to what is kept. Colours are ``uint8[h, w, 3]``,
BGR, and not multiplied by alpha.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from processors.generate.picture_files import Bytes

Floats = npt.NDArray[np.float32]

_GUIDED_EPSILON = 1e-4
"""Variance of colours, for values from 0 to 1, below which an area counts as even."""
_STRIP_PIXELS = 2_000_000
"""Worked on at once: some 150 MB."""

_STILL = 6.0
"""Mean difference of brightness, of 255, from which a place counts as moved."""


def soften(
    colour: Bytes, mask: Bytes, foreground: int, background: int, erode: int, radius: int
) -> Bytes:
    """Return the mask with its edge taken from the picture: hair, fur, blur.

    What is surely inside or outside stays; in the band between, alpha is a linear function of the
    colours around (the guided filter of He, Sun and Tang, *Guided Image Filtering*, TPAMI 2013,
    section 5 on matting).

    Args:
        colour: The picture.
        mask: Of a model.
        foreground: From this value on a pixel is surely inside.
        background: Up to this value it is surely outside.
        erode: Pixels by which both sure areas are shrunk.
        radius: Of the surroundings, in pixels.
    """
    kernel = np.ones((2 * erode + 1, 2 * erode + 1), np.uint8)
    inside = cv2.erode((mask >= foreground).astype(np.uint8), kernel, borderValue=1)
    outside = cv2.erode((mask <= background).astype(np.uint8), kernel, borderValue=1)
    alpha = np.empty_like(mask)
    # The filter is a mean of means.
    for rows, around, inner in _strips(mask.shape, 2 * radius):
        found = _guided(colour[around], mask[around], radius)[inner]
        alpha[rows] = np.clip(found * 255 + 0.5, 0, 255).astype(np.uint8)
    alpha[inside > 0] = 255
    alpha[outside > 0] = 0
    return alpha


def _guided(colour: Bytes, mask: Bytes, radius: int) -> Floats:
    """The guided filter with a guide of three colours; values from 0 to 1."""
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.boxFilter(values, -1, size), np.float32)

    guide = colour.astype(np.float32) / 255
    target = mask.astype(np.float32) / 255
    guide_mean, target_mean = mean(guide), mean(target)
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    matrix = np.empty((*mask.shape, 3, 3), np.float32)
    for first, second in pairs:
        found = mean(guide[..., first] * guide[..., second])
        found -= guide_mean[..., first] * guide_mean[..., second]
        matrix[..., first, second] = matrix[..., second, first] = found
    matrix[..., [0, 1, 2], [0, 1, 2]] += _GUIDED_EPSILON
    together = np.stack(
        [mean(guide[..., c] * target) - guide_mean[..., c] * target_mean for c in range(3)], -1
    )
    slope = np.linalg.solve(matrix, together[..., None])[..., 0].astype(np.float32)
    offset = target_mean - (slope * guide_mean).sum(-1)
    found = (mean(slope) * guide).sum(-1) + mean(offset)
    return np.asarray(found, np.float32)


def clean(colour: Bytes, alpha: Bytes, radius: int) -> Bytes:
    """Return the colours of what is kept, without those of the old background at soft edges.

    Blur fusion, twice: Forte, *Approximate Fast Foreground Colour Estimation*, ICIP 2021.

    Args:
        colour: The picture.
        alpha: Its cut-out.
        radius: From how far around colours are taken, in pixels, for the first time.
    """
    soft = (alpha > 0) & (alpha < 255)
    if not soft.any():
        return colour
    near = max(1, radius // 8)
    result = colour.copy()
    for rows, around, inner in _strips(alpha.shape, radius + near):
        image = colour[around].astype(np.float32)
        weight = (alpha[around].astype(np.float32) / 255)[..., None]
        kept, behind = _fused(image, image, image, weight, radius)
        kept, _ = _fused(image, kept, behind, weight, near)
        found = np.clip(kept[inner] + 0.5, 0, 255).astype(np.uint8)
        result[rows] = np.where(soft[rows][..., None], found, colour[rows])
    return result


def _fused(
    image: Floats, kept: Floats, behind: Floats, weight: Floats, radius: int
) -> tuple[Floats, Floats]:
    size = (2 * radius + 1, 2 * radius + 1)
    share = cv2.blur(weight, size)[..., None] + 1e-5
    kept = cv2.blur(kept * weight, size) / share
    behind = cv2.blur(behind * (1 - weight), size) / (1 - share + 2e-5)
    kept = kept + weight * (image - weight * kept - (1 - weight) * behind)
    return np.clip(kept, 0, 255), behind


def _strips(shape: tuple[int, ...], margin: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield the rows of each strip, those with a margin around, and the former within the latter.

    Filters that look no further than the margin give the same by strips as on the whole.
    """
    height, width = shape[:2]
    step = max(64, _STRIP_PIXELS // width)
    for top in range(0, height, step):
        bottom = min(height, top + step)
        first, last = max(0, top - margin), min(height, bottom + margin)
        yield slice(top, bottom), slice(first, last), slice(top - first, bottom - first)


def over(colour: Bytes, alpha: Bytes, background: Bytes) -> Bytes:
    """Lay a cut-out over a background of the same size."""
    share = alpha.astype(np.float32)[..., None] / 255
    mixed = colour * share + background * (1 - share)
    return np.asarray(mixed + 0.5, np.uint8)


class Steady:
    """Keeps the mask of a video from flickering where the picture stands still.

    Args:
        strength: Share of the mask before that is kept there, 0 to below 1.
    """

    def __init__(self, strength: float) -> None:
        self._strength = strength
        self._grey: Floats | None = None
        self._mask: Floats | None = None

    def next(self, colour: Bytes, mask: Bytes) -> Bytes:
        """Return the mask of the next picture."""
        if self._strength == 0:
            return mask
        grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY).astype(np.float32)
        found = mask.astype(np.float32)
        if self._grey is not None and self._mask is not None and self._grey.shape == grey.shape:
            moved = cv2.blur(np.abs(grey - self._grey), (9, 9)) / _STILL
            share = self._strength * np.exp(-(moved**2))
            found = found + share * (self._mask - found)
        self._grey, self._mask = grey, found
        return np.asarray(found + 0.5, np.uint8)
