"""Turns stored pictures the way the camera was held, keeping their format and their times."""

from collections.abc import Iterator
from fractions import Fraction

from av.filter import Graph
from av.video.frame import VideoFrame

from engine.clips.filtering import MICROSECOND, build_graph, picture_key, pull_all
from engine.clips.orientation import Orientation


class Upright:
    """Turns pictures the way the camera was held.

    Args:
        time_base: Of the pictures.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._key: tuple[object, ...] = ()
        self._orientation = Orientation()
        self._graph: Graph | None = None

    def pixel_aspect(self, stored: Fraction) -> Fraction:
        """Width of a turned pixel divided by its height."""
        return 1 / stored if self._orientation.lying else stored

    def turn(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """Take a picture; yield those that are ready."""
        key = (*picture_key(frame), frame.rotation)
        if key != self._key:
            yield from self.flush()
            self._key = key
            self._orientation = Orientation.of_frame(frame)
            filters = self._orientation.filters
            self._graph = build_graph(frame, filters) if filters else None
        if self._graph is None:
            yield frame
            return
        assert frame.pts is not None
        frame.pts = round(frame.pts * self._time_base / MICROSECOND)
        frame.time_base = MICROSECOND
        self._graph.vpush(frame)
        yield from self._ready()

    def flush(self) -> Iterator[VideoFrame]:
        """Yield what is left."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._ready()
            self._graph = None

    def _ready(self) -> Iterator[VideoFrame]:
        assert self._graph is not None
        for frame in pull_all(self._graph):
            assert frame.pts is not None
            assert frame.time_base is not None
            frame.pts = round(frame.pts * frame.time_base / self._time_base)
            frame.time_base = self._time_base
            yield frame
