"""Frames head and shoulders by the face that is in a clip.

The detector is YuNet (Wu and others, "YuNet: A Tiny Millisecond-level Face Detector", 2023) through
OpenCV's ``FaceDetectorYN``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from engine.clips.rendering import Window
from engine.clips.stabilise import require_cv2
from engine.errors import MissingDependency
from engine.yunet import make_yunet

MODEL_NAME = "yunet_n_dynamic.onnx"
"""The file to look for in the folder of models."""

_FACE_HEIGHT = 0.40
_EYE_LINE = 0.37
_SCORE = 0.7
_OVERLAP = 0.3


@dataclass(frozen=True, slots=True)
class Face:
    """A face in a picture; lengths are parts of the picture's width and height, from 0 to 1.

    Attributes:
        left: Left edge of the box, which reaches from the forehead to the chin.
        top: Its upper edge.
        width: Its width.
        height: Its height.
        eyes: Height of the line between the eyes.
        score: How sure the detector is, from 0 to 1.
    """

    left: float
    top: float
    width: float
    height: float
    eyes: float
    score: float


class FaceFinder:
    """Finds the faces in pictures.

    Args:
        model: YuNet in ONNX form.

    Raises:
        MissingDependency: OpenCV or the model is not there.
    """

    def __init__(self, model: Path | None) -> None:
        require_cv2()
        if model is None or not model.is_file():
            where = f"'{model}'" if model else f"models/{MODEL_NAME}"
            raise MissingDependency(
                f"There is no face detector at {where}.",
                "Put YuNet's ONNX file there, name its folder in AVATAR_MODELS, or use"
                " --crop center.",
            )
        self._detector = make_yunet(model, (320, 320), _SCORE, _OVERLAP)

    def find(self, picture: NDArray[np.uint8]) -> list[Face]:
        """The faces of a picture, height x width x 3, BGR; the largest first."""
        height, width = picture.shape[:2]
        self._detector.setInputSize((width, height))
        _, rows = self._detector.detect(picture)
        faces = [] if rows is None else [_face(row, width, height) for row in rows]
        return sorted(faces, key=lambda face: -face.width * face.height)


def head_and_shoulders(faces: Sequence[Face], picture: float, wanted: float) -> Window:
    """The part of the picture that shows head and shoulders.

    Args:
        faces: The face in pictures of all over the clip; the middle one of each length counts.
        picture: Width of the displayed picture divided by its height.
        wanted: Width divided by height of the part to choose.

    Returns:
        A part of that shape, in which the face is 0.4 high and the eyes are in the upper third, as
        far as the picture reaches.
    """
    height = median(face.height for face in faces) / _FACE_HEIGHT
    height = min(height, 1.0, picture / wanted)
    width = height * wanted / picture
    centre = median(face.left + face.width / 2 for face in faces)
    eyes = median(face.eyes for face in faces)
    left = min(max(0.0, centre - width / 2), 1.0 - width)
    top = min(max(0.0, eyes - height * _EYE_LINE), 1.0 - height)
    return left, top, left + width, top + height


def _face(row: NDArray[np.float32], width: int, height: int) -> Face:
    left, top, box_width, box_height = (float(value) for value in row[:4])
    eyes = float(row[5] + row[7]) / 2
    return Face(
        left / width,
        top / height,
        box_width / width,
        box_height / height,
        eyes / height,
        float(row[14]),
    )
