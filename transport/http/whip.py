"""``/whip``: a browser, OBS or GStreamer sends its camera in (RFC 9725)."""

from aiohttp import web

from transport.http.keys import PUBLISHERS, STREAMS
from transport.http.negotiation import SDP, ice_links, read_sdp, read_trickle
from transport.http.routing import Route

_RESOURCE = "/whip/{id}/{secret}"


async def publish(request: web.Request, body: None) -> web.Response:
    """Answer a camera's offer. Its frames are watched as the source ``webrtc:ID``."""
    camera, answer = await request.app[PUBLISHERS].create(await read_sdp(request))
    headers = {"Location": f"/whip/{camera.id}/{camera.secret}"}
    response = web.Response(status=201, text=answer, content_type=SDP, headers=headers)
    ice_links(response, request.app[STREAMS].webrtc.ice_servers)
    return response


async def trickle(request: web.Request, body: None) -> web.Response:
    """Take further candidates; an ICE restart is not supported (422)."""
    camera = request.app[PUBLISHERS].find(request.match_info["id"], request.match_info["secret"])
    return await read_trickle(request, camera.publisher)


async def leave(request: web.Request, body: None) -> web.Response:
    """End the camera."""
    registry = request.app[PUBLISHERS]
    await registry.end(registry.find(request.match_info["id"], request.match_info["secret"]))
    return web.Response(status=200)


async def options(request: web.Request, body: None) -> web.Response:
    """Tell what can be posted."""
    return web.Response(status=200, headers={"Accept-Post": SDP})


_ERRORS = {403: "Wrong secret.", 404: "No such camera."}

ROUTES = (
    Route(
        "POST",
        "/whip",
        publish,
        "Send a camera in: an SDP offer in, an SDP answer out.",
        status=201,
        media_type=SDP,
        errors={
            406: "The offer cannot be used.",
            415: "The body is not application/sdp.",
            503: "Too many cameras.",
        },
    ),
    Route("OPTIONS", "/whip", options, "What can be posted."),
    Route("PATCH", _RESOURCE, trickle, "Add candidates.", status=204, errors=_ERRORS),
    Route("DELETE", _RESOURCE, leave, "End the camera.", errors=_ERRORS),
)
