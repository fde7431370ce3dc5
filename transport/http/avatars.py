"""``/avatars``: what can be played, and how far it is compiled."""

from urllib.parse import quote

from aiohttp import web
from pydantic import BaseModel

from engine.avatar.library import Entry
from engine.errors import NotFound
from transport.http.keys import LIBRARY, PROCESSED
from transport.http.routing import ErrorBody, Route


class PosterNotReady(NotFound):
    """The avatar has no poster before it is compiled."""


class Avatar(BaseModel):
    """An avatar.

    ``progress`` is of the compilation under way, from 0 to 1: first of the avatar, then, while it
    plays with hard cuts already, of its loops and transitions (``transitions`` becomes ``morph``).
    """

    id: str
    name: str
    status: str
    progress: float
    error: ErrorBody | None
    states: list[str]
    actions: list[str]
    fps: float | None
    size: tuple[int, int] | None
    seconds: float | None
    codecs: list[str]
    transitions: str
    poster: str | None


def describe(entry: Entry) -> Avatar:
    """Return what the API tells of an avatar."""
    spec, pack, error = entry.spec, entry.pack, entry.error
    return Avatar(
        id=entry.id,
        name=spec.name if spec else entry.id,
        status=entry.status,
        progress=(1.0 if pack else 0.0) if entry.progress is None else entry.progress,
        error=ErrorBody(kind=error.kind, description=str(error)) if error else None,
        states=list(spec.states) if spec else [],
        actions=list(spec.actions) if spec else [],
        fps=round(float(spec.encoding.fps), 3) if spec else None,
        size=spec.encoding.size if spec else None,
        seconds=round(pack.seconds, 3) if pack else None,
        codecs=list(pack.codecs) if pack else [],
        transitions="morph" if entry.graph_pack else "cut",
        poster=f"/avatars/{quote(entry.id, safe='')}/poster?{pack.key[:8]}" if pack else None,
    )


def describe_adopted(name: str) -> Avatar:
    """Describe a live picture that is watched like an avatar; it has no states."""
    return Avatar(
        id=name,
        name=name,
        status="ready",
        progress=1.0,
        error=None,
        states=[],
        actions=[],
        fps=None,
        size=None,
        seconds=None,
        codecs=["H264", "VP8"],
        transitions="cut",
        poster=None,
    )


async def list_avatars(request: web.Request, body: None) -> list[Avatar]:
    """List the avatars, the default one first, after live pictures."""
    library = request.app[LIBRARY]
    await library.refresh()
    adopted = [describe_adopted(name) for name in request.app[PROCESSED].adopted]
    return adopted + [describe(entry) for entry in library.entries()]


async def get_poster(request: web.Request, body: None) -> web.Response:
    """Return an avatar's first picture."""
    entry = request.app[LIBRARY].entry(request.match_info["id"])
    if entry.pack is None:
        raise PosterNotReady(f"The avatar {entry.id!r} is not compiled yet.")
    headers = {"Cache-Control": "private, max-age=86400"}
    return web.Response(body=entry.pack.poster, content_type="image/jpeg", headers=headers)


ROUTES = (
    Route("GET", "/avatars", list_avatars, "List the avatars.", answer=list[Avatar]),
    Route(
        "GET",
        "/avatars/{id}/poster",
        get_poster,
        "An avatar's first picture.",
        media_type="image/jpeg",
        errors={404: "No such avatar, or it is not compiled yet."},
    ),
)
