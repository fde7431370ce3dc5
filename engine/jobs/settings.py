"""The settings of side jobs."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from engine.jobs.object_store import parse_address

_ListOfText = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
]


class RetryPolicy(BaseModel):
    """When a job that failed for a passing reason is tried again.

    The n-th wait is ``first_s * factor**(n-1)``, at most ``max_s``, shortened by a random part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempts: int = Field(
        3, ge=1, le=100, description="Tries in all for errors that may pass; 1: no second one."
    )
    first_s: float = Field(2.0, ge=0, le=3600, description="Wait before the second try.")
    factor: float = Field(2.0, ge=1, le=10, description="Growth of the wait with each try.")
    max_s: float = Field(300.0, ge=0, le=86_400, description="Longest wait between two tries.")
    jitter: float = Field(
        0.5, ge=0, le=1, description="Share of the wait that is random, so that tries spread."
    )

    def wait_s(self, failures: int, chance: float) -> float:
        """Return the seconds to wait.

        Args:
            failures: Tries that failed so far, at least 1.
            chance: A random number in [0, 1).
        """
        # The exponent is bounded, as a float power overflows.
        wait = min(self.max_s, self.first_s * self.factor ** min(failures - 1, 64))
        return wait * (1 - self.jitter * chance)


class WebhookSettings(BaseModel):
    """Who is told when a job has ended (webhook)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allowed_hosts: _ListOfText = Field(
        (),
        description='Hosts, e.g. ["hooks.example.org"]; "*.example.org", "host:8443"; "*" for all; '
        "empty: no webhooks.",
    )
    private: bool = Field(
        False, description="Allow allowed_hosts that have private or local addresses."
    )
    secret: str = Field(
        "",
        description="Signs the calls (Standard Webhooks: webhook-signature); the environment keeps "
        "it out of this file.",
    )
    timeout_s: float = Field(10.0, gt=0, le=120, description="Longest time for a call, all in all.")
    attempts: int = Field(5, ge=1, le=20, description="Calls before it is given up.")
    first_s: float = Field(
        5.0, ge=0, le=3600, description="Wait before the second call; it doubles with each one."
    )


class JobSettings(BaseModel):
    """Side jobs: the queue, its workers and how long results are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="Take jobs, and work on them.")
    folder: Path = Field(
        Path("jobs"), description="Folder of the jobs' files and, by default, of their database."
    )
    database: str = Field(
        "",
        description="PostgreSQL, e.g. postgresql+psycopg://user:password@host/name; empty: SQLite.",
    )
    broker: str = Field(
        "",
        description="Redis that tells workers on other machines of jobs, by Celery, e.g. "
        "redis://:password@host:6379/0 (rediss: TLS); needs database; empty: workers only look.",
    )
    broker_look_s: float = Field(
        1.0,
        gt=0,
        le=60,
        description="How often idle workers look for jobs that the broker did not tell them of.",
    )
    files: str = Field(
        "",
        description="S3 store of the jobs' files, e.g. s3://bucket/prefix; folder is then each "
        "machine's own working copy; keys: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
        "environment; empty: only folder.",
    )
    files_endpoint: str = Field(
        "", description="S3 server that is not Amazon's, e.g. http://minio.example.org:9000."
    )
    files_region: str = Field(
        "", description="Its region; empty: AWS_REGION of the environment, else us-east-1."
    )
    files_cache_gb: float = Field(
        20.0,
        ge=0,
        description="With files: size of the working copy above which what was not used for "
        "longest goes from this machine; 0: no limit.",
    )
    busy_s: float = Field(
        5.0, gt=0, le=60, description="How long to wait for a database that is locked."
    )
    devices: _ListOfText = Field(
        ("auto",),
        max_length=64,
        description='One worker process for each, e.g. ["cuda:0", "cuda:1", "cpu"]; auto: the '
        "first GPU, else the CPU; empty: workers run elsewhere (server.py worker).",
    )
    worker_idle_s: float = Field(
        300.0,
        ge=0,
        description="Workers start when there is a job, and end, with their models, after so long "
        "without one; 0: they start with the server and stay.",
    )
    threads: int = Field(
        0, ge=0, le=256, description="CPU threads of one worker; 0: half of the processor's cores."
    )
    idle_priority: bool = Field(
        True, description="Give workers only the CPU time that nobody else wants."
    )
    lease_s: float = Field(
        10.0, ge=0.5, le=600, description="A worker silent for so long loses its job to another."
    )
    poll_s: float = Field(
        0.1, ge=0.02, le=10, description="How often workers and subscribers look for news."
    )
    report_s: float = Field(
        0.1, ge=0.02, le=10, description="Least time between two progress reports of a job."
    )
    preview_s: float = Field(
        0.5, ge=0, le=60, description="Least time between two preview pictures of a job."
    )
    cancel_grace_s: float = Field(
        5.0, ge=0, le=600, description="A cancelled job may take so long to stop; then it's killed."
    )
    terminate_s: float = Field(
        0.3, ge=0, le=60, description="Time between SIGTERM and SIGKILL for a worker."
    )
    stop_s: float = Field(
        3.0, ge=0, le=600, description="When the server stops, a job may take so long to give up."
    )
    hold_s: float = Field(
        60.0, ge=0, description="A paused job keeps its worker for so long, then starts anew later."
    )
    max_waiting: int = Field(
        10_000, ge=1, le=1_000_000, description="Jobs that may wait; more are refused."
    )
    max_upload_mb: int = Field(
        2000, ge=1, le=1_000_000, description="Size of all files that come with one job."
    )
    cache: bool = Field(
        True, description="Answer a job whose recipe ran before with the files of that time."
    )
    webhooks: WebhookSettings = Field(
        default_factory=WebhookSettings, description="Who is told when a job has ended."
    )
    max_crashes: int = Field(
        3, ge=1, le=100, description="A job that ends its worker so often fails."
    )
    retry: RetryPolicy = Field(
        default_factory=RetryPolicy, description="How failed jobs are tried again."
    )
    keep_days: float = Field(
        30.0, ge=0, description="Finished jobs are removed after so many days; 0: never."
    )
    keep_gb: float = Field(
        20.0, ge=0, description="Size of all results above which the oldest go; 0: no limit."
    )
    clean_every_s: float = Field(
        3600.0, ge=1, le=86_400, description="How often old jobs are looked for."
    )
    live_late_ms: float = Field(
        15.0, gt=0, le=1000, description="Live streams this late make jobs wait between steps."
    )
    live_hold_s: float = Field(
        0.5, gt=0, le=60, description="How long jobs wait after a live stream was last late."
    )
    max_yield_s: float = Field(
        2.0, ge=0, le=600, description="Longest wait for live streams between two steps of a job."
    )

    @field_validator("broker")
    @classmethod
    def _broker_is_an_address(cls, url: str) -> str:
        # The message must not have the address, which may have a password.
        try:
            parts = urlsplit(url)
            right = parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0
        except ValueError:
            right = False
        if url and not right:
            raise ValueError("must be like redis://:password@host:6379/0")
        return url

    @field_validator("files")
    @classmethod
    def _files_are_an_address(cls, address: str) -> str:
        if address:
            parse_address(address)
        return address

    @field_validator("files_endpoint")
    @classmethod
    def _endpoint_is_an_address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            right = False
        if url and (not right or "@" in url or "?" in url or "#" in url):
            raise ValueError("must be like http://minio.example.org:9000, without keys")
        return url

    @model_validator(mode="after")
    def _endpoint_has_files(self) -> Self:
        if self.files_endpoint and not self.files:
            raise ValueError("files_endpoint needs files, e.g. s3://bucket/prefix")
        return self

    @model_validator(mode="after")
    def _machines_share_a_database(self) -> Self:
        if self.broker and not self.database:
            raise ValueError("broker needs database: several machines cannot share a SQLite file")
        return self
