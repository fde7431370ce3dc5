"""A source that is given its frames, e.g. by a WebRTC receiver on the event loop."""

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from engine.clock import Clock, monotonic
from engine.pipeline.frame import Frame, Image
from engine.pipeline.ring import DropPolicy, Ring, RingClosed

HELD = 2
"""Frames that wait for the capture thread; it is woken for each, so more would only be delay."""


class PushedSource:
    """Frames come from ``push``, which never waits and may be called on an event loop.

    Pictures that are not arrays are converted where they are read, on the capture thread.

    Args:
        name: What the user calls it, e.g. ``webrtc``.
        clock: Seconds.
    """

    live = True

    def __init__(self, name: str, clock: Clock = monotonic) -> None:
        self.name = name
        self._clock = clock
        self._sequence = 0
        # A frame's own converter must not be used by two readers' threads at once: it can hang.
        self._reformatter = VideoReformatter()
        self._ring: Ring[tuple[Image | av.VideoFrame, int, Fraction, float]] = Ring(
            HELD, DropPolicy.DROP_OLDEST, clock
        )

    @property
    def problem(self) -> str | None:
        """Says so while nothing has been pushed yet."""
        return None if self._sequence else "waiting for the sender's first picture"

    @property
    def dropped(self) -> int:
        """Frames pushed faster than they were read."""
        return self._ring.dropped

    def open(self) -> None:
        """Nothing to open."""

    def push(
        self,
        picture: Image | av.VideoFrame,
        pts: int,
        time_base: Fraction,
        captured_at: float | None = None,
    ) -> bool:
        """Hand in a frame without waiting; from any thread.

        Args:
            picture: ``uint8[h, w, 3]`` BGR, given away; or an ``av.VideoFrame``.
            pts: In units of ``time_base``.
            time_base: Seconds per unit.
            captured_at: On the source's clock; now where it is not known better.

        Returns:
            False once the source has ended: stop pushing.
        """
        at = self._clock() if captured_at is None else captured_at
        try:
            return self._ring.put((picture, pts, time_base, at))
        except RingClosed:
            return False

    def end(self) -> None:
        """The sender has gone: what was pushed is still read, then the source ends."""
        self._ring.close()

    def read(self) -> Frame | None:
        """The next frame pushed; None at the end or when interrupted."""
        try:
            item = self._ring.get()
        except RingClosed:
            return None
        assert item is not None
        picture, pts, time_base, at = item
        frame = Frame(self._as_image(picture), self._sequence, pts, time_base, at)
        self._sequence += 1
        return frame

    def _as_image(self, picture: Image | av.VideoFrame) -> Image:
        if isinstance(picture, np.ndarray):
            return picture
        return self._reformatter.reformat(picture, format="bgr24").to_ndarray().view(np.uint8)

    def interrupt(self) -> None:
        """End reading."""
        self._ring.abort()

    def close(self) -> None:
        """Refuse further frames."""
        self._ring.abort()


class PushedFeed:
    """One sender, any number of readers: each has a source of its own, and may leave.

    Args:
        name: What the user calls the sources, e.g. ``webrtc:ID``.
        clock: Seconds.
    """

    def __init__(self, name: str, clock: Clock = monotonic) -> None:
        self._name = name
        self._clock = clock
        self._sources: list[PushedSource] = []
        self._ended = False

    def subscribe(self) -> PushedSource:
        """Return a source of all that is pushed from now on."""
        source = PushedSource(self._name, self._clock)
        if self._ended:
            source.end()
        self._sources.append(source)
        return source

    def push(self, picture: Image | av.VideoFrame, pts: int, time_base: Fraction) -> None:
        """Hand a frame to every reader without waiting; those that have left are forgotten.

        An ``av.VideoFrame`` is converted by each reader, so none can change another's picture.
        """
        self._sources = [s for s in self._sources if s.push(picture, pts, time_base)]

    def end(self) -> None:
        """The sender has gone: every reader reads what was pushed and then ends."""
        self._ended = True
        for source in self._sources:
            source.end()
