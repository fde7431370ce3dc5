"""How a head is turned, from five landmarks, and where its outline is then.

Five landmarks say nothing about chin, jaw and forehead. A rigid model of an average face says
where these are once its pose is known, well enough for a mask and for carrying a texture along.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from processors.faces.face import Points

FEATURES: Final = np.array(
    [
        (-0.5, 0.0, 0.0),
        (0.5, 0.0, 0.0),
        (0.0, 0.585, 0.42),
        (-0.41, 1.15, 0.06),
        (0.41, 1.15, 0.06),
    ]
)
"""Eyes, tip of the nose, corners of the mouth of an average face; x to the right, y down, z
towards the viewer, in distances of the eyes. x and y are those of ArcFace's template."""

_HALF_OUTLINE: Final = np.array(
    [
        (0.0, -0.78, -0.02),
        (0.42, -0.72, -0.08),
        (0.76, -0.46, -0.26),
        (0.93, -0.05, -0.46),
        (0.95, 0.40, -0.50),
        (0.90, 0.85, -0.48),
        (0.76, 1.27, -0.38),
        (0.47, 1.63, -0.14),
        (0.0, 1.78, 0.02),
    ]
)
"""The right half of the outline, from the middle of the forehead to the chin; rounded from
published averages of head measurements (Farkas, "Anthropometry of the Head and Face", 1994)."""

_OUTLINE: Final = np.vstack([_HALF_OUTLINE, _HALF_OUTLINE[-2:0:-1] * (-1, 1, 1)])

_MIDDLE: Final = np.array(
    [
        (0.0, -0.24, 0.12),
        (0.0, 0.03, 0.11),
        (0.0, 0.31, 0.25),
        (0.0, 0.78, 0.22),
        (0.0, 1.13, 0.17),
        (0.0, 1.40, 0.10),
    ]
)
"""Down the middle: brow, root and bridge of the nose, its foot, mouth, below the lips."""

_HALF_INSIDE: Final = np.array(
    [
        (0.50, -0.30, 0.03),
        (0.78, -0.20, -0.16),
        (0.26, 0.02, 0.0),
        (0.74, 0.0, -0.12),
        (0.25, 0.64, 0.15),
        (0.52, 0.58, 0.04),
        (0.78, 0.62, -0.22),
        (0.60, 1.20, -0.10),
    ]
)
"""The right half of the face: brow, corners of the eye, wing of the nose, cheek, jowl."""

_MESH: Final = np.vstack([FEATURES, _OUTLINE, _MIDDLE, _HALF_INSIDE, _HALF_INSIDE * (-1, 1, 1)])

_REACH: Final = 0.6
"""How far a landmark's own place moves its surroundings, in distances of the eyes."""

_STEPS: Final = 4
_DAMPING: Final = 1e-6 * np.eye(6)
_TURN_PRIOR: Final = 0.03
"""How strongly the solution is held towards a face that looks at the viewer: noise in the
landmarks must not turn heads."""


@dataclass(frozen=True, slots=True)
class Pose:
    """A head under scaled orthographic projection.

    Attributes:
        rotation: ``float64[3, 3]``, from the model to the picture's axes.
        scale: Pixels per distance of the eyes.
        origin: ``float64[2]``: where the middle between the eyes is.
    """

    rotation: npt.NDArray[np.float64]
    scale: float
    origin: npt.NDArray[np.float64]

    def project(self, model: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Points ``float64[n, 3]`` of the model in the picture, ``float64[n, 2]``."""
        return self.scale * (model @ self.rotation[:2].T) + self.origin

    @property
    def yaw(self) -> float:
        """Radians; positive where the nose points to the right of the picture."""
        return float(np.arctan2(self.rotation[0, 2], self.rotation[2, 2]))


def pose_of(landmarks: Points) -> Pose:
    """The pose that explains five landmarks best, by Gauss-Newton on scaled orthography.

    Args:
        landmarks: ``float32[5, 2]``, see ``Face``.
    """
    seen = np.asarray(landmarks, np.float64)
    across = seen[1] - seen[0] + seen[4] - seen[3]
    down = seen[3] + seen[4] - seen[0] - seen[1]
    roll = float(np.arctan2(across[1], across[0]))
    scale = float(max(np.hypot(*across) / 1.82, np.hypot(*down) / 2.3, 1e-3))
    turned = _rotation(np.array([0.0, 0.0, roll]))
    origin = seen.mean(axis=0) - scale * (FEATURES.mean(axis=0) @ turned[:2].T)
    for _ in range(_STEPS):
        points = FEATURES @ turned.T
        facing = turned[:, 2] * _TURN_PRIOR**0.5
        jacobian = np.zeros((12, 6))
        jacobian[:10, :3] = _turning(points).reshape(10, 3)
        jacobian[:10, 3] = points[:, :2].ravel()
        jacobian[0:10:2, 4] = jacobian[1:10:2, 5] = 1.0
        jacobian[10:, :3] = _turning(facing[None])[0]
        wanted = np.empty(12)
        wanted[:10] = ((seen - origin) / scale - points[:, :2]).ravel()
        wanted[10:] = -facing[:2]
        change = np.linalg.solve(jacobian.T @ jacobian + _DAMPING, jacobian.T @ wanted)
        turned = _rotation(np.clip(change[:3], -0.5, 0.5)) @ turned
        origin = origin + scale * change[4:]
        scale = float(scale * np.clip(1 + change[3], 0.5, 2.0))
    return Pose(turned, scale, origin)


def _turning(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How x and y of points change with a small turn about x, y and z: ``float64[n, 2, 3]``."""
    x, y, z = points.T
    none = np.zeros_like(x)
    moves = np.array([[none, z, -y], [-z, none, x]])
    return np.asarray(moves.transpose(2, 0, 1))


def outline(pose: Pose, grow: float = 1.0) -> Points:
    """The outline of a face without hair and ears: ``float32[16, 2]`` in the picture.

    Args:
        pose: Of the head.
        grow: Factor about the middle of the face.
    """
    middle = np.array([0.0, 0.5, 0.0])
    edge = pose.project(middle + (_OUTLINE - middle) * (grow, grow, 1.0))
    return edge.astype(np.float32)


def mesh(landmarks: Points, pose: Pose) -> npt.NDArray[np.float64]:
    """Points all over a face: the model's, moved so that the landmarks are where they were seen.

    Args:
        landmarks: ``float32[5, 2]``; the first five points of the result.
        pose: Of these landmarks.

    Returns:
        ``float64[43, 2]`` in the picture; the same order for every face.
    """
    placed = pose.project(_MESH)
    apart = np.asarray(landmarks, np.float64) - placed[:5]
    weights = np.linalg.solve(_bump(FEATURES, FEATURES), apart)
    moved: npt.NDArray[np.float64] = placed + _bump(_MESH, FEATURES) @ weights
    return moved


def _bump(
    points: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    squared = np.square(points[:, None, :2] - centres[None, :, :2]).sum(axis=-1)
    bump: npt.NDArray[np.float64] = np.exp(-squared / (2 * _REACH**2))
    return bump


def _rotation(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rodrigues' formula: a turn by ``|vector|`` radians about ``vector``."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / angle if angle > 1e-12 else vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: npt.NDArray[np.float64] = (
        np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    )
    return turn
