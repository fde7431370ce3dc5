"""A thousand jobs while workers and servers are killed: what is lost, done twice, or late."""

import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine.jobs.opening import Jobs, open_jobs
from engine.jobs.spec import FINISHED, JobSpec, JobState
from tests.jobs_host import forget_signal, start_host
from tests.jobs_parts import settings

LEASE_S = 4.0
PATIENCE_S = 300.0

# Written by the database itself, so that nothing that is tested takes part in the count.
_WITNESS = """
CREATE TABLE commits (job_id TEXT, attempt INTEGER);
CREATE TABLE taken (job_id TEXT, attempt INTEGER, lease_at REAL, ended INTEGER);
CREATE TRIGGER note_commit AFTER UPDATE OF state ON jobs WHEN NEW.state = 'done'
BEGIN INSERT INTO commits VALUES (NEW.id, NEW.attempt); END;
CREATE TRIGGER note_taken AFTER UPDATE OF owner ON jobs
WHEN OLD.owner != '' AND NEW.owner = '' AND NEW.state = 'queued'
BEGIN INSERT INTO taken
VALUES (OLD.id, OLD.attempt, OLD.lease_at, NEW.message LIKE '%nothing was heard%'); END;
"""


@dataclass(frozen=True, slots=True)
class Storm:
    """What became of the jobs.

    Attributes:
        jobs: How many there were.
        kills: Signals sent to workers and servers.
        servers: Those of them that were for servers.
        seconds: How long it took.
        lost: Jobs that are not done.
        twice: Commits beyond one of each job.
        wrong: Jobs whose result or file is not what it should be.
        restarts: Attempts beyond one of each job.
        after_lease_s: For each lease that ended, as nobody was left to give the job back: seconds
            from its end to the job's next start.
        early: Jobs that the worker's server, or the worker, gave back before that.
    """

    jobs: int
    kills: int
    servers: int
    seconds: float
    lost: int
    twice: int
    wrong: int
    restarts: int
    after_lease_s: tuple[float, ...]
    early: int


def storm(folder: Path, count: int, kills: int, seed: int = 1) -> Storm:
    """Run ``count`` jobs on 4 workers, and kill ``kills`` times, or until no job is left.

    Workers have normal priority here, so that other load on the machine does not hide how soon the
    queue itself hands jobs on.
    """
    notes = folder / "notes"
    # By chance one job may be hit often; that would rightly count as a job that kills its workers.
    chosen = settings(
        folder,
        devices=("cpu",) * 4,
        lease_s=LEASE_S,
        poll_s=0.1,
        max_crashes=100,
        idle_priority=False,
    )
    chance = random.Random(seed)
    began = time.monotonic()
    with open_jobs(chosen) as jobs:
        with closing(sqlite3.connect(folder / "jobs.sqlite")) as connection:
            connection.executescript(_WITNESS)
        made = jobs.queue.enqueue_many(
            [
                JobSpec("steps", {"notes": str(notes), "steps": 4, "seconds": 0.1, "file": n})
                for n in range(count)
            ]
        )
        host = start_host(chosen)
        servers = killed = 0
        pause = threading.Event()
        try:
            for _ in range(kills):
                pause.wait(chance.uniform(0.1, 0.5))
                if _over(jobs, count):
                    break
                killed += 1
                if chance.random() < 0.1:
                    servers += 1
                    together = servers % 2 == 1
                    if together:
                        _busy_workers(jobs, count, notes, at_least=3)
                    _kill_server(host, together)
                    host = start_host(chosen)
                    if together:
                        # How soon jobs are taken up needs somebody alive to take them up.
                        pause.wait(LEASE_S + 2)
                    continue
                _kill_busy_worker(jobs, count, notes, chance)
            _wait(jobs, count)
        finally:
            host.communicate(timeout=60)
            forget_signal(chosen)
        return _judge(jobs, folder, [job.id for job in made], killed, servers, began)


def _kill_busy_worker(jobs: Jobs, count: int, notes: Path, chance: random.Random) -> None:
    """Kill one of the workers that are at work on a job, as soon as there is one."""
    busy = _busy_workers(jobs, count, notes, at_least=1)
    with suppress(ProcessLookupError):
        if busy:
            os.kill(chance.choice(busy), signal.SIGKILL)


def _busy_workers(jobs: Jobs, count: int, notes: Path, at_least: int) -> list[int]:
    """Return the processes that are at work on a job, as soon as there are so many, or no job is
    left.
    """
    pause = threading.Event()
    end = time.monotonic() + PATIENCE_S
    busy: list[int] = []
    while time.monotonic() < end and len(busy) < at_least and not _over(jobs, count):
        pause.wait(0.02)
        last = {}
        for line in notes.read_text().splitlines() if notes.exists() else ():
            kind, *_, pid = line.split()
            last[int(pid)] = kind
        busy = [pid for pid, kind in last.items() if kind == "begin" and _lives(pid)]
    return busy


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _kill_server(host: "subprocess.Popen[bytes]", with_workers: bool) -> None:
    """Kill a server, at the same instant as its workers, or alone."""
    if with_workers:
        host.send_signal(signal.SIGSTOP)
        for worker in psutil.Process(host.pid).children():
            with suppress(psutil.NoSuchProcess):
                worker.kill()
    host.kill()
    host.communicate()


def _wait(jobs: Jobs, count: int) -> None:
    pause = threading.Event()
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if _over(jobs, count):
            return
        pause.wait(0.2)


def _over(jobs: Jobs, count: int) -> bool:
    counts = jobs.history.counts()
    return sum(counts[state] for state in FINISHED) == count


def _judge(
    jobs: Jobs, folder: Path, ids: list[str], kills: int, servers: int, began: float
) -> Storm:
    seconds = time.monotonic() - began
    with closing(sqlite3.connect(folder / "jobs.sqlite")) as connection:
        commits = Counter(row[0] for row in connection.execute("SELECT job_id FROM commits"))
        taken = connection.execute("SELECT job_id, attempt, lease_at, ended FROM taken").fetchall()
    starts = {(job_id, attempt): at for job_id, attempt, at in _starts(folder / "notes")}
    late = [
        starts[job_id, attempt + 1] - lease_at
        for job_id, attempt, lease_at, ended in taken
        if ended and (job_id, attempt + 1) in starts
    ]
    found = [jobs.queue.get(job_id) for job_id in ids]
    done = [job for job in found if job.state is JobState.DONE]
    wrong = 0
    for job in done:
        text = jobs.files.result(job, "out.txt").read_text()
        wrong += text != f"{job.params['file']} {job.attempt}"
    return Storm(
        len(ids),
        kills,
        servers,
        seconds,
        len(ids) - len(done),
        sum(commits.values()) - len(commits),
        wrong,
        sum(job.attempt - 1 for job in found),
        tuple(sorted(late)),
        sum(not ended for *_, ended in taken),
    )


def _starts(notes: Path) -> Iterator[tuple[str, int, float]]:
    for line in notes.read_text().splitlines():
        kind, job_id, attempt, at, _pid = line.split()
        if kind == "begin":
            yield job_id, int(attempt), float(at)


def leftovers() -> int:
    """Return how many worker processes are left on this machine that belong to nobody."""
    mine = os.getuid()
    count = 0
    for process in psutil.process_iter(["cmdline", "ppid", "uids"]):
        command = process.info["cmdline"] or []
        if "engine.jobs.worker" in command and process.info["ppid"] == 1:
            count += process.info["uids"] is not None and process.info["uids"].real == mine
    return count
