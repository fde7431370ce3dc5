"""Holds the background of a hand-held clip still.

An avatar loops, so its camera should stand: where the shake is small every picture is laid on the
same pose, and where the camera wanders the pose follows slowly. Two passes: ``CameraPath`` measures
where the camera is at each picture, ``Steadier`` moves the pictures back.

The pose is a similarity (shift, turn, zoom) from corners (Shi and Tomasi, "Good Features to Track",
1994) that are followed by pyramidal Lucas-Kanade flow from one reference picture, so that errors do
not add up, and fitted with RANSAC. Corners are taken from the border, where in a portrait the
background is; the person moves by nature.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from engine.avatar.colour import mark_bt709, plane
from engine.errors import MissingDependency

MAX_MARGIN = 0.1
"""The largest part of the width and height that may be lost on each side."""

_CORNERS = 240
_ENOUGH = 20
_FOLLOW_SECONDS = 1.0

Pose = NDArray[np.float64]
"""Shift right and down in picture widths, turn in radians, logarithm of the zoom, about the middle
of the picture: how the camera's view moved against the first picture."""

STILL: Pose = np.zeros(4)


def require_cv2() -> None:
    """Check that OpenCV is there.

    Raises:
        MissingDependency: It is not.
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise MissingDependency(
            "Steadying a clip and finding a face need OpenCV.",
            "Install it: pip install -r requirements.txt",
        ) from error


class CameraPath:
    """Measures the camera's pose, picture after picture.

    Attributes:
        poses: One for each picture that was added.
    """

    def __init__(self) -> None:
        require_cv2()
        self.poses: list[Pose] = []
        self._reference: NDArray[np.uint8] | None = None
        self._base = STILL
        self._corners = np.empty((0, 1, 2), np.float32)
        self._tracked = self._corners

    def add(self, luma: NDArray[np.uint8]) -> None:
        """Take the next picture, height x width; 300 to 500 pixels wide is enough."""
        pose = self.poses[-1] if self.poses else STILL
        if self._reference is not None:
            pose = self._measure(luma, pose)
        self.poses.append(pose)
        if len(self._corners) < _ENOUGH:
            self._refer_to(luma, pose)

    def _refer_to(self, luma: NDArray[np.uint8], pose: Pose) -> None:
        self._reference, self._base = luma.copy(), pose
        self._corners = _corners(luma)
        self._tracked = self._corners

    def _measure(self, luma: NDArray[np.uint8], last: Pose) -> Pose:
        import cv2

        if not len(self._corners):
            return last
        found, status, _ = cv2.calcOpticalFlowPyrLK(
            self._reference,
            luma,
            self._corners,
            self._tracked.copy(),
            winSize=(21, 21),
            maxLevel=3,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        seen = status.ravel().astype(bool)
        self._corners, self._tracked = self._corners[seen], found[seen]
        if len(self._corners) < 4:
            return last
        matrix, inliers = cv2.estimateAffinePartial2D(
            self._corners, self._tracked, method=cv2.RANSAC, ransacReprojThreshold=1.0
        )
        if matrix is None or inliers.sum() < len(self._corners) / 4:
            return last
        return self._base + _pose_of(matrix, luma.shape)
