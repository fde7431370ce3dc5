"""A job as JSON, as callers and webhooks get it."""

from typing import Any
from urllib.parse import quote

from engine.errors import NotFound
from engine.jobs.files import media_type
from engine.jobs.spec import Job, JobInput
from processors.generate.declaration import Generator
from transport.jobs.catalogue import GeneratorCatalogue
from transport.jobs.orders import is_cached


def render_job(job: Job, catalogue: GeneratorCatalogue, place: int | None) -> dict[str, Any]:
    """Return a job as JSON: the fields of ``JobInfo``.

    Args:
        job: The job.
        catalogue: Knows titles and kinds of files.
        place: Queued jobs that go before it; None: it is not queued.
    """
    generator = _generator(job, catalogue)
    result = dict(job.result or {})
    values = dict(result.get("values") or {})
    error = job.error
    return {
        "id": job.id,
        "kind": job.generator,
        "title": generator.title if generator is not None else job.generator,
        "state": job.state.value,
        "place": None if place is None else place + 1,
        "priority": job.priority,
        "progress": job.progress,
        "eta_s": job.eta_s,
        "message": job.message,
        "preview": preview_url(job.id, job.preview) if job.preview else None,
        "params": dict(job.params),
        "inputs": [_input(job, item) for item in job.inputs],
        "depends_on": list(job.depends_on),
        "files": _files(job, generator, result),
        "values": values,
        "error": error
        and {"kind": error.kind, "description": error.description, "hint": error.hint},
        "recipe": dict(job.recipe),
        "cached": is_cached(job),
        "rung": str(values.get("rung", "")),
        "attempt": job.attempt,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "run_s": job.run_s,
    }


def preview_url(job_id: str, name: str) -> str:
    """Return the address of a preview picture."""
    return f"/jobs/{job_id}/previews/{quote(name)}"


def _generator(job: Job, catalogue: GeneratorCatalogue) -> Generator[Any] | None:
    try:
        return catalogue.find(job.generator)
    except NotFound:
        # Of an earlier version of the program.
        return None


def _input(job: Job, item: JobInput) -> dict[str, Any]:
    where = f"{item.from_job}/files" if item.from_job else f"{job.id}/inputs"
    return {
        "name": item.name,
        "file": item.file,
        "job": item.from_job,
        "url": f"/jobs/{where}/{quote(item.file)}",
    }


def _files(
    job: Job, generator: Generator[Any] | None, result: dict[str, Any]
) -> list[dict[str, Any]]:
    made = result.get("files")
    outputs = {
        name: output
        for output, names in (made.items() if isinstance(made, dict) else ())
        for name in names
    }
    kinds = {output.name: output.kind for output in generator.outputs} if generator else {}
    return [
        {
            "name": file.name,
            "output": outputs.get(file.name, ""),
            "kind": kinds.get(outputs.get(file.name, ""), "data"),
            "bytes": file.bytes,
            "type": media_type(file.name),
            "url": f"/jobs/{job.id}/files/{quote(file.name)}",
        }
        for file in job.files
    ]
