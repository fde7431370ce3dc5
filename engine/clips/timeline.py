"""Honest time: the moments that a clip's pictures are shown at, and an even cadence made of them.

Timestamps of real files start anywhere, stand still, run back, jump (pieces joined without care,
counters that wrap) or are absent. ``Timeline`` turns them into seconds from the first picture which
only grow; ``cadence`` chooses the picture of each tick of a constant frame rate.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from av.video.frame import VideoFrame

LONGEST_STILL = 10.0
"""Seconds that one picture may stay on screen; a longer gap is taken for a jump of the clock."""

_RUNS_BACK = 1.0
"""Seconds back from which a timestamp starts a new count; less is a picture out of order."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture and when it is shown.

    Attributes:
        time: Seconds since the clip's first picture.
        duration: Seconds it stays when no other picture follows.
        frame: The picture.
    """

    time: float
    duration: float
    frame: VideoFrame


class Timeline:
    """Turns the timestamps of successive pictures into seconds which only grow.

    Args:
        usual_step: Seconds between pictures, for where the timestamps say nothing.
        origin: The raw second that is to be 0; the first picture's own where it is not given.
    """

    def __init__(self, usual_step: float, origin: float | None = None) -> None:
        self._step = usual_step
        self._offset = None if origin is None else -origin
        self._last: float | None = None

    def place(self, raw: float | None) -> float:
        """The time in seconds of the next picture, whose timestamp reads ``raw`` seconds."""
        time = self._first(raw) if self._last is None else self._next(raw, self._last)
        self._last = time
        return time

    def stay(self, raw: float) -> float:
        """Seconds the picture stays when it is the last, whose duration reads ``raw`` seconds."""
        return raw if 0.0 < raw <= LONGEST_STILL else self._step

    def _first(self, raw: float | None) -> float:
        if raw is None:
            self._offset = self._offset or 0.0
            return 0.0
        if self._offset is None:
            self._offset = -raw
        return raw + self._offset

    def _next(self, raw: float | None, last: float) -> float:
        expected = last + self._step
        if raw is None:
            return expected
        assert self._offset is not None
        step = raw + self._offset - last
        if 0.0 < step <= LONGEST_STILL:
            self._step = step if step <= 1.0 else self._step
            return last + step
        if not -_RUNS_BACK < step <= 0.0:
            self._offset = expected - raw
        return expected


def cadence(
    pictures: Iterable[Picture], fps: Fraction, start: float = 0.0, end: float | None = None
) -> Iterator[Picture]:
    """Choose the picture of each tick of a constant frame rate.

    Tick n shows what is on screen in its middle, ``start + (n + 1/2) / fps``: a clip that already
    has this rate goes through one to one, whatever the rounding of its timestamps.

    Args:
        pictures: In order of time.
        fps: Ticks per second.
        start: Second of the clip at which tick 0 begins.
        end: Second of the clip at which to stop, where that is before its last picture's end.

    Yields:
        One picture per tick; the same one again where the clip is slower than the ticks.
    """
    ticks = 0

    def middle() -> float:
        return start + float((ticks + Fraction(1, 2)) / fps)

    shown: Picture | None = None
    for picture in pictures:
        while shown is not None and middle() < picture.time:
            if end is not None and middle() >= end:
                return
            yield shown
            ticks += 1
        shown = picture
    if shown is None:
        return
    last = shown.time + shown.duration
    if end is not None:
        last = min(last, end)
    while middle() < last:
        yield shown
        ticks += 1
