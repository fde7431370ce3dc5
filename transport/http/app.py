"""The web application: all routes, with their guards, around the parts that it is given."""

from contextlib import AsyncExitStack

from aiohttp import web

from engine.avatar.library import AvatarLibrary
from engine.settings import ServerSettings
from transport.http import avatars, guard, health, metrics, pages, speech, streams, swap, whep, whip
from transport.http.keys import LIBRARY, PROCESS, PROCESSED, PUBLISHERS, STREAMS, STUDIO
from transport.http.process import Process
from transport.http.routing import Route, add_routes, json_response, openapi
from transport.http.version import VERSION
from transport.processed import ProcessedStreams
from transport.publishers import PublisherRegistry
from transport.sessions import StreamRegistry
from transport.speech.studio import SpeechStudio

MAX_BODY = 1 << 20
"""Bytes of a request's body; session descriptions are some kilobytes."""

_DESCRIPTION = web.AppKey("description", dict)


async def _get_openapi(request: web.Request, body: None) -> web.Response:
    return json_response(request.app[_DESCRIPTION])


ROUTES = (
    *streams.ROUTES,
    *speech.ROUTES,
    *avatars.ROUTES,
    *whep.ROUTES,
    *whip.ROUTES,
    *swap.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
    Route("GET", "/openapi.json", _get_openapi, "This description."),
)


def make_app(
    settings: ServerSettings,
    library: AvatarLibrary,
    registry: StreamRegistry,
    processed: ProcessedStreams,
    publishers: PublisherRegistry,
    studio: SpeechStudio,
) -> web.Application:
    """Put the application together.

    Starting and stopping it starts and stops the library, the streams and the cameras.
    """
    app = web.Application(
        client_max_size=MAX_BODY,
        middlewares=[
            guard.origins(settings.cors_origins),
            guard.errors,
            guard.tokens(settings.tokens),
        ],
    )
    app[LIBRARY], app[STREAMS], app[PROCESS] = library, registry, Process()
    app[PROCESSED], app[PUBLISHERS], app[STUDIO] = processed, publishers, studio
    app[_DESCRIPTION] = openapi(ROUTES, VERSION)
    add_routes(app, ROUTES)
    pages.add_pages(app)
    app.on_response_prepare.append(guard.add_headers)
    app.on_startup.append(_start)
    app.on_shutdown.append(_stop)
    return app


async def _start(app: web.Application) -> None:
    await app[LIBRARY].start()
    await app[STREAMS].start()
    await app[PUBLISHERS].start()


async def _stop(app: web.Application) -> None:
    # The last pushed is closed first, and one that fails keeps none of the others. The library
    # comes first: whoever waits for an avatar is answered before connections are closed.
    async with AsyncExitStack() as stack:
        parts = (app[STUDIO], app[PROCESSED], app[PUBLISHERS], app[STREAMS], app[LIBRARY])
        for part in parts:
            stack.push_async_callback(part.close)
