"""Who is to be called when a job has ended, and when to call.

A notice is written with its job, in the same transaction, and stays until the call has succeeded
or is given up; so it survives a restart. Taking one moves the time of the next call ahead: whoever
took it and then dies is followed by anybody else when that time comes. A call may so be made twice,
but never by two at once, and none is forgotten.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update

from engine.jobs.changes import add_log
from engine.jobs.clocks import Clocks, Watch
from engine.jobs.rows import to_job
from engine.jobs.schema import jobs, notices
from engine.jobs.spec import FINISHED, Job
from engine.jobs.store import Store


@dataclass(frozen=True, slots=True)
class Notice:
    """A call that is to be made.

    Attributes:
        job: The job, which has ended.
        url: Whom to call.
        call: Which call this is, from 1 on.
    """

    job: Job
    url: str
    call: int


def new_notice(job_id: str, url: str) -> dict[str, Any]:
    """Return the row of a new notice."""
    return {"job_id": job_id, "url": url}


class Notices:
    """The calls that are to be made. Any number may work on one store.

    Every method raises ``Unavailable`` while the store is locked, full or out of reach.

    Args:
        store: Where jobs are kept.
        clocks: Where the time comes from.
    """

    def __init__(self, store: Store, clocks: Clocks) -> None:
        self._store = store
        self._clocks = clocks
        self._watch = Watch(clocks)

    def due(self, limit: int = 16) -> list[tuple[str, int]]:
        """Return jobs that have ended and whose next call is due, each with the calls so far."""
        query = (
            select(notices)
            .join(jobs, jobs.c.id == notices.c.job_id)
            .where(jobs.c.state.in_(FINISHED))
            .order_by(jobs.c.finished_at)
        )
        with self._store.read() as connection:
            rows = connection.execute(query).all()
        found = [
            (row.job_id, row.calls)
            for row in rows
            if row.calls == 0
            or self._watch.passed(
                (row.job_id, row.calls, row.due_at), row.due_domain, row.due_at, row.due_s
            )
        ]
        self._watch.forget_others()
        return found[:limit]

    def take(self, job_id: str, calls: int, next_s: float) -> Notice | None:
        """Take a notice that is due; nobody else gets it before the next call is due.

        Args:
            job_id: Its job.
            calls: The calls so far, from ``due``.
            next_s: Seconds to the next call, should nothing be heard of this one.

        Returns:
            The call that is to be made; None: somebody else was faster.
        """
        taken = (
            update(notices)
            .where(notices.c.job_id == job_id, notices.c.calls == calls)
            .values(calls=calls + 1, **self._due(next_s))
            .returning(notices.c.url)
        )
        with self._store.write(durable=False) as writing:
            url = writing.connection.execute(taken).scalar_one_or_none()
            if url is None:
                return None
            row = writing.connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings()
            return Notice(to_job(row.one()), url, calls + 1)

    def settle(self, job_id: str, line: str, again_s: float | None) -> None:
        """Note in the job's log how a call went.

        Args:
            job_id: The job.
            line: For people.
            again_s: Seconds to the next call; None: no further one is to be made.
        """
        with self._store.write() as writing:
            mine = notices.c.job_id == job_id
            if again_s is None:
                writing.connection.execute(delete(notices).where(mine))
            else:
                writing.connection.execute(update(notices).where(mine).values(self._due(again_s)))
            if writing.connection.scalar(select(jobs.c.id).where(jobs.c.id == job_id)):
                add_log(writing, job_id, [(self._clocks.wall(), line)])

    def _due(self, seconds: float) -> dict[str, Any]:
        return {
            "due_domain": self._clocks.domain,
            "due_at": self._clocks.monotonic() + seconds,
            "due_s": seconds,
        }
