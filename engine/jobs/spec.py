"""What a job is: as it is asked for (``JobSpec``) and as it stands (``Job``)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from engine.jobs.ids import new_job_id
from engine.jobs.settings import RetryPolicy

Json = Mapping[str, Any]
"""A JSON object: text keys, and values that ``json.dumps`` accepts."""

MAX_JSON_BYTES = 1_000_000
"""Parameters, extra, recipe and result of a job are each at most so large as JSON."""

CACHED = "cached_from"
"""In ``Job.extra``: the id of the job whose files these are, as the result was there already."""


class JobState(StrEnum):
    """Where a job stands.

    A running job that was asked to pause is ``PAUSED`` from the moment its worker holds it.
    """

    WAITING = "waiting"
    """For other jobs to be done."""
    DELAYED = "delayed"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether nothing happens to the job any more by itself."""
        return self in FINISHED


FINISHED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
PENDING = (JobState.WAITING, JobState.DELAYED, JobState.QUEUED, JobState.PAUSED)
"""States of jobs that no worker is at work on."""


class Request(StrEnum):
    """What a job's worker is asked to do at its next step."""

    NONE = ""
    PAUSE = "pause"
    CANCEL = "cancel"
    KILL = "kill"
    """Cancel without waiting for the next step."""


@dataclass(frozen=True, slots=True)
class JobInput:
    """A file that a job reads.

    Attributes:
        name: What the generator calls it, e.g. ``image``.
        file: Name in the job's folder of inputs, or of a result file of ``from_job``.
        from_job: The job whose result is meant, which then becomes a parent; empty: none.
    """

    name: str
    file: str
    from_job: str = ""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job as it is asked for.

    Attributes:
        generator: Name of the generator.
        params: Its parameters, already valid.
        inputs: Files it reads, with different names.
        priority: Larger goes first, -1000 to 1000.
        delay_s: Seconds before it may start.
        depends_on: Ids of jobs that must be done before; if one fails, this one fails too.
        retry: When it is tried again; None takes the settings'.
        recipe: What determines the result (seed, model hash, ...), kept with the job.
        cache_key: Jobs with equal keys have equal results; empty: never the same.
        extra: Whatever the caller wants to find again; workers ignore it.
        webhook: Address that is called when the job has ended; empty: none.
        id: From ``ids.new_job_id``, where input files had to be stored first.
    """

    generator: str
    params: Json = field(default_factory=dict)
    inputs: tuple[JobInput, ...] = ()
    priority: int = 0
    delay_s: float = 0.0
    depends_on: tuple[str, ...] = ()
    retry: RetryPolicy | None = None
    recipe: Json = field(default_factory=dict)
    cache_key: str = ""
    extra: Json = field(default_factory=dict)
    webhook: str = ""
    id: str = field(default_factory=new_job_id)


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed.

    Attributes:
        kind: Stable name, e.g. the class of the error.
        description: What went wrong.
        hint: What the user can do; may be empty.
        retryable: Whether it may pass by itself.
    """

    kind: str
    description: str
    hint: str = ""
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file that a job made: its name and its size in bytes."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands in the store.

    Attributes:
        id: 32 hexadecimal digits.
        number: Rises with each job that is enqueued; not without gaps.
        generator: See ``JobSpec``, as for the other fields of that name.
        state: Where it stands.
        position: Place among jobs of the same priority: smaller goes first. For comparing only.
        not_before: When a delayed job may start, seconds since 1970.
        owner: The worker that has it; empty: none.
        attempt: How often it was started.
        request: What its worker is asked to do.
        progress: 0 to 1.
        eta_s: Seconds that were left at the last report; None: unknown.
        message: What it does at present, or why it waits.
        preview: Name for ``JobFiles.preview``; empty: none yet.
        result: What the generator returned; None before the job is done.
        files: What the generator wrote.
        error: Why it failed, or why the last try failed.
        failures: Tries that ended with an error.
        crashes: Tries that ended with the worker's death.
        requeues: How often it went back to the queue, for whatever reason.
        created_at: When it was enqueued, seconds since 1970; so the other times.
        started_at: When the last try began; None: never.
        finished_at: When it was done, failed or was cancelled.
        run_s: How long the last try took, on a clock that is never set.
        changed: Rises with every change of any job.
    """

    id: str
    number: int
    generator: str
    params: Json
    inputs: tuple[JobInput, ...]
    depends_on: tuple[str, ...]
    state: JobState
    priority: int
    position: float
    not_before: float | None
    owner: str
    attempt: int
    request: Request
    progress: float
    eta_s: float | None
    message: str
    preview: str
    result: Json | None
    files: tuple[ResultFile, ...]
    error: JobError | None
    retry: RetryPolicy
    failures: int
    crashes: int
    requeues: int
    recipe: Json
    cache_key: str
    extra: Json
    created_at: float
    started_at: float | None
    finished_at: float | None
    run_s: float | None
    changed: int

    def to_json(self) -> dict[str, Any]:
        """Return all of it as what ``json.dumps`` accepts."""
        values = asdict(self)
        values["retry"] = self.retry.model_dump()
        return values
