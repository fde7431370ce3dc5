"""Blurs everything but the person, by a matting model."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.errors import MissingDependency
from engine.pipeline.frame import Frame, Image
from engine.pipeline.protocols import Traits

Matte = npt.NDArray[np.float32]
"""``float32[h, w]``: 1 where the person is, 0 where the background is."""


def load_matting(model: Path, size: int) -> Callable[[Image], Matte]:
    """A function from a picture to its matte.

    The model's contract is MODNet's (Ke et al., AAAI 2022): one input
    ``float32[1, 3, size, size]``, RGB, ``(x - 127.5) / 127.5``; one output
    ``float32[1, 1, size, size]``, 0..1.

    Args:
        model: The ONNX file.
        size: Width and height at which the model runs.

    Raises:
        MissingDependency: The file cannot be read as a model.
    """
    import cv2

    try:
        network = cv2.dnn.readNetFromONNX(str(model))
    except cv2.error as error:
        raise MissingDependency(
            f"The matting model {model} cannot be loaded: {error.err}.",
            "Use MODNet or a model with the same input and output, in ONNX form.",
        ) from error

    def matte(image: Image) -> Matte:
        blob = cv2.dnn.blobFromImage(
            image, 1 / 127.5, (size, size), (127.5, 127.5, 127.5), swapRB=True
        )
        network.setInput(blob)
        alpha = network.forward().reshape(size, size).astype(np.float32)
        whole = cv2.resize(alpha, (image.shape[1], image.shape[0]))
        return np.clip(np.asarray(whole, np.float32), 0.0, 1.0)

    return matte


class BackgroundBlur:
    """Blends the picture with a blurred one by the matte.

    It fails closed: what lies behind the person is not shown sharp by mistake.

    Args:
        matte: Where the person is; see ``load_matting``.
        strength: Standard deviation of the blur as a part of the width.
    """

    name = "background_blur"
    traits = Traits(parallel=False, fails_closed=True, resizes=False)

    def __init__(self, matte: Callable[[Image], Matte], strength: float) -> None:
        import cv2

        self._cv2 = cv2
        self._matte = matte
        self._strength = strength

    def process(self, frames: Sequence[Frame]) -> Sequence[Image]:
        """New images, the background blurred."""
        return [self._blend(frame.image) for frame in frames]

    def close(self) -> None:
        """Nothing to release beyond memory."""

    def _blend(self, image: Image) -> Image:
        cv2 = self._cv2
        alpha = self._matte(image)
        if not np.isfinite(alpha).all():
            raise ValueError("the matting model returned values that are not numbers")
        height, width = image.shape[:2]
        quarter = (max(1, width // 4), max(1, height // 4))
        small = cv2.resize(image, quarter, interpolation=cv2.INTER_AREA)
        blurred = cv2.GaussianBlur(small, (0, 0), max(0.5, self._strength * width / 4))
        background = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)
        mixed = cv2.blendLinear(image, background, alpha, np.float32(1.0) - alpha)
        return np.asarray(mixed, np.uint8)
