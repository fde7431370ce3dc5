"""Worker processes on machines that share a database and an object store, and no folder."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from engine.jobs.opening import open_jobs
from engine.jobs.settings import JobSettings
from engine.jobs.spec import JobInput, JobSpec, JobState
from tests.jobs_host import PATIENCE_S, Watcher, forget_signal, start_host
from tests.jobs_parts import settings
from tests.object_store_services import Bucket

pytest_plugins = ("tests.jobs_fixtures", "tests.jobs_bucket_fixtures")


@contextmanager
def machine(chosen: JobSettings) -> Iterator["subprocess.Popen[bytes]"]:
    """What ``server.py worker`` is, with generators for tests."""
    process = start_host(chosen)
    try:
        yield process
    finally:
        process.communicate(timeout=PATIENCE_S)
        forget_signal(chosen)


def kill(host: int) -> None:
    """Kill a machine: nobody there notices the death of its worker."""
    (worker,) = psutil.Process(host).children()
    os.kill(host, signal.SIGSTOP)
    for pid in (worker.pid, host):
        os.kill(pid, signal.SIGKILL)


def test_jobs_go_from_machine_to_machine(memory: Path, empty_postgres: str, bucket: Bucket) -> None:
    def chosen(name: str) -> JobSettings:
        return settings(
            memory / name, database=empty_postgres, lease_s=1.0, poll_s=0.05, **bucket.settings
        )

    with open_jobs(chosen("server")) as jobs, Watcher(jobs) as watcher:
        spec = JobSpec("write", {"text": "made of "}, (JobInput("upload", "in.txt"),))
        (jobs.files.inputs(spec.id) / "in.txt").write_text("an upload")
        first = jobs.queue.enqueue(spec)
        params = {"steps": 10_000, "seconds": 0.04, "file": "made"}
        with machine(chosen("doomed")) as doomed:
            assert watcher.finished(first.id).state is JobState.DONE
            running = jobs.queue.enqueue(JobSpec("steps", {**params, "steps": 40}))
            watcher.until(running.id, lambda job: job.progress > 0)
            kill(doomed.pid)
        both = (JobInput("a", "out.txt", first.id), JobInput("b", "out.txt", running.id))
        last = jobs.queue.enqueue(JobSpec("write", {"text": ""}, both))
        with machine(chosen("other")):
            done = [watcher.finished(job.id) for job in (first, running, last)]
        assert [job.attempt for job in done] == [1, 2, 1]
        folders = {path.name for path in jobs.files.folder(first.id).iterdir()}
        assert folders == {"inputs"}, "the server has only what was uploaded"
        text = jobs.files.result(done[2], "out.txt").read_text()
        assert text == "made of an upload" + "made 2"
        assert bucket.objects() == sorted(
            [f"{first.id}/inputs/in.txt"]
            + [f"{job.id}/attempt-{job.attempt}/out.txt" for job in done]
        )
