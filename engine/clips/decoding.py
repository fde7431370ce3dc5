"""The pictures of a clip as they are seen: upright, progressive, each with its time."""

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.clips.filtering import MICROSECOND, Step, build_graph, picture_key, pull_all
from engine.clips.opening import check_size, decode_frames, opened
from engine.clips.orientation import Orientation
from engine.clips.timeline import Picture, Timeline

_SEEK_FROM = 3.0
_SINGLE_THREAD_FROM = 3840 * 2160


def decoded(path: Path, start: float = 0.0, threads: int = 1) -> Iterator[Picture]:
    """Decode a clip, turned as its rotation flag says and without interlacing.

    Args:
        path: The clip.
        start: Pictures before this second may be left out (those since the last keyframe before
            it may come nevertheless); the times stay those of the whole clip.
        threads: Threads for the decoder. Above 4K one is used: each more would hold another
            picture of up to 100 MB.

    Yields:
        Pictures in any size and pixel format, in order of time; both may change on the way.

    Raises:
        ClipError: One of those of :func:`engine.clips.info.opened`, or the pictures grow too
            large on the way.
    """
    if start > _SEEK_FROM:
        pictures = _decoded(path, start, threads)
        first = next(pictures, None)
        if first is not None and first.time <= start:
            yield first
            yield from pictures
            return
        pictures.close()
    yield from _decoded(path, None, threads)


def _decoded(path: Path, seek_to: float | None, threads: int) -> Generator[Picture]:
    with opened(path) as (container, stream):
        codec = stream.codec_context
        check_size(path, codec.width, codec.height)
        codec.thread_type = "AUTO"
        codec.thread_count = threads if codec.width * codec.height <= _SINGLE_THREAD_FROM else 1
        step = float(1 / (stream.guessed_rate or stream.average_rate or Fraction(25)))
        origin = None
        if seek_to is not None:
            origin = _seek(container, stream, seek_to)
            if origin is None:
                return
        yield from _timed(path, decode_frames(container, stream), Timeline(step, origin))


def _seek(container: InputContainer, stream: VideoStream, start: float) -> float | None:
    """Go to the keyframe before ``start``.

    Returns:
        The raw second of the clip's first picture; None where the clip cannot be sought in.
    """
    first = next(decode_frames(container, stream), None)
    if first is None or first.pts is None or stream.time_base is None:
        return None
    target = first.pts + int(start / stream.time_base)
    try:
        container.seek(target, stream=stream)
    except av.error.FFmpegError:
        return None
    return first.time


def _timed(path: Path, frames: Iterator[VideoFrame], timeline: Timeline) -> Iterator[Picture]:
    upright = _Upright()
    for frame in frames:
        check_size(path, frame.width, frame.height)
        time_base = frame.time_base or MICROSECOND
        time = timeline.place(_raw_time(frame, time_base))
        stay = timeline.stay(float(frame.duration * time_base))
        frame.time_base = MICROSECOND
        frame.pts = round(time / MICROSECOND)
        frame.duration = round(stay / MICROSECOND)
        for ready in upright.turn(frame):
            yield _picture(ready)
    for ready in upright.flush():
        yield _picture(ready)


def _raw_time(frame: VideoFrame, time_base: Fraction) -> float | None:
    stamp = frame.dts if frame.pts is None else frame.pts
    return None if stamp is None else float(stamp * time_base)


def _picture(frame: VideoFrame) -> Picture:
    # A deinterlacer counts in half units.
    assert frame.pts is not None
    assert frame.time_base is not None
    return Picture(
        float(frame.pts * frame.time_base), float(frame.duration * frame.time_base), frame
    )


class _Upright:
    """Turns pictures upright and removes interlacing; passes on what needs neither.

    Once a picture was interlaced the deinterlacer stays, since it needs its neighbours; it
    leaves pictures alone that are not flagged.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._key: tuple[object, ...] = ()
        self._kind: tuple[object, ...] = ()
        self._orientation = Orientation()
        self._interlaced = False

    def turn(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        self._interlaced = self._interlaced or frame.interlaced_frame
        # A picture whose side data was looked at is in a cycle with it, and stays in memory until
        # the garbage collector comes: so only the first of many like it is looked at.
        kind = (*picture_key(frame), frame.rotation)
        if kind != self._kind:
            self._kind = kind
            self._orientation = Orientation.of_frame(frame)
        key = (kind, self._orientation, self._interlaced)
        if key != self._key:
            yield from self.flush()
            self._key = key
            self._graph = self._build(frame, self._orientation)
        if self._graph is None:
            yield frame
            return
        self._graph.vpush(frame)
        yield from pull_all(self._graph)

    def flush(self) -> Iterator[VideoFrame]:
        if self._graph is not None:
            self._graph.vpush(None)
            yield from pull_all(self._graph)
            self._graph = None

    def _build(self, frame: VideoFrame, orientation: Orientation) -> Graph | None:
        steps: list[Step] = []
        if self._interlaced:
            steps.append(("bwdif", "mode=send_frame:deint=interlaced"))
        steps += orientation.filters
        return build_graph(frame, steps) if steps else None
