"""Side jobs: nothing lost under kills, enqueue rate, cancel, progress, live streams beside jobs."""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from engine.jobs.events import EventKind
from engine.jobs.feed import JobFeed
from engine.jobs.live import LiveSignal, signal_path
from engine.jobs.opening import Jobs, open_jobs
from engine.jobs.priority import thread_count
from engine.jobs.queue import JobQueue
from engine.jobs.settings import JobSettings
from engine.jobs.spec import Job, JobSpec, JobState
from engine.jobs.submit import Submitter
from engine.jobs.subscriptions import Subscription
from tests.benchmarks.job_storm import leftovers, storm
from tests.benchmarks.table import Row, percentile
from tests.jobs_host import Watcher, working
from tests.jobs_parts import settings
from tests.processes import ROOT

STEP_S = 0.05
FPS = 25
FRAME_WORK_S = 0.004
_DEFAULTS = JobSettings()
_LATE_S = _DEFAULTS.live_late_ms / 1000
_HOLD_S = _DEFAULTS.live_hold_s


def run(quick: bool = False) -> list[Row]:
    """Measure all of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            *_storm(folder / "storm", quick),
            *_enqueue(folder / "enqueue", quick),
            *_cancel(folder / "cancel", quick),
            *_progress(folder / "progress", quick),
            *_idle_feed(folder / "feed"),
            *_live(folder / "live", quick),
        ]


def _storm(folder: Path, quick: bool) -> list[Row]:
    folder.mkdir()
    found = storm(folder, *((100, 10) if quick else (1000, 100)))
    late = found.after_lease_s
    latest = max(late, default=0.0)
    what = f"{found.jobs} jobs, {found.kills} kills ({found.servers} of servers)"
    return [
        Row(f"{what}: lost", str(found.lost), "0", found.lost == 0),
        Row("  committed twice", str(found.twice), "0", found.twice == 0),
        Row("  wrong results", str(found.wrong), "0", found.wrong == 0),
        Row(
            f"  {len(late)} leases that ended: from there to the next start",
            f"{latest:.2f} s at the latest",
            "<= 2 s",
            bool(late) and latest <= 2.0,
        ),
        Row("  jobs given back at once, by their server or worker", str(found.early)),
        Row("  attempts that were cut off", str(found.restarts)),
        Row("  workers left behind", str(leftovers()), "0", leftovers() == 0),
        Row("  time for all", f"{found.seconds:.0f} s"),
    ]


def _enqueue(folder: Path, quick: bool) -> list[Row]:
    count = 300 if quick else 3000
    with open_jobs(settings(folder, max_waiting=100_000)) as jobs:
        one = _rate(lambda: _one_by_one(jobs.queue, count // 3), count // 3)
        with Submitter(jobs.queue) as submitter, ThreadPoolExecutor(32) as pool:

            def enqueue(_: int) -> Job:
                return submitter.submit(JobSpec("a", {"prompt": "x" * 200})).result()

            many = _rate(lambda: list(pool.map(enqueue, range(count))), count)
        commit = _rate(lambda: _commits(jobs, 200), 200)
    return [
        Row("enqueued, each on the disk, 32 callers at once", f"{many:,.0f}/s", ">= 1,000/s",
            many >= 1000),
        Row("enqueued, each on the disk, one caller", f"{one:,.0f}/s"),
        Row("  what the disk does: empty transactions, one after the other", f"{commit:,.0f}/s"),
    ]  # fmt: skip


def _one_by_one(queue: JobQueue, count: int) -> None:
    for _ in range(count):
        queue.enqueue(JobSpec("a", {"prompt": "x" * 200}))


def _commits(jobs: Jobs, count: int) -> None:
    for _ in range(count):
        with jobs.store.write():
            pass


def _rate(work: Callable[[], object], count: int) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def _cancel(folder: Path, quick: bool) -> list[Row]:
    turns = 5 if quick else 20
    with _one_worker(folder, cancel_grace_s=0.5) as (jobs, watcher):
        kind = {"steps": 100_000, "seconds": STEP_S}
        polite = [_cancelled(jobs, watcher, "steps", kind, kill=False) for _ in range(turns)]
        killed = [_cancelled(jobs, watcher, "deaf", {}, kill=True) for _ in range(turns // 2)]
        grace = [_cancelled(jobs, watcher, "deaf", {}, kill=False) for _ in range(turns // 4)]
    slowest, forced, after = max(polite), max(killed), max(grace) - 0.5
    return [
        Row(f"cancel, steps of {STEP_S * 1000:.0f} ms: the slowest of {turns}, and p90",
            f"{slowest * 1000:.0f} ms, {percentile(polite, 90) * 1000:.0f} ms",
            "<= step + 100 ms", slowest <= STEP_S + 0.1),
        Row("cancel of a deaf job with kill, until its process is gone", f"{forced * 1000:.0f} ms",
            "<= 1 s", forced <= 1),
        Row("cancel of a deaf job: after the time of grace", f"{after * 1000:.0f} ms", "<= 1 s",
            after <= 1),
    ]  # fmt: skip


def _cancelled(
    jobs: Jobs, watcher: Watcher, generator: str, params: dict[str, float], kill: bool
) -> float:
    """Return the seconds from the call to the job's end in the store."""
    job = jobs.queue.enqueue(JobSpec(generator, params))
    watcher.until(job.id, lambda job: job.progress > 0)
    began = time.perf_counter()
    jobs.control.cancel(job.id, kill)
    pause = threading.Event()
    while jobs.queue.get(job.id).state is not JobState.CANCELLED:
        pause.wait(0.002)
    return time.perf_counter() - began


