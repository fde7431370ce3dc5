"""The face of a picture, turned to look at the viewer.

A face that looks aside shows one half of itself small or not at all. Where its own half gives too
few pixels it is replaced by the other half, mirrored: the soft symmetry of Hassner et al.
("Effective Face Frontalization in Unconstrained Images", CVPR 2015).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image
from processors.faces.face import Face
from processors.swap.geometry import FaceNotUsable, usable
from processors.swap.head import FEATURES, Pose, mesh, pose_of
from processors.swap.spline import bent, thin_plate_map

SIDE: Final = 384
"""Of the texture, in pixels: as much as the largest patch can show."""

_EYES: Final = 0.275 * SIDE
_FRONT: Final = Pose(np.eye(3), _EYES, np.array([SIDE / 2 - 0.5, SIDE * 0.36]))

_STIFFNESS: Final = 1e-4

OWN_FROM: Final = 0.75
"""Pixels that a side has per pixel of the other side, from which on it is shown as it is."""

MIRRORED_BELOW: Final = 0.4
"""... and below which only the other side is shown."""


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """A face as seen from the front.

    Attributes:
        image: ``uint8[SIDE, SIDE, 3]``, BGR.
        points: ``float64[43, 2]``: where its mesh is.
    """

    image: Image
    points: npt.NDArray[np.float64]


def texture_of(image: Image, face: Face) -> Texture:
    """Turn a face to the front.

    Args:
        image: ``uint8[h, w, 3]``, BGR.
        face: The face in it; its five landmarks are used.

    Raises:
        FaceNotUsable: The landmarks lie all in one place.
    """
    import cv2

    if not usable(face.landmarks):
        raise FaceNotUsable(
            "The landmarks of the source face lie all in one place.",
            "Take a picture that shows the face larger.",
        )
    pose = pose_of(face.landmarks)
    points = mesh(_FRONT.project(FEATURES).astype(np.float32), _FRONT)
    back = thin_plate_map(points, mesh(face.landmarks, pose), SIDE, _STIFFNESS)
    shrink = pose.scale / _FRONT.scale
    if shrink > 1.2:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.45 * shrink), np.uint8)
    own = bent(image, back, cubic=True)
    share = _own_share(back, shrink)[..., None]
    mixed = own * share + own[:, ::-1] * (1 - share)
    return Texture(np.clip(mixed + 0.5, 0, 255).astype(np.uint8), points)


def _own_share(back: npt.NDArray[np.float32], shrink: float) -> npt.NDArray[np.float32]:
    """How much of each pixel is its own and not the mirrored one: ``float32[SIDE, SIDE]``, 0..1."""
    import cv2

    along, down = np.gradient(back, axis=1), np.gradient(back, axis=0)
    area = along[..., 0] * down[..., 1] - along[..., 1] * down[..., 0]
    area = cv2.GaussianBlur((area / shrink**2).astype(np.float32), (0, 0), SIDE / 40)
    ratio = area / np.maximum(area[:, ::-1], 0.05)
    share = np.clip((ratio - MIRRORED_BELOW) / (OWN_FROM - MIRRORED_BELOW), 0, 1)
    share = share * share * (3 - 2 * share)
    return np.asarray(cv2.GaussianBlur(share.astype(np.float32), (0, 0), SIDE / 60), np.float32)
