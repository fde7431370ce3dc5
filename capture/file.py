"""Video files as a source: every frame, upright, with its own timestamps."""

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from capture.metronome import Metronome
from engine.clips.opening import (
    check_size,
    damaged,
    decode_frames,
    opened,
    stream_pixel_aspect,
)
from engine.clock import Clock, monotonic
from engine.media.upright import upright
from engine.pipeline.frame import Frame

LATEST_S = 0.1
"""A paced file that is read this much too late goes on from there instead of rushing."""


class FileSource:
    """Reads a video file; pictures that cannot be decoded are left out.

    Args:
        path: The file.
        paced: Give frames at the file's own speed; otherwise as fast as they are taken.
        loop: Start again at the end, with timestamps that go on rising.
        clock: Seconds.
        metronome: Waits; tests hand in one that does not.
    """

    live = False
    problem: str | None = None

    def __init__(
        self,
        path: Path,
        paced: bool = True,
        loop: bool = False,
        clock: Clock = monotonic,
        metronome: Metronome | None = None,
    ) -> None:
        self.name = f"file:{path.name}"
        self.duration: float | None = None
        self._path = path
        self._paced = paced
        self._loop = loop
        self._clock = clock
        self._metronome = metronome or Metronome(clock)
        self._held = ExitStack()
        self._frames: Iterator[Frame] = iter(())
        self._start: float | None = None

    def open(self) -> None:
        """Open the file.

        Raises:
            ClipError: It cannot be used; says why.
        """
        container, stream = self._held.enter_context(opened(self._path))
        check_size(self._path, stream.width, stream.height)
        self.duration = container.duration / 1e6 if container.duration else None
        self._frames = self._read_all(container, stream)

    def read(self) -> Frame | None:
        """The next frame; None at the end.

        Raises:
            ClipDamaged: Nothing in the file can be decoded.
        """
        if self._metronome.interrupted:
            return None
        frame = next(self._frames, None)
        if frame is None:
            return None
        now = self._clock()
        if not self._paced:
            return _captured(frame, now)
        if self._start is None:
            self._start = now - frame.media_time
        due = self._start + frame.media_time
        if now - due > LATEST_S:
            self._start += now - due
            due = now
        return _captured(frame, due) if self._metronome.until(due) else None

    def interrupt(self) -> None:
        """End reading."""
        self._metronome.interrupt()

    def close(self) -> None:
        """Close the file; idempotent."""
        self._frames = iter(())
        self._held.close()

    def _read_all(self, container: InputContainer, stream: VideoStream) -> Iterator[Frame]:
        time_base = Fraction(stream.time_base or Fraction(1, 90_000))
        step = max(1, round(1 / ((stream.average_rate or 25) * time_base)))
        aspect = stream_pixel_aspect(stream)
        sequence, offset, pts = 0, 0, -step
        while True:
            first: int | None = None
            for decoded in decode_frames(container, stream):
                own = pts + step - offset if decoded.pts is None else decoded.pts
                first = own if first is None else first
                pts = max(pts + 1, own - first + offset)
                yield Frame(upright(decoded, aspect), sequence, pts, time_base, 0.0)
                sequence += 1
            if first is None:
                raise damaged(self._path)
            if not self._loop:
                return
            offset = pts + step
            container.seek(0)


def _captured(frame: Frame, at: float) -> Frame:
    return Frame(frame.image, frame.sequence, frame.pts, frame.time_base, at)
