"""What happens to jobs, told to subscribers within moments, in whichever process it happens.

A thread looks at the store's counter of changes every ``poll_s`` (on SQLite no table is read for
that). When it moved, the jobs that somebody follows are read and compared with what the subscriber
knows.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import select

from engine.errors import Unavailable
from engine.jobs.events import EventKind, JobEvent, news_of
from engine.jobs.opening import Jobs
from engine.jobs.rows import to_job
from engine.jobs.schema import jobs as jobs_table
from engine.jobs.spec import FINISHED, Job, JobState
from engine.jobs.subscriptions import QueueSubscription, Subscription

_log = logging.getLogger(__name__)

_BATCH: Final = 500
_PLACES: Final = 500
"""Queued jobs, from the first on, whose place is told to those who follow all jobs."""


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
        self._additions = 0
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
            self._additions += 1
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
            self._additions += 1
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
            seen, additions = self._seen, self._additions
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
            whole = self._additions == additions and not behind
            self._seen = change if whole else -1

    def _feed(self, subscription: Subscription, job: Job | None) -> None:
        if job is None:
            subscription.ended = True
            subscription.put([JobEvent(subscription.job_id, EventKind.REMOVED, {})])
            return
        known = job.changed <= subscription.known_change
        events = news_of(job, subscription.told)
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
            events += news_of(job, subscription.told.setdefault(job.id, {}))
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
