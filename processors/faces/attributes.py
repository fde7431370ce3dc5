"""Sex and age as a model guesses them, by the ``genderage`` contract: input ``[n, 3, 96, 96]``, RGB
as it is (0..255), output ``[n, 3]``: female, male, age / 100.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.pipeline.frame import Image
from processors.faces.align import around, crop
from processors.faces.face import Face
from processors.faces.model import Model, blob_of, require, run_rows

SIZE = 96


@dataclass(frozen=True, slots=True)
class Guess:
    """What the model takes a face for.

    Attributes:
        sex: The likelier of the two.
        age: In years.
    """

    sex: Literal["female", "male"]
    age: int


class SexAndAge:
    """Guesses the sex and age of faces.

    Args:
        model: See above.
        mean: Subtracted from the input.
        std: Divides the input.

    Raises:
        ModelMismatch: The model has another contract.
    """

    def __init__(self, model: Model, mean: float = 0.0, std: float = 1.0) -> None:
        require(model, "sex and age (genderage)", SIZE, 3)
        self._model, self._mean, self._std = model, mean, std

    def guess(self, image: Image, faces: Sequence[Face]) -> list[Guess]:
        """A guess for each face, all in one call.

        Args:
            image: ``uint8[h, w, 3]``, BGR.
            faces: Their boxes are used.
        """
        if not faces:
            return []
        crops = [crop(image, around(face.box, SIZE), SIZE) for face in faces]
        rows = run_rows(self._model, blob_of(crops, self._mean, self._std))
        return [
            Guess("male" if row[1] > row[0] else "female", int(np.round(row[2] * 100)))
            for row in rows
        ]
