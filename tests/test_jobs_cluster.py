"""Two machines, one of which dies, a broker that dies too, and no job lost or done twice."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import sqlalchemy

from engine.jobs.announcing import Announcer
from engine.jobs.broker import BrokerLink
from engine.jobs.opening import open_jobs
from engine.jobs.settings import JobSettings
from engine.jobs.spec import JobSpec, JobState
from tests.cluster_services import PATIENCE_S, RedisServer
from tests.jobs_host import Watcher, forget_signal, start_host
from tests.jobs_parts import settings

pytest_plugins = ("tests.jobs_fixtures",)

COUNT_COMMITS = """
CREATE TABLE commits (job_id varchar(32));
CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO commits VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER commits AFTER UPDATE ON jobs FOR EACH ROW
WHEN (NEW.state = 'done') EXECUTE FUNCTION note_commit();
"""


@contextmanager
def machine(chosen: JobSettings) -> Iterator["subprocess.Popen[bytes]"]:
    """What ``server.py worker --broker`` is, with generators for tests."""
    process = start_host(chosen)
    try:
        yield process
    finally:
        process.communicate(timeout=PATIENCE_S)


def kill(host: int) -> int:
    """Kill a machine: nobody there notices the death of its worker; return the worker's id."""
    (worker,) = psutil.Process(host).children()
    os.kill(host, signal.SIGSTOP)
    for pid in (worker.pid, host):
        os.kill(pid, signal.SIGKILL)
    return worker.pid


def workers(notes: Path) -> dict[str, int]:
    """The worker process that last began each job."""
    lines = [line.split() for line in notes.read_text().splitlines()]
    return {job_id: int(pid) for what, job_id, _, _, pid in lines if what == "begin"}


def test_two_machines_lose_no_job_and_do_none_twice(
    memory: Path, bare_postgres: str, redis: RedisServer
) -> None:
    notes = memory / "notes"
    chosen = settings(
        memory / "shared",
        database=bare_postgres,
        broker=redis.url,
        worker_idle_s=0,
        lease_s=1.0,
        poll_s=0.05,
    )
    with open_jobs(chosen) as jobs, Watcher(jobs) as watcher:
        engine = sqlalchemy.create_engine(bare_postgres)
        with engine.begin() as connection:
            connection.exec_driver_sql(COUNT_COMMITS)

        def enqueue(count: int, steps: int = 2) -> list[str]:
            params = {"steps": steps, "seconds": 0.04, "notes": str(notes), "file": "made"}
            return [jobs.queue.enqueue(JobSpec("steps", params)).id for _ in range(count)]

        def run_on_both(steps: int) -> list[str]:
            made = enqueue(2, steps)
            for job_id in made:
                watcher.until(job_id, lambda job: job.progress > 0)
            return made

        with (
            Announcer(jobs.store, BrokerLink(redis.url), chosen.poll_s),
            machine(chosen) as doomed,
            machine(chosen) as other,
        ):
            try:
                for job_id in run_on_both(10_000):
                    jobs.control.cancel(job_id)
                made = enqueue(12)
                for job_id in made:
                    watcher.finished(job_id)
                made += run_on_both(20)
                made += enqueue(6)
                dead = kill(doomed.pid)
                killed = [job for job in made[12:14] if workers(notes)[job] == dead]
                redis.stop()
                made += enqueue(6)
                watcher.finished(made[-1])
                redis.start()
                made += enqueue(4)
                done = [watcher.finished(job_id) for job_id in made]
            finally:
                for process in (doomed, other):
                    assert process.stdin is not None
                    process.stdin.close()
                    process.stdin = None
        with engine.begin() as connection:
            commits = connection.exec_driver_sql("SELECT job_id FROM commits").scalars().all()
        engine.dispose()
        forget_signal(chosen)
        assert len(done) == 30
        assert {job.state for job in done} == {JobState.DONE}
        assert sorted(commits) == sorted(made)
        assert [job.id for job in done if job.attempt > 1] == killed
        assert len(killed) == 1
        for job in done:
            assert jobs.files.result(job, "out.txt").read_text() == f"made {job.attempt}"
