"""Every frame of a video through processors, off line, into a file that is open for writing.

Sound is copied, timestamps are kept (variable frame rates too), and so are the meaning of the
colours. The output is H.264 without B-frames, so one packet of it is one frame of the input; that
is what makes a stopped run resumable: the finished packets are copied and work goes on with the
next frame.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.clips.opening import check_size, damaged, stream_pixel_aspect
from engine.clock import Clock, monotonic
from engine.media.colours import Colours
from engine.media.fitting import even_size, fit
from engine.media.upright import upright
from engine.pipeline.frame import Frame, Image
from engine.pipeline.protocols import Transform

PREROLL = 30
"""Frames before the point of resumption that the processors see again, to know what they knew."""

_USUAL_RATE = Fraction(25)
_MOST_WAITING = 20_000
"""Packets of sound that may come before the first picture: several minutes of some tracks."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How frames are processed and encoded.

    Attributes:
        crf: H.264 quality, less is better.
        preset: x264's speed.
        batch_size: Frames processed at once.
        threads: Of decoder and encoder; 0: as many as there are cores.
    """

    crf: int = 18
    preset: str = "veryfast"
    batch_size: int = 1
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        done: Frames in the output.
        total: Frames in the input, by its length and rate where it does not count them; None
            where it says nothing.
        fps: Frames per second of this run.
        left_s: Seconds left; None where unknown.
    """

    done: int
    total: int | None
    fps: float
    left_s: float | None


def ignore(_: Image) -> None:
    """Do nothing with a picture."""


