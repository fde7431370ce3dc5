"""Draws subtitles into a video's pictures; the sound is copied, every picture keeps its time."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error
import numpy as np
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.clips.filtering import picture_key
from engine.clips.opening import check_size, damaged, opened, stream_pixel_aspect
from engine.speech.captions import Cue
from processors.generate.blending import Ink
from processors.generate.canvas import Canvas
from processors.generate.declaration import Context
from processors.generate.fonts import FontFile, find_font
from processors.generate.lettering import Layer, Lettering
from processors.generate.subtitle_files import lines_of
from processors.generate.subtitles import SubtitleParameters
from processors.generate.tracks import (
    TrackCopy,
    choose_container,
    create,
    seconds_of,
    sound_tracks,
    start_of,
    tags_of,
)
from processors.generate.upright import Upright
from processors.generate.whole_file import whole_file

_USUAL_RATE = Fraction(25)
_MOST_WAITING = 20_000
"""Packets of sound that may come before the first picture: several minutes of some tracks."""


def burn(
    source: Path,
    context: Context,
    cues: Sequence[Cue],
    params: SubtitleParameters,
    metadata: Mapping[str, str],
    progress: Callable[[float], None],
) -> Path:
    """Write a copy of a video with the cues drawn into it, as H.264.

    Pictures are stored upright, with the colours and the depth that they had.

    Args:
        source: A video.
        context: For the folder in which ``video.mp4`` or ``video.mkv`` is made, and previews.
        cues: From the start of the file.
        params: Style, quality, container.
        metadata: Tags of the new file, besides those of the old one.
        progress: Told the share that is done after each picture; may raise.

    Raises:
        ClipError: The video cannot be read.
        ContainerUnfit: See ``choose_container``.
        MissingDependency: Pillow is not installed.
    """
    text = "".join(line for cue in cues for line in lines_of(cue))
    font = find_font(params.style.font, text, params.style.bold)
    with opened(source) as (container, stream):
        sounds = sound_tracks(container)
        kind = choose_container(params.container, "h264", sounds)
        target = context.folder / f"video.{kind}"
        tags = {**tags_of(container), **metadata}
        with whole_file(target) as part, create(part, kind, tags) as output:
            work = _Work(source, container, stream, output, params, font, cues)
            work.run(sounds, context, progress)
    return target


class CueDrawer:
    """Draws the cue that is due into pictures, in order of their times.

    Args:
        lettering: Draws the letters.
        cues: In order; none overlaps the next.
    """

    def __init__(self, lettering: Lettering, cues: Sequence[Cue]) -> None:
        self._lettering = lettering
        self._cues = deque(cues)
        self._drawn: tuple[Cue, Layer | None] | None = None
        self._inks: dict[tuple[object, ...], Ink] = {}

    def draw(self, frame: VideoFrame, seconds: float) -> None:
        """Draw into a writable picture what is to be read at this second."""
        while self._cues and self._cues[0].end <= seconds:
            self._cues.popleft()
        if not self._cues or self._cues[0].start > seconds:
            return
        cue = self._cues[0]
        if self._drawn is None or self._drawn[0] is not cue:
            self._drawn = (cue, self._lettering.layer(lines_of(cue)))
            self._inks.clear()
        layer = self._drawn[1]
        if layer is None:
            return
        key = picture_key(frame)
        if key not in self._inks:
            self._inks[key] = Ink(layer, frame)
        self._inks[key].apply(frame)


class _Work:
    """One run: decoding, drawing, encoding and muxing in turn."""

    def __init__(
        self,
        source: Path,
        container: InputContainer,
        stream: VideoStream,
        output: OutputContainer,
        params: SubtitleParameters,
        font: FontFile,
        cues: Sequence[Cue],
    ) -> None:
        self._source = source
        self._container = container
        self._stream = stream
        self._output = output
        self._params = params
        self._font = font
        self._cues = cues
        self._time_base = Fraction(stream.time_base or Fraction(1, 90_000))
        self._start = round(start_of(container) / self._time_base)
        self._upright = Upright(self._time_base)
        self._encoder: VideoStream | None = None
        self._canvas: Canvas | None = None
        self._drawer: CueDrawer | None = None
        self._waiting: deque[Packet[Stream]] = deque()

    def run(
        self, sounds: Sequence[Stream], context: Context, progress: Callable[[float], None]
    ) -> None:
        """Do all of it."""
        # x264's stream comes first in the file, and is only known with the first picture.
        copy: TrackCopy | None = None
        total = seconds_of(self._container, self._stream)
        for item in self._items(sounds):
            if isinstance(item, Packet):
                if copy is not None:
                    copy.mux(item)
                elif len(self._waiting) < _MOST_WAITING:
                    self._waiting.append(item)
                else:
                    raise damaged(self._source)
                continue
            if copy is None:
                self._begin(item, context.place.threads)
                copy = TrackCopy(self._container, self._output, sounds)
                while self._waiting:
                    copy.mux(self._waiting.popleft())
            seconds = self._picture(item, context)
            progress(min(1.0, seconds / total) if total else 0.0)
        if self._encoder is None:
            raise damaged(self._source)
        self._encode(None)

    def _items(self, sounds: Sequence[Stream]) -> Iterator["VideoFrame | Packet[Stream]"]:
        """Yield upright pictures, and packets of sound, as they come."""
        last: int | None = None
        step = max(1, round(1 / ((self._stream.average_rate or _USUAL_RATE) * self._time_base)))
        for packet in self._container.demux([self._stream, *sounds]):
            if packet.stream is not self._stream:
                if packet.dts is not None and packet.size:
                    yield packet
                continue
            for frame in _decoded(packet):
                check_size(self._source, frame.width, frame.height)
                expected = 0 if last is None else last + step
                own = expected if frame.pts is None else frame.pts
                last = own if last is None else max(last + 1, own)
                frame.pts, frame.time_base = last, self._time_base
                yield from self._upright.turn(frame)
        yield from self._upright.flush()

    def _begin(self, frame: VideoFrame, threads: int) -> None:
        """Set up encoder and letters for pictures like the first one."""
        encoder = self._output.add_stream(
            "libx264",
            rate=Fraction(self._stream.average_rate or _USUAL_RATE),
            options={"preset": self._params.preset, "crf": str(self._params.crf)},
        )
        canvas = Canvas.like(frame)
        canvas.describe(encoder)
        aspect = self._upright.pixel_aspect(stream_pixel_aspect(self._stream))
        encoder.codec_context.sample_aspect_ratio = aspect
        encoder.time_base = encoder.codec_context.time_base = self._time_base
        encoder.codec_context.thread_count = threads
        size = (canvas.width, canvas.height)
        lettering = Lettering(self._params.style, self._font, size, aspect)
        self._drawer = CueDrawer(lettering, self._cues)
        self._canvas, self._encoder = canvas, encoder

    def _picture(self, item: VideoFrame, context: Context) -> float:
        """Draw on a picture and encode it; return its second."""
        assert self._canvas is not None
        assert self._drawer is not None
        frame = self._canvas.take(item)
        frame.pts = (frame.pts or 0) - self._start
        seconds = float(frame.pts * self._time_base)
        self._drawer.draw(frame, seconds)
        if context.wants_preview():
            context.preview(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
        self._encode(frame)
        return seconds

    def _encode(self, frame: VideoFrame | None) -> None:
        assert self._encoder is not None
        self._output.mux(self._encoder.encode(frame))


def _decoded(packet: Any) -> Iterator[VideoFrame]:
    try:
        frames = packet.decode()
    except av.error.FFmpegError:
        return
    yield from (frame for frame in frames if isinstance(frame, VideoFrame))
