"""Follows one face from frame to frame by sparse optical flow.

The face is looked at in a small crop, aligned by what is known of the frame before, and compared
with a reference crop of the same face by pyramidal Lucas-Kanade flow (Bouguet, "Pyramidal
Implementation of the Lucas Kanade Feature Tracker", 2000) in both directions. The similarity that
most points agree on moves the alignment. As the reference stays the same for as long as the face
looks alike, errors do not add up, and a still face stays still.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from processors.faces.align import Transform, arcface_template, inverse, similarity

SIZE = 112
"""Side of the crop in which a face is followed."""

EYES = 28.0
"""Distance of the eyes in that crop, in pixels."""

_SPACING = 8
_WINDOW = (15, 15)
_LEVELS = 3
_ROUND_TRIP = 0.6
_AGREE = 1.5
_NEAR = 2.0
_STILL = 0.35
_SPREAD = 9.0
_LOST = 0.35
_RENEW = 0.75
_MAJORITY = 0.5
_FEWEST = 8

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def canonical_template() -> Floats:
    """Where the five landmarks of a face lie in the crop: ``float64[5, 2]``."""
    template = arcface_template(112)
    eyes = float(np.hypot(*(template[1] - template[0])))
    return np.asarray((template - template.mean(axis=0)) * (EYES / eyes) + SIZE / 2)


class GreyPicture:
    """A picture in grey, and halves of it as they are needed.

    Args:
        image: ``uint8[h, w, 3]``, BGR.
    """

    def __init__(self, image: npt.NDArray[np.uint8]) -> None:
        import cv2

        self._levels: list[Grey] = [np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)]

    def crop(self, transform: Transform) -> Grey:
        """``uint8[SIZE, SIZE]``: what ``transform`` maps into the crop, without aliasing."""
        import cv2

        scale = float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))
        level, matrix = 0, transform
        while scale < 0.6 and min(self._level(level).shape) > 2:
            # Pixel centres: x of the whole picture is 2 x' + 0.5 of its half.
            shift = matrix[:, 2] + 0.5 * matrix[:, :2].sum(axis=1)
            matrix = np.column_stack([2 * matrix[:, :2], shift])
            level, scale = level + 1, scale * 2
        return np.asarray(
            cv2.warpAffine(
                self._level(level), matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE
            ),
            np.uint8,
        )

    def contains(self, points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which points ``[n, 2]`` lie within the picture."""
        height, width = self._levels[0].shape
        inside = np.asarray(points) >= 0
        inside &= np.asarray(points) <= (width - 1, height - 1)
        return np.asarray(inside.all(axis=1))

    def _level(self, level: int) -> Grey:
        import cv2

        while len(self._levels) <= level:
            last = self._levels[-1]
            even = last[: last.shape[0] // 2 * 2, : last.shape[1] // 2 * 2]
            half = (max(1, even.shape[1] // 2), max(1, even.shape[0] // 2))
            self._levels.append(
                np.asarray(cv2.resize(even, half, interpolation=cv2.INTER_AREA), np.uint8)
            )
        return self._levels[level]


@dataclass(slots=True)
class FaceFlow:
    """The motion of one face since it was first seen.

    Attributes:
        transform: From the picture to the crop in which the face stands still.
        confidence: The part of the points that could be followed, 0..1.
    """

    transform: Transform
    confidence: float = 1.0
    _crop: Grey = field(default_factory=lambda: np.zeros((SIZE, SIZE), np.uint8))
    _at: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    _moved: Floats = field(default_factory=lambda: np.zeros((0, 2)))

    @classmethod
    def starting(cls, picture: GreyPicture, landmarks: npt.ArrayLike) -> "FaceFlow":
        """Begin with a face that was just detected."""
        flow = cls(similarity(landmarks, canonical_template()))
        flow.renew(picture)
        return flow

    def renew(self, picture: GreyPicture) -> None:
        """Take the present look of the face as the reference."""
        self._crop = picture.crop(self.transform)
        self._at, self._moved = np.zeros((0, 2)), np.zeros((0, 2))

    def follow(self, picture: GreyPicture) -> bool:
        """Move on to the next picture.

        Returns:
            Whether enough points agree; if not, ``transform`` is that of the picture before.
        """
        transform = self.transform
        # The second look starts from nearly the right place, where flow is exact.
        for _ in range(2):
            step = self._compare(picture, transform)
            if step is None:
                return False
            transform = _after(transform, step)
            if np.abs(step @ np.array([SIZE / 2, SIZE / 2, 1.0]) - SIZE / 2).max() < 1.0:
                break
        self.transform = transform
        return True

    @property
    def worn(self) -> bool:
        """Whether the face no longer looks like the reference, though it can still be followed."""
        return self.confidence < _RENEW

    def local_motion(self, points: npt.ArrayLike) -> Floats:
        """How points of the crop moved beside the motion of the whole: ``float64[n, 2]``.

        The mean of the points around each, weighted by nearness; motion within the noise of flow
        counts as none.
        """
        wanted = np.asarray(points, np.float64)
        if not len(self._at):
            return np.zeros_like(wanted)
        distance = ((wanted[:, None] - self._at[None]) ** 2).sum(axis=2)
        weight = np.exp(-distance / (2 * _SPREAD**2))
        motion = weight @ self._moved / (weight.sum(axis=1, keepdims=True) + 0.5)
        energy = (motion**2).sum(axis=1, keepdims=True)
        return np.asarray(motion * energy / (energy + _STILL**2), np.float64)

    def _compare(self, picture: GreyPicture, transform: Transform) -> Transform | None:
        """The similarity from the reference to the crop; None where too few points agree."""
        import cv2

        points = _grid()
        points = points[picture.contains(_apply(inverse(transform), points))]
        self.confidence = 0.0
        if len(points) < _FEWEST:
            return None
        crop = _same_light(picture.crop(transform), self._crop)
        there, found = _lucas_kanade(self._crop, crop, points)
        back, found_back = _lucas_kanade(crop, self._crop, there)
        good = found & found_back & (np.hypot(*(back - points).T) < _ROUND_TRIP)
        if good.sum() < max(_FEWEST, _LOST * len(points)):
            return None
        before, now = points[good], there[good]
        step, agreeing = cv2.estimateAffinePartial2D(
            before, now, method=cv2.RANSAC, ransacReprojThreshold=_AGREE, confidence=0.995
        )
        if step is None or agreeing.mean() < _MAJORITY:
            return None
        inside = agreeing.ravel() > 0
        exact = similarity(before[inside], now[inside])
        moved = _apply(inverse(exact), now) - before
        near = np.hypot(*moved.T) < _NEAR * _AGREE
        self.confidence = float(near.sum()) / len(points)
        self._at, self._moved = before[near].astype(np.float64), moved[near]
        return exact


def _lucas_kanade(
    first: Grey, second: Grey, points: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Where points went, and which were found."""
    import cv2

    start = points.copy()
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        first, second, points, start, winSize=_WINDOW, maxLevel=_LEVELS
    )
    return np.asarray(there, np.float32), np.asarray(found).ravel() > 0


def _after(transform: Transform, step: Transform) -> Transform:
    """``transform`` once the face has moved by ``step`` within the crop."""
    back = inverse(step)
    linear = back[:, :2] @ transform[:, :2]
    return np.column_stack([linear, back[:, :2] @ transform[:, 2] + back[:, 2]])


def _apply(transform: Transform, points: npt.ArrayLike) -> Floats:
    return np.asarray(points, np.float64) @ transform[:, :2].T + transform[:, 2]


def _grid() -> npt.NDArray[np.float32]:
    """Points within the oval of the face in the crop, ``float32[n, 2]``."""
    steps = np.arange(_SPACING / 2, SIZE, _SPACING, dtype=np.float32)
    points = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    oval = ((points - SIZE / 2) / (1.05 * EYES, 1.3 * EYES)) ** 2
    return np.ascontiguousarray(points[oval.sum(axis=1) < 1.0])


def _same_light(crop: Grey, reference: Grey) -> Grey:
    """The crop in the brightness and contrast of the reference."""
    import cv2

    mean, spread = cv2.meanStdDev(crop)
    wanted, wanted_spread = cv2.meanStdDev(reference)
    gain = float(np.clip(wanted_spread[0, 0] / max(spread[0, 0], 1.0), 0.5, 2.0))
    offset = float(wanted[0, 0]) - gain * float(mean[0, 0])
    lit = crop.astype(np.float32) * gain + offset
    return np.asarray(np.clip(lit, 0, 255), np.uint8)
