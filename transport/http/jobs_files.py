"""The files of jobs: what they made, what they read, previews."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from engine.jobs.errors import JobFileNotFound
from engine.jobs.files import media_type
from transport.http.jobs import NO_JOB
from transport.http.jobs_intake import telling_of_full_disks
from transport.http.keys import JOBS
from transport.http.routing import Route

if TYPE_CHECKING:
    from transport.jobs.backend import Backend

_SHOWN = ("image/", "video/", "audio/", "application/json", "text/plain", "text/vtt")
"""Media types that browsers may show; the rest is saved, as it could be a page with scripts."""
_NEVER_SHOWN = ("image/svg+xml",)


async def get_file(request: web.Request, body: None) -> web.FileResponse:
    """Return a file that a job made."""

    def find(backend: "Backend", job_id: str, name: str) -> Path:
        return backend.jobs.files.result(backend.jobs.queue.get(job_id), name)

    return await _answer(request, find, "private, max-age=86400, immutable")


async def get_input(request: web.Request, body: None) -> web.FileResponse:
    """Return a file that a job reads, by the name of the input or of the file."""

    def find(backend: "Backend", job_id: str, name: str) -> Path:
        jobs = backend.jobs
        job = jobs.queue.get(job_id)
        item = next((item for item in job.inputs if name in (item.name, item.file)), None)
        if item is None:
            raise JobFileNotFound(f"Job '{job_id}' reads no file '{name}'.")
        if item.from_job:
            return jobs.files.result(jobs.queue.get(item.from_job), item.file)
        return jobs.files.input(job_id, item.file)

    return await _answer(request, find, "private, max-age=86400, immutable")


async def get_preview(request: web.Request, body: None) -> web.FileResponse:
    """Return a preview picture; only the last ones are kept."""

    def find(backend: "Backend", job_id: str, name: str) -> Path:
        return backend.jobs.files.preview(job_id, name)

    return await _answer(request, find, "private, max-age=60")


async def _answer(
    request: web.Request, find: "Callable[[Backend, str, str], Path]", caching: str
) -> web.FileResponse:
    """Return a file with ranges and an ETag (aiohttp's ``FileResponse`` has both)."""
    job_id, name = request.match_info["id"], request.match_info["name"]
    desk = request.app[JOBS].desk
    backend = await desk.backend()
    with telling_of_full_disks():
        # With jobs.files, this may fetch the file.
        path = await desk.run(lambda: find(backend, job_id, name))
    kind = media_type(path.name)
    shown = kind.startswith(_SHOWN) and kind not in _NEVER_SHOWN
    headers = {"Content-Type": kind, "Cache-Control": caching}
    if not shown or request.query.get("download", "") in ("1", "true"):
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(path.name)}"
    return web.FileResponse(path, headers=headers)


_NO_FILE = NO_JOB | {
    404: "No such job or file.",
    503: "The queue, or the object store of the files, is out of reach; says why.",
    507: "The disk is full.",
}


def _route(
    kind: str,
    handler: "Callable[[web.Request, None], object]",
    summary: str,
) -> Route:
    return Route(
        "GET",
        f"/jobs/{{id}}/{kind}/{{name}}",
        handler,  # type: ignore[arg-type]  # handlers are coroutine functions
        summary,
        media_type="application/octet-stream",
        query=["download"],
        errors=_NO_FILE,
    )


ROUTES = (
    _route("files", get_file, "A file that a job made; ranges are answered."),
    _route("inputs", get_input, "A file that a job reads."),
    _route("previews", get_preview, "A picture of what will come."),
)
