"""Every frame of a video through processors, off line, into a file that is open for writing.

Sound is copied, timestamps are kept (variable frame rates too), and so are the meaning of the
colours. A resumable output is H.264 without B-frames, so one packet of it is one frame of the
input: the finished packets of a run that was stopped are copied, and work goes on with the next
frame.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.clock import Clock, monotonic
from engine.media.colours import Colours
from engine.media.container_names import FileKind
from engine.media.fitting import even_size, fit
from engine.media.h264 import add_h264
from engine.media.remaking import Made, Remaking
from engine.media.source_video import SourceVideo
from engine.media.upright import upright
from engine.pipeline.frame import Frame, Image
from engine.pipeline.protocols import Transform

PREROLL = 30
"""Frames before the point of resumption that the processors see again, to know what they knew."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How frames are processed and encoded.

    Attributes:
        crf: H.264 quality, less is better.
        preset: x264's speed.
        batch_size: Frames processed at once.
        threads: Of decoder and encoder; 0: as many as there are cores.
        resumable: See ``add_h264``.
    """

    crf: int = 18
    preset: str = "veryfast"
    batch_size: int = 1
    threads: int = 0
    resumable: bool = False


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


def ignore(_: object) -> None:
    """Do nothing with a picture or a report."""


class Rendering:
    """One run; implements ``Pictures``.

    Args:
        video: The input.
        output: Where to write; not begun yet. ``run`` does not close it.
        kind: Its container.
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
        video: SourceVideo,
        output: OutputContainer,
        kind: FileKind,
        transform: Transform,
        encoding: Encoding,
        clock: Clock = monotonic,
    ) -> None:
        self.written = 0
        self.copied = 0
        self.withheld = 0
        self._video = video
        self._transform = transform
        self._encoding = encoding
        self._clock = clock
        self._loop = Remaking(video, output, kind, self, encoding.threads)
        self._total = video.frames
        self._size = (0, 0)
        self._colours: Colours | None = None
        self._taken = 0
        self._finished: deque[Packet[VideoStream]] = deque()
        self._batch: list[Frame] = []
        self._started_at = 0.0
        self._report: Callable[[Progress], None] = ignore
        self._show: Callable[[Image], None] = ignore

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
            earlier: The file of an earlier run that was resumable, whose frames are copied.

        Returns:
            Whether it was stopped before the end.

        Raises:
            ClipDamaged: No picture of the input can be decoded.
            ClipTooLarge: One has too many pixels.
        """
        if earlier is not None:
            self._finished.extend(_packets(earlier))
        self.copied = len(self._finished)
        self._report, self._show = report, show
        self._started_at = self._clock()
        stopped = self._loop.run(lambda: not self._finished and stop())
        report(self._progress())
        return stopped

    def begin(self, first: VideoFrame, output: OutputContainer) -> VideoStream:
        """Set up the encoder; size and colours are those of the first picture."""
        encoding = self._encoding
        encoder = add_h264(
            output, self._video.rate, encoding.crf, encoding.preset, encoding.resumable
        )
        self._size = even_size(self._upright(first))
        encoder.width, encoder.height = self._size
        encoder.pix_fmt = "yuv420p"
        self._colours = Colours.of(first)
        self._colours.describe(encoder)
        return encoder

    def take(self, frame: VideoFrame) -> Made:
        """Process the picture, with others of its batch; what an earlier run made is copied."""
        image, pts, time_base = self._upright(frame), frame.pts or 0, self._video.time_base
        taken = Frame(image, self._taken, pts, time_base, float(pts * time_base))
        self._taken += 1
        if self._finished:
            self.written += 1
            yield self._finished.popleft()
            if len(self._finished) < PREROLL:
                self._transform.apply([taken])
            return
        self._batch.append(taken)
        if len(self._batch) >= self._encoding.batch_size:
            yield from self.rest()
            self._report(self._progress())

    def rest(self) -> Made:
        """Process what waits for its batch."""
        done = {frame.sequence: frame for frame in self._transform.apply(self._batch)}
        for frame in self._batch:
            result = done.get(frame.sequence)
            if result is None:
                self.withheld += 1
            image = np.zeros_like(frame.image) if result is None else result.image
            self._show(image)
            yield self._picture(image, frame)
            self.written += 1
        self._batch = []

    def _upright(self, frame: VideoFrame) -> Image:
        return upright(frame, self._video.pixel_aspect, exact=True)

    def _picture(self, image: Image, frame: Frame) -> VideoFrame:
        assert self._colours is not None
        picture = self._colours.encoded(fit(image, self._size))
        picture.pts, picture.time_base = frame.pts, frame.time_base
        return picture

    def _progress(self) -> Progress:
        elapsed = max(self._clock() - self._started_at, 1e-6)
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
