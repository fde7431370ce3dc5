"""Dense motion between two pictures.

Optical flow is DIS (Kroeger, Timofte, Dai and Van Gool, *Fast Optical Flow using Dense Inverse
Search*, ECCV 2016), taken in both directions; where the two do not undo each other they are not
trusted (Sundaram, Brox and Keutzer, *Dense Point Trajectories by GPU-accelerated Large
Displacement Optical Flow*, ECCV 2010).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Plane = NDArray[np.float32]
Flow = NDArray[np.float32]
"""Shape (height, width, 2): x and y displacement in pixels."""

_CONSISTENT = 1.0
"""Forward-backward error in pixels that halves the trust in a flow vector."""

_LONG_MAY_ERR = 0.02
"""Of a vector's squared length, added to the squared error that is tolerated."""


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


def motion_between(first: Grey, second: Grey, initial: tuple[Flow, Flow] | None = None) -> Motion:
    """Compute dense motion between two grey pictures of working size.

    Args:
        first, second: uint8, shape (height, width), equal in size.
        initial: Forward and backward flow to start from, e.g. from face landmarks.
    """
    import cv2

    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    starts = (None, None) if initial is None else (initial[0].copy(), initial[1].copy())
    # None is allowed as the start, which OpenCV's annotations leave out.
    there = dis.calc(first, second, starts[0])  # type: ignore[arg-type]
    back = dis.calc(second, first, starts[1])  # type: ignore[arg-type]
    forward: Flow = np.asarray(there, dtype=np.float32)
    backward: Flow = np.asarray(back, dtype=np.float32)
    return Motion(forward, backward, _trust(forward, backward), _trust(backward, forward))


def grid_of(height: int, width: int) -> Flow:
    """Return each pixel's own place, x and y."""
    grid = np.empty((height, width, 2), dtype=np.float32)
    grid[..., 0] = np.arange(width, dtype=np.float32)
    grid[..., 1] = np.arange(height, dtype=np.float32)[:, None]
    return grid


def sampled(field: NDArray[np.float32], at: Flow, *, smooth: bool = False) -> NDArray[np.float32]:
    """Read a field at places between its pixels; outside its edge pixels stand in.

    Args:
        field: float32, shape (height, width) or (height, width, channels).
        at: Places in pixels of the field, of the result's height and width.
        smooth: Bicubic, which keeps texture, instead of bilinear.
    """
    import cv2

    kernel = cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR
    # None is allowed for the second map, which OpenCV's annotations leave out.
    found = cv2.remap(  # type: ignore[call-overload]
        field, at, None, kernel, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(found, dtype=np.float32)


def _trust(there: Flow, back: Flow) -> Plane:
    import cv2

    home = there + sampled(back, grid_of(*there.shape[:2]) + there)
    error = (home * home).sum(axis=-1)
    length = (there * there).sum(axis=-1)
    trust = np.exp2(-error / (_CONSISTENT**2 + _LONG_MAY_ERR * length)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(trust, (0, 0), 1.5), dtype=np.float32)


def origins_of(flow: Flow, part: float, grid: Flow) -> Flow:
    """Return how far away each pixel comes from when all has moved by ``part`` of its flow."""
    away = -part * flow
    for _ in range(2):
        away = -part * sampled(flow, grid + away)
    return away


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
    import cv2

    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return None
    flows: list[Flow] = []
    for here, there in ((first, second), (second, first)):
        matrix, _ = cv2.estimateAffinePartial2D(here, there, method=cv2.LMEDS)
        if matrix is None or not 0.7 < float(np.hypot(matrix[0, 0], matrix[1, 0])) < 1.4:
            return None
        grid = grid_of(*shape)
        moved = grid @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32)
        near = _near_face(here, grid)
        flows.append(((moved - grid) * near[..., None]).astype(np.float32))
    return flows[0], flows[1]


def _near_face(landmarks: NDArray[np.float32], grid: Flow) -> Plane:
    """Return 1 on a face, falling to 0 around it: the background does not move with the head."""
    middle = landmarks.mean(axis=0)
    radius = 3.0 * float(np.linalg.norm(landmarks - middle, axis=1).mean())
    away = ((grid - middle) ** 2).sum(axis=-1)
    near: Plane = np.exp(-((away / radius**2) ** 2)).astype(np.float32)
    return near
