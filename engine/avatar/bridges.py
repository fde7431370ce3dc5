"""Bridges: the few pictures between two pictures that do not follow one another.

A bridge is a morph along straight lines. Dense optical flow (DIS: Kroeger et al., *Fast Optical
Flow using Dense Inverse Search*, ECCV 2016) is taken in both directions; each picture of the
bridge is the first picture warped forwards and the second warped backwards to the same moment,
blended where the two flows undo each other, and taken from one side alone where they do not (as in
Herbst, Seitz and Baker, *Occlusion Reasoning for Temporal Interpolation using Optical Flow*, 2009).
Exposure and colour move evenly from one end to the other, and sharpness lost by resampling and
blending is given back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""I420: uint8, shape (height * 3 // 2, width), planes Y, U and V one below the other."""

Plane = NDArray[np.float32]
Flow = NDArray[np.float32]
"""Shape (height, width, 2): x and y displacement in pixels of the flow's own size."""

FLOW_SIZE = 256
"""Height at which flow is computed; finer flow did not lower the steps and costs four times as
much."""

_CONSISTENT = 1.0
"""Forward-backward error in pixels at ``FLOW_SIZE`` that halves the trust in a flow vector."""


def height_of(picture: Picture) -> int:
    """Return the height in pixels of an I420 picture."""
    return int(picture.shape[0]) * 2 // 3


def luma(picture: Picture) -> Picture:
    """Return the Y plane of an I420 picture, without copying."""
    return picture[: height_of(picture)]


@dataclass(frozen=True, slots=True)
class Motion:
    """Dense motion between two pictures in both directions, at working size.

    Attributes:
        forward: Where each pixel of the first picture is in the second, minus where it was.
        backward: The same from the second to the first.
        trust_first: 0 to 1 for each pixel of the first picture; shape (height, width).
        trust_second: The same for the second picture.
    """

    forward: Flow
    backward: Flow
    trust_first: Plane
    trust_second: Plane

    @property
    def trusted(self) -> float:
        """Share of both pictures whose flow is consistent, 0 to 1."""
        return float((self.trust_first.mean() + self.trust_second.mean()) / 2)


def motion_between(
    first: Picture, second: Picture, initial: tuple[Flow, Flow] | None = None
) -> Motion:
    """Compute dense motion between two grey pictures of working size.

    Args:
        first, second: uint8, shape (height, width), equal in size.
        initial: Forward and backward flow to start from, e.g. from face landmarks.
    """
    import cv2  # noqa: PLC0415 (not needed where packs are only played)

    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    starts = (None, None) if initial is None else (initial[0].copy(), initial[1].copy())
    forward = dis.calc(first, second, starts[0])  # type: ignore[arg-type]  # None is allowed
    backward = dis.calc(second, first, starts[1])  # type: ignore[arg-type]  # None is allowed
    forward = np.asarray(forward, dtype=np.float32)
    backward = np.asarray(backward, dtype=np.float32)
    return Motion(forward, backward, _trust(forward, backward), _trust(backward, forward))


def _grid(height: int, width: int) -> Flow:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x, y], axis=-1).astype(np.float32)


