"""Putting jobs into the queue, and getting them; in any process and any thread."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, exists, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from engine.jobs.changes import NO_OWNER, change, job_row
from engine.jobs.checking import check, new_row, parents_of
from engine.jobs.clocks import Clocks
from engine.jobs.errors import JobNotFound, JobStateConflict, QueueFull
from engine.jobs.files import JobFiles
from engine.jobs.ids import known_id
from engine.jobs.notices import new_notice
from engine.jobs.rows import to_job
from engine.jobs.schema import jobs, notices, parents
from engine.jobs.settings import JobSettings
from engine.jobs.spec import FINISHED, PENDING, Job, JobSpec, JobState
from engine.jobs.store import Store, Writing


class JobQueue:
    """The queue.

    Every method raises ``Unavailable`` (see ``engine.jobs.errors``) while the store is locked, full
    or out of reach, and ``JobNotFound`` for an id that no job has.

    Args:
        store: Where jobs are kept.
        files: Where their files are.
        settings: The section ``jobs``.
        clocks: Where the time comes from.
    """

    def __init__(
        self, store: Store, files: JobFiles, settings: JobSettings, clocks: Clocks
    ) -> None:
        self._store = store
        self._files = files
        self._settings = settings
        self._clocks = clocks

    def enqueue(self, spec: JobSpec) -> Job:
        """Accept a job; when this returns, it is on the disk.

        Raises:
            InvalidInput: It cannot be accepted as it is described.
            NotFound: An input file, or a job it depends on, does not exist.
            JobStateConflict: A job that it depends on has failed, or its id is in use.
            QueueFull: Too many jobs wait.
        """
        return self.enqueue_many([spec])[0]

    def enqueue_many(self, specs: Sequence[JobSpec]) -> list[Job]:
        """Accept several jobs, or none of them. They may depend on earlier ones of the list.

        Raises:
            AvatarServerError: As for ``enqueue``.
        """
        for spec in specs:
            check(spec, self._files)
        if not specs:
            return []
        with self._store.write() as writing:
            self._check_room(writing, len(specs))
            open_parents = self._open_parents(writing, specs)
            number = writing.reserve(len(specs))
            rows = [
                new_row(
                    spec,
                    number + place,
                    bool(open_parents[spec.id]),
                    spec.retry or self._settings.retry,
                    self._clocks,
                )
                for place, spec in enumerate(specs)
            ]
            try:
                writing.connection.execute(insert(jobs), rows)
            except IntegrityError as error:
                raise JobStateConflict(
                    "A job with this id exists already.", "Enqueue each id once."
                ) from error
            links = [
                {"job_id": spec.id, "parent_id": parent, "done": parent not in waited}
                for spec in specs
                for waited in (open_parents[spec.id],)
                for parent in parents_of(spec)
            ]
            if links:
                writing.connection.execute(insert(parents), links)
            hooked = [new_notice(spec.id, spec.webhook) for spec in specs if spec.webhook]
            if hooked:
                writing.connection.execute(insert(notices), hooked)
        return [to_job({**_NEW, **row}) for row in rows]  # type: ignore[arg-type]  # a row's mapping

    def get(self, job_id: str) -> Job:
        """Return a job as it stands."""
        with self._store.read() as connection:
            query = select(jobs).where(jobs.c.id == known_id(job_id))
            row = connection.execute(query).mappings().first()
        if row is None:
            raise JobNotFound(job_id)
        return to_job(row)

    def retry(self, job_id: str) -> Job:
        """Put a job that failed or was cancelled into the queue again, at the end of its priority.

        Raises:
            JobStateConflict: It is in another state, or a job it depends on is not there any more.
        """
        with self._store.write() as writing:
            row = job_row(writing, job_id)
            if row["state"] not in (JobState.FAILED, JobState.CANCELLED):
                raise JobStateConflict(
                    f"Job '{job_id}' is {row['state']}.", "Only what failed can be tried again."
                )
            spec = JobSpec(row["generator"], id=job_id, depends_on=tuple(row["parents"]))
            self._check_room(writing, 1)
            waited = self._open_parents(writing, [spec])[job_id]
            for parent in spec.depends_on:
                link = (parents.c.job_id == job_id) & (parents.c.parent_id == parent)
                state = update(parents).where(link).values(done=parent not in waited)
                writing.connection.execute(state)
            anew: dict[str, Any] = {
                **_AGAIN,
                "position": float(writing.reserve(1)),
                "state": (JobState.WAITING if waited else JobState.QUEUED).value,
            }
            change(writing, job_id, anew)
            return to_job(job_row(writing, job_id))

    def delete(self, job_id: str) -> None:
        """Remove a finished job and its files.

        Raises:
            JobStateConflict: It is not finished, or an unfinished job depends on it.
        """
        with self._store.write() as writing:
            row = job_row(writing, job_id)
            if row["state"] not in FINISHED:
                raise JobStateConflict(f"Job '{job_id}' is {row['state']}.", "Cancel it first.")
            if writing.connection.scalar(select(is_needed(job_id))):
                raise JobStateConflict(
                    f"Another job depends on job '{job_id}'.", "Cancel that one first."
                )
            writing.connection.execute(delete(jobs).where(jobs.c.id == job_id))
        self._files.remove(job_id)

    def _check_room(self, writing: Writing, count: int) -> None:
        most = self._settings.max_waiting
        waiting = select(literal(1)).where(jobs.c.state.in_(PENDING)).limit(most).subquery()
        found = writing.connection.scalar(select(func.count()).select_from(waiting)) or 0
        if found + count > most:
            raise QueueFull(
                f"{found} jobs wait already, and jobs.max_waiting is {most}.",
                "Try again when some are done.",
                retry_after=30.0,
            )

    def _open_parents(self, writing: Writing, specs: Sequence[JobSpec]) -> dict[str, set[str]]:
        """Return for each job which of its parents are not done yet."""
        wanted = {known_id(parent) for spec in specs for parent in parents_of(spec)}
        found: dict[str, str] = {}
        if wanted:
            query = select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(wanted))
            found = {row[0]: row[1] for row in writing.connection.execute(query)}
        waited: dict[str, set[str]] = {}
        for spec in specs:
            waited[spec.id] = set()
            for parent in parents_of(spec):
                state = found.get(parent)
                if state is None and parent not in waited:
                    raise JobNotFound(parent)
                if state in (JobState.FAILED, JobState.CANCELLED):
                    raise JobStateConflict(
                        f"Job '{parent}', which this one depends on, is {state}.", "Retry it first."
                    )
                if state != JobState.DONE:
                    waited[spec.id].add(parent)
        return waited


def is_needed(job_id: Any) -> Any:
    """Return a condition: an unfinished job depends on this one (an id or a column)."""
    child = jobs.alias("child")
    return (
        exists()
        .where(
            parents.c.parent_id == job_id,
            parents.c.job_id == child.c.id,
            child.c.state.not_in(FINISHED),
        )
        .correlate(jobs)
    )


_AGAIN = {
    **NO_OWNER,
    "not_before": None,
    "progress": 0.0,
    "message": "",
    "preview": "",
    "error": None,
    "result": None,
    "files": [],
    "bytes": 0,
    "failures": 0,
    "crashes": 0,
    "finished_at": None,
    "run_s": None,
}
"""A job that starts from the beginning; its attempts go on being counted, as they fence."""

_NEW = {**_AGAIN, "attempt": 0, "requeues": 0, "started_at": None}
