"""What is in front of a face, by the XSeg contract of DeepFaceLab: input ``[n, 256, 256, 3]``, BGR
in 0..1, output ``[n, 256, 256, 1]``, 1 where the face is seen.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.pipeline.frame import Image
from processors.faces.model import Model, run_rows
from processors.models.contracts import ModelMismatch
from processors.swap.geometry import Mask

SIZE: Final = 256

SURE: Final = (0.35, 0.65)
"""Below the first nothing of the face is seen, from the second on all of it."""


class XSeg:
    """Sees hands, hair and microphones in front of faces.

    Args:
        model: See above.

    Raises:
        ModelMismatch: The model has another contract.
    """

    def __init__(self, model: Model) -> None:
        shape = tuple(model.inputs[0].shape) if len(model.inputs) == 1 else ()
        if shape[1:] != (SIZE, SIZE, 3) or not model.outputs:
            raise ModelMismatch(
                f"An occluder takes one picture [n, {SIZE}, {SIZE}, 3]; this model takes "
                f"{list(shape) or 'something else'}.",
                "Give the file of an XSeg model.",
            )
        self._model = model

    def visible(self, crops: Sequence[Image]) -> list[Mask]:
        """See ``Occluder``."""
        import cv2

        if not crops:
            return []
        blob = np.stack(
            [cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for crop in crops]
        )
        seen = run_rows(self._model, np.asarray(blob, np.float32) / np.float32(255))[..., 0]
        low, high = SURE
        levels = np.clip((seen - low) / (high - low), 0, 1) * 255
        return [np.asarray(mask, np.uint8) for mask in np.round(levels)]
