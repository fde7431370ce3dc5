"""Faces, pictures and models for the tests of the swap."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image
from engine.yunet import make_yunet
from processors.faces.align import arcface_template
from processors.faces.face import Face, Points
from processors.swap.backend import SourceFace

Array = npt.NDArray[Any]


def texture(height: int, width: int, seed: int = 0, blur: float = 3.0) -> Image:
    """A picture with structure at the scale of ``blur`` pixels."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur)
    return np.asarray(cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX), np.uint8)


def face_at(
    x: float, y: float, side: float, degrees: float = 0.0, embedding: Array | None = None
) -> Face:
    """A face whose aligned crop of insightface's kind covers ``side`` pixels around (x, y)."""
    turn = np.exp(1j * np.radians(degrees)) * side / 128
    points = ((arcface_template(128) - 64) @ (1, 1j)) * turn
    landmarks: Points = np.stack([points.real + x, points.imag + y], axis=1).astype(np.float32)
    half = side * 0.35
    box = np.array([x - half, y - half, x + half, y + half], np.float32)
    return Face(box, landmarks, 0.9, embedding=embedding)


def unit(seed: int = 0, length: int = 512) -> npt.NDArray[np.float32]:
    """A random embedding of length 1."""
    values = np.random.default_rng(seed).normal(size=length)
    return (values / np.linalg.norm(values)).astype(np.float32)


def source_face(seed: int = 0) -> SourceFace:
    """Somebody with an embedding."""
    return SourceFace(texture(128, 128, seed), face_at(64, 64, 128, embedding=unit(seed)))


def psnr(first: Array, second: Array) -> float:
    """In dB, for 8 bits."""
    error = float(np.square(first.astype(np.float64) - second).mean())
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@dataclass(frozen=True)
class Tensor:
    """An input or output."""

    name: str
    shape: tuple[int | str | None, ...]
    type: str = "tensor(float)"


class FakeModel:
    """Runs a function; notes the batch of each call."""

    def __init__(
        self,
        function: Callable[[Mapping[str, Array]], Array],
        inputs: tuple[Tensor, ...],
        outputs: tuple[Tensor, ...],
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.batches: list[int] = []
        self._function = function

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        self.batches.append(len(next(iter(feeds.values()))))
        return [self._function(feeds)]


def echo(size: int = 128, batch: int | str = "n") -> FakeModel:
    """A swap model that gives back its picture."""
    return FakeModel(
        lambda feeds: feeds["target"].copy(),
        (Tensor("target", (batch, 3, size, size)), Tensor("source", (batch, 512))),
        (Tensor("output", (batch, 3, size, size)),),
    )


def largest_face(image: Image, models: Path) -> Face:
    """What YuNet finds."""
    height, width = image.shape[:2]
    detector = make_yunet(models / "yunet_n_dynamic.onnx", (width, height), 0.6)
    _, rows = detector.detect(image)
    row = max(rows, key=lambda found: found[2] * found[3])
    box = np.array([row[0], row[1], row[0] + row[2], row[1] + row[3]], np.float32)
    return Face(box, row[4:14].reshape(5, 2).astype(np.float32), float(row[14]))
