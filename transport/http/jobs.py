"""``/jobs``: what is made on the side, in a queue."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aiohttp import web

from engine.errors import AvatarServerError, InvalidInput
from engine.jobs.errors import JobStateConflict
from engine.jobs.spec import FINISHED, Job, JobState
from processors.generate.schema import schema
from transport.http.jobs_bodies import (
    ChangeJob,
    ChangeQueue,
    CreateJob,
    Deleted,
    JobInfo,
    JobList,
    QueuePaused,
)
from transport.http.jobs_intake import read_order, telling_of_full_disks
from transport.http.keys import JOBS
from transport.http.routing import InvalidRequest, Route, json_response
from transport.jobs.catalogue import GeneratorCatalogue
from transport.jobs.orders import prepare
from transport.jobs.rendering import render_job
from transport.jobs.room import JobRoom

if TYPE_CHECKING:
    from transport.jobs.backend import Backend

_MOST_LISTED = 200
_PENDING_CURSOR, _FINISHED_CURSOR = "p", "f"


async def create_job(request: web.Request, body: None) -> web.Response:
    """Take a job; its result may be there already."""
    room = request.app[JOBS]
    backend = await room.desk.backend()
    order = await read_order(request, room, backend.jobs.files)
    try:
        with telling_of_full_disks():
            prepared = await room.desk.run(lambda: prepare(order, backend.jobs, room.catalogue))
        job = prepared.done or await room.desk.enqueue(prepared.spec)
    except AvatarServerError:
        # Nobody will ever ask for what was uploaded; after other failures clean-up takes it.
        await room.desk.run(lambda: backend.jobs.files.remove(order.id))
        raise
    if order.front and job.state is JobState.QUEUED:
        job = await room.desk.call(lambda b: b.jobs.control.front(job.id))
    answer = await _rendered(room, [job])
    return _located(answer[0], 202)


async def list_jobs(request: web.Request, body: None) -> web.Response:
    """List jobs: those to come, then the finished."""
    room = request.app[JOBS]
    query = request.query
    states = _states(query.get("state", ""))
    limit = _number(query.get("limit", "50"), "limit", 1, _MOST_LISTED)
    cursor = query.get("after", "")
    kind, search = query.get("kind", ""), query.get("search", "")

    def find(backend: "Backend") -> dict[str, Any]:
        from engine.jobs.history import JobFilter

        history = backend.jobs.history
        # Before the rest: what changes in between is told again rather than never.
        change = backend.jobs.store.changes()
        wanted = JobFilter(search, kind, states)
        jobs, following = _page(backend, wanted, cursor, limit)
        return {
            "jobs": _render_all(backend, room, jobs),
            "next": following,
            "paused": backend.jobs.control.is_held(),
            "counts": {state.value: count for state, count in history.counts().items()},
            "change": change,
        }

    return json_response(await room.desk.call(find))


async def change_queue(request: web.Request, body: ChangeQueue) -> QueuePaused:
    """Keep jobs from starting, or let them."""
    await request.app[JOBS].desk.call(lambda b: b.jobs.control.hold(body.paused))
    return QueuePaused(paused=body.paused)


async def get_job(request: web.Request, body: None) -> web.Response:
    """Describe a job."""
    room, job_id = request.app[JOBS], request.match_info["id"]
    job = await room.desk.call(lambda b: b.jobs.queue.get(job_id))
    return json_response((await _rendered(room, [job]))[0])


async def change_job(request: web.Request, body: ChangeJob) -> web.Response:
    """Change what becomes of a job."""
    room, job_id = request.app[JOBS], request.match_info["id"]

    def change(backend: "Backend") -> Job:
        control, queue = backend.jobs.control, backend.jobs.queue
        job = queue.get(job_id)
        if body.retry:
            job = queue.retry(job_id)
        if body.priority is not None:
            job = control.set_priority(job_id, body.priority)
        if body.move == "front":
            job = control.front(job_id)
        elif body.move == "back":
            job = control.back(job_id)
        elif body.move is not None:
            job = control.move(job_id, body.move.before)
        if body.delay_s is not None:
            job = control.delay(job_id, body.delay_s)
        if body.paused is not None:
            job = control.pause(job_id) if body.paused else control.resume(job_id)
        return job

    job = await room.desk.call(change)
    return json_response((await _rendered(room, [job]))[0])


async def delete_job(request: web.Request, body: None) -> web.Response:
    """Cancel a job that is to come or runs; remove a finished one with its files."""
    room, job_id = request.app[JOBS], request.match_info["id"]
    kill = _flag(request.query.get("kill", "false"), "kill")

    def delete(backend: "Backend") -> Job | None:
        if not backend.jobs.queue.get(job_id).state.finished:
            try:
                return backend.jobs.control.cancel(job_id, kill)
            except JobStateConflict:
                # It has ended in between: then it is removed.
                pass
        backend.jobs.queue.delete(job_id)
        backend.feed.removed(job_id)
        return None

    job = await room.desk.call(delete)
    if job is None:
        return json_response(Deleted().model_dump())
    return json_response((await _rendered(room, [job]))[0], 202)


def _located(answer: dict[str, Any], status: int) -> web.Response:
    response = json_response(answer, status)
    response.headers["Location"] = f"/jobs/{answer['id']}"
    return response


async def _rendered(room: JobRoom, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    if not any(job.state is JobState.QUEUED for job in jobs):
        return [render_job(job, room.catalogue, None) for job in jobs]
    return await room.desk.call(lambda backend: _render_all(backend, room, jobs))


def _render_all(backend: "Backend", room: JobRoom, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    queued = [job.id for job in jobs if job.state is JobState.QUEUED]
    places = backend.jobs.history.places(queued) if queued else {}
    return [render_job(job, room.catalogue, places.get(job.id)) for job in jobs]


def _page(backend: "Backend", wanted: Any, cursor: str, limit: int) -> tuple[list[Job], str | None]:
    """Return a page of jobs and the cursor of the next."""
    kind, _, at = cursor.partition("-")
    start = _number(at, "after", 0, 2**62) if cursor else 0
    if cursor and kind not in (_PENDING_CURSOR, _FINISHED_CURSOR):
        raise InvalidRequest("after: take it from the answer before.")
    history = backend.jobs.history
    found: list[Job] = []
    if kind != _FINISHED_CURSOR:
        pending = history.queue(limit + 1, wanted, start)
        if len(pending) > limit:
            return list(pending[:limit]), f"{_PENDING_CURSOR}-{start + limit}"
        found = list(pending)
    ends = tuple(state for state in FINISHED if not wanted.states or state in wanted.states)
    if not ends:
        return found, None
    before = start if kind == _FINISHED_CURSOR else None
    rest = limit - len(found)
    if not rest:
        newest = history.find(_with(wanted, ends), 1, before).jobs
        return found, f"{_FINISHED_CURSOR}-{newest[0].number + 1}" if newest else None
    page = history.find(_with(wanted, ends), rest, before)
    following = None if page.before is None else f"{_FINISHED_CURSOR}-{page.before}"
    return found + list(page.jobs), following


def _with(wanted: Any, states: tuple[JobState, ...]) -> Any:
    from dataclasses import replace

    return replace(wanted, states=states)


def _states(text: str) -> tuple[JobState, ...]:
    try:
        return tuple(JobState(name.strip()) for name in text.split(",") if name.strip())
    except ValueError:
        known = ", ".join(state.value for state in JobState)
        raise InvalidRequest(f"state: {text[:60]!r} is not one of {known}.") from None


def _number(text: str, name: str, low: int, high: int) -> int:
    if not text.isascii() or not text.isdigit() or not low <= int(text[:20]) <= high:
        raise InvalidRequest(f"{name}: a number from {low} to {high} is expected.")
    return int(text)


def _flag(text: str, name: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise InvalidInput(f"{name}: true or false is expected.")
    return values[text.lower()]


def describe_generators(description: dict[str, Any], catalogue: GeneratorCatalogue) -> None:
    """Add the parameters of all generators to an OpenAPI document."""
    schemas = description["components"]["schemas"]
    for name, generator in catalogue.all().items():
        schemas[f"params.{name}"] = schema(generator)
    variants = [
        {
            "properties": {
                "kind": {"const": name},
                "params": {"$ref": f"#/components/schemas/params.{name}"},
            },
            "required": ["kind"],
        }
        for name in catalogue.all()
    ]
    again = {"properties": {"kind": {"const": ""}}, "required": ["from_file"]}
    schemas[CreateJob.__name__]["anyOf"] = [*variants, again]


NO_JOB = {404: "No such job.", 503: "The queue is out of reach; says why."}
_CHANGES = NO_JOB | {400: "A field is wrong.", 409: "The job's state does not allow it."}

ROUTES = (
    Route(
        "POST",
        "/jobs",
        create_job,
        "Take a job.",
        body=CreateJob,
        answer=JobInfo,
        status=202,
        reads_body=True,
        files={
            "job": "The JSON body.",
            "from_file": "A PNG or MP4 that is to be made again: it says how it was made.",
            "image": "And so on: files named as the generator names its inputs.",
        },
        errors={
            400: "A parameter or file is not what the generator takes.",
            403: "The settings do not allow the webhook, a model or a folder.",
            404: "No such generator, job or file, or a model is missing; says how to get it.",
            409: "A job that it depends on has failed, or this server takes no jobs.",
            413: "The files are too large.",
            503: "Too many jobs wait, or the queue is out of reach; says why.",
            507: "The disk is full.",
        },
    ),
    Route(
        "GET",
        "/jobs",
        list_jobs,
        "List jobs, those to come first; state takes several, separated by commas.",
        answer=JobList,
        query=["state", "kind", "search", "limit", "after"],
        errors={400: "A parameter is wrong.", 503: NO_JOB[503]},
    ),
    Route(
        "PATCH",
        "/jobs",
        change_queue,
        "Keep all jobs from starting, or let them.",
        body=ChangeQueue,
        answer=QueuePaused,
        errors={503: NO_JOB[503]},
    ),
    Route("GET", "/jobs/{id}", get_job, "Describe a job.", answer=JobInfo, errors=NO_JOB),
    Route(
        "PATCH",
        "/jobs/{id}",
        change_job,
        "Change what becomes of a job.",
        body=ChangeJob,
        answer=JobInfo,
        errors=_CHANGES,
    ),
    Route(
        "DELETE",
        "/jobs/{id}",
        delete_job,
        "Cancel a job (202, the job), or remove a finished one with its files.",
        answer=Deleted,
        query=["kill"],
        errors=_CHANGES,
    ),
)
