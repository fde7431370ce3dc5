"""Faces, settings and models for the tests of the face swap as a whole."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine.pipeline.frame import Frame, Image
from engine.pipeline.model_settings import RuntimeSettings
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.faces.detector import FaceDetector
from processors.models.library import ModelLibrary
from processors.swap.control import SwapControl
from processors.swap.models import SwapModels
from tests.pipeline_fakes import make_frame

SHARED = Path(__file__).resolve().parents[2] / "shared"
FACES = SHARED / "media" / "faces"
MODELS = SHARED / "models"


def read(name: str) -> Image:
    """A shared picture of faces."""
    return np.asarray(cv2.imread(str(FACES / name)), np.uint8)


def swap_models(*folders: Path, engines: Path = Path("cache/engines")) -> SwapModels:
    """Models of the shared folder, and of others."""
    runtime = RuntimeSettings(provider="cpu", threads=1, engines=engines)
    return SwapModels(ModelLibrary([MODELS, *folders]), runtime)


def control(models: SwapModels | None = None, **settings: Any) -> SwapControl:
    """The face swap of a stream; Mona Lisa's unless it is said otherwise."""
    values = {"faces": (str(FACES / "mona_lisa.jpg"),)} | settings
    return SwapControl(FaceSwapSettings.model_validate(values), models or swap_models())


def frames_of(image: Image, count: int = 1, first: int = 0) -> list[Frame]:
    """The same picture again and again, 30 times a second."""
    return [make_frame(first + n, image=image.copy()) for n in range(count)]


def clip_frames(path: Path, count: int, step: int = 1) -> list[Frame]:
    """The first pictures of a clip."""
    capture = cv2.VideoCapture(str(path))
    found = []
    for number in range(count * step):
        good, image = capture.read()
        if not good:
            break
        if number % step == 0:
            found.append(make_frame(number, image=np.asarray(image, np.uint8)))
    capture.release()
    return found


def changed_at(before: Image, after: Image, box: Sequence[float]) -> float:
    """How much the middle of a box has changed: mean difference in levels."""
    left, top, right, bottom = box
    x, y, wide, tall = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    rows = slice(max(0, round(y - tall / 4)), max(1, round(y + tall / 4)))
    columns = slice(max(0, round(x - wide / 4)), max(1, round(x + wide / 4)))
    apart = np.abs(before[rows, columns].astype(int) - after[rows, columns])
    return float(apart.mean())


class Scripted:
    """A detector that says what a script says, by the number of the call.

    Args:
        detector: The real one.
        blind: Calls in which it finds nothing.
    """

    def __init__(self, detector: FaceDetector, blind: Sequence[int]) -> None:
        self.calls = 0
        self._detector = detector
        self._blind = frozenset(blind)

    def detect(self, image: Image) -> list[Any]:
        self.calls += 1
        return [] if self.calls - 1 in self._blind else self._detector.detect(image)
