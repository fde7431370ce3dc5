"""A stream's events as server-sent events, for programs that watch without a connection."""

import asyncio
import json
from typing import Any, Final

from aiohttp import web

from transport.webrtc.peer import Peer

_WAITING_EVENTS: Final = 256
PING_SECONDS: Final = 15.0
OPEN: Final = b": open\n\n"
PING: Final = b": ping\n\n"
"""Keeps proxies from closing a connection on which nothing happens."""


async def send_events(request: web.Request, peer: Peer) -> web.StreamResponse:
    """Send events until the stream or the client is gone.

    A client that is too slow loses the connection rather than events in the middle of it.
    """
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING_EVENTS)

    def put(subject: str, payload: dict[str, Any]) -> None:
        if queue.full():
            peer.forget(put)
            queue.get_nowait()
            queue.put_nowait(None)
            return
        queue.put_nowait(encoded(subject, payload))

    response = await opened(request)
    peer.listen(put)
    try:
        await response.write(OPEN)
        while (event := await _next(queue)) is not None and not peer.closed:
            await response.write(event)
    except ConnectionResetError:
        pass
    finally:
        peer.forget(put)
    return response


async def opened(request: web.Request) -> web.StreamResponse:
    """Begin to answer with events; ``OPEN`` is written once the caller listens."""
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await response.prepare(request)
    return response


def encoded(subject: str, payload: dict[str, Any], event_id: str = "") -> bytes:
    """Return an event as it is sent; with an id, a client that comes back says it."""
    data = json.dumps(payload, separators=(",", ":"))
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {subject}\ndata: {data}\n\n".encode()


async def _next(queue: asyncio.Queue[bytes | None]) -> bytes | None:
    try:
        return await asyncio.wait_for(queue.get(), PING_SECONDS)
    except TimeoutError:
        return PING
