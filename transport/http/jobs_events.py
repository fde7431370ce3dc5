"""What happens to jobs, as server-sent events."""

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from aiohttp import web

from transport.http.event_stream import OPEN, PING, PING_SECONDS, encoded, opened
from transport.http.jobs import NO_JOB
from transport.http.keys import JOBS
from transport.http.routing import InvalidRequest, Route
from transport.jobs.rendering import preview_url, render_job
from transport.jobs.room import JobRoom

if TYPE_CHECKING:
    from engine.jobs.events import JobEvent

_ID = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?")


async def job_events(request: web.Request, body: None) -> web.StreamResponse:
    """Send what happens to a job, from how it stands to its end."""
    from engine.jobs.subscriptions import Subscription

    room, job_id = request.app[JOBS], request.match_info["id"]
    backend = await room.desk.backend()
    job = await room.desk.call(lambda b: b.jobs.queue.get(job_id))
    known = _last_id(request)
    change, line = known or (0, 0)
    if known is not None and job.state.finished and job.changed <= change:
        # There is nothing more; 204 tells browsers not to come again.
        return web.Response(status=204)
    news = _News()
    subscription = Subscription(job_id, news.wake, change, line)
    backend.feed.add(subscription)
    seen = [change, line]

    def take() -> tuple[bytes, bool]:
        data, last = b"", False
        for event in subscription.take():
            if event.job is not None:
                seen[0] = max(seen[0], event.job.changed)
            seen[1] = max(seen[1], event.data.get("number", 0))
            data += b"".join(_sent(event, room, f"{seen[0]}-{seen[1]}"))
            last = last or event.last
        return data, last

    try:
        return await _send(request, room, news, take)
    finally:
        backend.feed.remove(subscription)


async def all_events(request: web.Request, body: None) -> web.StreamResponse:
    """Send what happens to all jobs."""
    from engine.jobs.subscriptions import QueueSubscription

    room = request.app[JOBS]
    backend = await room.desk.backend()
    known = _last_id(request)
    news = _News()
    subscription = QueueSubscription(news.wake, None if known is None else known[0])
    backend.feed.add_queue(subscription)
    seen = known[0] if known is not None else 0

    def take() -> tuple[bytes, bool]:
        nonlocal seen
        data = b""
        for event in subscription.take():
            if event.job is not None:
                seen = max(seen, event.job.changed)
            data += b"".join(_sent(event, room, str(seen) if seen else ""))
        # A client that was too slow comes again, and is told how things stand.
        return data, subscription.lost

    try:
        return await _send(request, room, news, take)
    finally:
        backend.feed.remove_queue(subscription)


class _News:
    """Wakes the event loop from the feed's thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.event = asyncio.Event()

    def wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.event.set)


async def _send(
    request: web.Request, room: JobRoom, news: _News, take: Callable[[], tuple[bytes, bool]]
) -> web.StreamResponse:
    response = await opened(request)
    closing = asyncio.create_task(room.desk.closing.wait())
    try:
        await response.write(OPEN)
        last = False
        while not last and not closing.done():
            waiting = asyncio.create_task(news.event.wait())
            try:
                await asyncio.wait(
                    (waiting, closing), timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                waiting.cancel()
            news.event.clear()
            data, last = take()
            await response.write(data or PING)
    except ConnectionResetError:
        pass
    finally:
        closing.cancel()
    return response


def _sent(event: "JobEvent", room: JobRoom, event_id: str) -> Iterator[bytes]:
    """Yield an event of the queue as it is sent."""
    from engine.jobs.events import EventKind

    data, job = event.data, event.job
    named: dict[str, Any] = {"id": event.job_id}
    match event.kind:
        case EventKind.POSITION:
            name, values = "queued", {"place": data["position"] + 1}
        case EventKind.PROGRESS:
            name, values = "progress", data
        case EventKind.PREVIEW:
            name, values = "preview", {"url": preview_url(event.job_id, data["name"])}
        case EventKind.LOG:
            name, values = "log", {key: data[key] for key in ("number", "line")}
            values["time"] = data["at"]
        case EventKind.REMOVED:
            name, values = "removed", {}
        case _:
            assert job is not None
            if event.kind is EventKind.STATE and job.state.finished:
                return  # the last event says it
            name = "state"
            values = {"state": job.state.value, "job": render_job(job, room.catalogue, None)}
    yield encoded(name, named | values, event_id)


def _last_id(request: web.Request) -> tuple[int, int] | None:
    text = request.headers.get("Last-Event-ID") or request.query.get("after", "")
    if not text:
        return None
    match = _ID.fullmatch(text)
    if match is None:
        raise InvalidRequest("after: take it from GET /jobs, or from an event's id.")
    return int(match[1]), int(match[2] or 0)


ROUTES = (
    Route(
        "GET",
        "/jobs/events",
        all_events,
        "What happens to all jobs (server-sent events).",
        query=["after"],
        media_type="text/event-stream",
        errors={503: NO_JOB[503]},
    ),
    Route(
        "GET",
        "/jobs/{id}/events",
        job_events,
        "What happens to a job, to its end (server-sent events).",
        query=["after"],
        media_type="text/event-stream",
        errors=NO_JOB,
    ),
)
