"""Holds the background of a hand-held clip still.

An avatar loops, so its camera should stand: where the shake is small every picture is laid on the
same pose, and where the camera wanders the pose follows slowly. Two passes: ``CameraPath`` measures
where the camera is at each picture, ``Steadier`` moves the pictures back.

The pose is a similarity (shift, turn, zoom) that lays each picture on one reference picture, so
that errors do not add up: Lucas and Kanade's alignment, from coarse to fine, with the slopes of the
reference (Baker and Matthews, "Lucas-Kanade 20 Years On", 2004) and Geman and McClure's weights.
Pixels at the sides count, where in a portrait the background is; what moves against the rest, the
person, loses its weight.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from engine.clips.planes import Plane, frame_of, planes
from engine.errors import MissingDependency

MAX_MARGIN = 0.1
"""The largest part of the width and height that may be lost on each side."""

_REACH = 0.15
_ENOUGH_PIXELS = 60
_OUTSIDE = 1e4
_CALM = np.array([0.0, 0.0, 1e5, 1e5])
"""How much a turn and a zoom cost: hands shift a camera far more than they turn it, and where the
background is poor both would be fitted to the person."""
_COARSE_SPREADS = (64.0, 64.0, 48.0, 32.0, 24.0, 16.0, 12.0, 8.0)
_FINE_SPREADS = (12.0, 8.0, 8.0)
_FOLLOW_SECONDS = 1.0

Pose = NDArray[np.float64]
"""How far the view moved against the first picture: right and down in picture widths, turn in
radians, logarithm of the zoom, all about the middle of the picture."""


def require_cv2() -> None:
    """Check that OpenCV is there.

    Raises:
        MissingDependency: It is not.
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise MissingDependency(
            "OpenCV, which steadies clips and finds faces, is not installed.",
            "Install it: pip install -r requirements.txt",
        ) from error


class CameraPath:
    """Measures where the camera is, picture after picture.

    Attributes:
        poses: One for each picture that was added.
    """

    def __init__(self) -> None:
        require_cv2()
        self.poses: list[Pose] = []
        self._levels: tuple[_Level, ...] = ()
        self._base: Pose = np.zeros(4)

    def add(self, luma: Plane) -> None:
        """Take the next picture, height x width; 300 to 500 pixels wide is enough."""
        pose = self.poses[-1] if self.poses else np.zeros(4)
        if self._levels:
            pose = self._measure(luma, pose)
        if not self._levels or np.abs(pose - self._base)[:2].max() > _REACH:
            self._levels, self._base = _reference(luma), pose
        self.poses.append(pose)

    def _measure(self, luma: Plane, last: Pose) -> Pose:
        """The pose of ``luma``; ``last`` where the background does not tell."""
        moved = last - self._base
        spreads: tuple[float, ...] = _COARSE_SPREADS
        for level, picture in zip(self._levels, _pyramid(luma), strict=True):
            fitted = level.align(picture, moved, spreads)
            spreads = _FINE_SPREADS
            if fitted is None:
                return last
            moved = fitted
        return self._base + moved


class _Level:
    """The reference picture in one size, and how its pixels change when the view moves a little."""

    def __init__(self, picture: NDArray[np.float32]) -> None:
        height, width = picture.shape
        down, right = np.gradient(picture)
        prior = _border(height, width)
        strength = np.hypot(right, down) * (prior > 0)
        self._where = np.flatnonzero(strength > max(2.0, float(np.quantile(strength, 0.7))))
        self._values = picture.ravel()[self._where]
        self._trust = prior.ravel()[self._where]
        y, x = np.divmod(self._where, width)
        across, along = x - (width - 1) / 2, y - (height - 1) / 2
        gx, gy = right.ravel()[self._where], down.ravel()[self._where]
        self._slopes = np.column_stack(
            [gx * width, gy * width, gy * across - gx * along, gx * across + gy * along]
        )

    def align(
        self, picture: NDArray[np.float32], start: Pose, spreads: tuple[float, ...]
    ) -> Pose | None:
        """The pose at which ``picture`` shows what the reference does; None where it is unclear.

        Args:
            picture: In the size of the reference.
            start: A pose near the one that is sought.
            spreads: For each step, the difference of luma from which a pixel is not believed.
        """
        import cv2

        if len(self._where) < _ENOUGH_PIXELS:
            return None
        pose = start
        size = (picture.shape[1], picture.shape[0])
        weights = self._trust
        for spread in spreads:
            warped = cv2.warpAffine(
                picture,
                _matrix(pose, picture.shape, size),
                size,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=_OUTSIDE,
            )
            error = warped.ravel()[self._where] - self._values
            weights = self._trust / (1 + (error / spread) ** 2) ** 2
            weighted = self._slopes * weights[:, None]
            calm = np.diag(_CALM * weights.sum() + 1e-3)
            step = np.linalg.solve(
                weighted.T @ self._slopes + calm, weighted.T @ error + calm @ pose
            )
            pose = pose - step
        self._trust = 0.95 * self._trust + 0.05 * weights
        return pose


