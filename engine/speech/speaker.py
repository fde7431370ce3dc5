"""The speaker of one stream: which packet of sound is due, and when the avatar moves.

It is pure: time comes in as an argument, and no codec runs. It is asked for packets by whoever
sends sound, and before each picture by whoever sends pictures; both count on the same clock.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.clock import GRID, nearest, soonest
from engine.motion.step import REST_STATE, SPEAKING_STATE
from engine.speech.activity import Activity
from engine.speech.sound import PACKET_MS
from engine.speech.utterance import Utterance

_SLOT = PACKET_MS / 1000
_PLAN_AHEAD_MS = 240
_LONGEST_LEAD_MS = 500
_MAX_LAG = 0.25
_HELD = 0.1
"""Seconds, two pictures at least, that the voice is held back while there is no plan for it."""
_EARLY = 0.04
"""Seconds before the voice ends from which the avatar may leave: the nearest exit is taken."""


class Mover(Protocol):
    """What shows the avatar: a player."""

    @property
    def names(self) -> tuple[str, ...]:
        """The states and actions that there are."""

    def plan(self, name: str, not_before: float) -> float | None:
        """Go to a state; return when its first picture is due.

        None, and nothing has changed, where that cannot be said yet.
        """


@dataclass(frozen=True, slots=True)
class Started:
    """An utterance has begun.

    Attributes:
        utterance: Which.
        at: When its first packet was due, in seconds on the caller's clock.
    """

    utterance: Utterance
    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """An utterance is over.

    Attributes:
        utterance: Which.
        position_ms: How much of it was sent.
        interrupted: It was cut off, or never began.
        at: When its last packet is over, in seconds on the caller's clock; None: it never began.
    """

    utterance: Utterance
    position_ms: int
    interrupted: bool
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet of sound to send now.

    Attributes:
        payload: Opus, 20 ms.
        at: When it is due, in seconds on the caller's clock.
        first: Silence was before it.
    """

    payload: bytes
    at: float
    first: bool


