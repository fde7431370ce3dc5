"""``/health`` and ``/status``: how the server is doing."""

from aiohttp import web
from pydantic import BaseModel

from transport.http import avatars, streams
from transport.http.avatars import Avatar
from transport.http.keys import LIBRARY, PROCESS
from transport.http.process import ProcessInfo
from transport.http.routing import Route
from transport.http.stream_bodies import StreamInfo
from transport.http.version import VERSION


class Health(BaseModel):
    """That the server answers."""

    status: str = "ok"


class ServerStatus(BaseModel):
    """Everything at a glance."""

    version: str
    process: ProcessInfo
    streams: list[StreamInfo]
    avatars: list[Avatar]


async def get_health(request: web.Request, body: None) -> Health:
    """Answer."""
    return Health()


async def get_status(request: web.Request, body: None) -> ServerStatus:
    """Describe the process, the streams and the avatars."""
    app = request.app
    return ServerStatus(
        version=VERSION,
        process=app[PROCESS].read(),
        streams=await streams.list_streams(request, None),
        avatars=[avatars.describe(entry) for entry in app[LIBRARY].entries()],
    )


ROUTES = (
    Route("GET", "/health", get_health, "Whether the server answers.", answer=Health),
    Route("GET", "/status", get_status, "Process, streams, avatars.", answer=ServerStatus),
)
