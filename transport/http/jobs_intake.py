"""Reading what comes in with ``POST /jobs``: JSON, or a form with files that go to the disk."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from pydantic_core import from_json

from engine.errors import Unavailable
from engine.jobs.disk import is_disk_full
from engine.jobs.files import FileNameNotAllowed, JobFiles, safe_name
from engine.jobs.ids import new_job_id
from transport.http.jobs_bodies import CreateJob
from transport.http.routing import InvalidRequest, MalformedJson, checked, read_body
from transport.http.uploads import FORM, OpenPart, UploadTooLarge, stream_parts
from transport.jobs.orders import Order, free_name
from transport.jobs.room import JobRoom

_JOB_PART = "job"
_RECIPE_PART = "from_file"
_MOST_JSON = 1 << 20
_MB = 1_000_000


class DiskFull(Unavailable):
    """There is no room for the files of a job."""

    http_status = 507


@contextmanager
def telling_of_full_disks() -> Iterator[None]:
    """Turn a full disk into an answer.

    Raises:
        DiskFull: The disk is full.
    """
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise DiskFull(
            "The disk is full.", "Remove old jobs, or free some space.", retry_after=60.0
        ) from error


async def read_order(request: web.Request, room: JobRoom, files: JobFiles) -> Order:
    """Read a job; files that come with it are in its folder of inputs when this returns.

    Raises:
        InvalidInput: The body is wrong or too large; nothing of it is left.
        DiskFull: There is no room for the files.
    """
    if request.content_type != FORM:
        return _order(room, await read_body(request, CreateJob), _Form(new_job_id()))
    form = _Form(new_job_id())
    try:
        with telling_of_full_disks():
            limit = room.desk.settings.max_upload_mb * _MB
            async for part in stream_parts(request, limit):
                await _take(part, form, room, files)
        if form.job is None and not form.recipe:
            raise InvalidRequest(f"{_JOB_PART}: missing.", "Send the JSON as a part named job.")
        return _order(room, _parsed(form.job or b"{}"), form)
    except BaseException:
        with suppress(Unavailable):
            await room.desk.run(lambda: files.remove(form.id))
        raise


@dataclass(slots=True)
class _Form:
    """What has come in of a form."""

    id: str
    job: bytes | None = None
    recipe: str = ""
    uploads: dict[str, list[str]] = field(default_factory=dict)


async def _take(part: OpenPart, form: _Form, room: JobRoom, files: JobFiles) -> None:
    if part.name == _JOB_PART:
        if form.job is not None:
            raise InvalidRequest(f"{_JOB_PART}: given twice.")
        form.job = await _short(part.pieces)
        return
    if part.name == _RECIPE_PART and form.recipe:
        raise InvalidRequest(f"{_RECIPE_PART}: given twice.")
    folder = await room.desk.run(lambda: files.inputs(form.id))
    name = free_name(folder, _usable(part))
    await _save(part.pieces, folder / name)
    if part.name == _RECIPE_PART:
        form.recipe = name
    else:
        form.uploads.setdefault(part.name, []).append(name)


async def _short(pieces: AsyncIterator[bytes]) -> bytes:
    found = b""
    async for piece in pieces:
        found += piece
        if len(found) > _MOST_JSON:
            raise UploadTooLarge(f"{_JOB_PART} is longer than {_MOST_JSON} bytes.")
    return found


async def _save(pieces: AsyncIterator[bytes], path: Path) -> None:
    """Write a file as it comes in; the disk is waited for in a thread."""
    with path.open("xb", buffering=0) as file:
        async for piece in pieces:
            await asyncio.to_thread(_write, file.fileno(), piece)


def _write(handle: int, data: bytes) -> None:
    import os

    with memoryview(data) as view:
        written = 0
        while written < len(view):
            written += os.write(handle, view[written:])


def _usable(part: OpenPart) -> str:
    """Return a name for an upload: the sender's where file systems take it."""
    try:
        return safe_name(part.filename)
    except FileNameNotAllowed:
        suffix = Path(part.filename).suffix.lower()
        kept = suffix if suffix[1:].isascii() and suffix[1:].isalnum() else ""
        base = "".join(c for c in part.name if c.isascii() and (c.isalnum() or c in "-_"))
        return f"{base[:60] or 'file'}{kept[:10]}"


def _parsed(raw: bytes) -> CreateJob:
    try:
        values = from_json(raw, allow_inf_nan=False)
    except ValueError:
        raise MalformedJson(f"{_JOB_PART}: not JSON.") from None
    if not isinstance(values, dict):
        raise MalformedJson(f"{_JOB_PART}: not a JSON object.")
    return checked(CreateJob, values)


def _order(room: JobRoom, body: CreateJob, form: _Form) -> Order:
    """Return what is asked for.

    Raises:
        InvalidRequest: Neither a generator nor a recipe is named, or both recipes.
        AddressNotAllowed: The webhook's host is not allowed.
    """
    if body.from_file is not None and form.recipe:
        raise InvalidRequest(f"{_RECIPE_PART}: either a file or a job's file.")
    if not body.kind and body.from_file is None and not form.recipe:
        raise InvalidRequest("kind: missing.", "GET /generators lists what there is.")
    return Order(
        kind=body.kind,
        params=body.params,
        files={
            name: [item.plain() for item in (given if isinstance(given, list) else [given])]
            for name, given in body.inputs.items()
        },
        uploads=form.uploads,
        from_file=body.from_file.plain() if body.from_file is not None else None,
        recipe=form.recipe,
        priority=body.priority,
        delay_s=body.delay_s,
        depends_on=tuple(body.depends_on),
        webhook=room.webhooks.check(body.webhook) if body.webhook else "",
        cache=body.cache,
        front=body.front,
        id=form.id,
    )
