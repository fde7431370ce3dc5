"""What is measured of face tracking. A tracker is anything with ``update(image, at_seconds)``."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image
from processors.faces.detector import FaceDetector
from processors.faces.face import Face, Points
from processors.faces.tracker import TrackedFace
from tests.benchmarks.face_scenes import FPS, Matrix, Truth, apply

HIDDEN = 0.35
"""A face of which more than this part is covered need not be found."""


class Frames(Protocol):
    """What is shown; ``Scene`` is one."""

    def frames(self) -> Iterator[tuple[float, Image, list[Truth]]]:
        """Time, picture and truth of each frame."""


class Tracker(Protocol):
    """What is measured."""

    def update(self, image: Image, at_seconds: float) -> list[TrackedFace]:
        """The faces in the next frame."""


@dataclass
class Count:
    """What went wrong in a scene, in frames of one face.

    Attributes:
        wrong: A number at a face of a person to whom another number belongs, or nobody's.
        renamed: A person got another number than before.
        absent: A face that is well in view is not there.
        seen: Faces that were there.
    """

    wrong: int = 0
    renamed: int = 0
    absent: int = 0
    seen: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.wrong + other.wrong,
            self.renamed + other.renamed,
            self.absent + other.absent,
            self.seen + other.seen,
        )


def count_wrong(scene: Frames, tracker: Tracker, grace: int = 2) -> Count:
    """Follow a scene and count what the tracker takes for what it is not.

    Args:
        scene: What is shown.
        tracker: A fresh one.
        grace: Frames that a face may take to be found when it comes into view.
    """
    owner: dict[int, str] = {}
    in_view: Counter[str] = Counter()
    result = Count()
    for at, image, truths in scene.frames():
        tracked = tracker.update(image, at)
        visible = {truth.person for truth in truths if truth.covered < HIDDEN}
        for person in {truth.person for truth in truths}:
            in_view[person] = in_view[person] + 1 if person in visible else 0
        here: set[str] = set()
        for face in tracked:
            truth = front(face.face, truths)
            if truth is None or owner.setdefault(face.id, truth.person) != truth.person:
                result.wrong += 1
                continue
            here.add(truth.person)
            result.seen += 1
            first = min(number for number, person in owner.items() if person == truth.person)
            result.renamed += face.id != first
        result.absent += sum(
            1 for person in visible if in_view[person] > grace and person not in here
        )
    return result


def landmark_errors(
    image: Image, motion: Callable[[int], Matrix], frames: int, tracker: Tracker, every: int
) -> npt.NDArray[np.float64]:
    """How far carried landmarks are from where the picture's motion took those last detected.

    Args:
        image: A picture with faces; it is moved as a whole.
        motion: From the number of the frame to the transform of the picture.
        frames: How many.
        tracker: Detects in every n-th frame.
        every: n. Only frames in between count.

    Returns:
        For each face of each frame the largest error of its landmarks, in distances of its eyes.
    """
    errors: list[float] = []
    start: dict[int, tuple[Points, Matrix]] = {}
    height, width = image.shape[:2]
    for number in range(frames):
        matrix = motion(number)
        moved = cv2.warpAffine(
            image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT
        )
        for tracked in tracker.update(np.asarray(moved, np.uint8), number / FPS):
            points = tracked.face.landmarks
            if tracked.fresh or tracked.id not in start:
                start[tracked.id] = points, matrix
            elif number % every:
                before, then = start[tracked.id]
                whole = np.vstack([matrix, [0, 0, 1]]) @ np.linalg.inv(np.vstack([then, [0, 0, 1]]))
                truth = apply(whole[:2], before)
                if (truth > 0).all() and (truth < (width, height)).all():
                    off = np.hypot(*(points - truth).T).max()
                    errors.append(float(off / np.hypot(*(truth[1] - truth[0]))))
    return np.array(errors)


@dataclass(frozen=True)
class Jitter:
    """How restless still landmarks are, in distances of the eyes.

    Attributes:
        spread: Root mean square distance from their mean place.
        step: Root mean square change from frame to frame.
    """

    spread: float
    step: float


def jitter(tracks: Sequence[Points]) -> Jitter:
    """Of the landmarks ``[5, 2]`` of one still face in frames that follow each other."""
    points = np.stack(tracks).astype(np.float64)
    eyes = float(np.hypot(*(points.mean(axis=0)[1] - points.mean(axis=0)[0])))
    spread = np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=2).mean())
    step = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=2).mean())
    return Jitter(float(spread / eyes), float(step / eyes))


class Blinking:
    """A detector that sees nothing in some of the frames.

    Args:
        detector: The real one.
        blind: From the number of the frame, counted by ``next_frame``, to whether it is blind.
    """

    def __init__(self, detector: FaceDetector, blind: Callable[[int], bool]) -> None:
        self._detector, self._blind, self._frame = detector, blind, -1

    def next_frame(self) -> None:
        """To be called before each frame."""
        self._frame += 1

    def detect(self, image: Image) -> list[Face]:
        return [] if self._blind(self._frame) else self._detector.detect(image)


def cost_ms(tracker: Tracker, pictures: Sequence[Image]) -> npt.NDArray[np.float64]:
    """CPU milliseconds of this thread for each picture."""
    spent = []
    for number, picture in enumerate(pictures):
        start = time.thread_time()
        tracker.update(picture, number / FPS)
        spent.append((time.thread_time() - start) * 1000)
    return np.array(spent)


def front(face: Face, truths: Sequence[Truth]) -> Truth | None:
    """Whose face is seen at the place of a tracked one: the foremost of those near."""
    middle = face.landmarks.mean(axis=0)
    for truth in reversed(truths):
        away = float(np.hypot(*(truth.landmarks.mean(axis=0) - middle)))
        if away < 0.8 * truth.eye_distance:
            return truth
    return None
