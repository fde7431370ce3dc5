"""``/whep/{avatar}``: a viewer that speaks WHEP (draft-ietf-wish-whep) instead of our API."""

from aiohttp import web

from engine.errors import InvalidInput
from transport.http.keys import STREAMS
from transport.http.routing import Route
from transport.sessions import Stream, WrongSession
from transport.webrtc.peer import BadSdp

_SDP = "application/sdp"
_FRAGMENT = "application/trickle-ice-sdpfrag"


class UnsupportedType(InvalidInput):
    """The body has another media type than the route takes."""

    http_status = 415


async def play(request: web.Request, body: None) -> web.Response:
    """Answer a viewer's offer."""
    if request.content_type != _SDP:
        raise UnsupportedType(f"Expected Content-Type: {_SDP}.")
    try:
        offer = (await request.read()).decode()
    except UnicodeDecodeError:
        raise BadSdp("The offer is not text.") from None
    streams = request.app[STREAMS]
    stream, answer = await streams.answer(request.match_info["avatar"], offer)
    # The secret is part of the resource's address: whoever knows it may end the stream.
    headers = {"Location": f"/whep/{stream.source}/{stream.id}/{stream.session_id}"}
    response = web.Response(status=201, text=answer, content_type=_SDP, headers=headers)
    for server in streams.webrtc.ice_servers:
        for url in server.urls:
            link = f'<{url}>; rel="ice-server"'
            if server.username and server.credential:
                link += f'; username="{server.username}"; credential="{server.credential}"'
                link += '; credential-type="password"'
            response.headers.add("Link", link)
    return response


async def trickle(request: web.Request, body: None) -> web.Response:
    """Take further candidates of the viewer; an ICE restart is not supported (422)."""
    stream = _find(request)
    if request.content_type != _FRAGMENT:
        raise UnsupportedType(f"Expected Content-Type: {_FRAGMENT}.")
    mid: str | None = None
    for line in (await request.text()).splitlines():
        if line.startswith("a=ice-ufrag:") and line[12:].strip() not in stream.peer.remote_ufrags:
            return web.Response(status=422, text="ICE restart is not supported.")
        if line.startswith("a=mid:"):
            mid = line[6:].strip()
        elif line.startswith("a=candidate:"):
            await stream.peer.add_candidate(line, mid, None if mid else 0)
    return web.Response(status=204)


async def leave(request: web.Request, body: None) -> web.Response:
    """End the stream."""
    await request.app[STREAMS].end(_find(request), "deleted")
    return web.Response(status=200)


async def options(request: web.Request, body: None) -> web.Response:
    """Tell what can be posted."""
    return web.Response(status=200, headers={"Accept-Post": _SDP})


def _find(request: web.Request) -> Stream:
    stream = request.app[STREAMS].find(request.match_info["id"], request.match_info["secret"])
    if stream.source != request.match_info["avatar"]:
        raise WrongSession("This stream plays another avatar.")
    return stream


_ERRORS = {403: "Wrong secret.", 404: "No such stream."}
_RESOURCE = "/whep/{avatar}/{id}/{secret}"

ROUTES = (
    Route(
        "POST",
        "/whep/{avatar}",
        play,
        "Play an avatar: an SDP offer in, an SDP answer out.",
        status=201,
        media_type=_SDP,
        errors={
            400: "Not an SDP offer.",
            404: "No such avatar.",
            415: "The body is not application/sdp.",
            406: "The offer cannot be used.",
            503: "At the limit, or the avatar is being compiled.",
        },
    ),
    Route("OPTIONS", "/whep/{avatar}", options, "What can be posted."),
    Route("PATCH", _RESOURCE, trickle, "Add candidates.", status=204, errors=_ERRORS),
    Route("DELETE", _RESOURCE, leave, "End the stream.", errors=_ERRORS),
)