def _sample(field: NDArray[np.float32], at: Flow) -> NDArray[np.float32]:
    import cv2  # noqa: PLC0415

    return np.asarray(
        cv2.remap(field, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        dtype=np.float32,
    )


def _trust(there: Flow, back: Flow) -> Plane:
    import cv2  # noqa: PLC0415

    home = there + _sample(back, _grid(*there.shape[:2]) + there)
    error = (home * home).sum(axis=-1)
    length = (there * there).sum(axis=-1)
    # Sundaram, Brox and Keutzer 2010: longer vectors may err by more.
    trust = np.exp2(-error / (_CONSISTENT**2 + 0.02 * length)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(trust, (0, 0), 1.5), dtype=np.float32)


def _origins(flow: Flow, part: float) -> Flow:
    """Return from where each pixel comes when everything has moved by ``part`` of its flow."""
    grid = _grid(*flow.shape[:2])
    at = grid - part * flow
    for _ in range(3):
        at = grid - part * _sample(flow, at)
    return at


class Morph:
    """The pictures between two pictures.

    Args:
        first, second: The ends, I420, equal in size. They are not changed.
        motion: Between their Y planes, at any size of the same shape.
    """

    def __init__(self, first: Picture, second: Picture, motion: Motion) -> None:
        self._ends = (_planes(first), _planes(second))
        self._motion = motion
        self._shape = first.shape
        self._sharpness = tuple(_sharpness(planes[0]) for planes in self._ends)

    def at(self, moment: float) -> Picture:
        """Return the picture at a moment between 0 (the first) and 1 (the second)."""
        motion = self._motion
        from_first = _origins(motion.forward, moment)
        from_second = _origins(motion.backward, 1.0 - moment)
        trust_first = _sample(motion.trust_first, from_first)
        trust_second = _sample(motion.trust_second, from_second)
        weight = _weight_of_second(moment, trust_first, trust_second)
        planes = [
            self._blend(index, moment, from_first, from_second, weight) for index in range(3)
        ]
        target = (1.0 - moment) * self._sharpness[0] + moment * self._sharpness[1]
        planes[0] = _sharpened(planes[0], target)
        return _joined(planes, self._shape)

    def _blend(
        self, index: int, moment: float, from_first: Flow, from_second: Flow, weight: Plane
    ) -> Plane:
        first, second = (planes[index] for planes in self._ends)
        warped = _warp(first, from_first), _warp(second, from_second)
        weight = _resized(weight, first.shape)
        difference = _smooth(warped[1] - warped[0])
        low, high = warped[0] + moment * difference, warped[1] - (1.0 - moment) * difference
        return low + weight * (high - low)


def bridge(first: Picture, second: Picture, motion: Motion, count: int) -> list[Picture]:
    """Return ``count`` pictures, evenly spaced in time, between two pictures.

    Args:
        first, second: I420 pictures of equal size.
        motion: From ``motion_between`` of their Y planes at working size.
        count: How many pictures; 0 gives none.
    """
    morph = Morph(first, second, motion)
    return [morph.at((number + 1) / (count + 1)) for number in range(count)]


def _weight_of_second(moment: float, trust_first: Plane, trust_second: Plane) -> Plane:
    """Blend evenly where both sides agree; else take the side that is trusted, or the nearer."""
    agreed = np.minimum(trust_first, trust_second)
    steep = 1.0 / (1.0 + np.exp(-24.0 * (moment - 0.5)))
    first = (1.0 - moment) * (trust_first + 0.02)
    second = moment * (trust_second + 0.02)
    chosen = second / (first + second)
    even = moment + 0.5 * (steep - moment)
    both_lost = np.maximum(0.0, 1.0 - 2.0 * np.maximum(trust_first, trust_second))
    lost = chosen + both_lost * (steep - chosen)
    return (lost + agreed * (even - lost)).astype(np.float32)


def _planes(picture: Picture) -> tuple[Plane, Plane, Plane]:
    height, width = height_of(picture), picture.shape[1]
    flat = picture.reshape(-1)
    size, quarter = height * width, height * width // 4
    chroma = (height // 2, width // 2)
    return (
        flat[:size].reshape(height, width).astype(np.float32),
        flat[size : size + quarter].reshape(chroma).astype(np.float32),
        flat[size + quarter :].reshape(chroma).astype(np.float32),
    )


def _joined(planes: Sequence[Plane], shape: tuple[int, ...]) -> Picture:
    flat = np.concatenate([plane.reshape(-1) for plane in planes])
    return np.clip(np.rint(flat), 0, 255).astype(np.uint8).reshape(shape)


def _resized(field: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    import cv2  # noqa: PLC0415

    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _warp(plane: Plane, origins: Flow) -> Plane:
    """Sample a plane at origins given at working size."""
    import cv2  # noqa: PLC0415

    height, width = plane.shape
    scale = np.array([width / origins.shape[1], height / origins.shape[0]], dtype=np.float32)
    moved = _resized(origins - _grid(*origins.shape[:2]), plane.shape) * scale
    return np.asarray(
        cv2.remap(
            plane,
            _grid(height, width) + moved,
            None,
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        ),
        dtype=np.float32,
    )


def _smooth(plane: Plane) -> Plane:
    """Keep only what varies slowly: exposure and colour."""
    import cv2  # noqa: PLC0415

    height, width = plane.shape
    small = cv2.resize(plane, (16, max(1, 16 * height // width)), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), 1.5)
    return np.asarray(
        cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32
    )


def _laplacian(plane: Plane) -> Plane:
    import cv2  # noqa: PLC0415

    return np.asarray(cv2.Laplacian(plane, cv2.CV_32F), dtype=np.float32)


def _sharpness(plane: Plane) -> float:
    return float(_laplacian(plane).var())


def sharpness(picture: Picture) -> float:
    """Return the variance of the Laplacian of an I420 picture's Y plane."""
    return _sharpness(luma(picture).astype(np.float32))


def _sharpened(plane: Plane, target: float) -> Plane:
    """Raise the variance of the Laplacian towards a target by unsharp masking."""
    import cv2  # noqa: PLC0415

    detail = plane - cv2.GaussianBlur(plane, (0, 0), 1.2)
    base, extra = _laplacian(plane), _laplacian(np.asarray(detail, dtype=np.float32))
    have, gain_1, gain_2 = float(base.var()), float((base * extra).mean()), float(extra.var())
    if have >= target or gain_2 == 0.0:
        return plane
    # have + 2 g gain_1 + g^2 gain_2 = target, bounded so that noise is never blown up.
    gain = (-gain_1 + float(np.sqrt(gain_1**2 + gain_2 * (target - have)))) / gain_2
    return plane + np.float32(min(gain, 1.0)) * detail
