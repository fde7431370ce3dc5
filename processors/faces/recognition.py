"""Who a face is: a vector that lies near that of other pictures of the same person.

The ArcFace contract (Deng et al., CVPR 2019; ``w600k_r50``, ``w600k_mbf``): input
``[n, 3, 112, 112]``, RGB, ``(x - 127.5) / 127.5``, output ``[n, 512]``. SFace (Zhong et al.,
"SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition", TIP 2021) takes the same
crops as they are (0..255) and gives 128 values.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.errors import AvatarServerError
from engine.pipeline.frame import Image
from processors.faces.align import align, crop
from processors.faces.face import Embedding, Face
from processors.faces.model import Model, blob_of, require, run_rows

SIZE = 112


class RecognitionFailed(AvatarServerError):
    """A recognition model gave something that is no embedding."""


class Recogniser:
    """Makes embeddings of faces.

    Args:
        model: See above.
        mean: Subtracted from the input.
        std: Divides the input.

    Raises:
        ModelMismatch: The model has another contract.
    """

    def __init__(self, model: Model, mean: float = 127.5, std: float = 127.5) -> None:
        require(model, "face recognition (ArcFace)", SIZE, None)
        self._model, self._mean, self._std = model, mean, std

    @classmethod
    def sface(cls, model: Model) -> "Recogniser":
        """For a model with the SFace contract."""
        return cls(model, mean=0.0, std=1.0)

    def embed(self, image: Image, faces: Sequence[Face]) -> list[Embedding]:
        """The embedding of each face, of length 1, all in one call.

        Args:
            image: ``uint8[h, w, 3]``, BGR.
            faces: Their landmarks are used.

        Raises:
            RecognitionFailed: The numbers make no sense.
        """
        return self.embed_crops([crop(image, align(face.landmarks, SIZE), SIZE) for face in faces])

    def embed_crops(self, crops: Sequence[Image]) -> list[Embedding]:
        """The same for crops that are aligned already: ``uint8[112, 112, 3]``, BGR."""
        if not crops:
            return []
        rows = run_rows(self._model, blob_of(crops, self._mean, self._std))
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(length).all() or (length == 0).any():
            raise RecognitionFailed("The recognition model returned no embedding for a face.")
        return list(rows / length)


def likeness(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    """The cosine of two embeddings: 1 the same, about 0 two people."""
    return float(np.dot(first, second))
