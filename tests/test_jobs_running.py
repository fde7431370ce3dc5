"""Running one job: what a generator sees, and how it ends."""

import errno
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import Unavailable
from engine.jobs.context import Cancelled, Context, Place
from engine.jobs.errors import JobFailed, JobFileNotFound, StoreFull
from engine.jobs.eta import Eta
from engine.jobs.exchange import Interruption
from engine.jobs.expiry import Expiry
from engine.jobs.heartbeat import Heartbeat
from engine.jobs.leases import Leases
from engine.jobs.live import LiveSignal
from engine.jobs.machine import bound
from engine.jobs.retrying import classified
from engine.jobs.running import JobRunner
from engine.jobs.spec import JobInput, JobSpec, JobState
from tests.jobs_generators import Registry, write
from tests.jobs_parts import Bench, bench

pytest_plugins = ("tests.jobs_fixtures",)

Run = Callable[[dict[str, Any], Mapping[str, Path], Context], Any]


class OneWorker:
    """A worker in this thread, whose heart beats when a test says so."""

    def __init__(self, parts: Bench, live: LiveSignal | None = None) -> None:
        settings = parts.jobs.settings
        self.parts = parts
        clock = parts.jobs.clocks.monotonic
        self.heart = Heartbeat(parts.leases, clock, settings.lease_s, settings.report_s)
        self.runner = JobRunner(
            parts.leases,
            self.heart,
            parts.queue,
            parts.jobs.files,
            Place("cpu", 1),
            settings,
            parts.jobs.clocks,
            live,
        )

    def beat(self) -> None:
        """Let the heart beat, when a report is due."""
        self.parts.clocks.advance(1.0)
        self.heart.tick()

    def work(self, **functions: Run) -> JobState | None:
        """Run the next job of the queue."""
        claimed = self.parts.leases.claim("worker")
        assert claimed is not None
        return self.runner.run(*claimed, Registry(functions))


@pytest.fixture
def worker(memory: Path):
    with bench(memory) as parts:
        yield OneWorker(parts)


def test_result_files_recipe_and_log_are_kept(worker: OneWorker) -> None:
    def make(params, _inputs, context: Context) -> dict[str, Any]:
        context.log("one\ntwo")
        context.record({"seed": 7}, "key-7")
        (context.folder / "b.png").write_bytes(b"12345")
        (context.folder / "a.txt").write_text(params["text"])
        (context.folder / ".hidden").write_text("")
        (context.folder / "folder").mkdir()
        (context.folder / "link").symlink_to("/etc/passwd")
        worker.parts.clocks.advance(2.5)
        return {"n": 1}

    job = worker.parts.queue.enqueue(JobSpec("make", {"text": "hello"}, recipe={"seed": None}))
    assert worker.work(make=make) is JobState.DONE
    done = worker.parts.queue.get(job.id)
    assert (done.result, done.recipe, done.cache_key) == ({"n": 1}, {"seed": 7}, bound("key-7"))
    assert [(file.name, file.bytes) for file in done.files] == [("a.txt", 5), ("b.png", 5)]
    assert (done.progress, done.run_s, done.owner) == (1.0, 2.5, "")
    assert worker.parts.jobs.files.result(done, "a.txt").read_text() == "hello"
    for name in ("link", ".hidden", "c", "../a.txt"):
        with pytest.raises(JobFileNotFound):
            worker.parts.jobs.files.result(done, name)
    assert [line.line for line in worker.parts.history.log(job.id)] == ["one", "two"]


def test_inputs_come_from_uploads_and_from_other_jobs(worker: OneWorker) -> None:
    parts = worker.parts
    first = JobSpec("write", {"text": "first "})
    parts.queue.enqueue(first)
    second = JobSpec(
        "write",
        {"text": "second "},
        (JobInput("upload", "in.txt"), JobInput("before", "out.txt", first.id)),
    )
    (parts.jobs.files.inputs(second.id) / "in.txt").write_text("upload ")
    parts.queue.enqueue(second)
    worker.work(write=write)
    assert worker.work(write=write) is JobState.DONE
    done = parts.queue.get(second.id)
    assert parts.jobs.files.result(done, "out.txt").read_text() == "second upload first "


