"""Changing what becomes of a job: cancel, pause, delay, move. In any process and any thread."""

from sqlalchemy import RowMapping, exists, select, update

from engine.jobs.changes import change, due_in, finish, job_row
from engine.jobs.checking import MAX_DELAY_S, MAX_PRIORITY
from engine.jobs.clocks import Clocks
from engine.jobs.errors import InvalidJob, JobStateConflict
from engine.jobs.ordering import back, between, front
from engine.jobs.rows import to_job
from engine.jobs.schema import counters, parents
from engine.jobs.spec import FINISHED, Job, JobState, Request
from engine.jobs.store import Store, Writing


class JobControl:
    """What users can do to jobs that exist.

    Every method raises ``Unavailable`` (see ``engine.jobs.errors``) while the store is locked, full
    or out of reach, and ``JobNotFound`` for an id that no job has.

    Args:
        store: Where jobs are kept.
        clocks: Where the time comes from.
    """

    def __init__(self, store: Store, clocks: Clocks) -> None:
        self._store = store
        self._clocks = clocks

    def cancel(self, job_id: str, kill: bool = False) -> Job:
        """Cancel a job. One that runs stops at its next step, or is killed after
        ``cancel_grace_s``.

        Args:
            job_id: The job; one that is cancelled already stays so.
            kill: Don't wait for the next step: its worker process is ended.

        Raises:
            JobStateConflict: It is done, or has failed.
        """
        with self._store.write() as writing:
            row = job_row(writing, job_id)
            if row["state"] in (JobState.DONE, JobState.FAILED):
                raise JobStateConflict(
                    f"Job '{job_id}' is {row['state']} already.", "Delete it instead."
                )
            if row["owner"]:
                request = Request.KILL if kill else Request.CANCEL
                if row["request"] != Request.KILL:
                    change(writing, job_id, {"request": request.value})
            elif row["state"] != JobState.CANCELLED:
                now = self._clocks.wall()
                finish(writing, job_id, JobState.CANCELLED, now, message="Cancelled.")
            return to_job(job_row(writing, job_id))

    def pause(self, job_id: str) -> Job:
        """Keep a job from starting. One that runs is held at its next step; after ``hold_s`` it
        gives its worker back and will start anew.

        Raises:
            JobStateConflict: It is finished.
        """
        with self._store.write() as writing:
            row = _unfinished(writing, job_id, "paused")
            if row["owner"]:
                if row["request"] == Request.NONE:
                    change(writing, job_id, {"request": Request.PAUSE.value})
            else:
                change(writing, job_id, {"state": JobState.PAUSED.value})
            return to_job(job_row(writing, job_id))

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on; others stay as they are.

        Raises:
            JobStateConflict: It is finished.
        """
        with self._store.write() as writing:
            row = _unfinished(writing, job_id, "resumed")
            if row["owner"]:
                if row["request"] == Request.PAUSE:
                    go_on = {"request": Request.NONE.value, "state": JobState.RUNNING.value}
                    change(writing, job_id, go_on)
            elif row["state"] == JobState.PAUSED:
                change(writing, job_id, {"state": _ready_state(writing, row).value})
            return to_job(job_row(writing, job_id))

    def delay(self, job_id: str, seconds: float) -> Job:
        """Let a job start in so many seconds; 0: as soon as it can.

        Raises:
            InvalidJob: The time is out of range.
            JobStateConflict: It runs or is finished.
        """
        if not 0 <= seconds <= MAX_DELAY_S:
            raise InvalidJob(f"The delay must be 0 to {MAX_DELAY_S:.0f} seconds.")
        with self._store.write() as writing:
            row = _unfinished(writing, job_id, "delayed")
            if row["owner"]:
                raise JobStateConflict(f"Job '{job_id}' runs already.", "Pause it instead.")
            due = due_in(self._clocks, seconds) if seconds else {"not_before": None}
            change(writing, job_id, due)
            if row["state"] != JobState.PAUSED:
                state = _ready_state(writing, job_row(writing, job_id))
                change(writing, job_id, {"state": state.value, "message": ""})
            return to_job(job_row(writing, job_id))

    def set_priority(self, job_id: str, priority: int) -> Job:
        """Change the priority of a job.

        Raises:
            InvalidJob: It is out of range.
            JobStateConflict: The job is finished.
        """
        if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
            raise InvalidJob(f"priority must be -{MAX_PRIORITY} to {MAX_PRIORITY}.")
        with self._store.write() as writing:
            _unfinished(writing, job_id, "given another priority")
            change(writing, job_id, {"priority": priority})
            return to_job(job_row(writing, job_id))

    def front(self, job_id: str) -> Job:
        """Move a job before all that wait; it takes the highest priority that any of them has.

        Raises:
            JobStateConflict: It runs or is finished.
        """
        with self._store.write() as writing:
            _unstarted(writing, job_id)
            change(writing, job_id, front(writing))
            return to_job(job_row(writing, job_id))

    def back(self, job_id: str) -> Job:
        """Move a job behind all that wait; it takes the lowest priority that any of them has.

        Raises:
            JobStateConflict: It runs or is finished.
        """
        with self._store.write() as writing:
            _unstarted(writing, job_id)
            change(writing, job_id, back(writing))
            return to_job(job_row(writing, job_id))

    def move(self, job_id: str, other_id: str, after: bool = False) -> Job:
        """Move a job directly before another one (or behind it); it takes its priority.

        Raises:
            JobStateConflict: One of them runs or is finished.
        """
        with self._store.write() as writing:
            _unstarted(writing, job_id)
            other = _unstarted(writing, other_id)
            if job_id != other_id:
                change(writing, job_id, between(writing, job_id, other, after))
            return to_job(job_row(writing, job_id))

    def hold(self, held: bool) -> None:
        """Keep all workers from starting jobs, or let them again; what runs goes on."""
        with self._store.write() as writing:
            writing.connection.execute(
                update(counters).where(counters.c.name == "held").values(value=int(held))
            )

    def is_held(self) -> bool:
        """Return whether the whole queue is held."""
        with self._store.read() as connection:
            query = select(counters.c.value).where(counters.c.name == "held")
            return bool(connection.execute(query).scalar_one())


def _unfinished(writing: Writing, job_id: str, verb: str) -> RowMapping:
    row = job_row(writing, job_id)
    if row["state"] in FINISHED:
        raise JobStateConflict(f"Job '{job_id}' is {row['state']}; it can't be {verb}.")
    return row


def _unstarted(writing: Writing, job_id: str) -> RowMapping:
    row = _unfinished(writing, job_id, "moved")
    if row["owner"]:
        raise JobStateConflict(f"Job '{job_id}' runs already; it has no place in the queue.")
    return row


def _ready_state(writing: Writing, row: RowMapping) -> JobState:
    """Return the state of a job that nothing but parents and time keeps from starting."""
    query = select(exists().where(parents.c.job_id == row["id"], ~parents.c.done))
    if writing.connection.scalar(query):
        return JobState.WAITING
    return JobState.QUEUED if row["not_before"] is None else JobState.DELAYED
