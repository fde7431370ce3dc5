"""Faces in a picture by YuNet (Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector",
Machine Intelligence Research 2023), run by OpenCV's FaceDetectorYN.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import AvatarServerError
from engine.pipeline.frame import Image
from engine.yunet import make_yunet


class DetectionFailed(AvatarServerError):
    """The detector gave something that cannot be a face."""


@dataclass(frozen=True, slots=True)
class Face:
    """A face's box in pixels of the picture; it may reach beyond its edges.

    Attributes:
        x: Left.
        y: Top.
        width: Pixels.
        height: Pixels.
        score: 0..1.
    """

    x: float
    y: float
    width: float
    height: float
    score: float = 1.0


class YuNet:
    """Finds faces.

    Args:
        model: The ONNX file.
        width: Pictures wider than this are looked at in this width.
        threshold: Least score.
    """

    def __init__(self, model: Path, width: int, threshold: float) -> None:
        import cv2

        self._cv2 = cv2
        self._width = width
        self._size = (width, width)
        self._detector: Any = make_yunet(model, self._size, threshold)

    def detect(self, image: Image) -> list[Face]:
        """The faces in a picture.

        Args:
            image: ``uint8[h, w, 3]``, BGR.

        Raises:
            DetectionFailed: The numbers make no sense.
        """
        height, width = image.shape[:2]
        scale = min(1.0, self._width / width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if size != (width, height):
            image = np.asarray(
                self._cv2.resize(image, size, interpolation=self._cv2.INTER_AREA), np.uint8
            )
        if size != self._size:
            self._detector.setInputSize(size)
            self._size = size
        _, rows = self._detector.detect(image)
        if rows is None:
            return []
        if not np.isfinite(rows).all():
            raise DetectionFailed("The face detector returned values that are not numbers.")
        to_x, to_y = width / size[0], height / size[1]
        return [
            Face(
                float(row[0] * to_x),
                float(row[1] * to_y),
                float(row[2] * to_x),
                float(row[3] * to_y),
                float(row[14]),
            )
            for row in rows
        ]
