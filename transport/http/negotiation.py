"""What WHEP and WHIP have in common: SDP bodies, trickled candidates, ICE servers as links."""

from collections.abc import Iterable
from typing import Protocol

from aiohttp import web

from engine.errors import InvalidInput
from engine.settings import IceServer
from transport.webrtc.peer import BadSdp

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"


class UnsupportedType(InvalidInput):
    """The body has another media type than the route takes."""

    http_status = 415


class IceRestart(InvalidInput):
    """The other end wants to restart ICE, which is not supported."""

    http_status = 422


class TakesCandidates(Protocol):
    """An end of a connection that more candidates can be given to."""

    @property
    def remote_ufrags(self) -> frozenset[str]:
        """The ICE user fragments of the other end's description."""

    async def add_candidate(
        self, candidate: str | None, mid: str | None, index: int | None
    ) -> None:
        """Take a candidate."""


async def read_sdp(request: web.Request) -> str:
    """Return the offer in a request's body.

    Raises:
        UnsupportedType: It has another media type.
        BadSdp: It is not text.
    """
    if request.content_type != SDP:
        raise UnsupportedType(f"Expected Content-Type: {SDP}.")
    try:
        return (await request.read()).decode()
    except UnicodeDecodeError:
        raise BadSdp("The offer is not text.") from None


async def read_trickle(request: web.Request, end: TakesCandidates) -> web.Response:
    """Hand on the candidates of a fragment (RFC 8840).

    Raises:
        UnsupportedType: The body is none.
    """
    if request.content_type != FRAGMENT:
        raise UnsupportedType(f"Expected Content-Type: {FRAGMENT}.")
    mid: str | None = None
    for line in (await request.read()).decode(errors="replace").splitlines():
        if line.startswith("a=ice-ufrag:") and line[12:].strip() not in end.remote_ufrags:
            raise IceRestart("ICE restart is not supported.", "Create a new stream.")
        if line.startswith("a=mid:"):
            mid = line[6:].strip()
        elif line.startswith("a=candidate:"):
            await end.add_candidate(line, mid, None if mid else 0)
    return web.Response(status=204)


def ice_links(response: web.Response, servers: Iterable[IceServer]) -> None:
    """Add the ICE servers as Link headers (RFC 9725, 4.6)."""
    for server in servers:
        for url in server.urls:
            link = f'<{url}>; rel="ice-server"'
            if server.username and server.credential:
                name, secret = (_quoted(x) for x in (server.username, server.credential))
                link += f"; username={name}; credential={secret}"
                link += '; credential-type="password"'
            response.headers.add("Link", link)


def _quoted(text: str) -> str:
    """Return a quoted-string (RFC 9110, 5.6.4)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
