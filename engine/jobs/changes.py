"""The changes of state that several parts make: finishing, going back to the queue, and what that
means for jobs that wait for the job.

All of it works inside a transaction of ``Store.write``.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import RowMapping, case, delete, insert, select, update

from engine.jobs.clocks import Clocks
from engine.jobs.errors import JobNotFound, ParentFailed
from engine.jobs.ids import known_id
from engine.jobs.schema import jobs, log, parents
from engine.jobs.spec import FINISHED, JobError, JobState, Request
from engine.jobs.store import Writing

NO_OWNER: Final[Mapping[str, Any]] = {
    "owner": "",
    "lease_domain": "",
    "lease_at": 0.0,
    "lease_s": 0.0,
    "request": Request.NONE.value,
    "eta_s": None,
}
"""What a job has that nobody works on."""

MAX_LOG_LINES = 1000
MAX_LINE_LENGTH = 2000


def job_row(writing: Writing, job_id: str) -> RowMapping:
    """Return the row of a job.

    Raises:
        JobNotFound: There is none.
    """
    query = select(jobs).where(jobs.c.id == known_id(job_id))
    found = writing.connection.execute(query).mappings().first()
    if found is None:
        raise JobNotFound(job_id)
    return found


def change(writing: Writing, job_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a job."""
    writing.connection.execute(
        update(jobs).where(jobs.c.id == job_id).values(changed=writing.change, **values)
    )


def finish(writing: Writing, job_id: str, state: JobState, now: float, **values: Any) -> None:
    """Bring a job to its end, and let the jobs that wait for it go on, or fail.

    Args:
        writing: The transaction.
        job_id: The job.
        state: One of ``FINISHED``.
        now: Wall time.
        values: Further columns.
    """
    change(writing, job_id, {**NO_OWNER, "state": state.value, "finished_at": now, **values})
    if state is JobState.DONE:
        waiting = _children(writing, job_id)
        if waiting:
            done = update(parents).where(parents.c.parent_id == job_id).values(done=True)
            writing.connection.execute(done)
            _wake(writing, waiting)
        return
    ended = [(job_id, state)]
    while ended:
        parent, how = ended.pop()
        error = ParentFailed(
            f"Job '{parent}', which this one waited for, {_ENDED[how]}.", "Enqueue both again."
        )
        failed = {
            **NO_OWNER,
            "state": JobState.FAILED.value,
            "finished_at": now,
            "error": asdict(JobError(error.kind, error.description, error.hint)),
            "message": error.description,
        }
        for child in _children(writing, parent):
            change(writing, child, failed)
            ended.append((child, JobState.FAILED))


_ENDED = {JobState.FAILED: "failed", JobState.CANCELLED: "was cancelled"}


def _children(writing: Writing, job_id: str) -> list[str]:
    """Return the unfinished jobs that depend on a job."""
    query = (
        select(jobs.c.id)
        .join(parents, parents.c.job_id == jobs.c.id)
        .where(parents.c.parent_id == job_id, jobs.c.state.not_in(FINISHED))
    )
    return list(writing.connection.scalars(query))


def _wake(writing: Writing, waiting: list[str]) -> None:
    still = select(parents.c.job_id).where(parents.c.job_id.in_(waiting), ~parents.c.done)
    later = case((jobs.c.not_before.is_(None), JobState.QUEUED.value), else_=JobState.DELAYED.value)
    writing.connection.execute(
        update(jobs)
        .where(
            jobs.c.id.in_(waiting),
            jobs.c.id.not_in(still),
            jobs.c.state == JobState.WAITING.value,
        )
        .values(state=later, message="", changed=writing.change)
    )


def put_back(
    writing: Writing, row: RowMapping, message: str, now: float, paused: bool = False
) -> JobState:
    """Take a job from its worker and put it back to where it was in the queue.

    A job that was to be cancelled is cancelled instead, and one that was paused stays so.

    Args:
        writing: The transaction.
        row: The job's whole row.
        message: Why, for people.
        now: Wall time.
        paused: Put it back as paused in any case.

    Returns:
        Its new state.
    """
    if row["request"] in (Request.CANCEL, Request.KILL):
        finish(writing, row["id"], JobState.CANCELLED, now, message="Cancelled.")
        return JobState.CANCELLED
    held = paused or row["state"] == JobState.PAUSED or row["request"] == Request.PAUSE
    state = JobState.PAUSED if held else JobState.QUEUED
    back = {"state": state.value, "progress": 0.0, "message": message}
    change(writing, row["id"], {**NO_OWNER, **back, "requeues": row["requeues"] + 1})
    return state


def due_in(clocks: Clocks, seconds: float) -> dict[str, Any]:
    """Return the columns of a job that is due in so many seconds."""
    return {
        "due_domain": clocks.domain,
        "due_at": clocks.monotonic() + seconds,
        "due_s": seconds,
        "not_before": clocks.wall() + seconds,
    }


def add_log(writing: Writing, job_id: str, lines: list[tuple[float, str]]) -> None:
    """Append lines to a job's log; the oldest ones go.

    Args:
        writing: The transaction.
        job_id: The job.
        lines: Wall time and text.
    """
    if not lines:
        return
    last = select(log.c.number).where(log.c.job_id == job_id).order_by(log.c.number.desc()).limit(1)
    number = (writing.connection.scalar(last) or 0) + 1
    rows = [
        {"job_id": job_id, "number": number + n, "at": at, "line": line[:MAX_LINE_LENGTH]}
        for n, (at, line) in enumerate(lines[-MAX_LOG_LINES:])
    ]
    writing.connection.execute(insert(log), rows)
    oldest = number + len(rows) - 1 - MAX_LOG_LINES
    if oldest > 0:
        writing.connection.execute(
            delete(log).where(log.c.job_id == job_id, log.c.number <= oldest)
        )
