"""What subscribers have not taken yet: bounded, whatever they do."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from engine.jobs.events import EventKind, JobEvent, Told

_FIRST = (EventKind.STATE, EventKind.POSITION, EventKind.PREVIEW, EventKind.PROGRESS)


class Subscription:
    """What a subscriber has not taken yet. Bounded: of each kind only the newest is kept, and of
    the log the last lines.

    Args:
        job_id: The job.
        on_news: Called in the feed's thread when there is something to take; must not block.
        change: ``Job.changed`` of what the subscriber knows already; 0: nothing.
        line: The last line of the log that it knows.
    """

    LINES: Final = 500

    def __init__(
        self, job_id: str, on_news: Callable[[], None], change: int = 0, line: int = 0
    ) -> None:
        self.job_id = job_id
        self.known_change = change
        self._on_news = on_news
        self._lock = threading.Lock()
        self._latest: dict[EventKind, JobEvent] = {}
        self._lines: deque[JobEvent] = deque(maxlen=self.LINES)
        # What the feed's thread knows that the subscriber was told.
        self.told: Told = {}
        self.last_line = line
        self.ended = False

    def take(self) -> list[JobEvent]:
        """Return all that is new: state, position, preview, progress, log lines, the end."""
        with self._lock:
            end = [e for kind in (EventKind.DONE, EventKind.REMOVED) if (e := self._pop(kind))]
            news = [e for kind in _FIRST if (e := self._pop(kind))]
            lines = list(self._lines)
            self._lines.clear()
        return news + lines + end

    def put(self, events: Iterable[JobEvent]) -> None:
        """Add events; for the feed."""
        with self._lock:
            before = bool(self._latest or self._lines)
            for event in events:
                if event.kind is EventKind.LOG:
                    self._lines.append(event)
                else:
                    self._latest[event.kind] = event
            news = bool(self._latest or self._lines) and not before
        if news:
            self._on_news()

    def _pop(self, kind: EventKind) -> JobEvent | None:
        return self._latest.pop(kind, None)


class QueueSubscription:
    """What a subscriber to all jobs has not taken yet. Bounded: a subscriber that is too slow has
    ``lost`` some, and must begin anew.

    Args:
        on_news: Called in the feed's thread when there is something to take; must not block.
        change: The number of the last change that the subscriber knows; None: it is told first how
            the unfinished jobs stand.
    """

    CAPACITY: Final = 4000

    def __init__(self, on_news: Callable[[], None], change: int | None = None) -> None:
        self._on_news = on_news
        self._lock = threading.Lock()
        self._waiting: list[JobEvent] = []
        self.lost = False
        # What the feed's thread knows that the subscriber was told.
        self.seen = change
        self.told: dict[str, Told] = {}
        self.places: dict[str, int] = {}
        self.last_lines: dict[str, int] = {}

    def take(self) -> list[JobEvent]:
        """Return all that is new, in order."""
        with self._lock:
            news, self._waiting = self._waiting, []
        return news

    def put(self, events: Sequence[JobEvent]) -> None:
        """Add events."""
        if not events:
            return
        with self._lock:
            if len(self._waiting) + len(events) > self.CAPACITY:
                self.lost = True
                self._waiting.clear()
            else:
                self._waiting.extend(events)
        self._on_news()