class Steadier:
    """Moves pictures back to where the camera should have been.

    Args:
        poses: The camera's path, one pose per picture.
        zoom: Size of the measured picture against the part that is shown: poses are in measured
            picture widths, and are applied to shown ones.
        fps: Pictures per second.
        size: Width and height of the pictures to make.

    Attributes:
        padded: Width and height of the pictures to hand in: larger by what the moves cut off.
    """

    def __init__(
        self, poses: Sequence[Pose], zoom: float, fps: Fraction, size: tuple[int, int]
    ) -> None:
        self._size = size
        path = np.array(poses) * [zoom, zoom, 1.0, 1.0]
        aspect = size[1] / size[0]
        self._moves = path - _target(path, fps, aspect)
        margin = min(MAX_MARGIN, float(_losses(self._moves, aspect).max()))
        self.padded = (_pad(size[0], margin), _pad(size[1], margin))

    def steady(self, frame: VideoFrame, index: int) -> VideoFrame:
        """Make picture ``index`` of a ``yuv420p`` picture of the padded size."""
        import cv2

        moved: list[Plane] = []
        for plane, shrink in zip(planes(frame), (1, 2, 2), strict=True):
            size = (self._size[0] // shrink, self._size[1] // shrink)
            matrix = _matrix(self._moves[index], plane.shape, size)
            flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            warped = cv2.warpAffine(
                plane, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
            )
            moved.append(np.asarray(warped, np.uint8))
        return frame_of(*moved)


def _reference(luma: Plane) -> tuple[_Level, ...]:
    return tuple(_Level(picture) for picture in _pyramid(luma))


def _pyramid(luma: Plane) -> tuple[NDArray[np.float32], ...]:
    """The picture in three sizes, the smallest first, without what is only light and shade."""
    import cv2

    full = np.asarray(luma, np.float32)
    full = cv2.GaussianBlur(full, (0, 0), 1.0) - cv2.GaussianBlur(full, (0, 0), luma.shape[1] / 16)
    half = cv2.pyrDown(full)
    return np.asarray(cv2.pyrDown(half)), np.asarray(half), np.asarray(full)


def _border(height: int, width: int) -> NDArray[np.float64]:
    """How likely a pixel of a portrait is background: 1 at the sides, 0 in the middle and below."""
    side = np.abs(np.linspace(-1, 1, width))[None, :]
    above = 1 - np.linspace(0, 1, height)[:, None]
    likely = np.clip((side - 0.5) / 0.4, 0.0, 1.0) * np.clip(above / 0.15, 0.0, 1.0)
    return np.asarray(likely, np.float64)


def _matrix(move: Pose, shape: tuple[int, ...], size: tuple[int, int]) -> NDArray[np.float64]:
    """The 2x3 matrix from pixels of the wanted size to pixels of the padded picture."""
    height, width = shape
    scale = np.exp(move[3])
    cosine, sine = scale * np.cos(move[2]), scale * np.sin(move[2])
    linear = np.array([[cosine, -sine], [sine, cosine]])
    wanted_middle = (np.array(size) - 1) / 2
    padded_middle = (np.array([width, height]) - 1) / 2
    shift = padded_middle + move[:2] * width - linear @ wanted_middle
    return np.column_stack([linear, shift])


def _target(path: NDArray[np.float64], fps: Fraction, aspect: float) -> NDArray[np.float64]:
    """Where the camera should be: standing where the margin allows it, else following slowly."""
    standing = np.broadcast_to(np.median(path, axis=0), path.shape)
    if _losses(path - standing, aspect).max() <= MAX_MARGIN:
        return standing
    following = _smooth(path, _FOLLOW_SECONDS * float(fps))
    excess = _losses(path - following, aspect)[:, None] / MAX_MARGIN
    return path - (path - following) / np.maximum(1.0, excess)


def _smooth(path: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Gaussian mean along the path, whose ends are mirrored through their points."""
    reach = max(1, min(len(path) - 1, round(3 * sigma)))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.concatenate(
        [2 * path[0] - path[reach:0:-1], path, 2 * path[-1] - path[-2 : -reach - 2 : -1]]
    )
    columns = [np.convolve(column, weights / weights.sum(), "valid") for column in padded.T]
    return np.column_stack(columns)


def _losses(moves: NDArray[np.float64], aspect: float) -> NDArray[np.float64]:
    """The part of the width or height that each move uncovers on its worst side."""
    across = np.abs(moves[:, 0])
    down = np.abs(moves[:, 1]) / aspect
    turned = np.abs(moves[:, 2]) / 2 * max(aspect, 1 / aspect)
    zoomed = np.maximum(0.0, moves[:, 3]) / 2
    losses: NDArray[np.float64] = np.maximum(across, down) + turned + zoomed
    return losses


def _pad(side: int, margin: float) -> int:
    return 2 * round(side * (0.5 / (1 - 2 * margin)) + 1)
