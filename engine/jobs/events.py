"""What happens to jobs, told to subscribers within moments, in whichever process it happens.

A thread looks at the store's counter of changes every ``poll_s`` (one read of one row). When it
moved, the jobs that somebody follows are read and compared with what the subscriber knows.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import select

from engine.errors import Unavailable
from engine.jobs.opening import Jobs
from engine.jobs.rows import to_job
from engine.jobs.schema import jobs as jobs_table
from engine.jobs.spec import FINISHED, Job, JobState

_log = logging.getLogger(__name__)


class EventKind(StrEnum):
    """What an event says. ``data`` has the fields named here."""

    STATE = "state"
    """``state, message, attempt, request, error`` (error: ``kind, description, hint`` or null)."""
    POSITION = "position"
    """``position``: queued jobs that go before this one; 0: it is next."""
    PROGRESS = "progress"
    """``progress`` (0 to 1), ``eta_s`` (or null), ``message``."""
    PREVIEW = "preview"
    """``name``: for ``JobFiles.preview``."""
    LOG = "log"
    """``number, at, line``; numbers that are missing were dropped."""
    DONE = "done"
    """The whole job, as ``Job.to_json``: it is done, failed or cancelled. The last event."""
    REMOVED = "removed"
    """Nothing: the job was deleted. The last event."""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job.

    Attributes:
        job_id: The job.
        kind: What happened.
        data: A JSON object; see ``EventKind``.
        job: The job as it stood then; None with ``REMOVED``.
    """

    job_id: str
    kind: EventKind
    data: dict[str, Any]
    job: Job | None = None

    @property
    def last(self) -> bool:
        """Whether nothing follows."""
        return self.kind in (EventKind.DONE, EventKind.REMOVED)


Told = dict[EventKind, dict[str, Any]]
"""Of each kind, what was told last."""


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


_BATCH: Final = 500
_PLACES: Final = 500
"""Queued jobs, from the first on, whose place is told to those who follow all jobs."""

_FIRST = (EventKind.STATE, EventKind.POSITION, EventKind.PREVIEW, EventKind.PROGRESS)


