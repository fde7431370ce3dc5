"""What finds faces."""

from typing import Protocol

from engine.errors import AvatarServerError
from engine.pipeline.frame import Image
from processors.faces.face import Face


class DetectionFailed(AvatarServerError):
    """The detector gave something that cannot be a face."""


class FaceDetector(Protocol):
    """Finds faces in one picture. Not to be called from two threads at once."""

    def detect(self, image: Image) -> list[Face]:
        """The faces with box, landmarks and score, best score first.

        Args:
            image: ``uint8[h, w, 3]``, BGR.

        Raises:
            DetectionFailed: The numbers make no sense.
        """
