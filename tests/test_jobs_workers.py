"""Real worker processes: killed, deaf, orphaned, stopped, broken."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.errors import SettingsError
from engine.jobs.context import Place
from engine.jobs.control import JobControl
from engine.jobs.opening import Jobs, open_jobs
from engine.jobs.slots import SlotState
from engine.jobs.spec import JobInput, JobSpec, JobState
from engine.jobs.supervisor import Supervisor
from engine.jobs.worker import Order, load_registry
from tests.jobs_host import (
    PATIENCE_S,
    ROOT,
    Watcher,
    forget_signal,
    start_host,
    wait_for_end,
    working,
)
from tests.jobs_parts import settings

pytest_plugins = ("tests.jobs_fixtures",)


class Workplace:
    """A queue with one real worker."""

    def __init__(self, jobs: Jobs, supervisor: Supervisor, watcher: Watcher, notes: Path) -> None:
        self.jobs = jobs
        self.queue = jobs.queue
        self.control: JobControl = jobs.control
        self.supervisor = supervisor
        self.watcher = watcher
        self.notes = notes

    def start(self, generator: str, **params: object) -> tuple[str, int]:
        """Enqueue a job and wait until it runs; return its id and the worker's process."""
        job = self.queue.enqueue(JobSpec(generator, {"notes": str(self.notes), **params}))
        self.watcher.until(job.id, lambda job: job.progress > 0)
        pid = self.supervisor.status()[0].pid
        assert pid is not None
        return job.id, pid


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    folder = tmp_path_factory.mktemp("jobs")
    chosen = settings(folder, poll_s=0.05, cancel_grace_s=0.2, stop_s=5.0)
    with working(chosen) as (jobs, supervisor), Watcher(jobs) as watcher:
        yield Workplace(jobs, supervisor, watcher, folder / "notes")


def test_a_chain_runs_through(place: Workplace) -> None:
    first = JobSpec("write", {"text": "one "})
    second = JobSpec("write", {"text": "two "}, (JobInput("before", "out.txt", first.id),))
    place.queue.enqueue_many([first, second])
    done = place.watcher.finished(second.id)
    assert place.jobs.files.result(done, "out.txt").read_text() == "two one "


def test_a_worker_has_the_least_priority_and_its_heart_has_not(place: Workplace) -> None:
    job_id, pid = place.start("steps", steps=1000, seconds=0.02)
    threads = {int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()}
    idle = {tid for tid in threads if os.sched_getscheduler(tid) == os.SCHED_IDLE}
    assert pid in idle
    names = {(Path(f"/proc/{pid}/task/{tid}") / "comm").read_text() for tid in threads - idle}
    assert names
    environ = psutil.Process(pid).environ()
    assert environ["OMP_NUM_THREADS"] == environ["MKL_NUM_THREADS"] == "1"
    place.control.cancel(job_id)
    place.watcher.finished(job_id)


def test_a_killed_worker_is_replaced_and_its_job_runs_again(place: Workplace) -> None:
    job_id, pid = place.start("steps", steps=20, seconds=0.02)
    os.kill(pid, signal.SIGKILL)
    done = place.watcher.finished(job_id)
    assert (done.state, done.attempt, done.crashes) == (JobState.DONE, 2, 1)
    assert place.notes.read_text().count(f"end {job_id}") == 1


def test_a_job_that_kills_its_workers_fails(place: Workplace) -> None:
    job = place.queue.enqueue(JobSpec("die"))
    failed = place.watcher.finished(job.id)
    assert (failed.state, failed.attempt, failed.crashes) == (JobState.FAILED, 3, 3)
    assert failed.error is not None
    assert "ended with code 9" in failed.error.description


def test_a_cancelled_job_ends_within_a_step(place: Workplace) -> None:
    job_id, pid = place.start("steps", steps=1000, seconds=0.05)
    began = time.monotonic()
    place.control.cancel(job_id)
    assert place.watcher.finished(job_id).state is JobState.CANCELLED
    # One step, the time to hear of it, and the time to tell; the bench measures it exactly.
    assert time.monotonic() - began < 1.0
    assert place.supervisor.status()[0].pid == pid, "the worker lives on"


@pytest.mark.parametrize("kill", [False, True])
def test_a_deaf_job_is_killed_with_its_memory(place: Workplace, kill: bool) -> None:
    job_id, pid = place.start("deaf")
    handle = os.pidfd_open(pid)
    place.control.cancel(job_id, kill)
    cancelled = place.watcher.finished(job_id)
    wait_for_end(handle)
    assert (cancelled.state, cancelled.crashes) == (JobState.CANCELLED, 0)
    assert place.watcher.finished(place.queue.enqueue(JobSpec("write")).id).state is JobState.DONE