def _progress(folder: Path, quick: bool) -> list[Row]:
    """How long after a step a subscriber in another process hears of it."""
    steps = 20 if quick else 100
    delays: list[float] = []
    with _one_worker(folder, poll_s=0.1, report_s=0.1) as (jobs, _):
        feed = JobFeed(jobs)
        feed.start()
        news = threading.Event()
        job = jobs.queue.enqueue(JobSpec("steps", {"steps": steps, "seconds": 0.23}))
        subscription = Subscription(job.id, news.set)
        feed.add(subscription)
        ended = False
        while not ended:
            news.wait()
            now = time.monotonic()
            news.clear()
            for event in subscription.take():
                if event.kind is EventKind.PROGRESS and event.data["message"]:
                    # The generator's message is the time of its step, on the same clock.
                    delays.append(now - float(event.data["message"]))
                ended = ended or event.last
        feed.close()
    slowest = max(delays)
    return [
        Row(f"from a step to a subscriber: slowest of {len(delays)} (median "
            f"{statistics.median(delays) * 1000:.0f} ms)", f"{slowest * 1000:.0f} ms",
            "<= 200 ms", slowest <= 0.2),
    ]  # fmt: skip


def _idle_feed(folder: Path) -> list[Row]:
    with open_jobs(settings(folder)) as jobs:
        job = jobs.queue.enqueue(JobSpec("a"))
        feed = JobFeed(jobs)
        feed.add(Subscription(job.id, lambda: None))
        feed.poll()
        began = time.process_time()
        for _ in range(1000):
            feed.poll()
        spent = (time.process_time() - began) / 1000
    return [Row("a look for news when there are none", f"{spent * 1e6:.0f} us")]


def _live(folder: Path, quick: bool) -> list[Row]:
    """A loop at 25 pictures per second, alone and beside a job that computes all the time.

    Jobs are stopped and continued each second in turns, so that whatever else runs on the machine
    falls on all ways alike. What none of our code can change is shown beside it: a process that
    does nothing but count, with the least priority, on one core.
    """
    turns = 3 if quick else 40
    cores = os.cpu_count() or 1
    ways = ("alone", "counting", "default", "all", "normal")
    late: dict[str, list[float]] = {way: [] for way in ways}
    with (
        _counting() as counting,
        _burning(folder / "default", thread_count(0), True) as default,
        _burning(folder / "all", cores, True) as everything,
        _burning(folder / "normal", cores, False) as normal,
    ):
        processes = dict(zip(ways[1:], (counting, default, everything, normal), strict=True))
        for turn in range(turns * len(late)):
            way = list(late)[turn % len(late)]
            if way in processes:
                os.killpg(processes[way], signal.SIGCONT)
            late[way] += _lateness(signal_path(folder / way))
            if way in processes:
                os.killpg(processes[way], signal.SIGSTOP)
    signal_path(folder / "alone").unlink(missing_ok=True)
    p99 = {way: percentile(found, 99) * 1000 for way, found in late.items()}
    what = {way: f"p50 {percentile(found, 50) * 1000:.2f} ms, p99" for way, found in late.items()}
    rise = {way: p99[way] / p99["alone"] - 1 for way in late}
    shown = {way: f"{p99[way]:.2f} ms ({rise[way]:+.0%})" for way in late}
    threads = thread_count(0)
    return [
        Row(f"25 fps loop, lateness, alone: {what['alone']}", f"{p99['alone']:.2f} ms"),
        Row(f"  beside a process that only counts, on one core: {what['counting']}",
            shown["counting"]),
        Row(f"  beside a worker as it is by default ({threads} of {cores} cores, idle priority): "
            f"{what['default']}", shown["default"], "<= +10%", rise["default"] <= 0.1),
        Row(f"  beside one on all cores, idle priority: {what['all']}", shown["all"]),
        Row(f"  beside one on all cores, normal priority: {what['normal']}", shown["normal"]),
    ]  # fmt: skip


@contextmanager
def _counting() -> Iterator[int]:
    """Run a process that only counts, with the least priority on one core; it is stopped."""
    code = "import os; os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})"
    code += "; from engine.jobs.priority import lower_thread; lower_thread()\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
    try:
        time.sleep(1)
        os.killpg(process.pid, signal.SIGSTOP)
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def _burning(folder: Path, threads: int, idle_priority: bool) -> Iterator[int]:
    """Run a job that computes all the time; yield its process, which is stopped."""
    chosen = settings(folder, idle_priority=idle_priority, threads=threads, lease_s=600)
    with working(chosen) as (jobs, supervisor), Watcher(jobs) as watcher:
        job = jobs.queue.enqueue(JobSpec("burn", {"seconds": 3600}))
        watcher.until(job.id, lambda job: job.progress > 0)
        pid = supervisor.status()[0].pid
        assert pid is not None
        os.killpg(pid, signal.SIGSTOP)
        try:
            yield pid
        finally:
            os.killpg(pid, signal.SIGCONT)
            jobs.control.cancel(job.id, kill=True)
            watcher.finished(job.id)


def _lateness(signal_file: Path) -> list[float]:
    """Run the loop for a second; return how late each picture was ready."""
    late = []
    with LiveSignal(signal_file, time.monotonic, _LATE_S, _HOLD_S) as live:
        due = time.monotonic()
        for _ in range(FPS):
            due += 1 / FPS
            time.sleep(max(0.0, due - time.monotonic()))
            until = time.thread_time() + FRAME_WORK_S
            while time.thread_time() < until:
                pass
            late.append(time.monotonic() - due - FRAME_WORK_S)
            live.report(late[-1])
    return late


@contextmanager
def _one_worker(folder: Path, **values: float) -> Iterator[tuple[Jobs, Watcher]]:
    with working(settings(folder, **values)) as (jobs, _), Watcher(jobs) as watcher:
        yield jobs, watcher
