"""What is known of each picture of a clip while jumps are searched: small pictures and distances.

Full-size pictures are looked at once, one after the other; what is kept of one is about 85 kB.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from engine.motion.bridges import Picture, luma, sharpness
from engine.yunet import make_yunet

MEASURE_SIZE = 256
"""Steps are measured, and flow is computed, on grey pictures of this width and height."""

_POSE_SIZE = 64
_COLOUR_SIZE = 16
_COLOUR_WEIGHT = 0.5

FloatArray = NDArray[np.float32]


class PictureFile:
    """Pictures of one clip on disk, so that a compile never holds them all in memory.

    Args:
        file: Open for reading and writing, empty; the caller closes it.
        shape: Of every picture.
    """

    def __init__(self, file: BinaryIO, shape: tuple[int, int]) -> None:
        self._file = file
        self._shape = shape
        self._bytes = shape[0] * shape[1]
        self._count = 0

    def append(self, picture: Picture) -> None:
        """Add a picture at the end.

        Raises:
            ValueError: It has another shape.
        """
        if picture.shape != self._shape:
            raise ValueError(f"a picture of shape {picture.shape} among those of {self._shape}")
        self._file.seek(self._count * self._bytes)
        self._file.write(np.ascontiguousarray(picture).data)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Picture:
        if not 0 <= index < self._count:
            raise IndexError(index)
        self._file.seek(index * self._bytes)
        data = self._file.read(self._bytes)
        return np.frombuffer(data, dtype=np.uint8).reshape(self._shape)


@dataclass(frozen=True, slots=True)
class ClipFeatures:
    """What is known of the pictures of one clip; n is their number.

    Attributes:
        grey: uint8, shape (n, 256, 256): the Y planes, each stretched to a square.
        poses: float32, shape (n, d). The Euclidean distance of two rows is about the
            root-mean-square difference of the two pictures in levels, fine texture left out and
            colour included.
        steps: float32, shape (n,): root-mean-square difference of ``grey`` to the picture before; 0
            for the first.
        levels: float32, shape (n,): mean of ``grey``.
        contrasts: float32, shape (n,): standard deviation of ``grey``.
        sharpness: float32, shape (n,): variance of the Laplacian at full size.
        landmarks: float32, shape (n, 5, 2): eyes, nose and corners of the mouth in pixels of
            ``grey``, not a number where no face is found; None without a detector.
    """

    grey: NDArray[np.uint8]
    poses: FloatArray
    steps: FloatArray
    levels: FloatArray
    contrasts: FloatArray
    sharpness: FloatArray
    landmarks: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.steps)


class FaceFinder:
    """Finds the largest face of a grey picture, by OpenCV's interface to YuNet.

    Args:
        model: Path of a YuNet model in ONNX form.
    """

    def __init__(self, model: Path) -> None:
        self._detector = make_yunet(model, (MEASURE_SIZE, MEASURE_SIZE), 0.3, most=20)

    def find(self, grey: NDArray[np.uint8]) -> tuple[float, FloatArray] | None:
        """Return score and landmarks (float32, shape (5, 2)) of the largest face, or None.

        Args:
            grey: uint8, shape (256, 256).
        """
        import cv2

        _, faces = self._detector.detect(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
        if faces is None or not len(faces):
            return None
        face = max(faces, key=lambda row: float(row[2] * row[3]))
        return float(face[14]), np.asarray(face[4:14], dtype=np.float32).reshape(5, 2)


def describe(pictures: Iterable[Picture], faces: FaceFinder | None = None) -> ClipFeatures:
    """Look at every picture of a clip once.

    Args:
        pictures: I420 pictures of equal size, at least one.
        faces: Finds landmarks; optional.

    Raises:
        ValueError: There is no picture.
    """
    grey, poses, sharp, marks = [], [], [], []
    for picture in pictures:
        small = small_grey(picture)
        grey.append(small)
        poses.append(_pose(picture, small))
        sharp.append(sharpness(picture))
        if faces is not None:
            found = faces.find(small)
            marks.append(np.full((5, 2), np.nan, np.float32) if found is None else found[1])
    if not grey:
        raise ValueError("a clip without pictures")
    steps = [0.0, *(step(before, after) for before, after in pairwise(grey))]
    return ClipFeatures(
        grey=np.stack(grey),
        poses=np.stack(poses),
        steps=np.array(steps, dtype=np.float32),
        levels=np.array([small.mean() for small in grey], dtype=np.float32),
        contrasts=np.array([small.std() for small in grey], dtype=np.float32),
        sharpness=np.array(sharp, dtype=np.float32),
        landmarks=np.stack(marks) if marks else None,
    )


def small_grey(picture: Picture) -> NDArray[np.uint8]:
    """Return the Y plane of an I420 picture as uint8, shape (256, 256)."""
    return _shrunk(luma(picture), MEASURE_SIZE)


def step(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Return the root-mean-square difference of two grey pictures in levels."""
    import cv2

    return float(cv2.norm(before, after, cv2.NORM_L2)) / float(np.sqrt(before.size))


def pose_distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the distances of all rows of two arrays of poses, shape (len(first), len(second))."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None, :]
    return np.asarray(np.sqrt(np.maximum(squares - 2.0 * first @ second.T, 0.0)), np.float32)


def motion_distances(
    leaving: FloatArray,
    exits: Sequence[int],
    arriving: FloatArray,
    entries: Sequence[int],
    lead: int,
) -> FloatArray:
    """Compare pictures together with their neighbours in time, so that motion matches too.

    This is the diagonal filter of Schödl, Szeliski, Salesin and Essa, *Video Textures* (SIGGRAPH
    2000), over five neighbours. Outside a clip its first or last picture stands in.

    Args:
        leaving: Poses of the clip that is left.
        exits: The last pictures shown of it.
        arriving: Poses of the clip that is entered.
        entries: The first pictures shown of it.
        lead: How many pictures later than the exit the entry is shown.

    Returns:
        Shape (len(exits), len(entries)).
    """
    weights = (1.0, 4.0, 6.0, 4.0, 1.0)
    total = np.zeros((len(exits), len(entries)), dtype=np.float32)
    for offset, weight in zip(range(-2, 3), weights, strict=True):
        rows = np.clip(np.asarray(exits) + offset, 0, len(leaving) - 1)
        columns = np.clip(np.asarray(entries) - lead + offset, 0, len(arriving) - 1)
        total += weight * pose_distances(leaving[rows], arriving[columns]) ** 2
    return np.asarray(np.sqrt(total / sum(weights)), np.float32)


def pair_key(first: str, second: str, settings: str) -> str:
    """Return a name for everything that the jumps from one clip to another depend on.

    Args:
        first, second: Fingerprints of the clips' contents as normalised.
        settings: The settings as text, e.g. ``MotionSettings.model_dump_json()``.
    """
    return hashlib.sha256("\0".join((first, second, settings)).encode()).hexdigest()[:32]


def _shrunk(plane: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.resize(plane, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def _pose(picture: Picture, small: NDArray[np.uint8]) -> FloatArray:
    height, width = luma(picture).shape
    chroma = picture.reshape(-1)[height * width :].reshape(2, height // 2, width // 2)
    shape = _shrunk(small, _POSE_SIZE).reshape(-1).astype(np.float32) / _POSE_SIZE
    colour = np.stack([_shrunk(plane, _COLOUR_SIZE) for plane in chroma]).reshape(-1)
    return np.concatenate([shape, colour.astype(np.float32) * (_COLOUR_WEIGHT / _COLOUR_SIZE)])
