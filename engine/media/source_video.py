"""Reading a video from its beginning: pictures with rising times, and packets of its sound."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.clips.opening import check_size, opened, stream_pixel_aspect
from engine.media.tracks import packets_of, seconds_of, sound_tracks, start_of

_USUAL_RATE = Fraction(25)


@dataclass(slots=True)
class SourceVideo:
    """A video that is read once, from its beginning.

    Attributes:
        path: For messages.
        container: Open.
        stream: Its moving picture.
        sounds: Tracks of sound that can be kept.
        start: The second of the file that is zero in what is made of it.
        rate: Pictures per second, on average.
        seconds: Its length, if the file tells.
        time_base: Of the pictures' times.
        pixel_aspect: Width of a stored pixel divided by its height.
    """

    path: Path
    container: InputContainer
    stream: VideoStream
    sounds: list[Stream]
    start: float
    rate: Fraction = field(init=False)
    seconds: float | None = field(init=False)
    time_base: Fraction = field(init=False)
    pixel_aspect: Fraction = field(init=False)

    def __post_init__(self) -> None:
        self.rate = Fraction(self.stream.average_rate or _USUAL_RATE)
        self.seconds = seconds_of(self.container, self.stream)
        self.time_base = Fraction(self.stream.time_base or Fraction(1, 90_000))
        self.pixel_aspect = stream_pixel_aspect(self.stream)

    @property
    def frames(self) -> int | None:
        """How many pictures there are, by length and rate where the file does not count them."""
        if self.stream.frames:
            return self.stream.frames
        if self.container.duration and self.stream.average_rate:
            seconds = Fraction(self.container.duration, av.time_base)
            return max(1, round(seconds * self.stream.average_rate))
        return None

    def items(self) -> Iterator["VideoFrame | Packet[Stream]"]:
        """Yield stored pictures, with times from ``start``, and packets of sound, as they come.

        Damaged packets are left out, and the video ends where the file cannot be read any more.

        Raises:
            ClipTooLarge: A picture has too many pixels, as stored or with square pixels.
        """
        start = round(self.start / self.time_base)
        last: int | None = None
        step = max(1, round(1 / (self.rate * self.time_base)))
        for packet in packets_of(self.container, [self.stream, *self.sounds]):
            if packet.stream is not self.stream:
                if packet.dts is not None and packet.size:
                    yield packet
                continue
            for frame in _decoded(packet):
                widest = round(frame.width * max(Fraction(1), self.pixel_aspect))
                check_size(self.path, widest, frame.height)
                expected = 0 if last is None else last + step
                own = expected if frame.pts is None else frame.pts
                last = own if last is None else max(last + 1, own)
                frame.pts, frame.time_base = last - start, self.time_base
                yield frame


@contextmanager
def opened_video(path: Path, from_zero: bool = True) -> Iterator[SourceVideo]:
    """Open a video to be read with ``items``.

    Args:
        path: The file.
        from_zero: Let times begin at zero; otherwise they stay as they are.

    Raises:
        ClipError: It cannot be read, or has no moving picture.
    """
    with opened(path) as (container, stream):
        start = start_of(container) if from_zero else 0.0
        yield SourceVideo(path, container, stream, sound_tracks(container), start)


def _decoded(packet: "Packet[Stream]") -> Iterator[VideoFrame]:
    try:
        frames: Sequence[object] = packet.decode()
    except av.error.FFmpegError:
        return
    yield from (frame for frame in frames if isinstance(frame, VideoFrame))
