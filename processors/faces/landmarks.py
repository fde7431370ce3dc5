"""The 106 points of a face's contour, brows, eyes, nose and mouth, by the ``2d106det`` contract:
input ``[n, 3, 192, 192]``, RGB as it is (0..255), output ``[n, 212]`` in -1..1 of the crop.
"""

from collections.abc import Sequence

from engine.pipeline.frame import Image
from processors.faces.align import around, crop, inverse, transformed
from processors.faces.face import Face, Points
from processors.faces.model import Model, blob_of, require, run_rows

SIZE = 192
POINTS = 106


class Contours:
    """Finds the 106 points of faces.

    Args:
        model: See above.
        mean: Subtracted from the input.
        std: Divides the input.

    Raises:
        ModelMismatch: The model has another contract.
    """

    def __init__(self, model: Model, mean: float = 0.0, std: float = 1.0) -> None:
        require(model, "106 landmarks (2d106det)", SIZE, 2 * POINTS)
        self._model, self._mean, self._std = model, mean, std

    def find(self, image: Image, faces: Sequence[Face]) -> list[Points]:
        """``float32[106, 2]`` in pixels of the picture for each face, all in one call.

        Args:
            image: ``uint8[h, w, 3]``, BGR.
            faces: Their boxes are used.
        """
        if not faces:
            return []
        transforms = [around(face.box, SIZE) for face in faces]
        crops = [crop(image, transform, SIZE) for transform in transforms]
        rows = run_rows(self._model, blob_of(crops, self._mean, self._std))
        points = (rows.reshape(-1, POINTS, 2) + 1.0) * (SIZE // 2)
        return [
            transformed(values, inverse(transform))
            for values, transform in zip(points, transforms, strict=True)
        ]
