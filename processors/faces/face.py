"""What is known of one face in one picture."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]
"""Points in a picture: ``float32[n, 2]``, x and y in pixels, the centre of the first pixel at 0."""

Embedding = npt.NDArray[np.float32]
"""Who a face is: ``float32[512]`` (or another length), of length 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face in a picture.

    Attributes:
        box: ``float32[4]``: left, top, right, bottom in pixels; may reach beyond the edges.
        landmarks: ``float32[5, 2]``: the left eye in the picture, the right eye, the tip of the
            nose, the left and the right corner of the mouth ("left" as the viewer sees it).
        score: 0..1, of the detector.
        contour: ``float32[106, 2]``, or None where nobody looked.
        embedding: See ``Embedding``, or None.
        sex: As a model guesses it, or None.
        age: In years, as a model guesses it, or None.
    """

    box: npt.NDArray[np.float32]
    landmarks: Points
    score: float
    contour: Points | None = None
    embedding: Embedding | None = None
    sex: Literal["female", "male"] | None = None
    age: int | None = None

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the box."""
        return float(self.box[0] + self.box[2]) / 2, float(self.box[1] + self.box[3]) / 2

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))

    @property
    def eye_distance(self) -> float:
        """Between the eyes, in pixels."""
        return float(np.hypot(*(self.landmarks[1] - self.landmarks[0])))

    def with_embedding(self, embedding: Embedding) -> "Face":
        """This face, recognised."""
        return replace(self, embedding=embedding)
