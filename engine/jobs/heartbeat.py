"""The thread of a worker that keeps its lease, reports for it and hears what is asked of it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from engine.clock import Clock
from engine.errors import Unavailable
from engine.jobs.attempt import Lease
from engine.jobs.errors import LeaseLost
from engine.jobs.exchange import Exchange, Interruption
from engine.jobs.leases import Leases
from engine.jobs.spec import Request

_log = logging.getLogger(__name__)

_MEANS: Final = {
    Request.NONE: Interruption.NONE,
    Request.PAUSE: Interruption.PAUSE,
    Request.CANCEL: Interruption.CANCEL,
    Request.KILL: Interruption.CANCEL,
}
_RENEWALS: Final = 4
"""Renewals in the time that a lease stands."""
_LISTEN_S: Final = 0.05
"""How long it may take until a request is heard."""


class Heartbeat:
    """Keeps one lease at a time.

    Args:
        leases: To renew it and to report.
        clock: Monotonic.
        lease_s: How long a lease stands.
        report_s: Least time between two reports.
    """

    def __init__(self, leases: Leases, clock: Clock, lease_s: float, report_s: float) -> None:
        self._leases = leases
        self._clock = clock
        self._renew_s = lease_s / _RENEWALS
        self._report_s = report_s
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._kept: tuple[Lease, Exchange] | None = None
        self._renewed = self._reported = 0.0
        self._silent = False
        self._ended = threading.Event()
        self.failed = False
        """Whether the thread has ended for a mistake in the program."""
        self._thread = threading.Thread(target=self._run, name="jobs-heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread, with the priority of the caller."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._wake.set()
        self._thread.join()

    @contextmanager
    def keeping(self, lease: Lease) -> Iterator[Exchange]:
        """Keep a lease that was just claimed; the exchange says when it is lost."""
        exchange = Exchange(self._wake.set)
        with self._lock:
            self._kept = lease, exchange
            self._renewed = self._clock()
            self._reported = -float("inf")
        self._wake.set()
        try:
            yield exchange
        finally:
            with self._lock:
                self._kept = None

    @property
    def kept(self) -> tuple[Lease, Exchange] | None:
        """The lease that is kept now."""
        return self._kept

    def tick(self) -> float | None:
        """Do what is due; return the seconds until the next call, None: until something wakes."""
        with self._lock:
            if self._kept is None:
                return None
            lease, exchange = self._kept
            try:
                request = self._beat(lease, exchange)
            except LeaseLost as error:
                exchange.interrupt(Interruption.LOST)
                _log.debug("%s", error)
                return None
            except Unavailable as error:
                # The lease may run out meanwhile. That is found out when the store is back.
                if not self._silent:
                    _log.warning("A job's lease cannot be renewed at present: %s", error)
                self._silent = True
                return self._report_s
            if self._silent:
                _log.info("The store of jobs is back.")
                self._silent = False
            exchange.interrupt(_MEANS[request])
            return _LISTEN_S

    def _beat(self, lease: Lease, exchange: Exchange) -> Request:
        now = self._clock()
        if now - self._reported >= self._report_s and (report := exchange.take()) is not None:
            try:
                request = self._leases.report(lease, report)
            except BaseException:
                exchange.give_back(report)
                raise
            self._reported = self._renewed = now
            return request
        if now - self._renewed >= self._renew_s:
            request = self._leases.report(lease)
            self._renewed = now
            return request
        return self._leases.request(lease)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                pause = self.tick()
            except Exception:  # noqa: BLE001  # the worker ends, and is replaced
                _log.exception("The thread that keeps leases has failed.")
                self.failed = True
                kept = self._kept
                if kept is not None:
                    kept[1].interrupt(Interruption.LOST)
                return
            if self._wake.wait(pause):
                self._wake.clear()
                # A job that reports in quick succession must not be answered each time.
                early = self._reported + self._report_s - self._clock()
                self._ended.wait(max(0.0, min(early, _LISTEN_S)))
