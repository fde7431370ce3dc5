"""The new face in the colours of the old one."""

from typing import Final

import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image
from processors.swap.geometry import Mask

SHARE: Final = 160
"""From this value on a mask counts for the statistics: the soft rim belongs to neither face."""

Floats = npt.NDArray[np.float32]

STRETCH: Final = (0.5, 2.0)
"""Limits of the change of contrast: beyond them noise becomes visible."""

GAIN: Final = (0.2, 4.0)
"""Limits of the change of brightness."""

DARK: Final = 0.7
"""Brightness relative to the surroundings of what is certainly no skin."""

FAR: Final = 1e-2
"""Weight of the mean of the whole face against that of the surroundings."""

CELLS: Final = 48
"""Side of the small pictures in which shading is compared."""


def match_statistics(crop: Image, target: Image, mask: Mask, strength: float = 1.0) -> Image:
    """Give a crop the mean and spread that the target has within a mask.

    Reinhard et al., "Color Transfer between Images" (IEEE CG&A 2001), in CIELAB instead of their
    l-alpha-beta. Within 8 bits it is one table for each channel.

    Args:
        crop: ``uint8[s, s, 3]``, BGR: the new face.
        target: ``uint8[t, t, 3]``, BGR: the old one, covering the same place.
        mask: ``uint8[m, m]``; where it is below ``SHARE`` nothing is looked at.
        strength: 0 leaves the crop as it is, 1 gives it the target's statistics.

    Returns:
        ``uint8[s, s, 3]``; the crop itself where there is nothing to do.
    """
    import cv2

    size = mask.shape[0]
    within = cv2.inRange(mask, np.array(SHARE), np.array(255))
    if strength <= 0 or not cv2.hasNonZero(within):
        return crop
    lab = np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2LAB), np.uint8)
    now = cv2.meanStdDev(_reduced(lab, size), mask=within)
    small = cv2.cvtColor(_reduced(target, size), cv2.COLOR_BGR2LAB)
    wanted = cv2.meanStdDev(small, mask=within)
    stretch = np.clip(wanted[1] / np.maximum(now[1], 1.0), *STRETCH).reshape(1, 3)
    levels = np.arange(256, dtype=np.float64)[:, None]
    moved = (levels - now[0].reshape(1, 3)) * stretch + wanted[0].reshape(1, 3)
    mixed = np.clip(levels + strength * (moved - levels) + 0.5, 0, 255).astype(np.uint8)
    moved_lab = cv2.LUT(lab, mixed.reshape(1, 256, 3))
    return np.asarray(cv2.cvtColor(moved_lab, cv2.COLOR_LAB2BGR), np.uint8)


def match_shading(
    crop: Image, target: Image, mask: Mask, reach: float = 0.15, strength: float = 1.0
) -> Image:
    """Light a crop as the target is lit: skin tone, brightness, the shadow on one side.

    Both are smoothed within the mask until only skin tone and light are left, and their quotient
    is what the crop is multiplied with: a quotient image (Riklin-Raviv and Shashua, "The Quotient
    Image", PAMI 2001). As a product it keeps the hue of shadows, which a sum does not.

    Args:
        crop: ``uint8[s, s, 3]``, BGR: the new face.
        target: ``uint8[t, t, 3]``, BGR: the old one, covering the same place.
        mask: ``uint8[m, m]``: the skin.
        reach: How far is smoothed, in sides of the crop.
        strength: 0 leaves the crop as it is.

    Returns:
        ``uint8[s, s, 3]``; the crop itself where there is nothing to do.
    """
    import cv2

    weight = np.asarray(_reduced(mask, CELLS) / 255, np.float32)
    if strength <= 0 or weight.sum() < 1:
        return crop
    quotient = _light(target, weight, reach) / _light(crop, weight, reach)
    gain = 1 + strength * (np.clip(quotient, *GAIN) - 1)
    side = crop.shape[0]
    full = cv2.resize(gain.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(crop, full, dtype=cv2.CV_8U), np.uint8)


def _light(picture: Image, weight: Floats, reach: float) -> Floats:
    """Skin tone and light: ``float32[CELLS, CELLS, 3]``.

    Brows, eyes and beards are darker than what surrounds them and do not count: else skin would
    get paler to make up for a moustache.
    """
    # The offset keeps black from making gains without limit.
    seen = _reduced(picture, CELLS).astype(np.float32) + 4
    brightness = seen.mean(axis=2, keepdims=True)
    around = _smoothed(brightness, weight[..., None], reach)
    is_skin = np.clip((brightness / around - DARK) / (1 - DARK) * 2, 0, 1)
    return _smoothed(seen, weight[..., None] * is_skin, reach)


def _smoothed(picture: Floats, weight: Floats, reach: float) -> Floats:
    """A weighted mean of the surroundings; far from all weight the mean of everything."""
    import cv2

    seen = picture * weight
    sigma = CELLS * reach
    total = np.asarray(cv2.GaussianBlur(seen, (0, 0), sigma), np.float32).reshape(seen.shape)
    share = np.asarray(cv2.GaussianBlur(weight, (0, 0), sigma), np.float32)[..., None]
    far = FAR / max(float(weight.sum()), 1e-6)
    return np.asarray(
        (total + far * seen.sum(axis=(0, 1))) / (share + far * float(weight.sum())), np.float32
    )


def _reduced(picture: Image | Mask, size: int) -> npt.NDArray[np.uint8]:
    import cv2

    if picture.shape[0] == size:
        return picture
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
