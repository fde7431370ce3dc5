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

_LEAST_SHARPNESS = 0.87
"""Between a sharp and a blurred end no picture is left blurrier than this share of their mean."""


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

    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    starts = (None, None) if initial is None else (initial[0].copy(), initial[1].copy())
    forward = dis.calc(first, second, starts[0])  # type: ignore[arg-type]  # None is allowed
    backward = dis.calc(second, first, starts[1])  # type: ignore[arg-type]  # None is allowed
    forward = np.asarray(forward, dtype=np.float32)
    backward = np.asarray(backward, dtype=np.float32)
    return Motion(forward, backward, _trust(forward, backward), _trust(backward, forward))


def _grid(height: int, width: int) -> Flow:
    grid = np.empty((height, width, 2), dtype=np.float32)
    grid[..., 0] = np.arange(width, dtype=np.float32)
    grid[..., 1] = np.arange(height, dtype=np.float32)[:, None]
    return grid


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


def _origins(flow: Flow, part: float, grid: Flow) -> Flow:
    """Return how far away each pixel comes from when all has moved by ``part`` of its flow."""
    away = -part * flow
    for _ in range(2):
        away = -part * _sample(flow, grid + away)
    return away


class Morph:
    """The pictures between two pictures.

    Args:
        first, second: The planes of the ends; of equal sizes, brightness first.
        motion: Between the first planes, at any size.
    """

    def __init__(self, first: Sequence[Plane], second: Sequence[Plane], motion: Motion) -> None:
        self._ends = (first, second)
        self._motion = motion
        self._grids = {plane.shape[:2]: _grid(*plane.shape[:2]) for plane in first}
        self._sharpness = tuple(_sharpness(planes[0]) for planes in self._ends)

    def at(self, moment: float) -> list[Plane]:
        """Return the planes at a moment between 0 (the first) and 1 (the second)."""
        motion = self._motion
        grid = _grid(*motion.forward.shape[:2])
        from_first = _origins(motion.forward, moment, grid)
        from_second = _origins(motion.backward, 1.0 - moment, grid)
        trust_first = _sample(motion.trust_first, grid + from_first)
        trust_second = _sample(motion.trust_second, grid + from_second)
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
    return [
        _joined(morph.at((number + 1) / (count + 1)), first.shape) for number in range(count)
    ]


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
    return [
        _rounded(morph.at((number + 1) / (count + 1))[0]) for number in range(count)
    ]


def aligning_flows(
    first: NDArray[np.float32], second: NDArray[np.float32], shape: tuple[int, int]
) -> tuple[Flow, Flow] | None:
    """Return flows that bring two faces together, to start the search for dense flow from.

    Args:
        first, second: Landmarks of the faces, float32, shape (5, 2), in pixels.
        shape: (height, width) of the pictures.

    Returns:
        Forward and backward flow, or None where a face is missing or the faces differ by more
        than a small turn and shift.
    """
    import cv2  # noqa: PLC0415

    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return None
    flows = []
    for here, there in ((first, second), (second, first)):
        matrix, _ = cv2.estimateAffinePartial2D(here, there, method=cv2.LMEDS)
        if matrix is None or not 0.7 < float(np.hypot(matrix[0, 0], matrix[1, 0])) < 1.4:
            return None
        grid = _grid(*shape)
        moved = grid @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32)
        near = _near_face(here, grid)
        flows.append(((moved - grid) * near[..., None]).astype(np.float32))
    return flows[0], flows[1]


def _near_face(landmarks: NDArray[np.float32], grid: Flow) -> Plane:
    """Return 1 on a face, falling to 0 around it: the background does not move with the head."""
    middle = landmarks.mean(axis=0)
    radius = 3.0 * float(np.linalg.norm(landmarks - middle, axis=1).mean())
    away = ((grid - middle) ** 2).sum(axis=-1)
    return np.exp(-((away / radius**2) ** 2)).astype(np.float32)


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
    return (lost + agreed * (even - lost)).astype(np.float32)


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
    return np.clip(np.rint(plane), 0, 255).astype(np.uint8)


def _resized(field: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    import cv2  # noqa: PLC0415

    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _warp(plane: Plane, origins: Flow, grid: Flow) -> Plane:
    """Sample a plane where its pixels come from.

    Args:
        plane: Of any size.
        origins: How far away, in pixels of working size.
        grid: The plane's own.
    """
    import cv2  # noqa: PLC0415

    height, width = plane.shape[:2]
    moved = _resized(origins, plane.shape)
    moved *= np.array([width / origins.shape[1], height / origins.shape[0]], dtype=np.float32)
    moved += grid
    kernel = cv2.INTER_CUBIC if plane.ndim == 2 else cv2.INTER_LINEAR
    warped = cv2.remap(plane, moved, None, kernel, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(warped, dtype=np.float32)


def _smooth(plane: Plane) -> Plane:
    """Keep only what varies slowly: exposure and colour."""
    import cv2  # noqa: PLC0415

    height, width = plane.shape[:2]
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
    return variance_of_laplacian(luma(picture))


def variance_of_laplacian(grey: NDArray[np.uint8]) -> float:
    """Return the variance of the Laplacian of a grey picture, the usual measure of sharpness."""
    return _sharpness(grey.astype(np.float32))


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
    return plane + np.float32(min(gain, 1.5)) * detail
