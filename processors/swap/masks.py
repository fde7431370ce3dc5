"""Which part of a crop is shown: soft masks, and how they are put together.

All of them are ``uint8[SIDE, SIDE]`` and cover a crop of any size: a soft edge needs no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image
from processors.faces.face import Points
from processors.swap.backend import Remembered
from processors.swap.geometry import Mask
from processors.swap.head import outline, pose_of

SIDE: Final = 128
"""Side of a mask in pixels."""

MOUTH_OF_106: Final = slice(52, 72)
"""The lips among the 106 points of insightface's ``2d106det``."""

FOREHEAD_OF_OUTLINE: Final = (14, 15, 0, 1, 2)
"""Points of the outline above the brows, where the 106 points have none."""


class Occluder(Protocol):
    """A model that sees what is in front of a face: hands, microphones, hair."""

    def visible(self, crops: Sequence[Image]) -> Sequence[Mask]:
        """For each aligned crop what of the face is seen, 255 for all of it, in one call.

        Args:
            crops: ``uint8[s, s, 3]``, BGR, as the picture was before the swap.

        Returns:
            ``uint8[m, m]`` each, covering the crop.
        """


@dataclass(frozen=True, slots=True)
class Look:
    """How a new face is put in; may be exchanged between two batches.

    Attributes:
        opacity: 0..1.
        box: Keep away from the crop's rim, with a soft edge.
        hull: Keep within the outline of the face.
        feather: Width of the soft edge in sides of the crop, 0..0.25.
        grow: Factor for the outline's size.
        keep_mouth: The mouth of the picture stays, so that it speaks.
        colour: 0..1: how far the colours follow those of the picture.
    """

    opacity: float = 1.0
    box: bool = True
    hull: bool = True
    feather: float = 0.08
    grow: float = 1.0
    keep_mouth: bool = False
    colour: float = 0.7


class Masks:
    """Makes masks; remembers those that do not depend on the face."""

    def __init__(self) -> None:
        self._boxes: Remembered[float, Mask] = Remembered(box_mask)

    def combined(
        self, look: Look, landmarks: Points, contour: Points | None, edge: Points | None
    ) -> Mask:
        """The mask of one face.

        Args:
            look: What is asked for.
            landmarks: ``float32[5, 2]`` in units of the crop's side.
            contour: ``float32[106, 2]`` in the same units, where there is one.
            edge: The outline of the face in the same units, if it is known already.

        Returns:
            ``uint8[SIDE, SIDE]``; do not write into it.
        """
        mask = self._boxes(look.feather if look.box else 0.0)
        if look.hull:
            around = edge if edge is not None else face_outline(landmarks, contour, look.grow)
            mask = both(mask, hull_mask(around, look.feather))
        if look.keep_mouth:
            mask = both(mask, ~mouth_mask(landmarks, contour, look.feather))
        if look.opacity < 1:
            mask = np.round(mask * max(0.0, look.opacity)).astype(np.uint8)
        return mask


def both(first: Mask, second: Mask) -> Mask:
    """What two masks leave, in the size of the larger."""
    import cv2

    side = max(first.shape[0], second.shape[0])
    scaled = [
        one if one.shape[0] == side else cv2.resize(one, (side, side)) for one in (first, second)
    ]
    return np.asarray(cv2.multiply(scaled[0], scaled[1], scale=1 / 255), np.uint8)


def box_mask(feather: float) -> Mask:
    """The whole crop but its rim, with a soft edge ``feather`` wide."""
    import cv2

    mask = np.zeros((SIDE, SIDE), np.uint8)
    edge = 1 + round(feather * SIDE * 0.75)
    mask[edge : SIDE - edge, edge : SIDE - edge] = 255
    mask = _softened(mask, feather)
    cv2.rectangle(mask, (0, 0), (SIDE - 1, SIDE - 1), 0, 1)
    return mask


def hull_mask(points: Points, feather: float) -> Mask:
    """The convex hull of points; the soft edge, ``feather`` wide, lies inside.

    Args:
        points: ``float32[n, 2]`` in units of the crop's side.
        feather: In units of the crop's side.
    """
    import cv2

    mask = np.zeros((SIDE, SIDE), np.uint8)
    hull = cv2.convexHull(_pixels(points))
    middle = hull.mean(axis=0, keepdims=True)
    reach = np.maximum(np.linalg.norm(hull - middle, axis=-1, keepdims=True), 1e-3)
    inside = middle + (hull - middle) * np.maximum(1 - feather * SIDE * 0.6 / reach, 0.05)
    # Four more bits, so that a slow turn of the head moves the edge smoothly.
    fixed = np.round(inside * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed, 255, cv2.LINE_AA, shift=4)
    return _softened(mask, feather)


def mouth_mask(landmarks: Points, contour: Points | None, feather: float) -> Mask:
    """The mouth with the lips; opened wide it still fits in.

    Args:
        landmarks: ``float32[5, 2]`` in units of the crop's side.
        contour: ``float32[106, 2]``, more exact where there is one.
        feather: In units of the crop's side.
    """
    import cv2

    mask = np.zeros((SIDE, SIDE), np.uint8)
    left, right = landmarks[3] * SIDE, landmarks[4] * SIDE
    across = right - left
    eyes_to_mouth = (left + right) / 2 - (landmarks[0] + landmarks[1]) / 2 * SIDE
    middle = (left + right) / 2 + eyes_to_mouth * 0.09
    size = (float(np.hypot(*across)) * 1.5, float(np.hypot(*eyes_to_mouth)) * 0.87)
    if contour is not None:
        lips = contour[MOUTH_OF_106] * SIDE
        turn = across / max(float(np.hypot(*across)), 1e-3)
        along, upright = lips @ turn, lips @ np.array([-turn[1], turn[0]])
        middle = turn * (along.max() + along.min()) / 2
        middle = middle + np.array([-turn[1], turn[0]]) * (upright.max() + upright.min()) / 2
        size = (float(np.ptp(along)) * 1.35, float(np.ptp(upright)) * 1.35 + 0.06 * SIDE)
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    cv2.ellipse(mask, ((float(middle[0]), float(middle[1])), size, angle), 255, -1, cv2.LINE_AA)
    return _softened(mask, feather)


def face_outline(landmarks: Points, contour: Points | None, grow: float = 1.0) -> Points:
    """The outline of a face, forehead included.

    Args:
        landmarks: ``float32[5, 2]``.
        contour: ``float32[106, 2]``, taken for everything below the brows where there is one.
        grow: Factor about the middle of the face.

    Returns:
        ``float32[n, 2]``, unordered, in the units of the landmarks.
    """
    edge = outline(pose_of(landmarks), grow)
    if contour is None:
        return edge
    middle = contour.mean(axis=0)
    grown = middle + (contour - middle) * grow
    return np.vstack([grown, edge[list(FOREHEAD_OF_OUTLINE)]]).astype(np.float32)


def _pixels(points: Points) -> npt.NDArray[np.float32]:
    return np.asarray(points * SIDE - 0.5, np.float32)


def _softened(mask: Mask, feather: float) -> Mask:
    import cv2

    if feather <= 0:
        return mask
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(feather * SIDE * 0.35, 0.3)), np.uint8)
