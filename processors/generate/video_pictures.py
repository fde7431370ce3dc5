"""Makes a video anew, picture by picture: read upright, changed, encoded; it keeps its sound."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av.error
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.clips.opening import check_size, damaged, opened, stream_pixel_aspect
from processors.generate.sound_tracks import sound_into
from processors.generate.tracks import FileKind, create, seconds_of, sound_tracks, start_of, tags_of
from processors.generate.upright import Upright
from processors.generate.whole_file import whole_file

_USUAL_RATE = Fraction(25)
_MOST_WAITING = 20_000
"""Packets of sound that may come before the first picture: several minutes of some tracks."""


@dataclass(slots=True)
class SourceVideo:
    """A video that is read once, from its beginning.

    Attributes:
        path: For messages.
        container: Open.
        stream: Its moving picture.
        sounds: Tracks of sound that can be kept.
        rate: Pictures per second, on average.
        seconds: Its length, if the file tells.
        time_base: Of the pictures' times.
    """

    path: Path
    container: InputContainer
    stream: VideoStream
    sounds: list[Stream]
    rate: Fraction = field(init=False)
    seconds: float | None = field(init=False)
    time_base: Fraction = field(init=False)
    _upright: Upright = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.rate = Fraction(self.stream.average_rate or _USUAL_RATE)
        self.seconds = seconds_of(self.container, self.stream)
        self.time_base = Fraction(self.stream.time_base or Fraction(1, 90_000))
        self._upright = Upright(self.time_base)

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel of upright pictures divided by its height, once the first was read."""
        return self._upright.pixel_aspect(stream_pixel_aspect(self.stream))

    def items(self) -> Iterator["VideoFrame | Packet[Stream]"]:
        """Yield upright pictures with rising times from zero, and packets of sound, as they come.

        Raises:
            ClipTooLarge: See ``check_size``.
        """
        start = round(start_of(self.container) / self.time_base)
        last: int | None = None
        step = max(1, round(1 / (self.rate * self.time_base)))
        for packet in self.container.demux([self.stream, *self.sounds]):
            if packet.stream is not self.stream:
                if packet.dts is not None and packet.size:
                    yield packet
                continue
            for frame in _decoded(packet):
                check_size(self.path, frame.width, frame.height)
                expected = 0 if last is None else last + step
                own = expected if frame.pts is None else frame.pts
                last = own if last is None else max(last + 1, own)
                frame.pts, frame.time_base = last, self.time_base
                yield from self._zeroed(self._upright.turn(frame), start)
        yield from self._zeroed(self._upright.flush(), start)

    def _zeroed(self, frames: Iterator[VideoFrame], start: int) -> Iterator[VideoFrame]:
        for frame in frames:
            frame.pts = (frame.pts or 0) - start
            yield frame


@contextmanager
def opened_video(path: Path) -> Iterator[SourceVideo]:
    """Open a video to be read with ``items``.

    Raises:
        ClipError: It cannot be read, or has no moving picture.
    """
    with opened(path) as (container, stream):
        yield SourceVideo(path, container, stream, sound_tracks(container))


class PictureChange(Protocol):
    """What becomes of a video's pictures."""

    def begin(self, first: VideoFrame, output: OutputContainer, video: SourceVideo) -> VideoStream:
        """Add the stream that the pictures are encoded into: codec, size, format, colours."""

    def change(self, frame: VideoFrame, seconds: float) -> VideoFrame:
        """Return a picture for that encoder.

        Args:
            frame: Upright; may be written into once it is made writable.
            seconds: When it is seen, from the start of the video.
        """


def remake(
    video: SourceVideo,
    target: Path,
    kind: FileKind,
    change: PictureChange,
    *,
    threads: int,
    metadata: Mapping[str, str],
    progress: Callable[[float], None],
) -> None:
    """Write a video with changed pictures. Sound is copied, or made anew where the file's kind
    cannot hold it; every picture keeps its time.

    Args:
        video: What is read.
        target: The file; it appears when it is whole.
        kind: Its container.
        change: What becomes of the pictures.
        threads: CPU threads of the encoder; 0: its own choice.
        metadata: Tags of the new file, besides those of the old one.
        progress: Told the share that is done after each picture; may raise.

    Raises:
        ClipError: The video cannot be read.
        OSError: The file cannot be written, e.g. as the disk is full.
    """
    tags = {**tags_of(video.container), **metadata}
    with whole_file(target) as part, create(part, kind, tags) as output:
        _Remaking(video, output, kind, change, threads).run(progress)


class _Remaking:
    """One run: decoding, changing, encoding and muxing in turn."""

    def __init__(
        self,
        video: SourceVideo,
        output: OutputContainer,
        kind: FileKind,
        change: PictureChange,
        threads: int,
    ) -> None:
        self._video = video
        self._output = output
        self._kind: FileKind = kind
        self._change = change
        self._threads = threads
        self._encoder: VideoStream | None = None
        self._waiting: deque[Packet[Stream]] = deque()

    def run(self, progress: Callable[[float], None]) -> None:
        video = self._video
        # The picture's stream comes first in the file, and is only known with the first picture.
        sound = None
        for item in video.items():
            if isinstance(item, Packet):
                if sound is not None:
                    sound.mux(item)
                elif len(self._waiting) < _MOST_WAITING:
                    self._waiting.append(item)
                else:
                    raise damaged(video.path)
                continue
            if sound is None:
                self._begin(item)
                sound = sound_into(self._kind, video.container, self._output, video.sounds)
                while self._waiting:
                    sound.mux(self._waiting.popleft())
            seconds = self._picture(item)
            progress(min(1.0, seconds / video.seconds) if video.seconds else 0.0)
        if self._encoder is None or sound is None:
            raise damaged(video.path)
        self._output.mux(self._encoder.encode(None))
        sound.finish()

    def _begin(self, frame: VideoFrame) -> None:
        encoder = self._change.begin(frame, self._output, self._video)
        context = encoder.codec_context
        context.sample_aspect_ratio = self._video.pixel_aspect
        encoder.time_base = context.time_base = self._video.time_base
        context.thread_count = self._threads
        self._encoder = encoder

    def _picture(self, frame: VideoFrame) -> float:
        assert self._encoder is not None
        pts, time_base = frame.pts or 0, self._video.time_base
        seconds = float(pts * time_base)
        made = self._change.change(frame, seconds)
        made.pts, made.time_base = pts, time_base
        self._output.mux(self._encoder.encode(made))
        return seconds


def _decoded(packet: Any) -> Iterator[VideoFrame]:
    try:
        frames = packet.decode()
    except av.error.FFmpegError:
        return
    yield from (frame for frame in frames if isinstance(frame, VideoFrame))
