"""What can happen to a job, and what of it a subscriber has not been told."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from engine.jobs.spec import Job, JobState


class EventKind(StrEnum):
    """What an event says. ``data`` has the fields named here."""

    STATE = "state"
    """``state, message, attempt, request, error`` (error: ``kind, description, hint`` or null)."""
    POSITION = "position"
    """``position``: queued jobs that go before this one; 0: it is next."""
    PROGRESS = "progress"
    """``progress`` (0 to 1), ``eta_s`` (or null), ``message``."""
    PREVIEW = "preview"
    """``name``: for ``JobFiles.preview``."""
    LOG = "log"
    """``number, at, line``; numbers that are missing were dropped."""
    DONE = "done"
    """The whole job, as ``Job.to_json``: it is done, failed or cancelled. The last event."""
    REMOVED = "removed"
    """Nothing: the job was deleted. The last event."""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job.

    Attributes:
        job_id: The job.
        kind: What happened.
        data: A JSON object; see ``EventKind``.
        job: The job as it stood then; None with ``REMOVED``.
    """

    job_id: str
    kind: EventKind
    data: dict[str, Any]
    job: Job | None = None

    @property
    def last(self) -> bool:
        """Whether nothing follows."""
        return self.kind in (EventKind.DONE, EventKind.REMOVED)


Told = dict[EventKind, dict[str, Any]]
"""Of each kind, what was told last."""


def news_of(job: Job, told: Told) -> list[JobEvent]:
    """Return what is to be told of a job, and note it."""
    events = []
    for kind, data in _standing(job):
        if told.get(kind) != data:
            told[kind] = data
            events.append(JobEvent(job.id, kind, data, job))
    return events


def _standing(job: Job) -> Iterable[tuple[EventKind, dict[str, Any]]]:
    error = job.error and {
        "kind": job.error.kind,
        "description": job.error.description,
        "hint": job.error.hint,
    }
    yield (
        EventKind.STATE,
        {
            "state": job.state.value,
            "message": job.message if job.state is not JobState.RUNNING else "",
            "attempt": job.attempt,
            "request": job.request.value,
            "error": error,
        },
    )
    if job.preview:
        yield EventKind.PREVIEW, {"name": job.preview}
    if job.state in (JobState.RUNNING, JobState.PAUSED, JobState.DONE):
        yield (
            EventKind.PROGRESS,
            {"progress": job.progress, "eta_s": job.eta_s, "message": job.message},
        )