def test_only_the_latest_progress_is_reported(worker: OneWorker) -> None:
    seen = []

    def make(_params, _inputs, context: Context) -> None:
        for step in range(1, 101):
            context.progress(step / 200, f"step {step}")
        before = worker.parts.jobs.store.changes()
        worker.beat()
        assert worker.parts.jobs.store.changes() == before + 1
        seen.append(worker.parts.history.find().jobs[0])
        context.progress(7)
        worker.beat()
        seen.append(worker.parts.history.find().jobs[0])

    worker.parts.queue.enqueue(JobSpec("make"))
    worker.work(make=make)
    assert [(job.progress, job.message) for job in seen] == [(0.5, "step 100"), (1.0, "step 100")]


def test_the_lease_is_kept_while_a_step_takes_long(worker: OneWorker) -> None:
    parts = worker.parts
    expiry = Expiry(parts.jobs.store, parts.leases, parts.jobs.clocks)

    def make(_params, _inputs, _context) -> None:
        for _ in range(100):
            worker.beat()
            assert expiry.tick() == 0

    parts.queue.enqueue(JobSpec("make"))
    assert worker.work(make=make) is JobState.DONE


def test_a_cancelled_job_stops_at_its_next_step(worker: OneWorker) -> None:
    reached = []

    def make(_params, _inputs, context: Context) -> None:
        (context.folder / "half.png").write_bytes(b"x")
        worker.parts.control.cancel(context.job_id)
        worker.beat()
        try:
            reached.append(1)
            context.progress(0.5)
            reached.append(2)
        except Exception:  # noqa: BLE001  # as libraries have it
            reached.append(3)

    job = worker.parts.queue.enqueue(JobSpec("make"))
    assert worker.work(make=make) is JobState.CANCELLED
    assert reached == [1], "a library's handler of exceptions must not swallow it"
    assert not list(worker.parts.jobs.files.folder(job.id).glob("attempt-*"))


def test_a_job_that_lost_its_lease_leaves_no_trace(worker: OneWorker) -> None:
    parts = worker.parts

    def make(_params, _inputs, context: Context) -> None:
        parts.clocks.advance(11)
        Expiry(parts.jobs.store, parts.leases, parts.jobs.clocks).tick()
        assert parts.leases.claim("other") is not None
        worker.heart.tick()
        context.check()

    job = parts.queue.enqueue(JobSpec("make"))
    assert worker.work(make=make) is None
    assert parts.queue.get(job.id).owner == "other"


def test_a_stopping_worker_gives_its_job_back(worker: OneWorker) -> None:
    def make(_params, _inputs, context: Context) -> None:
        kept = worker.heart.kept
        assert kept is not None
        kept[1].interrupt(kept[1].interruption.STOP)
        worker.beat()
        context.check()

    job = worker.parts.queue.enqueue(JobSpec("make"))
    assert worker.work(make=make) is JobState.QUEUED
    found = worker.parts.queue.get(job.id)
    assert (found.requeues, found.crashes, found.failures) == (1, 0, 0)


def test_a_paused_job_is_held_and_goes_on_where_it_was(worker: OneWorker) -> None:
    parts = worker.parts
    steps = []

    def make(_params, _inputs, context: Context) -> None:
        parts.control.pause(context.job_id)
        worker.beat()

        def resume() -> None:
            assert parts.queue.get(context.job_id).state is JobState.PAUSED
            steps.append("held")
            parts.control.resume(context.job_id)
            worker.beat()

        # Marking the job as paused is what its thread does last before it waits.
        holder = threading.Thread(target=lambda: (marked.wait(30), resume()))
        holder.start()
        context.check()
        steps.append("goes on")
        holder.join()

    marked = threading.Event()
    hold = parts.leases.hold

    def held(*arguments: Any) -> bool:
        answer = hold(*arguments)
        marked.set()
        return answer

    parts.leases.hold = held  # type: ignore[method-assign]  # to know the moment
    parts.queue.enqueue(JobSpec("make"))
    assert worker.work(make=make) is JobState.DONE
    assert steps == ["held", "goes on"]


def test_a_job_that_is_paused_for_long_gives_its_worker_back(memory: Path) -> None:
    with bench(memory, hold_s=0.0) as parts:
        worker = OneWorker(parts)

        def make(_params, _inputs, context: Context) -> None:
            parts.control.pause(context.job_id)
            worker.beat()
            context.check()

        job = parts.queue.enqueue(JobSpec("make"))
        assert worker.work(make=make) is JobState.PAUSED
        assert parts.queue.get(job.id).owner == ""
        assert parts.control.resume(job.id).state is JobState.QUEUED