class Speaker:
    """Plays utterances one after the other and moves the avatar to their voice.

    The first picture of the speaking state and the first voice of an utterance are due at the
    same moment: the utterance waits for the picture, which comes some pictures after it is asked
    for. Later changes are planned ahead where the voice is known ahead.

    Args:
        pause_ms: The avatar rests in pauses longer than this.
        on_event: Called with what has happened.
    """

    def __init__(self, pause_ms: int, on_event: Callable[[Started | Ended], None]) -> None:
        self._pause = pause_ms / 1000
        self._activity = Activity(pause_ms)
        self._on_event = on_event
        self._queue: deque[Utterance] = deque()
        self._current: Utterance | None = None
        self._begin = 0.0
        self._position = 0
        self._announced = False
        self._gap: float | None = None
        self._free = 0.0
        self._mover: Mover | None = None
        self._moving = False
        self._settled = float("-inf")
        self._voiced = float("-inf")

    @property
    def waiting(self) -> tuple[Utterance, ...]:
        """The utterances that have not begun, in order."""
        return tuple(self._queue)

    @property
    def current(self) -> Utterance | None:
        """The utterance that is being played."""
        return self._current

    @property
    def position_ms(self) -> int:
        """How much of the current utterance was sent."""
        return self._position * PACKET_MS

    def move(self, mover: Mover) -> None:
        """Take what shows the avatar; one without the speaking state stays as it is."""
        self._mover = mover if SPEAKING_STATE in mover.names else None

    def say(self, utterance: Utterance) -> None:
        """Queue an utterance; it may still be empty."""
        self._queue.append(utterance)

    def drop(self, utterance: Utterance) -> None:
        """Cut an utterance off, or take it out of the queue; nothing happens if it is over."""
        if utterance is self._current:
            self._end(interrupted=True)
        elif utterance in self._queue:
            self._queue.remove(utterance)
            self._on_event(Ended(utterance, 0, interrupted=True))

    def interrupt(self) -> None:
        """Fall silent: cut the current utterance off and forget those that wait."""
        waiting, self._queue = self._queue, deque()
        if self._current is not None:
            self._end(interrupted=True)
        for utterance in waiting:
            self._on_event(Ended(utterance, 0, interrupted=True))
        self._voiced = float("-inf")

    # Sound.

    def hold(self, until: float) -> None:
        """Begin nothing before a moment: something else is being sent."""
        self._free = max(self._free, until)

    def due(self) -> float | None:
        """Return when ``advance`` has something to do; None until there is more to play."""
        current = self._current
        if current is None:
            return self._free if self._queue and self._queue[0].ready(0) else None
        if self._gap is not None:
            return self._gap if current.ready(self._position) else None
        return self._begin + self._position * _SLOT

    def advance(self, now: float) -> Packet | None:
        """Return the next packet if it is due, else None."""
        while self._current is not None or self._start(now):
            packet = self._next(now)
            if packet is not None or self._current is not None:
                return packet
        return None

    def _start(self, now: float) -> bool:
        if not self._queue or not self._queue[0].ready(0):
            return False
        current = self._current = self._queue.popleft()
        # What follows directly goes on in the same rhythm, though timers are a little late.
        self._begin = self._free if now - self._free < GRID else soonest(now)
        self._position, self._gap, self._announced = 0, None, False
        if self._mover is None or self._moving:
            return True
        if not current.spans or current.spans[0].start > _LONGEST_LEAD_MS:
            return True
        lead = current.spans[0].start / 1000
        shown = self._go(moving=True, at=self._begin + lead)
        if shown is None:
            shown = self._begin + _HELD
        self._begin = max(self._begin, nearest(shown - lead))
        return True

    def _next(self, now: float) -> Packet | None:
        current = self._current
        assert current is not None
        at = self._begin + self._position * _SLOT
        late = now - at
        if late < 0:
            return None
        after_gap = self._gap is not None
        if after_gap and not current.ready(self._position):
            return None
        if after_gap or late > _MAX_LAG:
            # What comes after a gap is played from now on, not faster.
            at, self._gap = soonest(now), None
            self._begin = at - self._position * _SLOT
            if at > now:
                return None
        if not self._announced:
            self._announced = True
            self._on_event(Started(current, at))
        if self._position < len(current.packets):
            first = after_gap or at - self._free > _SLOT / 2
            payload = current.packets[self._position]
            self._position += 1
            self._free = at + _SLOT
            return Packet(payload, at, first)
        if current.complete:
            self._end(interrupted=False)
        else:
            self._gap = at
        return None

    def _end(self, interrupted: bool) -> None:
        current, self._current = self._current, None
        assert current is not None
        at = self._begin + self._position * _SLOT if self._announced else None
        self._on_event(Ended(current, self.position_ms, interrupted, at))
        self._gap = None
        # A packet of silence comes before the next one, which was encoded to follow silence.
        self._free += _SLOT

    # Motion.

    def follow(self, due: float) -> None:
        """Have the avatar move or rest; called before each picture.

        Args:
            due: When the picture is due.
        """
        if self._mover is None or due <= self._settled:
            return
        if not self._moving and self._current is None:
            return
        wanted = self._wanted(due)
        if wanted != self._moving:
            self._go(wanted, due)
            return
        current = self._current
        if current is None or self._gap is not None:
            return
        at = (due - self._begin) * 1000
        change = self._activity.next_change(
            current.spans, current.horizon_ms, current.complete, round(at)
        )
        # What lies beyond the horizon may still turn out otherwise.
        if change is None or change[0] > min(at + _PLAN_AHEAD_MS, current.horizon_ms):
            return
        if change[1] != self._moving and not (self._moving and self._goes_on()):
            self._plan(due, change[1], self._begin + change[0] / 1000)

    def _wanted(self, due: float) -> bool:
        current = self._current
        pausing = due - self._voiced <= self._pause
        if current is None:
            return self._moving and bool(self._queue) and pausing
        if self._gap is not None and due > self._gap:
            return self._moving and pausing and due - self._gap <= self._pause
        at = round((due - self._begin) * 1000)
        spans, horizon, complete = current.spans, current.horizon_ms, current.complete
        if self._activity.wanted(spans, horizon, complete, at):
            self._voiced = due
            return True
        if not self._moving or not pausing:
            return False
        if not spans or at < spans[0].start:
            # What was said before this one may be followed by a short pause only.
            return not spans or self._begin + spans[0].start / 1000 <= self._voiced + self._pause
        return self._goes_on()

    def _goes_on(self) -> bool:
        """Tell whether the next utterance's voice comes within a pause after the current's."""
        current = self._current
        if current is None or not current.complete or not self._queue:
            return False
        following = self._queue[0]
        if not current.spans or not following.spans:
            return False
        end = current.spans[-1].end
        silence = current.duration_ms - (current.duration_ms if end is None else end)
        return silence + following.spans[0].start <= self._pause * 1000

    def _plan(self, due: float, moving: bool, at: float) -> None:
        if not moving:
            # The exit that is nearest; until the voice ends nothing is asked for again.
            if self._go(False, at - _EARLY) is not None:
                self._settled = max(self._settled, at)
            return
        shown = self._go(True, at)
        # It is silent until then: nobody hears that it lasts longer.
        longer = max(0.0, (due + _HELD if shown is None else shown) - at)
        self._begin = nearest(self._begin + longer)

    def _go(self, moving: bool, at: float) -> float | None:
        if self._mover is None:
            return None
        shown = self._mover.plan(SPEAKING_STATE if moving else REST_STATE, at)
        if shown is not None:
            self._moving, self._settled = moving, shown
        return shown
