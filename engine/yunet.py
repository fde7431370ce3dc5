"""Making YuNet, the face detector, by OpenCV: the one place where it is done."""

from pathlib import Path
from typing import Any

from engine.errors import MissingDependency


def make_yunet(
    model: Path, size: tuple[int, int], score: float, overlap: float = 0.3, most: int = 500
) -> Any:
    """Return a ``cv2.FaceDetectorYN``.

    Args:
        model: YuNet in ONNX form.
        size: (width, height) of the pictures; can be changed later.
        score: Least score of a face.
        overlap: Boxes that overlap more are one face.
        most: Candidates before overlapping ones are joined.

    Raises:
        MissingDependency: OpenCV cannot read the file.
    """
    import cv2

    # OpenCV 5 warns that its new engine ignores the backend that FaceDetectorYN asks for.
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        return cv2.FaceDetectorYN.create(str(model), "", size, score, overlap, most)
    except cv2.error as error:
        raise MissingDependency(
            f"{model} is not a face detector that OpenCV can read.", "Get the YuNet file again."
        ) from error
    finally:
        cv2.utils.logging.setLogLevel(level)