@pytest.mark.parametrize(
    ("error", "kind", "state"),
    [
        (JobFailed("no", "hint"), "JobFailed", JobState.FAILED),
        (JobFailed("no", retryable=True), "JobFailed", JobState.DELAYED),
        (Unavailable("later"), "Unavailable", JobState.DELAYED),
        (OSError(errno.ENOSPC, "No space"), "DiskFull", JobState.DELAYED),
        (MemoryError(), "OutOfMemory", JobState.DELAYED),
        (ConnectionResetError("gone"), "ConnectionResetError", JobState.DELAYED),
        (ValueError("a bug"), "ValueError", JobState.FAILED),
        (SystemExit(2), "SystemExit", JobState.FAILED),
        (KeyError(), "KeyError", JobState.FAILED),
    ],
)
def test_errors_are_told_apart(worker: OneWorker, error, kind: str, state: JobState) -> None:
    def make(_params, _inputs, _context) -> None:
        raise error

    job = worker.parts.queue.enqueue(JobSpec("make"))
    assert worker.work(make=make) is state
    found = worker.parts.queue.get(job.id)
    assert found.error is not None
    assert found.error.kind == kind
    assert found.error.description
    trace = [line.line for line in worker.parts.history.log(job.id)]
    assert any("Traceback" in line for line in trace) == (not hasattr(error, "hint"))


def test_texts_that_databases_refuse_do_not_hide_an_error(worker: OneWorker) -> None:
    def make(_params, _inputs, context: Context) -> None:
        context.log("a\x00\udc80b")
        context.progress(float("nan"), "a\x00\udc80b")
        worker.beat()
        seen.append(worker.parts.queue.get(context.job_id))
        raise ValueError("a\x00\udc80b")

    seen: list = []
    job = worker.parts.queue.enqueue(JobSpec("make"))
    assert worker.work(make=make) is JobState.FAILED
    assert [(job.progress, job.message) for job in seen] == [(0.0, "a\ufffd?b")]
    found = worker.parts.queue.get(job.id).error
    assert found is not None
    assert found.description == "a\ufffd?b"
    assert worker.parts.history.log(job.id)[0].line == "a\ufffd?b"


@pytest.mark.logs_errors
def test_a_worker_whose_heart_stops_gives_up(
    worker: OneWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any) -> None:
        raise ZeroDivisionError

    def make(_params, _inputs, context: Context) -> None:
        kept = worker.heart.kept
        assert kept is not None
        kept[1].wait(Interruption.NONE, 30)
        context.check()

    monkeypatch.setattr(Leases, "request", fail)
    worker.parts.queue.enqueue(JobSpec("make"))
    worker.heart.start()
    try:
        assert worker.work(make=make) is None
        assert worker.heart.failed
    finally:
        worker.heart.close()


def test_the_memory_of_a_gpu_counts_as_memory() -> None:
    error = type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory.")
    assert classified(error).retryable


@pytest.mark.parametrize("result", [{"x": float("nan")}, {"x": b"bytes"}, {"x": "\x00"}])
def test_a_result_that_is_no_json_fails_the_job(worker: OneWorker, result) -> None:
    job = worker.parts.queue.enqueue(JobSpec("make"))
    assert worker.work(make=lambda *_: result) is JobState.FAILED
    found = worker.parts.queue.get(job.id).error
    assert found is not None
    assert "The result" in found.description


def test_an_unknown_generator_fails_the_job(worker: OneWorker) -> None:
    job = worker.parts.queue.enqueue(JobSpec("nothing"))
    assert worker.work() is JobState.FAILED
    found = worker.parts.queue.get(job.id).error
    assert found is not None
    assert found.kind == "UnknownGenerator"


@pytest.mark.parametrize("picture", ["jpeg", "array", "rubbish"])
def test_previews_are_kept_a_few_at_a_time(worker: OneWorker, picture: str) -> None:
    shown = []

    def make(_params, _inputs, context: Context) -> None:
        data: Any = b"\xff\xd8\xff rest of a JPEG"
        if picture == "array":
            data = np.full((1000, 2000, 3), 128, np.uint8)
        if picture == "rubbish":
            data = b"<script>"
        for _ in range(6):
            shown.append(context.preview(data))
            assert not context.wants_preview()
            assert not context.preview(data)
            worker.beat()
        names.append(worker.parts.queue.get(context.job_id).preview)
        kept.extend(worker.parts.jobs.files.folder(context.job_id).glob("previews/*"))
        if names[0]:
            content.append(worker.parts.jobs.files.preview(context.job_id, names[0]).read_bytes())

    names: list[str] = []
    kept: list[Path] = []
    content: list[bytes] = []
    job = worker.parts.queue.enqueue(JobSpec("make"))
    assert worker.work(make=make) is JobState.DONE
    if picture == "rubbish":
        assert (shown, names, kept) == ([False] * 6, [""], [])
    else:
        assert (shown, names, len(kept)) == ([True] * 6, ["1-6.jpg"], 3)
        assert content[0].startswith(b"\xff\xd8\xff")
    assert not (worker.parts.jobs.files.folder(job.id) / "previews").exists()


