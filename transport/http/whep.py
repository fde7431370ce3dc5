"""``/whep/{avatar}``: a viewer that speaks WHEP (draft-ietf-wish-whep) instead of our API."""

from urllib.parse import quote

from aiohttp import web

from transport.http.keys import STREAMS
from transport.http.negotiation import SDP, ice_links, read_sdp, read_trickle
from transport.http.routing import Route
from transport.sessions import Stream, WrongSession


async def play(request: web.Request, body: None) -> web.Response:
    """Answer a viewer's offer."""
    streams = request.app[STREAMS]
    stream, answer = await streams.answer(request.match_info["avatar"], await read_sdp(request))
    # The secret is part of the resource's address: whoever knows it may end the stream.
    headers = {"Location": f"/whep/{quote(stream.source, safe='')}/{stream.id}/{stream.session_id}"}
    response = web.Response(status=201, text=answer, content_type=SDP, headers=headers)
    ice_links(response, streams.webrtc.ice_servers)
    return response


async def trickle(request: web.Request, body: None) -> web.Response:
    """Take further candidates of the viewer; an ICE restart is not supported (422)."""
    return await read_trickle(request, _find(request).peer)


async def leave(request: web.Request, body: None) -> web.Response:
    """End the stream."""
    await request.app[STREAMS].end(_find(request), "deleted")
    return web.Response(status=200)


async def options(request: web.Request, body: None) -> web.Response:
    """Tell what can be posted."""
    return web.Response(status=200, headers={"Accept-Post": SDP})


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
        media_type=SDP,
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
