"""A stream's events as server-sent events, for programs that watch without a connection."""

import asyncio
import json
from typing import Any, Final

from aiohttp import web

from transport.webrtc.peer import Peer

_WAITING_EVENTS: Final = 256
_PING_SECONDS: Final = 15.0


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
        data = json.dumps(payload, separators=(",", ":"))
        queue.put_nowait(f"event: {subject}\ndata: {data}\n\n".encode())

    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await response.prepare(request)
    peer.listen(put)
    try:
        await response.write(b": open\n\n")
        while (event := await _next(queue)) is not None and not peer.closed:
            await response.write(event)
    except ConnectionResetError:
        pass
    finally:
        peer.forget(put)
    return response


async def _next(queue: asyncio.Queue[bytes | None]) -> bytes | None:
    try:
        return await asyncio.wait_for(queue.get(), _PING_SECONDS)
    except TimeoutError:
        return b": ping\n\n"
