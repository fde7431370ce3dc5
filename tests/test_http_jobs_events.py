"""What happens to jobs, as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.jobs.attempt import Lease, Outcome, Report
from engine.jobs.leases import Leases
from tests.http_jobs_serving import PATIENCE_S, Client, working

pytest_plugins = ("tests.jobs_fixtures",)


@pytest.fixture
async def client(root: Path, memory: Path) -> AsyncIterator[Client]:
    async with working(root, memory) as found:
        yield found


class Worker:
    """The worker's side, step by step."""

    def __init__(self, client: Client) -> None:
        self._desk = client.room.desk

    async def claim(self) -> Lease:
        claimed = await self._desk.call(lambda b: self._leases(b).claim("test"))
        assert claimed is not None
        return claimed[0]

    async def report(self, lease: Lease, **values: Any) -> None:
        await self._desk.call(lambda b: self._leases(b).report(lease, Report(**values)))

    async def commit(self, lease: Lease) -> None:
        await self._desk.call(lambda b: self._leases(b).commit(lease, Outcome({})))

    @staticmethod
    def _leases(backend: Any) -> Leases:
        return Leases(backend.jobs.store, backend.jobs.clocks, 600.0, 3)


class Ear:
    """Hears events in the background."""

    def __init__(self, client: Client, path: str, **headers: str) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._listen(client, path, headers))

    async def _listen(self, client: Client, path: str, headers: dict[str, str]) -> None:
        async for event in client.events(path, headers=headers):
            self.heard.append(event)
            self._news.set()

    async def until(self, name: str, **values: Any) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for found, data in self.heard:
                    if found == name and values.items() <= data.items():
                        return data
                self._news.clear()
                await self._news.wait()

    async def end(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._task

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_a_job_from_its_place_to_its_end(client: Client) -> None:
    ahead = await client.start("steps", cache=False)
    job = await client.start("steps", cache=False)
    ear = Ear(client, f"/jobs/{job['id']}/events")
    assert (await ear.until("queued", place=2))["id"] == job["id"]
    worker = Worker(client)
    first = await worker.claim()
    await ear.until("queued", place=1)
    await worker.commit(first)
    assert first.job_id == ahead["id"]
    lease = await worker.claim()
    await worker.report(
        lease, progress=0.5, eta_s=2.0, message="half", preview="1-1.jpg", lines=((1.5, "hello"),)
    )
    progress = await ear.until("progress", progress=0.5)
    assert (progress["eta_s"], progress["message"]) == (2.0, "half")
    assert (await ear.until("preview"))["url"] == f"/jobs/{job['id']}/previews/1-1.jpg"
    assert (await ear.until("log"))["time"] == 1.5
    await worker.commit(lease)
    await ear.end()
    name, last = ear.heard[-1]
    assert (name, last["state"], last["job"]["state"]) == ("state", "done", "done")
    assert [data["state"] for name, data in ear.heard if name == "state"][-2:] == [
        "running",
        "done",
    ]
    # Who comes again with the last id is told to stay away.
    again = {"Last-Event-ID": last["_id"]}
    async with client.http.get(f"/jobs/{job['id']}/events", headers=again) as answer:
        assert answer.status == 204
    await client.ask("GET", f"/jobs/{'0' * 32}/events", 404)
    await client.ask("GET", f"/jobs/{job['id']}/events?after=x", 400)


async def test_who_comes_again_hears_only_what_is_new(client: Client) -> None:
    job = await client.start("steps", cache=False)
    worker = Worker(client)
    lease = await worker.claim()
    await worker.report(lease, progress=0.25, lines=((1.0, "one"),))
    ear = Ear(client, f"/jobs/{job['id']}/events")
    known = (await ear.until("log", line="one"))["_id"]
    await ear.stop()
    await worker.report(lease, progress=0.75, lines=((2.0, "two"),))
    again = Ear(client, f"/jobs/{job['id']}/events", **{"Last-Event-ID": known})
    await again.until("log", line="two")
    await worker.commit(lease)
    await again.end()
    assert "one" not in [data.get("line") for _, data in again.heard]
    assert next(data["progress"] for name, data in again.heard if name == "progress") >= 0.75


async def test_all_jobs_from_a_known_change_on(client: Client) -> None:
    before = await client.start("steps", cache=False)
    listed = await client.ask("GET", "/jobs")
    after = await client.start("dots", params={"prompt": "x"})
    ear = Ear(client, f"/jobs/events?after={listed['change']}")
    assert (await ear.until("state", id=after["id"]))["job"]["kind"] == "dots"
    assert (await ear.until("queued", id=after["id"]))["place"] == 2
    fresh = Ear(client, "/jobs/events")
    await fresh.until("state", id=before["id"], state="queued")
    await client.ask("PATCH", f"/jobs/{after['id']}", json={"move": "front"})
    await ear.until("queued", id=after["id"], place=1)
    worker = Worker(client)
    lease = await worker.claim()
    await worker.report(lease, progress=0.5, lines=((1.0, "said"),))
    await ear.until("progress", id=after["id"], progress=0.5)
    await ear.until("log", line="said")
    await worker.commit(lease)
    done = await ear.until("state", id=after["id"], state="done")
    assert done["job"]["finished_at"] is not None
    await client.ask("DELETE", f"/jobs/{after['id']}")
    await ear.until("removed", id=after["id"])
    assert before["id"] not in [data["id"] for name, data in ear.heard if name == "state"]
    # Closing the server ends what still listens.
    await client.room.close()
    await asyncio.gather(ear.end(), fresh.end())
