"""Whether a job can be accepted, and the row that it becomes."""

import json
from typing import Any

from engine.jobs.changes import due_in
from engine.jobs.clocks import Clocks
from engine.jobs.errors import InvalidJob
from engine.jobs.files import JobFiles, safe_name
from engine.jobs.rows import searched_text
from engine.jobs.settings import RetryPolicy
from engine.jobs.spec import MAX_JSON_BYTES, JobSpec, JobState, Json

MAX_PRIORITY = 1000
MAX_DELAY_S = 366 * 86_400.0
MAX_INPUTS = 100
MAX_PARENTS = 100
MAX_KEY = 128
MAX_URL = 8192


def parents_of(spec: JobSpec) -> tuple[str, ...]:
    """Return the ids of the jobs that must be done first, each once, in order."""
    named = [*spec.depends_on, *(item.from_job for item in spec.inputs if item.from_job)]
    return tuple(dict.fromkeys(named))


def check(spec: JobSpec, files: JobFiles) -> None:
    """Refuse what no store should hold. The parameters' meaning is the caller's matter.

    Raises:
        InvalidInput: The job cannot be accepted.
        NotFound: An input file is missing.
    """
    if not 0 < len(spec.generator) <= 100 or not spec.generator.isprintable():
        raise InvalidJob("The name of a generator has 1 to 100 printable characters.")
    if not -MAX_PRIORITY <= spec.priority <= MAX_PRIORITY:
        raise InvalidJob(f"priority must be -{MAX_PRIORITY} to {MAX_PRIORITY}.")
    if not 0 <= spec.delay_s <= MAX_DELAY_S:
        raise InvalidJob(f"delay_s must be 0 to {MAX_DELAY_S:.0f}.")
    if len(spec.cache_key) > MAX_KEY or not spec.cache_key.isprintable():
        raise InvalidJob(f"cache_key has at most {MAX_KEY} printable characters; use a hash.")
    if len(spec.webhook) > MAX_URL or not spec.webhook.isprintable():
        raise InvalidJob(f"webhook is an address of at most {MAX_URL} printable characters.")
    if len(spec.inputs) > MAX_INPUTS or len(parents_of(spec)) > MAX_PARENTS:
        raise InvalidJob(f"A job has at most {MAX_INPUTS} inputs and {MAX_PARENTS} parents.")
    if spec.id in parents_of(spec):
        raise InvalidJob("A job cannot depend on itself.")
    for name in ("params", "recipe", "extra"):
        check_json(getattr(spec, name), name)
    names = [item.name for item in spec.inputs]
    if len(set(names)) != len(names):
        raise InvalidJob(f"Two inputs have the same name: {', '.join(names)}.")
    # Also refuses an id that is none.
    files.folder(spec.id)
    for item in spec.inputs:
        if not item.name.isprintable():
            raise InvalidJob(f"{item.name!r} cannot be the name of an input.")
        safe_name(item.file)
        if not item.from_job:
            files.input(spec.id, item.file)


def check_json(value: Json, name: str) -> None:
    """Refuse what is no JSON object, or a very large one.

    Raises:
        InvalidJob: That is so.
    """
    try:
        # Infinity and NaN are no JSON, and PostgreSQL refuses them, as it does U+0000.
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJob(f"{name} cannot be written as JSON: {error}.") from error
    if "\\u0000" in text.replace("\\\\", ""):
        raise InvalidJob(f"{name} has a text with the character U+0000.")
    if size > MAX_JSON_BYTES:
        raise InvalidJob(f"{name} has {size} bytes; at most {MAX_JSON_BYTES} are allowed.")


def new_row(
    spec: JobSpec, number: int, waits: bool, retry: RetryPolicy, clocks: Clocks
) -> dict[str, Any]:
    """Return the row of a new job.

    Args:
        spec: The job, checked.
        number: Its number, also its place in the queue.
        waits: Whether it waits for other jobs.
        retry: When it is tried again.
        clocks: Where the time comes from.
    """
    state = JobState.QUEUED
    if spec.delay_s:
        state = JobState.DELAYED
    if waits:
        state = JobState.WAITING
    no_delay = {"due_domain": "", "due_at": 0.0, "due_s": 0.0, "not_before": None}
    return {
        "id": spec.id,
        "number": number,
        "changed": number,
        "generator": spec.generator,
        "params": dict(spec.params),
        "inputs": [
            {"name": item.name, "file": item.file, "from_job": item.from_job}
            for item in spec.inputs
        ],
        "parents": list(parents_of(spec)),
        "search": searched_text(spec),
        "state": state.value,
        "priority": spec.priority,
        "position": float(number),
        **(due_in(clocks, spec.delay_s) if spec.delay_s else no_delay),
        "files": [],
        "retry": retry.model_dump(),
        "recipe": dict(spec.recipe),
        "cache_key": spec.cache_key,
        "extra": dict(spec.extra),
        "created_at": clocks.wall(),
    }
