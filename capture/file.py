"""Video files as a source: every frame, upright, with its own timestamps."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from capture.metronome import Metronome
from engine.clock import Clock, monotonic
from engine.errors import ClipError
from engine.pipeline.frame import Frame, Image

LATEST_S = 0.1
"""A paced file that is read this much too late goes on from there instead of rushing."""


def open_video(path: Path) -> av.container.InputContainer:
    """The file, opened, with at least one video stream.

    Raises:
        ClipError: It does not exist, is empty, is not a video or has only sound.
    """
    if not path.is_file():
        raise ClipError(f"There is no file {path}.", "Check the path.")
    if path.stat().st_size == 0:
        raise ClipError(f"The file {path} is empty.", "Copy or record it again.")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise ClipError(f"{path} cannot be read as a video: {error}.") from error
    if not container.streams.video:
        container.close()
        raise ClipError(f"{path} has no picture in it.", "Give a file with video.")
    return container


def upright(frame: av.VideoFrame) -> Image:
    """The decoded picture as BGR, turned the way the camera was held.

    Args:
        frame: As decoded; a phone's clip says in its display matrix how to turn it.
    """
    image = frame.to_ndarray(format="bgr24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


class FileSource:
    """Reads a video file.

    A frame that cannot be decoded is left out and counted in ``damaged``.

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
        self.damaged = 0
        self._path = path
        self._paced = paced
        self._loop = loop
        self._clock = clock
        self._metronome = metronome or Metronome(clock)
        self._container: av.container.InputContainer | None = None
        self._frames: Iterator[Frame] = iter(())
        self._start: float | None = None

    def open(self) -> None:
        """Open the file.

        Raises:
            ClipError: It cannot be used.
        """
        self._container = open_video(self._path)
        self._frames = self._read_all(self._container)

    def read(self) -> Frame | None:
        """The next frame; None at the end.

        Raises:
            ClipError: Nothing in the file could be decoded.
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
        if self._container is not None:
            self._container.close()
            self._container = None

    def _read_all(self, container: av.container.InputContainer) -> Iterator[Frame]:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        time_base = Fraction(stream.time_base or Fraction(1, 90_000))
        step = max(1, round(1 / ((stream.average_rate or 25) * time_base)))
        sequence, offset, pts = 0, 0, -step
        while True:
            first: int | None = None
            for decoded in self._decode(container, stream):
                own = pts + step - offset if decoded.pts is None else decoded.pts
                first = own if first is None else first
                pts = max(pts + 1, own - first + offset)
                yield Frame(upright(decoded), sequence, pts, time_base, 0.0)
                sequence += 1
            if sequence == 0:
                raise ClipError(f"Not one picture of {self._path} can be decoded.")
            if not self._loop or first is None:
                return
            offset = pts + step
            container.seek(0)

    def _decode(
        self, container: av.container.InputContainer, stream: av.VideoStream
    ) -> Iterator[av.VideoFrame]:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.error.InvalidDataError:
                self.damaged += 1


def _captured(frame: Frame, at: float) -> Frame:
    return Frame(frame.image, frame.sequence, frame.pts, frame.time_base, at)
