"""Records the shown frames as H.264 in MP4.

The file plays even if the program is killed: only what follows its last keyframe is lost.
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from engine.errors import InvalidInput
from engine.media.fitting import even_size, fit
from engine.media.mp4 import create_mp4
from engine.media.xmp import TOOL, append_to_mp4, xmp_packet
from engine.pipeline.frame import Frame
from engine.pipeline.ring import DropPolicy
from engine.pipeline.settings import OutputSettings
from transport.outputs.sink_thread import SinkThread

TIME_BASE = Fraction(1, 90_000)
LONGEST_GAP_S = 10.0
"""A larger step of the source's timestamps is a new source, not a pause."""


class CannotRecord(InvalidInput):
    """A recording cannot be written where it should."""


class Timeline:
    """Timestamps of a recording: the source's own spacing, from 0, rising whatever happens."""

    def __init__(self) -> None:
        self._last: Frame | None = None
        self._seconds = 0.0
        self._pts = -1

    def place(self, frame: Frame) -> int:
        """The presentation time of the next frame, in units of ``TIME_BASE``."""
        last, self._last = self._last, frame
        if last is not None:
            step = frame.media_time - last.media_time
            if not 0.0 < step <= LONGEST_GAP_S:
                step = max(0.0, frame.captured_at - last.captured_at)
            self._seconds += step
        self._pts = max(self._pts + 1, round(self._seconds / TIME_BASE))
        return self._pts


class Recorder:
    """A sink that writes a file; size and start are those of the first frame.

    Frames of another size are fitted into the first one's with black bars.

    Args:
        path: The file; an existing one is replaced.
        settings: Quality and fragments.
        policy: ``WAIT`` where the source is a file and nothing may be lost.
        source_type: The digital source type of the present pictures, or None; the file declares
            the last one that there was.

    Raises:
        CannotRecord: The file cannot be created.
    """

    def __init__(
        self,
        path: Path,
        settings: OutputSettings,
        policy: DropPolicy = DropPolicy.DROP_OLDEST,
        source_type: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.name = f"record:{path}"
        self.written = 0
        self._path = path
        self._settings = settings
        self._source_type = source_type
        self._declared: str | None = None
        self._timeline = Timeline()
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("wb").close()
        except OSError as error:
            raise CannotRecord(
                f"{path} cannot be written: {error.strerror}.", "Choose another place."
            ) from error
        self._thread = SinkThread(f"record-{path.name}", self._write, self._finish, policy=policy)

    def show(self, frame: Frame) -> None:
        """Record a frame; those that only repeat a stale picture are left out."""
        if not frame.stale:
            self._thread.put(frame)

    def close(self) -> None:
        """Finish the file."""
        self._thread.close()

    def _write(self, frame: Frame) -> None:
        if self._container is None or self._stream is None:
            self._container, self._stream = self._open(frame)
        self._declared = self._source_type() or self._declared
        image = fit(frame.image, (self._stream.width, self._stream.height))
        picture = av.VideoFrame.from_ndarray(image, format="bgr24")
        picture.pts, picture.time_base = self._timeline.place(frame), TIME_BASE
        self._container.mux(self._stream.encode(picture))
        self.written += 1

    def _open(self, frame: Frame) -> tuple[OutputContainer, VideoStream]:
        container = create_mp4(self._path)
        stream = container.add_stream(
            "libx264",
            rate=Fraction(30),
            options={
                "preset": "veryfast",
                "crf": str(self._settings.crf),
                "bf": "0",
                "rc-lookahead": "8",
            },
        )
        stream.width, stream.height = even_size(frame.image)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TIME_BASE
        stream.codec_context.gop_size = max(1, round(30 * self._settings.keyframe_s))
        return container, stream

    def _finish(self) -> None:
        if self._container is None or self._stream is None:
            self._path.unlink(missing_ok=True)
            return
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
        if self._declared is not None:
            append_to_mp4(self._path, xmp_packet(self._declared, TOOL))
