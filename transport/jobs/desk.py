"""Where the server's requests meet the queue. Whatever befalls the store, streams go on.

The store is opened in a thread, after the server has begun to listen or with the first request,
whichever comes first. While it cannot be opened, requests are answered with the reason, and it is
tried again. Every call on the store runs in threads of the desk's own, so that a database that
hangs holds up neither the event loop nor the threads that streams use. What handles files has other
threads: an object store that hangs does not hold up the list of jobs.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from engine.errors import AvatarServerError, Conflict, Unavailable
from engine.jobs.errors import StoreBusy
from engine.jobs.settings import JobSettings
from engine.jobs.spec import Job, JobSpec, Json

if TYPE_CHECKING:
    from transport.jobs.backend import Backend

_log = logging.getLogger(__name__)

T = TypeVar("T")

_THREADS: Final = 4
_MOST_CALLS: Final = 64
"""Calls on the store that may wait or be under way; further ones are refused."""
_AGAIN_S: Final = 5.0


class JobsDisabled(Conflict):
    """The settings say that this server takes no jobs."""


class JobsUnavailable(Unavailable):
    """The queue cannot be opened."""


class JobDesk:
    """The queue as the server has it. Its methods belong to the event loop, ``report_late`` too.

    Args:
        settings: The section ``jobs``.
        registry: Import path of the workers' generators.
        options: Returns what the registry needs to know; called in a thread.
        log_level: Of the workers.
    """

    def __init__(
        self,
        settings: JobSettings,
        registry: str,
        options: Callable[[], Json] = dict,
        log_level: str = "INFO",
    ) -> None:
        self.settings = settings
        self.closing = asyncio.Event()
        """Set when whoever waits for news has to end."""
        self._registry = registry
        self._options = options
        self._log_level = log_level
        self._backend: Backend | None = None
        self._refusal: AvatarServerError | None = None
        self._tried = asyncio.Event()
        self._opening: asyncio.Task[None] | None = None
        self._ready: list[Callable[[], None]] = []
        self._calls = 0
        self._pool = ThreadPoolExecutor(_THREADS, "jobs-desk")
        self._file_pool = ThreadPoolExecutor(_THREADS, "jobs-files")

    def begin(self) -> None:
        """Open the queue in the background."""
        if self.settings.enabled and self._opening is None and not self.closing.is_set():
            self._opening = asyncio.create_task(self._open(), name="jobs-opening")

    def when_open(self, callback: Callable[[], None]) -> None:
        """Call something on the event loop once the queue is open."""
        self._ready.append(callback)
        if self._backend is not None:
            callback()

    async def backend(self) -> "Backend":
        """Return the open queue.

        Raises:
            JobsDisabled: There is none in this server.
            Unavailable: It cannot be opened; says why.
        """
        if not self.settings.enabled:
            raise JobsDisabled("This server takes no jobs.", "Set jobs.enabled to true.")
        self.begin()
        if self._backend is None and not self.closing.is_set():
            await self._tried.wait()
        if self._backend is None:
            raise self._refusal or JobsUnavailable("The server is stopping.")
        return self._backend

    async def call(self, work: "Callable[[Backend], T]") -> T:
        """Run something on the open queue, in a thread.

        Raises:
            StoreBusy: Too much waits for the store already.
            AvatarServerError: As for ``backend``, and what the work raises.
        """
        backend = await self.backend()
        return await self._run(self._pool, lambda: work(backend))

    async def run(self, work: Callable[[], T]) -> T:
        """Run something that handles files, in one of the threads for that.

        Raises:
            StoreBusy: Too much waits already.
        """
        return await self._run(self._file_pool, work)

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._calls >= _MOST_CALLS:
            raise StoreBusy("Too many requests wait for the queue.", "Try again in a moment.")
        self._calls += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        finally:
            self._calls -= 1

    async def enqueue(self, spec: JobSpec) -> Job:
        """Enqueue a job; it is on the disk when this returns.

        Raises:
            AvatarServerError: As for ``JobQueue.enqueue``.
        """
        return await (await self.backend()).submitter.enqueue(spec)

    def report_late(self, seconds: float) -> None:
        """Say how late something live was just sent: jobs wait while that is much."""
        backend = self._backend
        if backend is not None and backend.live is not None:
            backend.live.report(seconds)

    async def close(self) -> None:
        """Stop the workers; their jobs go back to the queue."""
        self.closing.set()
        self._tried.set()
        if self._opening is not None:
            # A thread cannot be cancelled: what it opens would stay open.
            await self._opening
        backend, self._backend = self._backend, None
        if backend is not None:
            await asyncio.to_thread(backend.close)
        for pool in (self._pool, self._file_pool):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _open(self) -> None:
        while not self.closing.is_set():
            try:
                self._backend = await asyncio.to_thread(self._make)
            except AvatarServerError as error:
                self._refuse(error)
            except Exception as error:  # noqa: BLE001  # streams go on without jobs
                if self._refusal is None:
                    _log.exception("The queue of jobs cannot be opened.")
                self._refuse(JobsUnavailable(f"The queue cannot be opened: {error!r}."))
            else:
                break
            self._tried.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), _AGAIN_S)
        if self._backend is None:
            return
        if self._refusal is not None:
            _log.info("The queue of jobs is open now.")
        self._refusal = None
        self._tried.set()
        for callback in self._ready:
            callback()

    def _make(self) -> "Backend":
        # Here, in a thread, SQLAlchemy is imported.
        from transport.jobs.backend import Backend

        return Backend(self.settings, self._registry, self._options(), self._log_level)

    def _refuse(self, error: AvatarServerError) -> None:
        if self._refusal is None or self._refusal.description != error.description:
            _log.warning("There are no jobs at present: %s", error)
        # Whatever it was (a missing package, a wrong address): for callers it is "not now".
        if not isinstance(error, Unavailable):
            error = JobsUnavailable(error.description, error.hint, retry_after=60.0)
        self._refusal = error