def test_a_stopped_process_that_goes_on_later_changes_nothing(memory: Path) -> None:
    # Stopped as by a debugger or a snapshot: it is alive, so only its lease can end.
    # On a machine under load it may fall silent by itself, too.
    chosen = settings(memory, lease_s=1.0, max_crashes=100)
    with working(chosen) as (jobs, supervisor), Watcher(jobs) as watcher:
        job = jobs.queue.enqueue(JobSpec("steps", {"steps": 60, "seconds": 0.02}))
        watcher.until(job.id, lambda job: job.progress > 0)
        pid = supervisor.status()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            watcher.until(job.id, lambda job: job.requeues > 0)
        finally:
            os.kill(pid, signal.SIGCONT)
        done = watcher.finished(job.id)
        assert (done.state, done.attempt) == (JobState.DONE, 1 + done.requeues)
        assert supervisor.status()[0].pid == pid


def test_stopping_gives_running_jobs_back(memory: Path) -> None:
    chosen = settings(memory, poll_s=0.05, stop_s=0.5)
    with open_jobs(chosen) as jobs, Watcher(jobs) as watcher:
        made = {}
        for generator, params in (("steps", {"steps": 1000, "seconds": 0.05}), ("deaf", {})):
            job = made[generator] = jobs.queue.enqueue(JobSpec(generator, params))
            supervisor = Supervisor(jobs, "tests.jobs_generators:make", log_level="ERROR")
            supervisor.start()
            watcher.until(job.id, lambda job: job.progress > 0)
            supervisor.stop()
            forget_signal(chosen)
            assert all(slot.state is SlotState.STOPPED for slot in supervisor.status())
            found = jobs.queue.get(job.id)
            assert (found.state, found.crashes, found.requeues) == (JobState.QUEUED, 0, 1)
            jobs.control.pause(job.id)


def test_workers_end_with_their_server_and_its_jobs_run_elsewhere(memory: Path) -> None:
    chosen = settings(memory, poll_s=0.05, lease_s=600)
    with open_jobs(chosen) as jobs, Watcher(jobs) as watcher:
        job = jobs.queue.enqueue(JobSpec("deaf", {"seconds": 600}))
        host = start_host(chosen)
        try:
            watcher.until(job.id, lambda job: job.progress > 0)
            (worker,) = psutil.Process(host.pid).children()
            handle = os.pidfd_open(worker.pid)
        finally:
            host.kill()
            host.communicate(timeout=PATIENCE_S)
        wait_for_end(handle)
        forget_signal(chosen)
        found = jobs.queue.get(job.id)
        # Given back at once: the lease of ten minutes did not have to end.
        assert (found.state, found.requeues, found.crashes) == (JobState.QUEUED, 1, 0)


def test_two_servers_share_one_store(memory: Path) -> None:
    chosen = settings(memory, poll_s=0.05)
    with (
        working(chosen) as (jobs, one),
        working(chosen) as (_, other),
        Watcher(jobs) as watcher,
    ):
        made = jobs.queue.enqueue_many(
            [JobSpec("steps", {"steps": 2, "seconds": 0.05}) for _ in range(12)]
        )
        done = [watcher.finished(job.id) for job in made]
        workers = {status.pid for server in (one, other) for status in server.status()}
        assert {job.attempt for job in done} == {1}
        assert {job.result["pid"] for job in done if job.result} <= workers


def test_a_worker_that_cannot_start_says_why(memory: Path) -> None:
    order = Order("me", "no.such:module", {}, Place("cpu", 1), settings(memory))
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.jobs.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(order.to_line())
    process.stdin.flush()
    assert "'no.such:module' cannot be loaded" in process.stdout.readline().decode()
    assert process.wait(PATIENCE_S) == 1
    process.communicate()
    forget_signal(order.settings)


def test_an_order_reaches_the_worker_as_it_was_given(memory: Path) -> None:
    order = Order("me", "a:b", {"x": [1]}, Place("cpu", 1), settings(memory), "DEBUG")
    assert Order.from_line(order.to_line()) == order
    assert load_registry("tests.jobs_generators:make")(order.place, {}).get("write")
    for wrong in ("tests.jobs_parts:missing", "tests.jobs_parts", ""):
        with pytest.raises(SettingsError, match="cannot be loaded"):
            load_registry(wrong)
