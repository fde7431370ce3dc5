"""Videos whose pictures are changed one by one, as a job's files."""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.media.container_names import FileKind
from engine.media.containers import create, tags_of
from engine.media.remaking import Made, Remaking
from engine.media.source_video import SourceVideo
from engine.media.upright import Turner
from processors.generate.whole_file import whole_file


class PictureChange(Protocol):
    """What becomes of a video's pictures."""

    def begin(
        self, first: VideoFrame, output: OutputContainer, rate: Fraction, pixel_aspect: Fraction
    ) -> VideoStream:
        """Add the stream that the pictures are encoded into: codec, size, format, colours.

        Args:
            first: The first picture, upright.
            output: The file.
            rate: Pictures per second, on average.
            pixel_aspect: Width of an upright picture's pixel divided by its height; it stays.
        """

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
        threads: CPU threads of decoder and encoder; 0: as many as there are cores.
        metadata: Tags of the new file, besides those of the old one.
        progress: Told the share that is done after each picture; may raise.

    Raises:
        ClipError: The video cannot be read.
        OSError: The file cannot be written, e.g. as the disk is full.
    """
    tags = {**tags_of(video.container), **metadata}
    pictures = _OneByOne(video, change, progress)
    with whole_file(target) as part, create(part, kind, tags) as output:
        Remaking(video, output, kind, pictures, threads).run()


class _OneByOne:
    """Implements ``Pictures``."""

    def __init__(
        self, video: SourceVideo, change: PictureChange, progress: Callable[[float], None]
    ) -> None:
        self._video = video
        self._change = change
        self._progress = progress
        self._turner = Turner()

    def begin(self, first: VideoFrame, output: OutputContainer) -> VideoStream:
        turned = self._turner.turn(first)
        aspect = self._turner.pixel_aspect(self._video.pixel_aspect)
        encoder = self._change.begin(turned, output, self._video.rate, aspect)
        encoder.codec_context.sample_aspect_ratio = aspect
        return encoder

    def take(self, frame: VideoFrame) -> Made:
        pts, time_base, length = frame.pts or 0, self._video.time_base, self._video.seconds
        seconds = float(pts * time_base)
        made = self._change.change(self._turner.turn(frame), seconds)
        made.pts, made.time_base = pts, time_base
        yield made
        self._progress(min(1.0, seconds / length) if length else 0.0)

    def rest(self) -> Iterator[VideoFrame]:
        return iter(())
