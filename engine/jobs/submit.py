"""Gathers jobs that are submitted at the same time into one transaction.

What takes time in accepting a job is waiting for the disk. While one transaction is on its way to
it, further jobs gather, and the next transaction takes them all.
"""

import asyncio
import queue
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Final, Self

from engine.errors import AvatarServerError
from engine.jobs.errors import QueueFull
from engine.jobs.queue import JobQueue
from engine.jobs.spec import Job, JobSpec

_Entry = tuple[JobSpec, "Future[Job]"]


class Submitter:
    """Enqueues jobs from any number of threads and from event loops.

    Args:
        jobs: The queue.
        capacity: Jobs that may wait to be written; more are refused.
    """

    BATCH: Final = 256

    def __init__(self, jobs: JobQueue, capacity: int = 1024) -> None:
        self._jobs = jobs
        self._waiting: queue.Queue[_Entry | None] = queue.Queue(capacity)
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="jobs-submitter")

    def start(self) -> None:
        """Start the thread that writes."""
        self._thread.start()

    def close(self) -> None:
        """Write what was submitted, then end the thread."""
        with self._lock:
            self._closed = True
        self._waiting.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def submit(self, spec: JobSpec) -> "Future[Job]":
        """Hand in a job. The future ends when it is on the disk, or with what ``enqueue`` raises.

        Raises:
            QueueFull: Too many wait to be written, or the submitter is closed.
        """
        future: Future[Job] = Future()
        with self._lock:
            if self._closed:
                raise QueueFull("The server is stopping.", "Submit the job again in a moment.")
            try:
                self._waiting.put_nowait((spec, future))
            except queue.Full as error:
                raise QueueFull(
                    "More jobs arrive than can be written.", "Submit the job again in a moment."
                ) from error
        return future

    async def enqueue(self, spec: JobSpec) -> Job:
        """Enqueue a job without blocking the event loop.

        Raises:
            AvatarServerError: As for ``JobQueue.enqueue``.
        """
        return await asyncio.wrap_future(self.submit(spec))

    def _run(self) -> None:
        ends = False
        while not ends:
            batch = [self._waiting.get()]
            while len(batch) < self.BATCH and not self._waiting.empty():
                batch.append(self._waiting.get())
            ends = batch[-1] is None
            self._write([entry for entry in batch if entry is not None])

    def _write(self, batch: list[_Entry]) -> None:
        # A future that is running cannot be cancelled any more; one that was is left out.
        wanted = [entry for entry in batch if entry[1].set_running_or_notify_cancel()]
        try:
            accepted = self._jobs.enqueue_many([spec for spec, _ in wanted])
        except AvatarServerError as error:
            if len(wanted) == 1:
                wanted[0][1].set_exception(error)
                return
            # One bad job must not refuse the others.
            for spec, future in wanted:
                _settle(future, self._jobs, spec)
            return
        except Exception as error:  # noqa: BLE001  # it belongs to those who wait
            for _, future in wanted:
                future.set_exception(error)
            return
        for (_, future), job in zip(wanted, accepted, strict=True):
            future.set_result(job)


def _settle(future: "Future[Job]", jobs: JobQueue, spec: JobSpec) -> None:
    try:
        future.set_result(jobs.enqueue(spec))
    except AvatarServerError as error:
        future.set_exception(error)
