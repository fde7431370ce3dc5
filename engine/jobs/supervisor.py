"""Keeps the worker processes of this machine, in a thread of its own.

It starts one worker for each device, replaces those that die, takes their jobs back, kills workers
whose job was cancelled and does not stop, takes back leases that ended, and wakes delayed jobs.
Several supervisors may work on one store, on one machine or on several.
"""

import asyncio
import logging
import threading
from typing import Final

from sqlalchemy import select

from engine.errors import Unavailable
from engine.jobs.cleaning import Cleaner
from engine.jobs.clocks import Clocks
from engine.jobs.context import Place
from engine.jobs.expiry import Expiry
from engine.jobs.leases import Leases, leases_of
from engine.jobs.opening import Jobs
from engine.jobs.priority import thread_count
from engine.jobs.schema import jobs as jobs_table
from engine.jobs.settings import JobSettings
from engine.jobs.slots import Death, Slot, SlotStatus
from engine.jobs.spec import Json, Request
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
        self._silent = False
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name="jobs-supervisor"),
            threading.Thread(target=self._clean, name="jobs-cleaner"),
        ]

    def start(self) -> None:
        """Start the workers; returns at once."""
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
            self._stop.wait(_TICK_S)
        for slot in self._slots:
            slot.stop()
        patience = self._clocks.monotonic() + self._settings.stop_s
        pause = threading.Event()
        while any(slot.alive for slot in self._slots):
            if self._clocks.monotonic() >= patience:
                for slot in self._slots:
                    slot.kill()
            self._look_after(start=False)
            pause.wait(_TICK_S)
        self._take_back()

    def _tick(self) -> None:
        self._look_after(start=True)
        try:
            if self._dead:
                self._take_back()
            self._kill_cancelled()
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

    def _look_after(self, start: bool) -> None:
        for slot in self._slots:
            died = slot.tick(start)
            if died is not None:
                self._dead.append(died)

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
