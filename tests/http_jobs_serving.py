"""A server with side jobs in the test's own event loop, and what talks to it."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from aiohttp.abc import AbstractResolver
from aiohttp.test_utils import TestClient

from engine.jobs.context import Place
from engine.jobs.heartbeat import Heartbeat
from engine.jobs.leases import Leases
from engine.jobs.running import JobRunner
from engine.jobs.settings import JobSettings
from engine.jobs.spec import JobState
from engine.pipeline.memory_settings import MemorySettings
from tests.http_jobs_generators import REGISTRY, generators, make, services
from tests.jobs_host import forget_signal
from tests.jobs_parts import settings
from tests.serving import serving
from transport.jobs.catalogue import GeneratorCatalogue
from transport.jobs.room import JobRoom, make_room

PATIENCE_S = 40.0


@dataclass
class Client:
    """Talks JSON to a server."""

    http: TestClient
    room: JobRoom
    folder: Path

    async def work(self) -> JobState | None:
        """Run the first job of the queue, in this process, as a worker would."""
        jobs = (await self.room.desk.backend()).jobs

        def run() -> JobState | None:
            # Nobody renews the lease.
            leases = Leases(jobs.store, jobs.clocks, 600.0, 3)
            claimed = leases.claim("test")
            assert claimed is not None, "nothing is queued"
            place, monotonic = Place("cpu", 1), jobs.clocks.monotonic
            runner = JobRunner(
                leases,
                Heartbeat(leases, monotonic, 600.0, 0.02),
                jobs.queue,
                jobs.files,
                place,
                jobs.settings,
                jobs.clocks,
            )
            return runner.run(*claimed, make(place, {"folder": str(self.folder)}))

        return await asyncio.to_thread(run)

    async def ask(
        self, method: str, path: str, status: int = 200, **options: Any
    ) -> dict[str, Any]:
        """Return the JSON of an answer, which must have this status."""
        async with self.http.request(method, path, **options) as answer:
            text = await answer.text()
            assert answer.status == status, f"{answer.status}: {text}"
            found: dict[str, Any] = json.loads(text)
            return found

    async def start(self, kind: str, **more: Any) -> dict[str, Any]:
        """Hand in a job."""
        params = more.pop("params", {})
        return await self.ask("POST", "/jobs", 202, json={"kind": kind, "params": params, **more})

    async def until(self, job_id: str, *states: str) -> dict[str, Any]:
        """Return a job once it is in one of these states, as its events tell."""
        async with asyncio.timeout(PATIENCE_S):
            async for name, data in self.events(f"/jobs/{job_id}/events"):
                if name == "state" and data["state"] in states:
                    job: dict[str, Any] = data["job"]
                    return job
        raise AssertionError(f"the events ended before {states}")

    async def made(self, kind: str, **more: Any) -> dict[str, Any]:
        """Hand in a job and run it in this process; return it when it has ended."""
        job = await self.start(kind, **more)
        if not job["cached"]:
            await self.work()
        return await self.ask("GET", f"/jobs/{job['id']}")

    async def send(
        self, job: dict[str, Any] | None, *files: tuple[str, str, bytes], status: int = 202
    ) -> dict[str, Any]:
        """Hand in a job with files: name, file name, content."""
        return await self.ask("POST", "/jobs", status, data=form(job, *files))

    async def events(self, path: str, **options: Any) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield name and data of each event; ``data["_id"]`` is its id."""
        async with self.http.get(path, **options) as answer:
            assert answer.status == 200, await answer.text()
            fields: dict[str, str] = {}
            async for raw in answer.content:
                line = raw.decode().rstrip("\n")
                if line:
                    key, _, value = line.partition(": ")
                    fields[key] = value
                elif "event" in fields:
                    yield fields["event"], {**json.loads(fields["data"]), "_id": fields.get("id")}
                    fields = {}
                else:
                    fields = {}


def job_settings(folder: Path, **values: Any) -> JobSettings:
    """Settings with short times and one worker of normal priority."""
    return settings(folder / "jobs", idle_priority=False, stop_s=1.0, cancel_grace_s=0.3, **values)


@contextlib.asynccontextmanager
async def working(
    root: Path,
    folder: Path,
    resolver: AbstractResolver | None = None,
    workers: bool = False,
    **values: Any,
) -> AsyncIterator[Client]:
    """Serve with side jobs whose files are in a folder.

    Args:
        root: Of the avatars.
        folder: Of the jobs and models.
        resolver: Of the webhooks.
        workers: With a real worker process; else ``Client.work`` does its work.
        values: Settings of the jobs.
    """
    chosen = job_settings(folder, **values)
    if not workers:
        chosen = chosen.model_copy(update={"devices": ()})
    room = make_room(
        chosen,
        MemorySettings(),
        lambda: services(folder),
        REGISTRY,
        lambda: {"folder": str(folder)},
        "ERROR",
        generators(),
        resolver=resolver,
    )
    if not workers:
        # What is there already is looked for as if the worker were the server's.
        known = GeneratorCatalogue(
            job_settings(folder, **values), lambda: services(folder), generators()
        )
        room = dataclasses.replace(room, catalogue=known)
    async with serving(root, room=room) as (client, _):
        try:
            yield Client(client, room, folder)
        finally:
            forget_signal(chosen)


def png(width: int = 4, height: int = 4, shade: int = 7) -> bytes:
    """A picture of one shade of grey."""
    import cv2

    pixels = np.full((height, width, 3), shade, np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


def form(job: dict[str, Any] | None, *files: tuple[str, str, bytes]) -> aiohttp.FormData:
    """A form with a job and files: name, file name, content."""
    data = aiohttp.FormData(quote_fields=False)
    if job is not None:
        data.add_field("job", json.dumps(job), content_type="application/json")
    for name, filename, content in files:
        data.add_field(name, content, filename=filename, content_type="application/octet-stream")
    return data
