"""Faces in a picture by YuNet (Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector",
Machine Intelligence Research 2023), run by OpenCV's FaceDetectorYN.
"""

from pathlib import Path
from typing import Any

import numpy as np

from engine.pipeline.frame import Image
from engine.yunet import make_yunet
from processors.faces.detector import DetectionFailed
from processors.faces.face import Face


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
        """The faces in a picture, best score first.

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
        to_picture = np.array([width / size[0], height / size[1]], np.float32)
        faces = [
            Face(
                box=np.concatenate([row[:2] * to_picture, (row[:2] + row[2:4]) * to_picture]),
                landmarks=row[4:14].reshape(5, 2) * to_picture,
                score=float(row[14]),
            )
            for row in np.asarray(rows, np.float32)
        ]
        return sorted(faces, key=lambda face: -face.score)
