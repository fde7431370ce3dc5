"""The routes of the studio in a thread of their own, with the generators of the tests."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from engine.jobs.settings import JobSettings
from engine.jobs.spec import JobSpec
from engine.pipeline.memory_settings import MemorySettings
from processors.generate.declaration import Services
from processors.models.library import ModelLibrary
from tests.http_jobs_serving import job_settings
from tests.studio_generators import GENERATORS, REGISTRY
from transport.http import guard, jobs, jobs_events, jobs_files, jobs_listings, pages
from transport.http.keys import JOBS
from transport.http.routing import add_routes
from transport.jobs.room import JobRoom, make_room

T = TypeVar("T")

_ROUTES = (*jobs_events.ROUTES, *jobs.ROUTES, *jobs_files.ROUTES, *jobs_listings.ROUTES)
_PATIENCE_S = 60.0
_DESK_THREADS = 4
"""That the queue's desk has."""


class StudioServer:
    """A server that can be stopped and started again at the same address.

    Args:
        folder: Of the jobs; what was in the queue is there again after a start.
        tokens: Of which one is asked for, if there are any.
    """

    def __init__(self, folder: Path, tokens: tuple[str, ...] = ()) -> None:
        self._folder, self._tokens = folder, tokens
        self._settings: JobSettings = job_settings(folder, preview_s=0.0, worker_idle_s=0.0)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="studio server")
        self._thread.start()
        self._runner: web.AppRunner | None = None
        self.room: JobRoom | None = None

    def start(self) -> "StudioServer":
        """Start to listen."""
        self.call(self._start())
        return self

    def stop(self) -> None:
        """Stop to listen; connections are closed."""
        self.call(self._stop())

    def close(self) -> None:
        """End for good."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_S)

    def add_cancelled(self, count: int) -> None:
        """Fill the history."""
        self.call(self._add_cancelled(count))

    async def _start(self) -> None:
        self.room = make_room(
            self._settings,
            MemorySettings(),
            lambda: Services(ModelLibrary((self._folder / "models",))),
            REGISTRY,
            lambda: {"folders": [str(self._folder / "models")]},
            "ERROR",
            GENERATORS,
        )
        app = web.Application(middlewares=[guard.errors, guard.tokens(self._tokens)])
        app[JOBS] = self.room
        add_routes(app, _ROUTES)
        pages.add_pages(app)
        app.on_response_prepare.append(guard.add_headers)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        # All threads begin now, not with the first request.
        await self.room.desk.backend()
        meeting = threading.Barrier(_DESK_THREADS)
        await asyncio.gather(
            *(self.room.desk.run(lambda: meeting.wait(_PATIENCE_S)) for _ in range(_DESK_THREADS))
        )
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()

    async def _stop(self) -> None:
        if self._runner is None or self.room is None:
            return
        # Streams of events end when the room is closed.
        await self.room.close()
        await self._runner.cleanup()
        self._runner = self.room = None

    async def _add_cancelled(self, count: int) -> None:
        assert self.room is not None
        for number in range(count):
            params = {"prompt": f"old one {number}", "style": {}}
            job = await self.room.desk.enqueue(JobSpec("paint", params, delay_s=1000))
            await self.room.desk.call(lambda backend, job_id=job.id: _cancel(backend, job_id))


def _cancel(backend: Any, job_id: str) -> None:
    backend.jobs.control.cancel(job_id, False)
