"""The ``render`` command: a file through processors into a file, every frame, off line.

Sound is copied, timestamps are kept (variable frame rates too). The output is H.264 without
B-frames, so one packet of it is one frame of the input; that is what makes a stopped run
resumable: the finished packets are copied and work goes on with the next frame. What is on disk
plays at any time, also after the program was killed.
"""

import os
import threading
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

from capture.file import upright
from engine.clips.opening import damaged, opened, stream_pixel_aspect
from engine.clock import Clock, monotonic
from engine.pipeline.frame import Frame, Image
from engine.pipeline.protocols import Transform
from transport.outputs.fitting import even_size, fit
from transport.outputs.mp4 import create_mp4
from transport.outputs.render_notes import Notes, RenderOptions
from transport.outputs.xmp import TOOL, append_to_mp4, xmp_packet

PREROLL = 30
"""Frames before the point of resumption that the processors see again, to know what they knew."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        done: Frames in the output.
        total: Frames in the input; None where it does not say.
        fps: Frames per second of this run.
        left_s: Seconds left; None where unknown.
    """

    done: int
    total: int | None
    fps: float
    left_s: float | None


@dataclass(frozen=True, slots=True)
class RenderResult:
    """What became of a run.

    Attributes:
        frames: Frames in the output.
        resumed_from: Frames of them that an earlier run had made.
        withheld: Frames shown black, because a processor that fails closed could not do them.
        stopped: It was stopped before the end; the same call goes on from there.
    """

    frames: int
    resumed_from: int
    withheld: int
    stopped: bool

    @property
    def exit_code(self) -> int:
        """0 all done, 3 done but some frames withheld, 130 stopped."""
        if self.stopped:
            return 130
        return 3 if self.withheld else 0


def progress_line(progress: Progress, width: int = 30) -> str:
    """A bar with the frames, the rate and the time left, for a terminal."""
    count = f"{progress.done}" if progress.total is None else f"{progress.done}/{progress.total}"
    share = min(1.0, progress.done / progress.total) if progress.total else 0.0
    bar = "#" * round(width * share)
    left = "" if progress.left_s is None else f", {_duration(progress.left_s)} left"
    return f"[{bar:<{width}}] {count} frames, {progress.fps:.1f} per second{left}"


def render(
    source: Path,
    target: Path,
    transform: Transform,
    options: RenderOptions,
    stop: threading.Event,
    report: Callable[[Progress], None],
    clock: Clock = monotonic,
) -> RenderResult:
    """Render ``source`` into ``target``.

    Args:
        source: Any video file.
        target: An MP4 file. Where a run with the same input and options was stopped, it goes on.
        transform: The processors; the caller closes it.
        options: Quality, batches.
        stop: Set to stop at the next frame; what is done is kept and plays.
        report: Told after every batch.
        clock: Seconds.

    Raises:
        ClipError: The input cannot be read.
        OutputExists: ``target`` is there and is no stopped run of this one.
    """
    notes = Notes(source, target, options)
    with opened(source) as (container, stream):
        earlier = notes.begin(options.overwrite)
        work = _Work(container, stream, source, notes.part, transform, options, clock)
        try:
            stopped = work.run(earlier, stop, report)
        finally:
            work.close()
    if options.source_type is not None:
        append_to_mp4(notes.part, xmp_packet(options.source_type, TOOL))
    notes.end(stopped)
    return RenderResult(work.written, work.copied, work.withheld, stopped)


