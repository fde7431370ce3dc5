"""Pictures as files that say what they are made of."""

from typing import Literal

import numpy as np

from engine.errors import InvalidInput
from engine.media.xmp import TOOL, with_xmp, xmp_packet
from engine.pipeline.frame import Image

Format = Literal["jpeg", "png"]

JPEG_QUALITY = 95


class CannotEncode(InvalidInput):
    """A picture cannot be written in the format wanted."""


def encoded(image: Image, kind: Format, source_type: str | None = None) -> bytes:
    """Return a picture's file.

    Args:
        image: ``uint8[h, w, 3]``, BGR.
        kind: Its format.
        source_type: The digital source type that it declares; None: nothing.

    Raises:
        CannotEncode: It is too large for the format.
    """
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if kind == "jpeg" else []
    try:
        good, coded = cv2.imencode(f".{kind}", image, options)
    except cv2.error:
        good, coded = False, np.empty(0, np.uint8)
    if not good:
        raise CannotEncode(
            f"A picture of {image.shape[1]}x{image.shape[0]} cannot be written as {kind}.",
            "Ask for the other format, or send a smaller picture.",
        )
    data = coded.tobytes()
    return data if source_type is None else with_xmp(data, xmp_packet(source_type, TOOL))
