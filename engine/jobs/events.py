"""What happens to jobs, told to subscribers within moments, in whichever process it happens.

A thread looks at the store's counter of changes every ``poll_s`` (one read of one row). When it
moved, the jobs that somebody follows are read and compared with what the subscriber knows.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import select

from engine.errors import Unavailable
from engine.jobs.opening import Jobs
from engine.jobs.rows import to_job
from engine.jobs.schema import jobs as jobs_table
from engine.jobs.spec import Job, JobState

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
    """

    job_id: str
    kind: EventKind
    data: dict[str, Any]

    @property
    def last(self) -> bool:
        """Whether nothing follows."""
        return self.kind in (EventKind.DONE, EventKind.REMOVED)


class Subscription:
    """What a subscriber has not taken yet. Bounded: of each kind only the newest is kept, and of
    the log the last lines.

    Args:
        job_id: The job.
        on_news: Called in the feed's thread when there is something to take; must not block.
    """

    LINES: Final = 500

    def __init__(self, job_id: str, on_news: Callable[[], None]) -> None:
        self.job_id = job_id
        self._on_news = on_news
        self._lock = threading.Lock()
        self._latest: dict[EventKind, JobEvent] = {}
        self._lines: deque[JobEvent] = deque(maxlen=self.LINES)
        # What the feed's thread knows that the subscriber was told.
        self.told: dict[EventKind, dict[str, Any]] = {}
        self.last_line = 0
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
            seen = self._seen
        if not followed:
            return
        change = self._jobs.store.changes()
        if change == seen:
            return
        ids = {subscription.job_id for subscription in followed}
        with self._jobs.store.read() as connection:
            query = select(jobs_table).where(jobs_table.c.id.in_(ids))
            found = {row["id"]: to_job(row) for row in connection.execute(query).mappings()}
        for subscription in followed:
            self._feed(subscription, found.get(subscription.job_id))
        with self._lock:
            # A subscription that was added meanwhile must be fed at once, too.
            self._seen = change if self._seen == seen else -1

    def _feed(self, subscription: Subscription, job: Job | None) -> None:
        if job is None:
            subscription.ended = True
            subscription.put([JobEvent(subscription.job_id, EventKind.REMOVED, {})])
            return
        events = []
        for kind, data in self._standing(job):
            if subscription.told.get(kind) != data:
                subscription.told[kind] = data
                events.append(JobEvent(job.id, kind, data))
        for line in self._jobs.history.log(job.id, subscription.last_line):
            subscription.last_line = line.number
            data = {"number": line.number, "at": line.at, "line": line.line}
            events.append(JobEvent(job.id, EventKind.LOG, data))
        if job.state.finished:
            subscription.ended = True
            events.append(JobEvent(job.id, EventKind.DONE, job.to_json()))
        subscription.put(events)

    def _standing(self, job: Job) -> Iterable[tuple[EventKind, dict[str, Any]]]:
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
        if job.state is JobState.QUEUED:
            yield EventKind.POSITION, {"position": self._jobs.history.place(job)}
        if job.preview:
            yield EventKind.PREVIEW, {"name": job.preview}
        if job.state in (JobState.RUNNING, JobState.PAUSED, JobState.DONE):
            yield (
                EventKind.PROGRESS,
                {"progress": job.progress, "eta_s": job.eta_s, "message": job.message},
            )

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
