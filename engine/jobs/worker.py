"""A process that works on jobs, one at a time.

Whoever starts it writes an ``Order`` as one line of JSON to its standard input and keeps that open.
The line ``stop`` asks it to give its job back and end. When the input ends, the starter is dead:
the job is given back, and the process ends at once, with every process that it started itself.
Lines of JSON come back on standard output: ``{"ready": true}``, or ``{"problem": "..."}`` when it
cannot work at all. What generators print goes to standard error.

Signals end it at once (no handler runs while a library computes, so there is none).
"""

import importlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import FileIO
from typing import Any, cast

from engine.errors import AvatarServerError, SettingsError, Unavailable
from engine.jobs.broker import BrokerLink
from engine.jobs.broker_worker import Listener
from engine.jobs.bucket_files import open_files
from engine.jobs.clocks import system_clocks
from engine.jobs.context import Place
from engine.jobs.errors import LeaseLost
from engine.jobs.exchange import Interruption
from engine.jobs.generators import Generators
from engine.jobs.heartbeat import Heartbeat
from engine.jobs.leases import Leases
from engine.jobs.live import LiveSignal, signal_path
from engine.jobs.priority import lower_thread
from engine.jobs.queue import JobQueue
from engine.jobs.running import JobRunner
from engine.jobs.settings import JobSettings
from engine.jobs.spec import Json
from engine.jobs.store import Store

_log = logging.getLogger(__name__)

Registry = Callable[[Place, Json], Generators]
"""Makes the generators of a worker; named by ``package.module:function``."""

STOP = b"stop\n"
_BUSY_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker process has to know.

    Attributes:
        owner: Its name on leases; no other worker ever had it.
        registry: Import path of a ``Registry``.
        options: Handed to the registry: the settings of models, for example.
        place: Where it works.
        settings: The section ``jobs``.
        log_level: Of the process, e.g. ``INFO``.
    """

    owner: str
    registry: str
    options: Json
    place: Place
    settings: JobSettings
    log_level: str = "INFO"

    def to_line(self) -> bytes:
        """Describe the order for a worker."""
        values = {
            "owner": self.owner,
            "registry": self.registry,
            "options": dict(self.options),
            "place": asdict(self.place),
            "settings": self.settings.model_dump(mode="json"),
            "log_level": self.log_level,
        }
        return json.dumps(values).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Order":
        """Return what ``to_line`` described."""
        values: dict[str, Any] = json.loads(line)
        values["place"] = Place(**values["place"])
        values["settings"] = JobSettings.model_validate(values["settings"])
        return cls(**values)


def load_registry(path: str) -> Registry:
    """Return the function that ``package.module:function`` names.

    Raises:
        SettingsError: There is none.
    """
    module, _, name = path.partition(":")
    try:
        return cast(Registry, getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"The generators '{path}' cannot be loaded: {error}.") from error


class Worker:
    """Works on jobs until it is told to stop.

    Args:
        order: What to do.
        store: Where jobs are kept.
        live: Says when live streams are late; None: never.
    """

    def __init__(self, order: Order, store: Store, live: LiveSignal | None) -> None:
        settings = order.settings
        clocks = system_clocks()
        files = open_files(settings)
        self._order = order
        self._leases = Leases(store, clocks, settings.lease_s, settings.max_crashes)
        self._heartbeat = Heartbeat(
            self._leases, clocks.monotonic, settings.lease_s, settings.report_s
        )
        self._runner = JobRunner(
            self._leases,
            self._heartbeat,
            JobQueue(store, files, settings, clocks),
            files,
            order.place,
            settings,
            clocks,
            live,
        )
        self._stop = threading.Event()
        self._listener: Listener | None = None
        if settings.broker:
            self._listener = Listener(
                BrokerLink(settings.broker),
                self._stop,
                clocks.monotonic,
                settings.broker_look_s,
                settings.poll_s,
            )

    def start(self) -> None:
        """Start the thread that keeps leases, with the priority of the caller."""
        self._heartbeat.start()

    def work(self, generators: Generators) -> int:
        """Work on jobs until ``stop``, or until there was none for ``worker_idle_s``; in the
        calling thread, whose priority is for it.

        Returns:
            The exit code of the process.
        """
        silent = False
        clock = system_clocks().monotonic
        idle_s = self._order.settings.worker_idle_s
        idle_since = clock()
        while not self._stop.is_set() and not self._heartbeat.failed:
            try:
                claimed = self._leases.claim(self._order.owner)
                silent = False
            except Unavailable as error:
                if not silent:
                    _log.warning("No job can be taken at present: %s", error)
                silent = True
                self._stop.wait(_BUSY_PAUSE_S)
                continue
            if claimed is not None:
                self._runner.run(*claimed, generators)
                idle_since = clock()
            elif idle_s and clock() - idle_since >= idle_s:
                # Its models go with it. Who started it starts another when there is a job.
                break
            else:
                self._wait()
        self._heartbeat.close()
        if self._listener is not None:
            self._listener.close()
        return int(self._heartbeat.failed)

    def _wait(self) -> None:
        if self._listener is not None:
            self._listener.wait()
        else:
            self._stop.wait(self._order.settings.poll_s)

    def stop(self) -> None:
        """Have the present job given back at its next step, and take no other."""
        self._stop.set()
        kept = self._heartbeat.kept
        if kept is not None:
            kept[1].interrupt(Interruption.STOP)

    def abandon(self) -> None:
        """Give the present job back at once, from any thread; the process must end then."""
        self._stop.set()
        kept = self._heartbeat.kept
        if kept is None:
            return
        try:
            self._leases.give_back(kept[0], "The server ended; the job starts again.")
        except (LeaseLost, Unavailable) as error:
            _log.warning("The job was not given back, its lease has to end: %s", error)


def _listen(orders: FileIO, worker: Worker) -> None:
    """Obey whoever started this process."""
    while line := orders.readline():
        if line == STOP:
            worker.stop()
    worker.abandon()
    # Programs that the generator started (ffmpeg, ...) are in this process's group.
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Entry point of the worker process."""
    orders = FileIO(0, closefd=False)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    order = Order.from_line(orders.readline())
    logging.basicConfig(level=order.log_level, format="%(levelname)s %(name)s: %(message)s")

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")

    try:
        settings = order.settings
        live = LiveSignal(
            signal_path(settings.folder),
            system_clocks().monotonic,
            settings.live_late_ms / 1000,
            settings.live_hold_s,
        )
        worker = Worker(order, Store(settings, repair=False), live)
        worker.start()
        threading.Thread(target=_listen, args=(orders, worker), daemon=True).start()
        # Everything from here on, imports of models too, has the least priority.
        if settings.idle_priority:
            lower_thread()
        generators = load_registry(order.registry)(order.place, order.options)
    except AvatarServerError as error:
        answer(problem=str(error))
        return 1
    answer(ready=True)
    return worker.work(generators)


if __name__ == "__main__":
    sys.exit(main())
