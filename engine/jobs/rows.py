"""Between rows of the store and ``Job``."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping

from engine.jobs.settings import RetryPolicy
from engine.jobs.spec import Job, JobError, JobInput, JobSpec, JobState, Request, ResultFile

SEARCH_LENGTH = 4000
"""Characters of a job's text that are searched."""


def to_job(row: RowMapping) -> Job:
    """Return what a whole row of ``jobs`` describes."""
    return Job(
        id=row["id"],
        number=row["number"],
        generator=row["generator"],
        params=row["params"],
        inputs=tuple(JobInput(**item) for item in row["inputs"]),
        depends_on=tuple(row["parents"]),
        state=JobState(row["state"]),
        priority=row["priority"],
        position=row["position"],
        not_before=row["not_before"],
        owner=row["owner"],
        attempt=row["attempt"],
        request=Request(row["request"]),
        progress=row["progress"],
        eta_s=row["eta_s"],
        message=row["message"],
        preview=row["preview"],
        result=row["result"],
        files=tuple(ResultFile(**item) for item in row["files"]),
        error=JobError(**row["error"]) if row["error"] else None,
        retry=RetryPolicy.model_validate(row["retry"]),
        failures=row["failures"],
        crashes=row["crashes"],
        requeues=row["requeues"],
        recipe=row["recipe"],
        cache_key=row["cache_key"],
        extra=row["extra"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        run_s=row["run_s"],
        changed=row["changed"],
    )


def searched_text(spec: JobSpec) -> str:
    """Return the text that a search looks through: generator, texts in parameters, file names."""
    parts = [spec.generator, spec.id, *_texts(spec.params), *(item.file for item in spec.inputs)]
    return "\n".join(parts).casefold()[:SEARCH_LENGTH]


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, (bool, type(None))):
        return []
    return [str(value)]