def test_a_full_store_delays_the_end_of_a_job_but_loses_nothing(
    worker: OneWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Leases.commit
    refusals = [StoreFull("The disk is full."), StoreFull("The disk is full.")]

    def refuse(*arguments: Any) -> JobState:
        if refusals:
            raise refusals.pop()
        return commit(*arguments)

    monkeypatch.setattr(Leases, "commit", refuse)
    monkeypatch.setattr("engine.jobs.running._AGAIN_S", 0.0)
    job = worker.parts.queue.enqueue(JobSpec("write"))
    assert worker.work(write=write) is JobState.DONE
    assert worker.parts.queue.get(job.id).result == {"length": 0}


def test_what_could_not_be_reported_is_reported_later(
    worker: OneWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Leases.report

    def refuse(*_arguments: Any) -> None:
        raise StoreFull("The disk is full.")

    def make(_params, _inputs, context: Context) -> None:
        context.log("before")
        context.progress(0.3, "early")
        monkeypatch.setattr(Leases, "report", refuse)
        worker.beat()
        context.log("after")
        context.progress(0.4)
        monkeypatch.setattr(Leases, "report", report)
        worker.beat()
        seen.append(worker.parts.queue.get(context.job_id))

    seen: list = []
    job = worker.parts.queue.enqueue(JobSpec("make"))
    worker.work(make=make)
    assert [(job.progress, job.message) for job in seen] == [(0.4, "early")]
    assert [line.line for line in worker.parts.history.log(job.id)] == ["before", "after"]


def test_jobs_wait_while_live_streams_are_late(memory: Path) -> None:
    with bench(memory, max_yield_s=0.05) as parts:
        clock = parts.jobs.clocks.monotonic
        with (
            LiveSignal(memory / "live", clock, 0.015, 0.5) as engine,
            LiveSignal(memory / "live", clock, 0.015, 0.5) as live,
        ):
            worker = OneWorker(parts, live)
            waited = []

            def make(_params, _inputs, context: Context) -> None:
                engine.report(0.014)
                assert live.waits_s() == 0
                engine.report(0.015)
                assert live.waits_s() == pytest.approx(0.5)
                parts.control.cancel(context.job_id)
                worker.beat()
                engine.pause_jobs(5.0)
                # An interruption ends the wait at once; else this test would hang.
                waited.append(context.yield_to_live())
                context.check()

            parts.queue.enqueue(JobSpec("make"))
            assert worker.work(make=make) is JobState.CANCELLED
            assert waited == [0.0]


def test_the_live_signal_ends_by_itself_and_with_the_boot(memory: Path) -> None:
    now = [1000.0]
    with LiveSignal(memory / "live", lambda: now[0], 0.015, 0.5) as live:
        live.pause_jobs(0.5)
        live.pause_jobs(0.1)
        now[0] += 0.4
        assert live.waits_s() == pytest.approx(0.1)
        now[0] += 0.2
        assert live.waits_s() == 0
        live.pause_jobs(0.5)
        now[0] = 5.0
        assert live.waits_s() == 0, "written before a restart of the machine"


def test_the_time_left_follows_the_pace_of_the_last_steps() -> None:
    eta = Eta()
    assert eta.add(0.0, 0.0) is None
    # Loading took 60 s, then each tenth takes 2 s.
    assert eta.add(60.0, 0.0) is None
    for step in range(1, 10):
        left = eta.add(60.0 + 2 * step, step / 10)
    assert left == pytest.approx(2.0)
    # The rest goes slower, as steps at full size do.
    for step in range(1, 14):
        left = eta.add(78.0 + 3 * step, 0.9 + step / 200)
    assert left == pytest.approx(7 * 3.0)
    assert eta.add(200.0, 0.1) is None, "it began again"
    assert eta.add(201.0, 1.0) == 0.0


def test_cancelled_is_no_ordinary_exception() -> None:
    assert not issubclass(Cancelled, Exception)