class _Work:
    """One run: decoding, processing, encoding and muxing in turn."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        source: Path,
        part: Path,
        transform: Transform,
        options: RenderOptions,
        clock: Clock,
    ) -> None:
        self.written = 0
        self.copied = 0
        self.withheld = 0
        self._container = container
        self._stream = stream
        self._source = source
        self._transform = transform
        self._options = options
        self._clock = clock
        self._aspect = stream_pixel_aspect(stream)
        self._time_base = Fraction(stream.time_base or Fraction(1, 90_000))
        self._total = stream.frames or None
        self._output: OutputContainer = create_mp4(part)
        self._sound: dict[int, Stream] = {}
        self._encoder: VideoStream | None = None
        self._waiting_sound: deque[Packet[Stream]] = deque()
        self._batch: list[Frame] = []

    def run(
        self, earlier: Path | None, stop: threading.Event, report: Callable[[Progress], None]
    ) -> bool:
        """True where it was stopped before the end."""
        finished = deque(_packets(earlier)) if earlier is not None else deque()
        self.copied = len(finished)
        started_at = self._clock()
        stopped = False
        for index, frame in enumerate(self._frames()):
            if stop.is_set() and index >= self.copied:
                stopped = True
                break
            if self._encoder is None:
                self._begin(frame)
            if finished:
                self._copy(finished.popleft())
                if len(finished) < PREROLL:
                    self._transform.apply([frame])
                continue
            self._batch.append(frame)
            if len(self._batch) >= self._options.batch_size:
                self._flush()
                report(self._progress(started_at))
        if self._encoder is None:
            raise damaged(self._source)
        self._flush()
        self._output.mux(self._encoder.encode(None))
        report(self._progress(started_at))
        return stopped

    def close(self) -> None:
        """Finish the file."""
        self._output.close()

    def _frames(self) -> Iterator[Frame]:
        """Every picture, upright; sound passes by on the way."""
        sound = [stream for stream in self._container.streams.audio if stream.codec_context]
        step = max(1, round(1 / ((self._stream.average_rate or 25) * self._time_base)))
        pts: int | None = None
        for sequence, decoded in enumerate(self._decode(sound)):
            following = 0 if pts is None else pts + step
            own = following if decoded.pts is None else decoded.pts
            pts = own if pts is None else max(pts + 1, own)
            seconds = float(pts * self._time_base)
            image = upright(decoded, self._aspect)
            yield Frame(image, sequence, pts, self._time_base, seconds)

    def _decode(self, sound: Sequence[Stream]) -> Iterator[VideoFrame]:
        for packet in self._container.demux([self._stream, *sound]):
            if packet.stream is not self._stream:
                self._pass_sound(packet)
                continue
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            yield from (frame for frame in frames if isinstance(frame, VideoFrame))

    def _begin(self, frame: Frame) -> None:
        """Set up the output; its size is that of the first picture."""
        encoder = self._output.add_stream(
            "libx264",
            rate=Fraction(self._stream.average_rate or 25),
            options={"preset": self._options.preset, "crf": str(self._options.crf), "bf": "0"},
        )
        encoder.width, encoder.height = even_size(frame.image)
        encoder.pix_fmt = "yuv420p"
        encoder.time_base = self._time_base
        encoder.codec_context.time_base = self._time_base
        for stream in self._container.streams.audio:
            if stream.codec_context:
                self._sound[stream.index] = self._output.add_stream_from_template(stream)
        self._encoder = encoder
        while self._waiting_sound:
            self._pass_sound(self._waiting_sound.popleft())

    def _pass_sound(self, packet: "Packet[Stream]") -> None:
        if packet.dts is None:
            return
        if self._encoder is None:
            self._waiting_sound.append(packet)
            return
        packet.stream = self._sound[packet.stream.index]
        self._output.mux(packet)

    def _copy(self, packet: "Packet[VideoStream]") -> None:
        assert self._encoder is not None
        packet.stream = self._encoder
        self._output.mux(packet)
        self.written += 1

    def _flush(self) -> None:
        assert self._encoder is not None
        done = {frame.sequence: frame for frame in self._transform.apply(self._batch)}
        size = (self._encoder.width, self._encoder.height)
        for frame in self._batch:
            result = done.get(frame.sequence)
            if result is None:
                self.withheld += 1
            self._encode(
                np.zeros_like(frame.image) if result is None else result.image, frame, size
            )
        self._batch = []

    def _encode(self, image: Image, frame: Frame, size: tuple[int, int]) -> None:
        assert self._encoder is not None
        picture = av.VideoFrame.from_ndarray(fit(image, size), format="bgr24")
        picture.pts, picture.time_base = frame.pts, self._time_base
        self._output.mux(self._encoder.encode(picture))
        self.written += 1

    def _progress(self, started_at: float) -> Progress:
        elapsed = max(self._clock() - started_at, 1e-6)
        rate = (self.written - self.copied) / elapsed
        left = None
        if self._total is not None and rate > 0:
            left = max(0, self._total - self.written) / rate
        return Progress(self.written, self._total, rate, left)


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


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
