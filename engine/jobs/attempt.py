"""One attempt at a job: its lease, what it reports, and what it leaves."""

from dataclasses import dataclass
from typing import Any

from engine.jobs.schema import jobs
from engine.jobs.spec import Json, ResultFile


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job.

    Attributes:
        job_id: The job.
        owner: The worker.
        attempt: Which start of the job this is.
    """

    job_id: str
    owner: str
    attempt: int

    def fence(self) -> Any:
        """Return the condition that the lease still stands."""
        return (
            (jobs.c.id == self.job_id)
            & (jobs.c.owner == self.owner)
            & (jobs.c.attempt == self.attempt)
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker says about a running job; None leaves as it is.

    Attributes:
        progress: 0 to 1.
        eta_s: Seconds left; goes with ``progress``.
        message: What it does at present.
        preview: Name of the newest preview.
        lines: New lines of the log: wall time and text.
    """

    progress: float | None = None
    eta_s: float | None = None
    message: str | None = None
    preview: str | None = None
    lines: tuple[tuple[float, str], ...] = ()

    def values(self) -> dict[str, Any]:
        """Return the columns that change."""
        values: dict[str, Any] = {}
        if self.progress is not None:
            values = {"progress": self.progress, "eta_s": self.eta_s}
        if self.message is not None:
            values["message"] = self.message
        if self.preview is not None:
            values["preview"] = self.preview
        return values


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job that is done leaves.

    Attributes:
        result: What the generator returned.
        files: What it wrote.
        run_s: How long it took.
        recipe: Replaces the job's; None leaves it.
        cache_key: Replaces the job's; None leaves it.
        lines: The last lines of the log.
    """

    result: Json
    files: tuple[ResultFile, ...] = ()
    run_s: float = 0.0
    recipe: Json | None = None
    cache_key: str | None = None
    lines: tuple[tuple[float, str], ...] = ()
