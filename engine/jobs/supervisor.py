"""Keeps the worker processes of this machine, in a thread of its own.

It starts one worker for each device when there are jobs for it (a worker ends by itself when it has
been idle for long), replaces those that die, takes their jobs back, kills workers whose job was
cancelled and does not stop, takes back leases that ended, and wakes delayed jobs. While nothing
changes in the store and no worker lives, it costs one read of one row each ``poll_s``. Several
supervisors may work on one store, on one machine or on several.
"""

import asyncio
import logging
import threading
from typing import Final

from sqlalchemy import func, select

from engine.errors import Unavailable
from engine.jobs.cleaning import Cleaner
from engine.jobs.clocks import Clocks
from engine.jobs.context import Place
from engine.jobs.expiry import Expiry
from engine.jobs.leases import Leases, leases_of
from engine.jobs.opening import Jobs
from engine.jobs.priority import thread_count
from engine.jobs.schema import counters
from engine.jobs.schema import jobs as jobs_table
from engine.jobs.settings import JobSettings
from engine.jobs.slots import Death, Slot, SlotStatus
from engine.jobs.spec import JobState, Json, Request
from engine.jobs.store import Store
from engine.jobs.worker import Order

_log = logging.getLogger(__name__)

_TICK_S: Final = 0.05
_EXPIRY_S: Final = 0.25


class Supervisor:
    """Keeps workers, and the queue going.

    Args:
        jobs: The open queue; it must outlive the supervisor.
        registry: Import path of a ``worker.Registry``, which each worker imports for itself.
        options: What the registry needs to know, as JSON.
        log_level: Of the workers, whose log goes to this process's standard error.
    """

    def __init__(
        self, jobs: Jobs, registry: str, options: Json | None = None, log_level: str = "INFO"
    ) -> None:
        settings, clocks = jobs.settings, jobs.clocks
        self._settings: JobSettings = settings
        self._clocks: Clocks = clocks
        self._store: Store = jobs.store
        self._leases = Leases(jobs.store, clocks, settings.lease_s, settings.max_crashes)
        self._expiry = Expiry(jobs.store, self._leases, clocks)
        self._cleaner = Cleaner(jobs.store, jobs.files, settings, clocks)
        threads = thread_count(settings.threads)
        self._slots = [
            Slot(
                Order("", registry, options or {}, Place(device, threads), settings, log_level),
                clocks.monotonic,
                settings.terminate_s,
            )
            for device in settings.devices
        ]
        self._dead: list[Death] = []
        self._cancelled: dict[tuple[str, int], float] = {}
        self._next_expiry = -float("inf")
        self._seen = -1
        self._start = 0
        self._silent = False
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name="jobs-supervisor"),
            threading.Thread(target=self._clean, name="jobs-cleaner"),
        ]

    def start(self) -> None:
        """Start keeping workers; returns at once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the workers: their jobs go back to the queue. Takes at most about ``stop_s``."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    async def aclose(self) -> None:
        """``stop``, without blocking the event loop."""
        await asyncio.to_thread(self.stop)

    def status(self) -> tuple[SlotStatus, ...]:
        """Return how each worker stands."""
        return tuple(slot.status() for slot in self._slots)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._tick()
            busy = any(slot.alive for slot in self._slots)
            self._stop.wait(_TICK_S if busy else max(_TICK_S, self._settings.poll_s))
        for slot in self._slots:
            slot.stop()
        patience = self._clocks.monotonic() + self._settings.stop_s
        pause = threading.Event()
        while any(slot.alive for slot in self._slots):
            if self._clocks.monotonic() >= patience:
                for slot in self._slots:
                    slot.kill()
            self._look_after(0)
            pause.wait(_TICK_S)
        self._take_back()

    def _tick(self) -> None:
        self._look_after(self._start)
        try:
            if self._dead:
                self._take_back()
            change = self._store.changes()
            if change != self._seen or self._cancelled or self._start:
                self._kill_cancelled()
                self._start = self._wanted()
                self._seen = change
            if self._clocks.monotonic() >= self._next_expiry:
                self._expiry.tick()
                self._next_expiry = self._clocks.monotonic() + _EXPIRY_S
            if self._silent:
                _log.info("The store of jobs is back.")
            self._silent = False
        except Unavailable as error:
            if not self._silent:
                _log.warning("The queue stands still: %s", error)
            self._silent = True
        except Exception:  # noqa: BLE001  # see below
            # A mistake in the program; but a queue without its supervisor would stand still.
            if not self._silent:
                _log.exception("The supervisor of jobs has met an error.")
            self._silent = True

    def _look_after(self, start: int) -> None:
        """Look after all workers, and start so many."""
        for slot in self._slots:
            alive = slot.alive
            died = slot.tick(start=start > 0)
            if died is not None:
                self._dead.append(died)
                # Whoever has ended may have left a job, or have ended as one came.
                self._seen = -1
            elif slot.alive and not alive:
                start -= 1

    def _wanted(self) -> int:
        """Return how many workers there should be more: one for each job that none can take."""
        absent = sum(not slot.alive for slot in self._slots)
        if not absent:
            return 0
        if not self._settings.worker_idle_s:
            return absent
        queued = jobs_table.c.state == JobState.QUEUED.value
        held = select(counters.c.value).where(counters.c.name == "held").scalar_subquery()
        some = select(jobs_table.c.id).where(queued, held == 0).limit(len(self._slots)).subquery()
        mine = [slot.owner for slot in self._slots if slot.alive]
        at_work = jobs_table.c.owner.in_(mine)
        with self._store.read() as connection:
            waiting = connection.scalar(select(func.count()).select_from(some)) or 0
            working = connection.scalar(select(func.count()).where(at_work)) or 0
        idle = len(mine) - working
        return max(0, min(absent, waiting - idle))

    def _take_back(self) -> None:
        """Take back the jobs of dead workers; those that the store refuses stay for later."""
        while self._dead:
            death = self._dead[-1]
            with self._store.read() as connection:
                held = leases_of(connection, death.owner)
            for lease in held:
                self._leases.take_back(lease, death.how, to_blame=not death.wanted)
            self._dead.pop()

    def _kill_cancelled(self) -> None:
        """Kill workers whose job was cancelled some time ago, by what this process has seen."""
        slots = {slot.owner: slot for slot in self._slots if slot.alive}
        query = select(
            jobs_table.c.id, jobs_table.c.attempt, jobs_table.c.owner, jobs_table.c.request
        ).where(
            jobs_table.c.owner.in_(slots),
            jobs_table.c.request.in_([Request.CANCEL.value, Request.KILL.value]),
        )
        with self._store.read() as connection:
            rows = connection.execute(query).all()
        now = self._clocks.monotonic()
        seen = {(row.id, row.attempt): now for row in rows}
        self._cancelled = {key: self._cancelled.get(key, now) for key in seen}
        for row in rows:
            waited = now - self._cancelled[row.id, row.attempt]
            if row.request == Request.KILL or waited >= self._settings.cancel_grace_s:
                slots[row.owner].kill()

    def _clean(self) -> None:
        while not self._stop.wait(self._settings.clean_every_s):
            try:
                self._cleaner.clean()
            except Unavailable as error:
                _log.warning("Old jobs are not removed at present: %s", error)