class Rendering:
    """One run: decoding, processing, encoding and muxing in turn.

    Args:
        source: Of the input, for messages.
        container: The input, from ``opening.opened``.
        stream: Its moving picture.
        output: Where to write; not begun yet. ``run`` does not close it.
        transform: The processors.
        encoding: How.
        clock: Seconds.

    Attributes:
        written: Frames in the output.
        copied: Frames of them that an earlier run had made.
        withheld: Frames shown black, because a processor that fails closed could not do them.
    """

    def __init__(
        self,
        source: Path,
        container: InputContainer,
        stream: VideoStream,
        output: OutputContainer,
        transform: Transform,
        encoding: Encoding,
        clock: Clock = monotonic,
    ) -> None:
        self.written = 0
        self.copied = 0
        self.withheld = 0
        self._source = source
        self._container = container
        self._stream = stream
        self._output = output
        self._transform = transform
        self._encoding = encoding
        self._clock = clock
        self._aspect = stream_pixel_aspect(stream)
        self._time_base = Fraction(stream.time_base or Fraction(1, 90_000))
        self._total = frames_of(container, stream)
        self._sound: dict[int, Stream] = {}
        self._encoder: VideoStream | None = None
        self._colours: Colours | None = None
        self._waiting_sound: deque[Packet[Stream]] = deque()
        self._batch: list[Frame] = []
        stream.codec_context.thread_count = encoding.threads

    def run(
        self,
        stop: Callable[[], bool],
        report: Callable[[Progress], None],
        show: Callable[[Image], None] = ignore,
        earlier: Path | None = None,
    ) -> bool:
        """Render all frames.

        Args:
            stop: Asked before each frame: whether to end there. May raise.
            report: Told after each batch. May raise.
            show: Given each finished picture, ``uint8[h, w, 3]``, BGR; must not change it.
            earlier: The file of an earlier run, whose frames are copied.

        Returns:
            Whether it was stopped before the end.

        Raises:
            ClipDamaged: No picture of the input can be decoded.
            ClipTooLarge: One has too many pixels.
        """
        finished = deque(_packets(earlier)) if earlier is not None else deque()
        self.copied = len(finished)
        started_at = self._clock()
        stopped = False
        for index, frame in enumerate(self._frames()):
            if index >= self.copied and stop():
                stopped = True
                break
            if finished:
                self._copy(finished.popleft())
                if len(finished) < PREROLL:
                    self._transform.apply([frame])
                continue
            self._batch.append(frame)
            if len(self._batch) >= self._encoding.batch_size:
                self._flush(show)
                report(self._progress(started_at))
        if self._encoder is None:
            raise damaged(self._source)
        self._flush(show)
        self._output.mux(self._encoder.encode(None))
        report(self._progress(started_at))
        return stopped

    def _frames(self) -> Iterator[Frame]:
        """Every picture, upright; sound passes by on the way."""
        step = max(1, round(1 / ((self._stream.average_rate or _USUAL_RATE) * self._time_base)))
        pts: int | None = None
        for sequence, decoded in enumerate(self._decode()):
            check_size(self._source, round(decoded.width * self._aspect), decoded.height)
            following = 0 if pts is None else pts + step
            own = following if decoded.pts is None else decoded.pts
            pts = own if pts is None else max(pts + 1, own)
            image = upright(decoded, self._aspect, exact=True)
            if self._encoder is None:
                self._begin(image, Colours.of(decoded))
            yield Frame(image, sequence, pts, self._time_base, float(pts * self._time_base))

    def _decode(self) -> Iterator[VideoFrame]:
        sound = [stream for stream in self._container.streams.audio if stream.codec_context]
        for packet in _demuxed(self._container, [self._stream, *sound]):
            if packet.stream is not self._stream:
                self._pass_sound(packet)
                continue
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            yield from (frame for frame in frames if isinstance(frame, VideoFrame))

    def _begin(self, image: Image, colours: Colours) -> None:
        """Set up the output; its size and colours are those of the first picture."""
        encoding = self._encoding
        encoder = self._output.add_stream(
            "libx264",
            rate=Fraction(self._stream.average_rate or _USUAL_RATE),
            options={"preset": encoding.preset, "crf": str(encoding.crf), "bf": "0"},
        )
        encoder.width, encoder.height = even_size(image)
        encoder.pix_fmt = "yuv420p"
        encoder.time_base = self._time_base
        encoder.codec_context.time_base = self._time_base
        encoder.codec_context.thread_count = encoding.threads
        colours.describe(encoder)
        for stream in self._container.streams.audio:
            if stream.codec_context:
                self._sound[stream.index] = self._output.add_stream_from_template(stream)
        self._encoder, self._colours = encoder, colours
        while self._waiting_sound:
            self._pass_sound(self._waiting_sound.popleft())

    def _pass_sound(self, packet: "Packet[Stream]") -> None:
        if packet.dts is None:
            return
        if self._encoder is None:
            if len(self._waiting_sound) == _MOST_WAITING:
                raise damaged(self._source)
            self._waiting_sound.append(packet)
            return
        packet.stream = self._sound[packet.stream.index]
        self._output.mux(packet)

    def _copy(self, packet: "Packet[VideoStream]") -> None:
        assert self._encoder is not None
        packet.stream = self._encoder
        self._output.mux(packet)
        self.written += 1

    def _flush(self, show: Callable[[Image], None]) -> None:
        done = {frame.sequence: frame for frame in self._transform.apply(self._batch)}
        for frame in self._batch:
            result = done.get(frame.sequence)
            if result is None:
                self.withheld += 1
            image = np.zeros_like(frame.image) if result is None else result.image
            show(image)
            self._encode(image, frame.pts)
        self._batch = []

    def _encode(self, image: Image, pts: int) -> None:
        assert self._encoder is not None
        assert self._colours is not None
        picture = self._colours.encoded(fit(image, (self._encoder.width, self._encoder.height)))
        picture.pts, picture.time_base = pts, self._time_base
        self._output.mux(self._encoder.encode(picture))
        self.written += 1

    def _progress(self, started_at: float) -> Progress:
        elapsed = max(self._clock() - started_at, 1e-6)
        rate = (self.written - self.copied) / elapsed
        left = None
        if self._total is not None and rate > 0:
            left = max(0, self._total - self.written) / rate
        return Progress(self.written, self._total, rate, left)


def frames_of(container: InputContainer, stream: VideoStream) -> int | None:
    """Return how many frames a video has, by its length and rate where it does not count them."""
    if stream.frames:
        return stream.frames
    if container.duration and stream.average_rate:
        return max(1, round(container.duration / av.time_base * stream.average_rate))
    return None


def _demuxed(container: InputContainer, streams: Sequence[Stream]) -> "Iterator[Packet[Stream]]":
    """The packets of a file, as far as it can be read."""
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        yield packet


def _packets(path: Path) -> "Iterator[Packet[VideoStream]]":
    """The video packets of an earlier run's file, as far as it can be read, in Annex B form."""
    try:
        with av.open(os.fspath(path)) as container:
            stream = container.streams.video[0]
            to_annex_b = BitStreamFilterContext("h264_mp4toannexb", stream)
            for packet in container.demux(stream):
                if packet.dts is not None and packet.size:
                    yield from to_annex_b.filter(packet)
    except av.error.FFmpegError:
        return
