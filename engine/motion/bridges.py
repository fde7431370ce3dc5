"""Bridges: the few pictures between two pictures that do not follow one another.

A bridge is a morph along straight lines: each of its pictures is the first picture warped forwards
and the second warped backwards to the same moment, blended where dense motion is trusted, and taken
from one side alone where it is not (as in Herbst, Seitz and Baker, *Occlusion Reasoning for
Temporal Interpolation using Optical Flow*, 2009). Exposure and colour move evenly from one end to
the other, and sharpness lost by resampling and blending is given back.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.motion.flow import Flow, Motion, Plane, grid_of, origins_of, sampled

Picture = NDArray[np.uint8]
"""I420: uint8, shape (height * 3 // 2, width), planes Y, U and V one below the other."""

_LEAST_SHARPNESS = 0.87
"""Between a sharp and a blurred end no picture is left blurrier than this share of their mean."""


def height_of(picture: Picture) -> int:
    """Return the height in pixels of an I420 picture."""
    return int(picture.shape[0]) * 2 // 3


def luma(picture: Picture) -> Picture:
    """Return the Y plane of an I420 picture, without copying."""
    return picture[: height_of(picture)]


class Morph:
    """The pictures between two pictures.

    Args:
        first, second: The planes of the ends; of equal sizes, brightness first.
        motion: Between the first planes, at any size.
    """

    def __init__(self, first: Sequence[Plane], second: Sequence[Plane], motion: Motion) -> None:
        self._ends = (first, second)
        self._motion = motion
        self._grids = {plane.shape[:2]: grid_of(*plane.shape[:2]) for plane in first}
        self._sharpness = tuple(_sharpness(planes[0]) for planes in self._ends)

    def at(self, moment: float) -> list[Plane]:
        """Return the planes at a moment between 0 (the first) and 1 (the second)."""
        motion = self._motion
        grid = grid_of(*motion.forward.shape[:2])
        from_first = origins_of(motion.forward, moment, grid)
        from_second = origins_of(motion.backward, 1.0 - moment, grid)
        trust_first = sampled(motion.trust_first, grid + from_first)
        trust_second = sampled(motion.trust_second, grid + from_second)
        weight = _weight_of_second(moment, trust_first, trust_second)
        planes = [
            self._blend(index, moment, from_first, from_second, weight)
            for index in range(len(self._ends[0]))
        ]
        target = max(
            (1.0 - moment) * self._sharpness[0] + moment * self._sharpness[1],
            _LEAST_SHARPNESS * (self._sharpness[0] + self._sharpness[1]) / 2,
        )
        planes[0] = _sharpened(planes[0], target)
        return planes

    def _blend(
        self, index: int, moment: float, from_first: Flow, from_second: Flow, weight: Plane
    ) -> Plane:
        first, second = (planes[index] for planes in self._ends)
        grid = self._grids[first.shape[:2]]
        warped = _warp(first, from_first, grid), _warp(second, from_second, grid)
        # With an even difference of exposure taken out of both, only the rest is blended.
        apart = warped[1] - warped[0]
        difference = _smooth(apart)
        weight = _resized(weight, first.shape)
        if first.ndim > weight.ndim:
            weight = weight[..., None]
        apart -= difference
        apart *= weight
        difference *= np.float32(moment)
        apart += difference
        apart += warped[0]
        return apart


def bridge(first: Picture, second: Picture, motion: Motion, count: int) -> list[Picture]:
    """Return ``count`` pictures, evenly spaced in time, between two pictures.

    Args:
        first, second: I420 pictures of equal size.
        motion: From ``motion_between`` of their Y planes at working size.
        count: How many pictures; 0 gives none.
    """
    morph = Morph(_planes(first), _planes(second), motion)
    return [_joined(morph.at((number + 1) / (count + 1)), first.shape) for number in range(count)]


def grey_bridge(
    first: NDArray[np.uint8], second: NDArray[np.uint8], motion: Motion, count: int
) -> list[NDArray[np.uint8]]:
    """Return what ``bridge`` would, of grey pictures alone: for trials.

    Args:
        first, second: uint8, shape (height, width).
        motion: Between them.
        count: How many pictures.
    """
    ends = ([first.astype(np.float32)], [second.astype(np.float32)])
    morph = Morph(ends[0], ends[1], motion)
    return [_rounded(morph.at((number + 1) / (count + 1))[0]) for number in range(count)]


def _weight_of_second(moment: float, trust_first: Plane, trust_second: Plane) -> Plane:
    """Blend evenly where both sides agree; else take the side that is trusted, or the nearer."""
    agreed = np.minimum(trust_first, trust_second)
    steep = 1.0 / (1.0 + np.exp(-14.0 * (moment - 0.5)))
    first = (1.0 - moment) * (trust_first + 0.02)
    second = moment * (trust_second + 0.02)
    chosen = second / (first + second)
    even = moment + 0.5 * (steep - moment)
    both_lost = np.maximum(0.0, 1.0 - 2.0 * np.maximum(trust_first, trust_second))
    lost = chosen + both_lost * (steep - chosen)
    weight: Plane = (lost + agreed * (even - lost)).astype(np.float32)
    return weight


def _planes(picture: Picture) -> tuple[Plane, Plane]:
    """Return brightness, shape (height, width), and colour, shape (height / 2, width / 2, 2)."""
    height, width = height_of(picture), picture.shape[1]
    chroma = picture.reshape(-1)[height * width :].reshape(2, height // 2, width // 2)
    return luma(picture).astype(np.float32), np.stack([*chroma], axis=-1).astype(np.float32)


def _joined(planes: Sequence[Plane], shape: tuple[int, ...]) -> Picture:
    brightness, colour = (_rounded(plane) for plane in planes)
    parts = [brightness.reshape(-1), colour[..., 0].reshape(-1), colour[..., 1].reshape(-1)]
    return np.concatenate(parts).reshape(shape)


def _rounded(plane: Plane) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
    return rounded


def _resized(field: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    import cv2

    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _warp(plane: Plane, origins: Flow, grid: Flow) -> Plane:
    """Sample a plane where its pixels come from.

    Args:
        plane: Of any size.
        origins: How far away, in pixels of working size.
        grid: The plane's own.
    """
    height, width = plane.shape[:2]
    moved = _resized(origins, plane.shape)
    moved *= np.array([width / origins.shape[1], height / origins.shape[0]], dtype=np.float32)
    moved += grid
    return sampled(plane, moved, smooth=plane.ndim == 2)


def _smooth(plane: Plane) -> Plane:
    """Keep only what varies slowly: exposure and colour."""
    import cv2

    height, width = plane.shape[:2]
    small = cv2.resize(plane, (16, max(1, 16 * height // width)), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), 1.5)
    return np.asarray(
        cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32
    )


def _laplacian(plane: Plane) -> Plane:
    import cv2

    return np.asarray(cv2.Laplacian(plane, cv2.CV_32F), dtype=np.float32)


def _sharpness(plane: Plane) -> float:
    return float(_laplacian(plane).var())


def sharpness(picture: Picture) -> float:
    """Return the variance of the Laplacian of an I420 picture's Y plane."""
    return variance_of_laplacian(luma(picture))


def variance_of_laplacian(grey: NDArray[np.uint8]) -> float:
    """Return the variance of the Laplacian of a grey picture, the usual measure of sharpness."""
    return _sharpness(grey.astype(np.float32))


def _sharpened(plane: Plane, target: float) -> Plane:
    """Raise the variance of the Laplacian towards a target by unsharp masking."""
    import cv2

    detail = plane - cv2.GaussianBlur(plane, (0, 0), 1.2)
    base, extra = _laplacian(plane), _laplacian(np.asarray(detail, dtype=np.float32))
    have, gain_1, gain_2 = float(base.var()), float((base * extra).mean()), float(extra.var())
    if have >= target or gain_2 == 0.0:
        return plane
    # have + 2 g gain_1 + g^2 gain_2 = target, bounded so that noise is never blown up.
    gain = (-gain_1 + float(np.sqrt(gain_1**2 + gain_2 * (target - have)))) / gain_2
    return plane + np.float32(min(gain, 1.5)) * detail
