"""Decoded pictures as arrays, the way the camera was held."""

from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from engine.clips.orientation import Orientation
from engine.pipeline.frame import Image

EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.FULL_CHR_H_INT
)
"""Conversion of colours without the darkening by one or two levels that libswscale's fast one has;
a picture that goes to BGR and back stays the same within one level."""


def upright(frame: VideoFrame, pixel_aspect: Fraction = Fraction(1), exact: bool = False) -> Image:
    """Return the decoded picture as BGR with square pixels, turned the way the camera was held.

    Args:
        frame: As decoded; a phone's clip says in its display matrix how to turn it.
        pixel_aspect: Width of a stored pixel divided by its height.
        exact: Convert colours as ``EXACT`` says, which takes some times as long.
    """
    image = frame.to_ndarray(
        format="bgr24",
        width=round(frame.width * pixel_aspect),
        height=frame.height,
        interpolation=EXACT if exact else None,
    ).view(np.uint8)
    orientation = Orientation.of_frame(frame)
    if orientation == Orientation():
        return image
    turned = image[:, ::-1] if orientation.mirrored else image
    return np.ascontiguousarray(np.rot90(turned, -orientation.clockwise // 90))
