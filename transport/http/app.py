"""The web application: all routes, with their guards, around the parts that it is given."""

from contextlib import AsyncExitStack
from typing import Any

from aiohttp import web

from engine.avatar.library import AvatarLibrary
from engine.settings import ServerSettings
from transport.http import (
    avatars,
    guard,
    health,
    jobs,
    jobs_events,
    jobs_files,
    jobs_listings,
    metrics,
    pages,
    speech,
    streams,
    swap,
    whep,
    whip,
)
from transport.http.keys import JOBS, LIBRARY, PROCESS, PROCESSED, PUBLISHERS, STREAMS, STUDIO
from transport.http.process import Process
from transport.http.routing import Route, add_routes, json_response, openapi
from transport.http.version import VERSION
from transport.jobs.room import JobRoom
from transport.processed import ProcessedStreams
from transport.publishers import PublisherRegistry
from transport.sessions import StreamRegistry
from transport.speech.studio import SpeechStudio

MAX_BODY = 1 << 20
"""Bytes of a request's body; session descriptions are some kilobytes."""


async def _get_openapi(request: web.Request, body: None) -> web.Response:
    return json_response(_description(request.app))


def _description(app: web.Application) -> dict[str, Any]:
    """Describe the API, with the parameters of all generators."""
    described = openapi(ROUTES, VERSION)
    jobs.describe_generators(described, app[JOBS].catalogue)
    return described


ROUTES = (
    *streams.ROUTES,
    *speech.ROUTES,
    *avatars.ROUTES,
    *whep.ROUTES,
    *whip.ROUTES,
    *swap.ROUTES,
    # Before /jobs/{id}: the first route that fits is taken.
    *jobs_events.ROUTES,
    *jobs.ROUTES,
    *jobs_files.ROUTES,
    *jobs_listings.ROUTES,
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
    room: JobRoom,
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
    app[JOBS] = room
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
        parts = (
            app[JOBS],
            app[STUDIO],
            app[PROCESSED],
            app[PUBLISHERS],
            app[STREAMS],
            app[LIBRARY],
        )
        for part in parts:
            stack.push_async_callback(part.close)
