"""Decoded pictures the way the camera was held: as arrays, or in the format they are stored in."""

from fractions import Fraction

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from engine.clips.filtering import MICROSECOND, build_graph, picture_key
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


def exact_bgr(frame: VideoFrame) -> Image:
    """Return a picture that lies as it is to be seen as BGR of its own, converted as ``EXACT``."""
    image = frame.to_ndarray(format="bgr24", interpolation=EXACT)
    return np.ascontiguousarray(image, np.uint8)


class Turner:
    """Turns a video's pictures and keeps their format, for what is drawn on stored pictures."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._orientation = Orientation()
        self._graph: Graph | None = None

    def pixel_aspect(self, stored: Fraction) -> Fraction:
        """Width of a turned pixel divided by its height.

        Args:
            stored: The same of a stored pixel.
        """
        return 1 / stored if self._orientation.lying else stored

    def turn(self, frame: VideoFrame) -> VideoFrame:
        """Return a picture upright, with its time."""
        orientation = Orientation.of_frame(frame)
        key = (*picture_key(frame), orientation)
        if key != self._key:
            self._key, self._orientation = key, orientation
            filters = orientation.filters
            self._graph = build_graph(frame, filters) if filters else None
        if self._graph is None:
            return frame
        pts, time_base = frame.pts, frame.time_base
        if pts is not None and time_base is not None:
            frame.pts, frame.time_base = round(pts * time_base / MICROSECOND), MICROSECOND
        # These filters look at one picture at a time, so each comes out as it goes in.
        self._graph.vpush(frame)
        turned = self._graph.vpull()
        for one in (frame, turned):
            one.pts, one.time_base = pts, time_base
        return turned