class JobFeed:
    """Feeds subscribers.

    Args:
        jobs: The open queue.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._lock = threading.Lock()
        self._subscriptions: set[Subscription] = set()
        self._queues: set[QueueSubscription] = set()
        self._seen = -1
        self._wake = threading.Event()
        self._ends = False
        self._silent = False
        self._thread = threading.Thread(target=self._run, name="jobs-feed")

    def start(self) -> None:
        """Start the thread that looks for news."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ends = True
        self._wake.set()
        self._thread.join()

    @contextmanager
    def _added(self, subscription: Subscription) -> Iterator[None]:
        self.add(subscription)
        try:
            yield
        finally:
            self.remove(subscription)

    def add(self, subscription: Subscription) -> None:
        """Feed a subscription: first with how the job stands, then with what changes."""
        with self._lock:
            self._subscriptions.add(subscription)
            self._seen = -1
        self._wake.set()

    def remove(self, subscription: Subscription) -> None:
        """Feed a subscription no more."""
        with self._lock:
            self._subscriptions.discard(subscription)

    def add_queue(self, subscription: QueueSubscription) -> None:
        """Feed a subscription to all jobs."""
        with self._lock:
            self._queues.add(subscription)
            self._seen = -1
        self._wake.set()

    def remove_queue(self, subscription: QueueSubscription) -> None:
        """Feed a subscription to all jobs no more."""
        with self._lock:
            self._queues.discard(subscription)

    def removed(self, job_id: str) -> None:
        """Tell those who follow all jobs that one was deleted: its row tells nobody any more."""
        with self._lock:
            queues = list(self._queues)
        for subscription in queues:
            subscription.put([JobEvent(job_id, EventKind.REMOVED, {})])

    async def follow(self, job_id: str) -> AsyncIterator[JobEvent]:
        """Yield what happens to a job, from how it stands to its end.

        Raises:
            JobNotFound: There is no such job.
            Unavailable: The store is out of reach.
        """
        await asyncio.to_thread(self._jobs.queue.get, job_id)
        loop = asyncio.get_running_loop()
        news = asyncio.Event()
        subscription = Subscription(job_id, lambda: _wake_loop(loop, news))
        with self._added(subscription):
            while True:
                await news.wait()
                news.clear()
                for event in subscription.take():
                    yield event
                    if event.last:
                        return

    def poll(self) -> None:
        """Look for news once.

        Raises:
            Unavailable: The store is out of reach.
        """
        with self._lock:
            followed = [s for s in self._subscriptions if not s.ended]
            queues = [s for s in self._queues if not s.lost]
            seen = self._seen
        if not followed and not queues:
            return
        change = self._jobs.store.changes()
        if change == seen:
            return
        if followed:
            ids = {subscription.job_id for subscription in followed}
            with self._jobs.store.read() as connection:
                query = select(jobs_table).where(jobs_table.c.id.in_(ids))
                found = {row["id"]: to_job(row) for row in connection.execute(query).mappings()}
            for subscription in followed:
                self._feed(subscription, found.get(subscription.job_id))
        behind = [s for s in queues if not self._feed_queue(s, change)]
        with self._lock:
            # A subscription that was added meanwhile must be fed at once, too.
            self._seen = change if self._seen == seen and not behind else -1

    def _feed(self, subscription: Subscription, job: Job | None) -> None:
        if job is None:
            subscription.ended = True
            subscription.put([JobEvent(subscription.job_id, EventKind.REMOVED, {})])
            return
        known = job.changed <= subscription.known_change
        events = _news(job, subscription.told)
        if known:
            # Only its place may have changed since.
            events = []
        if job.state is JobState.QUEUED:
            data = {"position": self._jobs.history.place(job)}
            if subscription.told.get(EventKind.POSITION) != data:
                subscription.told[EventKind.POSITION] = data
                events.append(JobEvent(job.id, EventKind.POSITION, data, job))
        lines, subscription.last_line = self._lines(job, subscription.last_line)
        events += lines
        if job.state.finished:
            subscription.ended = True
            events.append(JobEvent(job.id, EventKind.DONE, job.to_json(), job))
        subscription.put(events)

    def _feed_queue(self, subscription: QueueSubscription, change: int) -> bool:
        """Tell a subscriber to all jobs what is new; return whether that was all."""
        query = select(jobs_table).order_by(jobs_table.c.changed).limit(_BATCH)
        if subscription.seen is None:
            query = query.where(jobs_table.c.state.not_in(FINISHED))
        else:
            query = query.where(jobs_table.c.changed > subscription.seen)
        with self._jobs.store.read() as connection:
            found = [to_job(row) for row in connection.execute(query).mappings()]
        events: list[JobEvent] = []
        for job in found:
            events += _news(job, subscription.told.setdefault(job.id, {}))
            if job.state is not JobState.QUEUED:
                known = subscription.last_lines.get(job.id, 0)
                lines, subscription.last_lines[job.id] = self._lines(job, known)
                events += lines
            if job.state.finished:
                subscription.told.pop(job.id, None)
                subscription.last_lines.pop(job.id, None)
                events.append(JobEvent(job.id, EventKind.DONE, job.to_json(), job))
        if any(event.kind is EventKind.STATE for event in events) or any(
            job.state is JobState.QUEUED for job in found
        ):
            events += self._moved(subscription)
        whole = len(found) < _BATCH
        subscription.seen = change if whole else found[-1].changed
        subscription.put(events)
        return whole

    def _moved(self, subscription: QueueSubscription) -> list[JobEvent]:
        before, now = subscription.places, self._jobs.history.places(limit=_PLACES)
        subscription.places = now
        return [
            JobEvent(job_id, EventKind.POSITION, {"position": place})
            for job_id, place in now.items()
            if before.get(job_id) != place
        ]

    def _lines(self, job: Job, known: int) -> tuple[list[JobEvent], int]:
        """Return the lines of a job's log behind a known one, and the number of the last."""
        lines = self._jobs.history.log(job.id, known)
        events = [
            JobEvent(job.id, EventKind.LOG, {"number": n.number, "at": n.at, "line": n.line}, job)
            for n in lines
        ]
        return events, lines[-1].number if lines else known

    def _run(self) -> None:
        while not self._ends:
            try:
                self.poll()
                self._silent = False
            except Unavailable as error:
                if not self._silent:
                    _log.warning("Nothing is heard of jobs at present: %s", error)
                self._silent = True
            except Exception:  # noqa: BLE001  # see below
                # A mistake in the program; but nobody would hear of jobs any more.
                if not self._silent:
                    _log.exception("The feed of jobs has met an error.")
                self._silent = True
            self._wake.wait(self._jobs.settings.poll_s)
            self._wake.clear()


def _wake_loop(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(news.set)
    except RuntimeError:
        # The loop has ended, and nobody follows any more.
        _log.debug("A follower's event loop has ended.")


def _news(job: Job, told: Told) -> list[JobEvent]:
    """Return what is to be told of a job, and note it."""
    events = []
    for kind, data in _standing(job):
        if told.get(kind) != data:
            told[kind] = data
            events.append(JobEvent(job.id, kind, data, job))
    return events


def _standing(job: Job) -> Iterable[tuple[EventKind, dict[str, Any]]]:
    error = job.error and {
        "kind": job.error.kind,
        "description": job.error.description,
        "hint": job.error.hint,
    }
    yield (
        EventKind.STATE,
        {
            "state": job.state.value,
            "message": job.message if job.state is not JobState.RUNNING else "",
            "attempt": job.attempt,
            "request": job.request.value,
            "error": error,
        },
    )
    if job.preview:
        yield EventKind.PREVIEW, {"name": job.preview}
    if job.state in (JobState.RUNNING, JobState.PAUSED, JobState.DONE):
        yield (
            EventKind.PROGRESS,
            {"progress": job.progress, "eta_s": job.eta_s, "message": job.message},
        )
