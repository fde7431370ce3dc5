"""A server that only keeps workers, as a process: ``python -m tests.jobs_host SETTINGS``.

``SETTINGS`` is ``JobSettings`` as JSON. It runs until its standard input ends.
"""

import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.jobs.feed import JobFeed
from engine.jobs.live import signal_path
from engine.jobs.opening import Jobs, open_jobs
from engine.jobs.settings import JobSettings
from engine.jobs.spec import Job
from engine.jobs.subscriptions import Subscription
from engine.jobs.supervisor import Supervisor

ROOT = Path(__file__).resolve().parent.parent
REGISTRY = "tests.jobs_generators:make"
PATIENCE_S = 60.0


def main() -> None:
    """Entry point of the process."""
    logging.basicConfig(level=logging.ERROR)
    with open_jobs(JobSettings.model_validate_json(sys.argv[1])) as jobs:
        supervisor = Supervisor(jobs, REGISTRY, log_level="ERROR")
        supervisor.start()
        sys.stdin.read()
        supervisor.stop()


def start_host(settings: JobSettings) -> "subprocess.Popen[bytes]":
    """Start such a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.jobs_host", settings.model_dump_json()],
        stdin=subprocess.PIPE,
        cwd=ROOT,
    )


class Watcher:
    """Waits for what happens to jobs, told by the feed."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._feed = JobFeed(jobs)

    def __enter__(self) -> Self:
        self._feed.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._feed.close()

    def until(self, job_id: str, condition: Callable[[Job], bool]) -> Job:
        """Return the job as soon as the condition holds."""
        news = threading.Event()
        subscription = Subscription(job_id, news.set)
        self._feed.add(subscription)
        try:
            while True:
                assert news.wait(PATIENCE_S), f"waited in vain: {self._jobs.queue.get(job_id)}"
                news.clear()
                subscription.take()
                job = self._jobs.queue.get(job_id)
                if condition(job):
                    return job
                assert not job.state.finished, job
        finally:
            self._feed.remove(subscription)

    def finished(self, job_id: str) -> Job:
        """Return the job when it is done, failed or cancelled."""
        return self.until(job_id, lambda job: job.state.finished)


@contextmanager
def working(settings: JobSettings, registry: str = REGISTRY) -> Iterator[tuple[Jobs, Supervisor]]:
    """Run workers beside this process."""
    with open_jobs(settings) as jobs:
        supervisor = Supervisor(jobs, registry, log_level="ERROR")
        supervisor.start()
        try:
            yield jobs, supervisor
        finally:
            supervisor.stop()
            forget_signal(settings)


def forget_signal(settings: JobSettings) -> None:
    """Remove what workers of a folder that will not be used again leave in memory."""
    signal_path(settings.folder).unlink(missing_ok=True)


def wait_for_end(handle: int) -> None:
    """Wait until a process has ended, by its ``os.pidfd_open``."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    assert poll.poll(PATIENCE_S * 1000), "the process does not end"
    os.close(handle)


if __name__ == "__main__":
    main()
