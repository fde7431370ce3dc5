"""What workers do to jobs, each write fenced by the lease: owner and attempt.

A lease that was taken back (it ended, or its worker was found dead) matches no row any more, so
whatever its worker still tries raises ``LeaseLost`` and changes nothing.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, select, update

from engine.jobs.attempt import Lease, Outcome, Report
from engine.jobs.changes import NO_OWNER, add_log, change, due_in, finish, job_row, put_back
from engine.jobs.clocks import Clocks
from engine.jobs.errors import LeaseLost, WorkerLost
from engine.jobs.rows import to_job
from engine.jobs.schema import counters, jobs
from engine.jobs.settings import RetryPolicy
from engine.jobs.spec import Job, JobError, JobState, Request
from engine.jobs.store import Store, Writing


class Leases:
    """Claims jobs and writes about them.

    Every method raises ``Unavailable`` (see ``engine.jobs.errors``) while the store is locked, full
    or out of reach; then nothing was written, and the call may be repeated.

    Args:
        store: Where jobs are kept.
        clocks: Where the time comes from.
        lease_s: How long a lease stands without being renewed.
        max_crashes: A job that ends its worker so often fails.
        chance: Returns random numbers in [0, 1), for waits between tries.
    """

    def __init__(
        self,
        store: Store,
        clocks: Clocks,
        lease_s: float,
        max_crashes: int,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._clocks = clocks
        self._lease_s = lease_s
        self._max_crashes = max_crashes
        self._chance = chance

    def claim(
        self, owner: str, generators: Sequence[str] | None = None, job_id: str | None = None
    ) -> tuple[Lease, Job] | None:
        """Take the first job of the queue.

        Args:
            owner: A name that no other worker has or ever had.
            generators: Only jobs of these; None: of any.
            job_id: Only this job (where something else carries the ids to workers).

        Returns:
            The lease and the job as it now stands; None if there is nothing to do.
        """
        query = (
            select(jobs)
            .where(jobs.c.state == JobState.QUEUED.value)
            .where(select(counters.c.value).where(counters.c.name == "held").scalar_subquery() == 0)
            .order_by(jobs.c.priority.desc(), jobs.c.position, jobs.c.number)
            .limit(1)
        )
        if generators is not None:
            query = query.where(jobs.c.generator.in_(generators))
        if job_id is not None:
            query = query.where(jobs.c.id == job_id)
        # Looking first keeps idle workers from taking the lock of writers again and again.
        with self._store.read() as connection:
            if connection.execute(query.with_only_columns(jobs.c.id)).first() is None:
                return None
        with self._store.write() as writing:
            row = writing.connection.execute(query).mappings().first()
            if row is None:
                return None
            started = {
                **NO_OWNER,
                **self._until(),
                "state": JobState.RUNNING.value,
                "owner": owner,
                "attempt": row["attempt"] + 1,
                "beat": row["beat"] + 1,
                "progress": 0.0,
                "message": "",
                "preview": "",
                "started_at": self._clocks.wall(),
                "run_s": None,
            }
            change(writing, row["id"], started)
            job = to_job({**row, **started, "changed": writing.change})  # type: ignore[arg-type]  # a row's mapping
        return Lease(job.id, owner, job.attempt), job

    def request(self, lease: Lease) -> Request:
        """Return what the worker is asked to do. Only reads.

        Raises:
            LeaseLost: The job belongs to somebody else.
        """
        with self._store.read() as connection:
            return _request(connection, lease)

    def report(self, lease: Lease, report: Report | None = None) -> Request:
        """Renew the lease, write what is new, and return what the worker is asked to do.

        Raises:
            LeaseLost: The job belongs to somebody else.
        """
        values: dict[str, Any] = {**self._until(), "beat": jobs.c.beat + 1}
        with self._store.write(durable=False) as writing:
            if report is not None:
                values |= {**report.values(), "changed": writing.change}
            self._fenced(writing, lease, values)
            if report is not None:
                add_log(writing, lease.job_id, list(report.lines))
            return _request(writing.connection, lease)

    def hold(self, lease: Lease) -> bool:
        """Mark the job as paused, held by its worker; False if that is not wanted any more.

        Raises:
            LeaseLost: The job belongs to somebody else.
        """
        with self._store.write() as writing:
            if _request(writing.connection, lease) is not Request.PAUSE:
                return False
            change(writing, lease.job_id, {"state": JobState.PAUSED.value, "eta_s": None})
            return True

    def commit(self, lease: Lease, outcome: Outcome) -> JobState:
        """Mark the job as done, and the attempt's files as its result.

        Raises:
            LeaseLost: The job belongs to somebody else.
        """
        values: dict[str, Any] = {
            "progress": 1.0,
            "message": "",
            "preview": "",
            "result": dict(outcome.result),
            "files": [asdict(file) for file in outcome.files],
            "bytes": sum(file.bytes for file in outcome.files),
            "error": None,
            "run_s": outcome.run_s,
        }
        if outcome.recipe is not None:
            values["recipe"] = dict(outcome.recipe)
        if outcome.cache_key is not None:
            values["cache_key"] = outcome.cache_key
        with self._store.write() as writing:
            self._fenced(writing, lease, {"beat": jobs.c.beat + 1})
            add_log(writing, lease.job_id, list(outcome.lines))
            finish(writing, lease.job_id, JobState.DONE, self._clocks.wall(), **values)
        return JobState.DONE

    def fail(
        self,
        lease: Lease,
        error: JobError,
        run_s: float,
        lines: Sequence[tuple[float, str]] = (),
    ) -> JobState:
        """Say that the try failed: it is tried again later, or the job has failed.

        Returns:
            The job's new state: delayed, failed, or cancelled if that was asked for.

        Raises:
            LeaseLost: The job belongs to somebody else.
        """
        with self._store.write() as writing:
            self._fenced(writing, lease, {"run_s": run_s})
            add_log(writing, lease.job_id, list(lines))
            row = job_row(writing, lease.job_id)
            now = self._clocks.wall()
            if row["request"] in (Request.CANCEL, Request.KILL):
                finish(writing, lease.job_id, JobState.CANCELLED, now, message="Cancelled.")
                return JobState.CANCELLED
            retry = RetryPolicy.model_validate(row["retry"])
            failures = row["failures"] + 1
            known = {"error": asdict(error), "failures": failures}
            if not error.retryable or failures >= retry.attempts:
                message = error.description
                finish(writing, lease.job_id, JobState.FAILED, now, message=message, **known)
                return JobState.FAILED
            wait_s = retry.wait_s(failures, self._chance())
            message = f"Try {failures} of {retry.attempts} failed: {error.description}"
            state = put_back(writing, row, message, now)
            if state is JobState.QUEUED:
                state = JobState.DELAYED
            later = {**due_in(self._clocks, wait_s), "state": state.value}
            change(writing, lease.job_id, later | known)
            return state

    def give_back(
        self,
        lease: Lease,
        message: str,
        paused: bool = False,
        lines: Sequence[tuple[float, str]] = (),
    ) -> JobState:
        """Give the job back unfinished, through no fault of its own. If it was to be cancelled, it
        is cancelled.

        Args:
            lease: The lease.
            message: Why, for people.
            paused: It stays paused.
            lines: The last lines of the log.

        Returns:
            The job's new state.

        Raises:
            LeaseLost: The job belongs to somebody else.
        """
        with self._store.write() as writing:
            self._fenced(writing, lease, {"beat": jobs.c.beat + 1})
            add_log(writing, lease.job_id, list(lines))
            row = job_row(writing, lease.job_id)
            return put_back(writing, row, message, self._clocks.wall(), paused)

    def take_back(
        self, lease: Lease, why: str, beat: int | None = None, to_blame: bool = True
    ) -> JobState | None:
        """Take a job from a worker that is dead or silent.

        Args:
            lease: The worker's lease.
            why: For people: what became of the worker.
            beat: Only if the lease was not renewed since it had this count; None: in any case.
            to_blame: Count it as the worker's death, of which a job may cause ``max_crashes``.

        Returns:
            The job's new state; None if the lease did not stand any more.
        """
        with self._store.write() as writing:
            found = writing.connection.execute(select(jobs).where(lease.fence())).mappings().first()
            if found is None or (beat is not None and found["beat"] != beat):
                return None
            now = self._clocks.wall()
            cancelled = found["request"] in (Request.CANCEL, Request.KILL)
            crashes = found["crashes"] + (to_blame and not cancelled)
            if crashes >= self._max_crashes and not cancelled:
                lost = WorkerLost(
                    f"The worker ended {crashes} times while it had this job: {why}",
                    "It may need more memory than there is; the server's log says more.",
                )
                error = asdict(JobError(lost.kind, lost.description, lost.hint))
                values = {"error": error, "crashes": crashes, "message": lost.description}
                finish(writing, lease.job_id, JobState.FAILED, now, **values)
                return JobState.FAILED
            change(writing, lease.job_id, {"crashes": crashes})
            return put_back(writing, found, f"Starts again: {why}", now)

    def _until(self) -> dict[str, Any]:
        return {
            "lease_domain": self._clocks.domain,
            "lease_at": self._clocks.monotonic() + self._lease_s,
            "lease_s": self._lease_s,
        }

    def _fenced(self, writing: Writing, lease: Lease, values: dict[str, Any]) -> None:
        statement = update(jobs).where(lease.fence()).values(**values)
        if writing.connection.execute(statement).rowcount != 1:
            raise _lost(lease)


def leases_of(connection: Connection, owner: str) -> list[Lease]:
    """Return the leases that an owner has."""
    query = select(jobs.c.id, jobs.c.owner, jobs.c.attempt).where(jobs.c.owner == owner)
    return [Lease(*row) for row in connection.execute(query)]


def _request(connection: Connection, lease: Lease) -> Request:
    found = connection.execute(select(jobs.c.request).where(lease.fence())).scalar_one_or_none()
    if found is None:
        raise _lost(lease)
    return Request(found)


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"Attempt {lease.attempt} of job '{lease.job_id}' was taken from its worker.")
