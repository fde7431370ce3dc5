"""The player: given time and commands, it names the next encoded picture.

It is pure: no clock, no thread, no codec. Pictures are due at strictly even times from the
player's start, and their timestamps are strictly even too, whatever the caller's delays.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Protocol

from engine.motion.step import Step

VIDEO_CLOCK_RATE = 90_000
"""Ticks per second of RTP timestamps for video (RFC 3551)."""

_ROUNDING = 1e-3
"""Pictures that a planned moment may be off by float arithmetic."""

MAX_LAG = 0.25
"""Seconds that a caller may be late and still get every picture; later ones are skipped."""


class Walk(Protocol):
    """What decides the order of pictures."""

    @property
    def state(self) -> str:
        """The state or action that is played or about to be."""

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that can be requested."""

    def request(self, name: str) -> None:
        """Go to a state, or play an action once."""

    def plan(self, name: str, earliest: int) -> int | None:
        """Go to a state after at least so many pictures; return after how many.

        None, and nothing has changed, where that cannot be said yet.
        """

    def next(self) -> Step:
        """Return the next picture."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The picture to send now.

    Attributes:
        number: Counts frame intervals since the start; skipped pictures leave gaps.
        index: The picture's number within the pack.
        keyframe: Whether a decoder can start at it.
        timestamp: On the 90 kHz media clock since the start, not wrapped.
        due: When it should leave, in seconds on the caller's clock.
        state: The state or action that it belongs to.
        entered: Whether it is the first picture of that state.
        finished: The one-shot action that ended just before, or None.
    """

    number: int
    index: int
    keyframe: bool
    timestamp: int
    due: float
    state: str
    entered: bool
    finished: str | None


class Player:
    """Plays a walk at an even rate.

    Args:
        walk: Chooses the pictures.
        fps: Pictures per second.
        start: When the first picture is due, in seconds on the caller's clock.
    """

    def __init__(self, walk: Walk, fps: Fraction, start: float) -> None:
        self._walk = walk
        self._fps = fps
        self._rate, self._scale = fps.numerator, fps.denominator
        self._start = start
        self._number = 0
        self._last_state: str | None = None
        self.skipped = 0

    @property
    def state(self) -> str:
        """The state or action that is played or about to be."""
        return self._walk.state

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that can be requested."""
        return self._walk.names

    def request(self, name: str) -> None:
        """Go to a state, or play an action once and return.

        Raises:
            StateNotFound: There is no state or action of this name.
        """
        self._walk.request(name)

    def plan(self, name: str, not_before: float) -> float | None:
        """Go to a state at a moment that is known ahead.

        Args:
            name: The state.
            not_before: When its first picture may be due, in seconds on the caller's clock.

        Returns:
            When its first picture is due; the next picture's time where the state is being
            played; None, and nothing has changed, where that cannot be said yet.

        Raises:
            StateNotFound: There is no state of this name.
        """
        pictures = (not_before - self.due()) * self._rate / self._scale
        earliest = max(0, ceil(pictures - _ROUNDING))
        before = self._walk.plan(name, earliest)
        return None if before is None else self._due(self._number + before)

    def due(self) -> float:
        """Return when the next picture is due, in seconds on the caller's clock."""
        return self._due(self._number)

    def _due(self, number: int) -> float:
        return self._start + number * self._scale / self._rate

    def advance(self, now: float) -> Picture | None:
        """Return the next picture if it is due, else None.

        Called late by up to ``MAX_LAG`` it returns every picture, one a call. Called later still
        (the machine slept, say), it goes on at the present with the next keyframe of the walk, so
        that the timeline never lags behind for good.
        """
        late = now - self.due()
        if late < 0:
            return None
        step = self._walk.next()
        finished = step.finished
        if late > MAX_LAG:
            missed = floor(Fraction(late) * self._fps)
            self._number += missed
            self.skipped += missed
            while not step.keyframe:
                step = self._walk.next()
                finished = finished or step.finished
        picture = Picture(
            number=self._number,
            index=step.index,
            keyframe=step.keyframe,
            timestamp=self._number * self._scale * VIDEO_CLOCK_RATE // self._rate,
            due=self.due(),
            state=step.state,
            entered=step.state != self._last_state,
            finished=finished,
        )
        self._last_state = step.state
        self._number += 1
        return picture
