"""Scripted scenes with faces whose place is known in every frame.

Heads are cut out of the shared pictures and clips and moved over a wall; whoever comes later in the
list stands in front.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image
from processors.faces.detector import FaceDetector
from processors.faces.face import Points

FPS = 30
WIDTH, HEIGHT = 1280, 720
Matrix = npt.NDArray[np.float64]
Path2D = Callable[[float], Matrix]
"""From seconds to the transform that puts a head into the picture."""


@functools.cache
def plain_wall(seed: int = 5) -> Image:
    """A wall with some structure and no face."""
    coarse = np.random.default_rng(seed).integers(90, 170, (9, 16, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


@dataclass(frozen=True)
class Head:
    """A cut-out head, one picture or a loop of them.

    Attributes:
        pictures: ``uint8[h, w, 3]``.
        alpha: ``float32[h, w, 1]``.
        landmarks: ``float32[5, 2]`` for each picture.
    """

    pictures: Sequence[Image]
    alpha: npt.NDArray[np.float32]
    landmarks: Sequence[Points]


@dataclass(frozen=True)
class Truth:
    """Where a face is.

    Attributes:
        person: Its name.
        landmarks: ``float32[5, 2]``.
        covered: The part of it that others cover or that is outside, 0..1.
    """

    person: str
    landmarks: Points
    covered: float

    @property
    def eye_distance(self) -> float:
        return float(np.hypot(*(self.landmarks[1] - self.landmarks[0])))


@dataclass
class Scene:
    """A scripted scene.

    Attributes:
        seconds: How long it is.
        cast: Names, heads and where they go; later ones stand in front.
        wall: The background.
        noise: Standard deviation of the noise of the camera.
        size: Of the pictures, in parts of 1280x720; paths stay in pixels of that.
    """

    seconds: float
    cast: Sequence[tuple[str, Head, Path2D]]
    wall: Image = field(default_factory=plain_wall)
    noise: float = 3.0
    size: float = 1.0

    @property
    def times(self) -> list[float]:
        return [n / FPS for n in range(round(self.seconds * FPS))]

    def frames(self) -> Iterator[tuple[float, Image, list[Truth]]]:
        """Time, picture and truth of each frame."""
        wall = _resized(self.wall, self.size)
        camera = CameraNoise(self.noise, wall.shape[:2])
        for number, at in enumerate(self.times):
            picture = wall.copy()
            truths: list[tuple[str, Points, npt.NDArray[np.bool_]]] = []
            for name, head, path in self.cast:
                matrix, index = self.size * path(at), number % len(head.pictures)
                solid = put(head, index, matrix, picture)
                truths = [(n, p, shown & ~solid) for n, p, shown in truths]
                points = apply(matrix, head.landmarks[index])
                truths.append((name, points, _face_area(points, wall.shape[:2])))
            yield (
                at,
                camera.seen(picture),
                [
                    Truth(name, points, 1 - float(shown.sum()) / max(_full_area(points), 1.0))
                    for name, points, shown in truths
                ],
            )


class CameraNoise:
    """The noise of a camera: one picture of it, shifted at random for each frame.

    Args:
        deviation: Standard deviation.
        shape: Height and width of the pictures.
    """

    def __init__(self, deviation: float, shape: tuple[int, ...] = (HEIGHT, WIDTH)) -> None:
        self._random = np.random.default_rng(7)
        larger = (shape[0] + _SHIFTS, shape[1] + _SHIFTS, 3)
        self._noise = self._random.normal(0, deviation, larger).round().astype(np.int16)

    def seen(self, picture: Image) -> Image:
        """The picture as the camera sees it."""
        y, x = self._random.integers(0, _SHIFTS, 2)
        noise = self._noise[y : y + picture.shape[0], x : x + picture.shape[1]]
        return np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), np.uint8)


def put(head: Head, index: int, matrix: Matrix, picture: Image) -> npt.NDArray[np.bool_]:
    """Draw a head into a picture; returns where it covers what is behind."""
    height, width = picture.shape[:2]
    solid = np.zeros((height, width), np.bool_)
    corners = np.array([[0, 0], [HEAD, 0], [0, HEAD], [HEAD, HEAD]], np.float32)
    where = apply(matrix, corners)
    left, top = np.maximum(0, np.floor(where.min(axis=0)).astype(int))
    right, bottom = np.minimum((width, height), np.ceil(where.max(axis=0)).astype(int))
    if left >= right or top >= bottom:
        return solid
    local = np.column_stack([matrix[:, :2], matrix[:, 2] - (left, top)])
    size = (int(right - left), int(bottom - top))
    alpha = cv2.warpAffine(head.alpha, local, size)
    moved = cv2.warpAffine(head.pictures[index], local, size).astype(np.float32)
    part = picture[top:bottom, left:right]
    part[:] = np.rint(part + (moved - part) * alpha[..., None]).astype(np.uint8)
    solid[top:bottom, left:right] = alpha > 0.5
    return solid


_SHIFTS = 64


def moving(*keys: tuple[float, float, float, float], turn: float = 0.0) -> Path2D:
    """A path through (seconds, x, y, scale) of a head's middle, linear in between.

    Args:
        keys: In the order of time.
        turn: Degrees by which the head swings to either side, once in two seconds.
    """
    table = np.array(keys, np.float64)

    def path(at: float) -> Matrix:
        x, y, scale = (float(np.interp(at, table[:, 0], table[:, k])) for k in (1, 2, 3))
        angle = np.radians(turn) * np.sin(np.pi * at)
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.column_stack([linear, np.array([x, y]) - linear @ [HEAD / 2, HEAD / 2]])

    return path


HEAD = 400
"""Side of a cut-out head in pixels; its eyes are ``HEAD_EYES`` apart."""

HEAD_EYES = 80


def cut_out(pictures: Sequence[Image], detector: FaceDetector) -> Head:
    """The head with the largest face in each of some pictures of one person."""
    shown, landmarks = [], []
    for picture in pictures:
        face = max(detector.detect(picture), key=lambda found: found.area)
        scale = HEAD_EYES / _scale(face.landmarks)
        middle = face.landmarks.mean(axis=0)
        matrix = np.array(
            [
                [scale, 0, HEAD / 2 - scale * middle[0]],
                [0, scale, HEAD / 2 - scale * middle[1]],
            ]
        )
        shown.append(
            np.asarray(
                cv2.warpAffine(picture, matrix, (HEAD, HEAD), borderMode=cv2.BORDER_REPLICATE),
                np.uint8,
            )
        )
        landmarks.append(apply(matrix, face.landmarks))
    alpha = np.zeros((HEAD, HEAD), np.float32)
    cv2.ellipse(alpha, (HEAD // 2, HEAD // 2 - 16), (125, 165), 0, 0, 360, 1.0, -1)
    return Head(shown, np.asarray(cv2.GaussianBlur(alpha, (0, 0), 3), np.float32), landmarks)


def heads(media: Path, detector: FaceDetector, frames: int = 90) -> dict[str, Head]:
    """All people there are: the six of the picture, three paintings and photos, four clips.

    Args:
        media: The folder of the shared material.
        detector: Finds the heads.
        frames: Of each clip.
    """
    six = _read(media / "faces" / "six_people.jpg")
    found = {}
    faces = sorted(detector.detect(six), key=lambda face: face.centre[0])
    padded = cv2.copyMakeBorder(six, 200, 200, 200, 200, cv2.BORDER_REPLICATE)
    for number, face in enumerate(faces):
        x, y = (round(value) + 200 for value in face.centre)
        part = np.asarray(padded[y - 170 : y + 170, x - 170 : x + 170], np.uint8)
        found[f"six{number}"] = cut_out([part], detector)
    for name in ("mona_lisa", "pearl_earring", "einstein"):
        found[name] = cut_out([_read(media / "faces" / f"{name}.jpg")], detector)
    clips = {
        "talker": "avatar/talking_with_audio.mp4",
        "actor": "driving/expressions_480.mp4",
        "smiler": "driving/smile_480.mp4",
        "idler": "avatar/idle.mp4",
    }
    for name, clip in clips.items():
        found[name] = cut_out(read_clip(media / clip, frames), detector)
    return found


def read_clip(path: Path, most: int) -> list[Image]:
    """The first pictures of a clip."""
    capture = cv2.VideoCapture(str(path))
    pictures: list[Image] = []
    while len(pictures) < most:
        done, picture = capture.read()
        if not done:
            break
        pictures.append(np.asarray(picture, np.uint8))
    capture.release()
    return pictures


def crossing(people: dict[str, Head], one: str, other: str) -> Scene:
    """Two people walk through each other twice; first one is in front, then the other."""
    there = ((0, 200, 360, 1.0), (2, 1080, 380, 1.0))
    back = ((0, 1080, 340, 0.9), (2, 200, 360, 0.9))
    return Scene(
        2.5,
        [(one, people[one], moving(*there, turn=5)), (other, people[other], moving(*back, turn=4))],
    )


def meeting(people: dict[str, Head], one: str, other: str) -> Scene:
    """Two people meet, one stays in front of the other for a while, and both turn back."""
    return Scene(
        4.0,
        [
            (one, people[one], moving((0, 300, 360, 1.0), (1.2, 640, 360, 1.0),
                                      (2.4, 640, 360, 1.0), (3.6, 300, 360, 1.0))),
            (other, people[other], moving((0, 980, 380, 1.0), (1.2, 650, 370, 1.0),
                                          (2.4, 650, 370, 1.0), (3.6, 980, 380, 1.0))),
        ],
    )  # fmt: skip


def relay(people: dict[str, Head], one: str, other: str) -> Scene:
    """One leaves to the left, the other comes in where one was, then one returns on the right."""
    return Scene(
        5.0,
        [
            (one, people[one], moving((0, 500, 360, 1.0), (1.2, -260, 360, 1.0),
                                      (3.0, -260, 360, 1.0), (3.001, 1540, 350, 1.0),
                                      (4.2, 860, 360, 1.0))),
            (other, people[other], moving((0, -260, 360, 1.0), (1.4, -260, 360, 1.0),
                                          (2.4, 480, 360, 1.0), (5, 500, 360, 1.0))),
        ],
    )  # fmt: skip


def portrait(people: dict[str, Head], hung: str, walker: str) -> Scene:
    """Someone walks past a portrait on the wall, covers it, and comes back."""
    return Scene(
        4.0,
        [
            (hung, people[hung], moving((0, 640, 330, 0.8))),
            (walker, people[walker], moving((0, 200, 370, 1.1), (1.8, 1080, 370, 1.1),
                                            (2.2, 1080, 370, 1.1), (3.8, 300, 370, 1.1), turn=4)),
        ],
    )  # fmt: skip


def cut(people: dict[str, Head], one: str, other: str) -> Scene:
    """A scene cut: one is replaced by the other at the same place, then comes back."""
    away = (-600.0, 360.0, 1.0)
    here = (640.0, 360.0, 1.0)
    first = moving((0, *here), (1.0, *here), (1.001, *away), (1.999, *away), (2.0, *here))
    second = moving((0, *away), (1.0, *away), (1.001, *here), (1.999, *here), (2.0, *away))
    return Scene(3.0, [(one, people[one], first), (other, people[other], second)])


def still(head: Head, frames: int, noise: float = 6.0, jump: float = 0.0) -> Iterator[Image]:
    """A noisy picture of a still face, which jumps to the right by ``jump`` pixels half-way."""
    camera = CameraNoise(noise)
    drawn: dict[float, Image] = {}
    for number in range(frames):
        x = WIDTH / 2 + (jump if number >= frames // 2 else 0.0)
        if x not in drawn:
            drawn[x] = plain_wall().copy()
            put(head, 0, moving((0, x, HEIGHT / 2, 1.0))(0.0), drawn[x])
        yield camera.seen(drawn[x])


def _scale(landmarks: Points) -> float:
    """The distance of the eyes, or what it would be were the face not turned away."""
    eyes = float(np.hypot(*(landmarks[1] - landmarks[0])))
    height = float(np.hypot(*(landmarks[3:].mean(axis=0) - landmarks[:2].mean(axis=0))))
    return max(eyes, 0.9 * height)


def _resized(picture: Image, size: float) -> Image:
    small = cv2.resize(picture, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _face_area(points: Points, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(shape, np.uint8)
    size = _scale(points)
    at = points.mean(axis=0)
    if np.abs(at).max() < 4000:
        cv2.circle(mask, (round(float(at[0])), round(float(at[1]))), round(size * 0.9), 1, -1)
    return mask > 0


def _full_area(points: Points) -> float:
    return float(np.pi * (_scale(points) * 0.9) ** 2)


def apply(matrix: npt.NDArray[Any], points: Points) -> Points:
    """Points as a transform maps them."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float32)


def _read(path: Path) -> Image:
    return np.asarray(cv2.imread(str(path)), np.uint8)
