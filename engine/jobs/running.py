"""Runs one job, from the claim to the commit."""

import logging
import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from engine.errors import AvatarServerError, Unavailable
from engine.jobs.attempt import Lease, Outcome
from engine.jobs.changes import MAX_LINE_LENGTH
from engine.jobs.checking import check_json
from engine.jobs.clocks import Clocks
from engine.jobs.context import Cancelled, Context, GivenBack, Lost, Place
from engine.jobs.errors import LeaseLost
from engine.jobs.exchange import Exchange
from engine.jobs.files import JobFiles
from engine.jobs.generators import Generators
from engine.jobs.heartbeat import Heartbeat
from engine.jobs.leases import Leases
from engine.jobs.live import LiveSignal
from engine.jobs.queue import JobQueue
from engine.jobs.retrying import classified
from engine.jobs.settings import JobSettings
from engine.jobs.spec import Job, JobInput, JobState
from engine.jobs.text import plain

_log = logging.getLogger(__name__)

_TRACE_LINES = 30
_AGAIN_S = 0.5
"""How often the end of a job is written again while the store does not take it."""

Lines = tuple[tuple[float, str], ...]
_End = Callable[[], JobState | None]


class JobRunner:
    """Runs claimed jobs in the calling thread.

    Args:
        leases: To write how a job ended.
        heartbeat: Keeps the lease meanwhile; started.
        queue: For jobs whose results are inputs.
        files: Where files are.
        place: Where this worker works.
        settings: The section ``jobs``.
        clocks: Where the time comes from.
        live: Says when live streams are late; None: never.
    """

    def __init__(
        self,
        leases: Leases,
        heartbeat: Heartbeat,
        queue: JobQueue,
        files: JobFiles,
        place: Place,
        settings: JobSettings,
        clocks: Clocks,
        live: LiveSignal | None = None,
    ) -> None:
        self._leases = leases
        self._heartbeat = heartbeat
        self._queue = queue
        self._files = files
        self._place = place
        self._settings = settings
        self._clocks = clocks
        self._live = live
        self._pause = threading.Event()

    def run(self, lease: Lease, job: Job, generators: Generators) -> JobState | None:
        """Run a job that was just claimed, and write how it ended.

        While the store does not take that (busy, full), it is written again and again: the lease
        decides whether it still counts.

        Args:
            lease: The lease.
            job: The job as it was claimed.
            generators: What can be run.

        Returns:
            The job's state afterwards; None if the lease was lost.
        """
        with self._heartbeat.keeping(lease) as exchange:
            state = self._settled(self._attempted(lease, job, exchange, generators))
        if state is not JobState.DONE:
            self._files.discard(job.id, lease.attempt)
        if state is not None and state.finished:
            self._files.drop_previews(job.id)
        return state

    def _attempted(
        self, lease: Lease, job: Job, exchange: Exchange, generators: Generators
    ) -> _End:
        """Run the generator; return what writes how that ended."""
        began = self._clocks.monotonic()
        try:
            folder = self._files.begin(job.id, lease.attempt)
            context = Context(
                lease,
                folder,
                self._place,
                exchange,
                self._files,
                self._settings,
                self._clocks,
                self._live,
                partial(self._leases.hold, lease),
            )
            inputs = {item.name: self._input(job, item) for item in job.inputs}
            generator = generators.get(job.generator)
            result = generator.run(dict(job.params), inputs, context) or {}
            check_json(result, "The result")
            if context.recipe is not None:
                check_json(context.recipe, "The recipe")
            files = self._files.seal(folder)
        except (Cancelled, GivenBack) as interrupted:
            message = "Cancelled." if isinstance(interrupted, Cancelled) else "Starts again."
            return partial(self._leases.give_back, lease, message, lines=_lines(exchange))
        except (Lost, LeaseLost):
            return _nothing
        except BaseException as error:  # noqa: BLE001  # whatever a generator may raise
            run_s = self._clocks.monotonic() - began
            found = classified(error)
            lines = _lines(exchange) + self._trace(error)
            _log.info("Job '%s' (%s) failed: %s", job.id, job.generator, found.description)
            return partial(self._leases.fail, lease, found, run_s, lines)
        outcome = Outcome(
            result,
            files,
            self._clocks.monotonic() - began,
            context.recipe,
            context.cache_key,
            _lines(exchange),
        )
        return partial(self._leases.commit, lease, outcome)

    def _input(self, job: Job, item: JobInput) -> Path:
        if item.from_job:
            return self._files.result(self._queue.get(item.from_job), item.file)
        return self._files.input(job.id, item.file)

    def _settled(self, end: _End) -> JobState | None:
        """Write how a job ended, as soon as the store takes it; None if the lease is lost."""
        while True:
            try:
                return end()
            except LeaseLost as error:
                _log.warning("%s What it made is thrown away.", error)
                return None
            except Unavailable as error:
                _log.warning("The end of a job cannot be written yet: %s", error)
                self._pause.wait(_AGAIN_S)

    def _trace(self, error: BaseException) -> Lines:
        if isinstance(error, AvatarServerError):
            return ()
        text = "".join(traceback.format_exception(error)).splitlines()
        lines = [plain(line, MAX_LINE_LENGTH) for line in text[-_TRACE_LINES:]]
        return tuple((self._clocks.wall(), line) for line in lines)


def _lines(exchange: Exchange) -> Lines:
    report = exchange.take()
    return report.lines if report is not None else ()


def _nothing() -> None:
    """Write nothing: the job is somebody else's."""
