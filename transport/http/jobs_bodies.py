"""What is sent to and from the routes of side jobs."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from transport.http.routing import Body
from transport.jobs.orders import FileOfJob

JobId = Annotated[str, Field(max_length=64)]
FileName = Annotated[str, Field(max_length=200)]
StateName = Literal[
    "waiting", "delayed", "queued", "running", "paused", "done", "failed", "cancelled"
]


class StrictBody(Body):
    """A body whose unknown fields are errors: a misspelt one would change what is made."""

    model_config = ConfigDict(extra="forbid")


class FileOfJobBody(StrictBody):
    """A file of another job: one that it makes or, failing that, one that it read."""

    job: JobId
    file: FileName

    def plain(self) -> FileOfJob:
        """Return it for the queue."""
        return FileOfJob(self.job, self.file)


class CreateJob(StrictBody):
    """A job: ``kind`` with its ``params``, or ``from_file`` to make a result again.

    ``inputs`` are files of other jobs, which the job then waits for; files that are sent along are
    parts of a form, named as the generator names its inputs, beside a part ``job`` with this.
    """

    kind: Annotated[str, Field(max_length=100)] = ""
    params: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[
        Annotated[str, Field(max_length=100)],
        FileOfJobBody | Annotated[list[FileOfJobBody], Field(max_length=100)],
    ] = Field(default_factory=dict)
    from_file: FileOfJobBody | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    delay_s: Annotated[float, Field(ge=0, le=366 * 86_400)] = 0.0
    depends_on: Annotated[list[JobId], Field(max_length=100)] = Field(default_factory=list)
    webhook: Annotated[str, Field(max_length=8192)] = ""
    front: bool = False
    cache: Annotated[bool, Field(description="Take a result that is there already.")] = True


class Before(StrictBody):
    """Directly before another job."""

    before: JobId


class ChangeJob(StrictBody):
    """What is to change; what is left out stays."""

    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = None
    paused: bool | None = None
    move: Literal["front", "back"] | Before | None = None
    delay_s: Annotated[float, Field(ge=0, le=366 * 86_400)] | None = None
    retry: Literal[True] | None = None


class ChangeQueue(StrictBody):
    """Whether jobs are kept from starting."""

    paused: bool


class QueuePaused(BaseModel):
    """Whether jobs are kept from starting."""

    paused: bool


class JobInputInfo(BaseModel):
    """A file that a job reads; ``job``: the one that makes it, empty for an upload."""

    name: str
    file: str
    job: str
    url: str


class JobFileInfo(BaseModel):
    """A file that a job made; ``type`` is its media type."""

    name: str
    output: str
    kind: str
    bytes: int
    type: str
    url: str


class JobErrorInfo(BaseModel):
    """Why a job failed, or why its last try failed."""

    kind: str
    description: str
    hint: str


class JobInfo(BaseModel):
    """A job. Times are seconds since 1970; ``place`` counts from 1 and is null unless queued."""

    id: str
    kind: str
    title: str
    state: StateName
    place: int | None
    priority: int
    progress: float
    eta_s: float | None
    message: str
    preview: str | None
    params: dict[str, Any]
    inputs: list[JobInputInfo]
    depends_on: list[str]
    files: list[JobFileInfo]
    values: dict[str, Any]
    error: JobErrorInfo | None
    recipe: dict[str, Any]
    cached: bool
    rung: str
    attempt: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    run_s: float | None


class JobList(BaseModel):
    """Jobs, first those to come in the order in which they run, then the finished, newest first.

    ``next`` goes into ``after`` for what follows; ``change`` into ``/jobs/events?after=``, for what
    happens from then on.
    """

    jobs: list[JobInfo]
    next: str | None
    paused: bool
    counts: dict[str, int]
    change: int


class Deleted(BaseModel):
    """A job is gone, with its files."""

    status: Literal["deleted"] = "deleted"


class GeneratorInput(BaseModel):
    """A file that a generator reads."""

    name: str
    kinds: list[str]
    help: str
    required: bool
    several: bool


class GeneratorOutput(BaseModel):
    """Files that a generator makes."""

    name: str
    kind: str
    help: str
    several: bool


class MissingModel(BaseModel):
    """A model that the default parameters need and that is not here."""

    model: str
    command: str


class GeneratorInfo(BaseModel):
    """A generator; ``parameters`` is a JSON schema, in which x-... keys are for forms."""

    name: str
    title: str
    summary: str
    parameters: dict[str, Any]
    inputs: list[GeneratorInput]
    outputs: list[GeneratorOutput]
    missing: list[MissingModel]


class ModelInfo(BaseModel):
    """A model; ``places`` are disk, ram and devices such as cuda:0."""

    id: str
    bytes: int
    vendor: str
    licence: str
    commercial: bool
    purpose: str
    note: str
    health: Literal["ready", "missing", "damaged", "refused", "unchecked"]
    places: list[str]
    command: str


class ModelInMemory(BaseModel):
    """A model in the memory of a device."""

    key: str
    bytes: int
    place: str
    pinned: bool
    in_use: int
    owner: str
    last_used: float


class DeviceMemory(BaseModel):
    """A device's memory in bytes; RAM is the device ``cpu``."""

    device: str
    kind: str
    total: int
    used: int
    budget: int
    reserved: int
    models: list[ModelInMemory]


class MemorySample(BaseModel):
    """How full a device was at a time."""

    time: float
    device: str
    used: int


class VramMonitor(BaseModel):
    """The memory of all devices, now and lately."""

    devices: list[DeviceMemory]
    history: list[MemorySample]
