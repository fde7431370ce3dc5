"""The queue of a server: damaged, locked, out of reach, shared, with workers that die."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from engine.jobs.live import LiveSignal, signal_path
from engine.jobs.machine import machine
from processors.generate.recipe import code_version
from tests.http_jobs_serving import Client, working
from tests.jobs_host import ROOT

pytest_plugins = ("tests.jobs_fixtures",)


async def test_a_queue_that_cannot_be_opened_says_why_and_streams_go_on(
    root: Path, memory: Path
) -> None:
    (memory / "jobs").write_text("a file where the folder should be")
    async with working(root, memory) as client:
        for method, path in (("GET", "/jobs"), ("POST", "/jobs"), ("GET", "/jobs/events")):
            refused = await client.ask(method, path, 503)
            assert "cannot be written" in refused["description"], path
        assert (await client.http.get("/avatars")).status == 200
        async with client.http.post("/streams", json={}) as answer:
            assert answer.status == 201
        (memory / "jobs").unlink()
        await _open_again(client)
        assert (await client.made("dots", params={"prompt": "x"}))["state"] == "done"


async def _open_again(client: Client) -> None:
    """Wait until the desk has tried again."""
    opened = asyncio.Event()
    client.room.desk.when_open(opened.set)
    async with asyncio.timeout(30):
        await opened.wait()


async def test_a_damaged_store_is_set_aside(root: Path, memory: Path) -> None:
    async with working(root, memory) as client:
        await client.start("steps")
    store = memory / "jobs" / "jobs.sqlite"
    for part in ("-wal", "-shm"):
        Path(f"{store}{part}").unlink(missing_ok=True)
    store.write_bytes(b"rubbish" * 1000)
    async with working(root, memory) as client:
        assert (await client.ask("GET", "/jobs"))["jobs"] == []
        assert (await client.made("dots", params={"prompt": "x"}))["state"] == "done"
    assert list(store.parent.glob("jobs.sqlite.damaged-*"))


async def test_a_locked_store_is_told_and_holds_up_nothing(root: Path, memory: Path) -> None:
    async with working(root, memory, busy_s=0.2) as client:
        await client.ask("GET", "/jobs")
        with closing(sqlite3.connect(memory / "jobs" / "jobs.sqlite")) as other:
            other.execute("BEGIN IMMEDIATE")
            refused = asyncio.create_task(client.ask("POST", "/jobs", 503, json={"kind": "steps"}))
            assert (await client.http.get("/health")).status == 200
            assert (await refused)["kind"] == "StoreBusy"
            other.rollback()
        await client.start("steps")


async def test_two_servers_on_one_store(root: Path, memory: Path) -> None:
    async with working(root, memory) as one, working(root, memory) as other:
        job = await one.start("steps", cache=False)
        watch = asyncio.create_task(other.until(job["id"], "done"))
        assert (await other.ask("GET", f"/jobs/{job['id']}"))["state"] == "queued"
        await one.work()
        assert (await watch)["id"] == job["id"]
        assert await other.ask("DELETE", f"/jobs/{job['id']}") == {"status": "deleted"}
        await one.ask("GET", f"/jobs/{job['id']}", 404)


async def test_late_pictures_make_jobs_wait(root: Path, memory: Path) -> None:
    async with working(root, memory) as client:
        client.room.desk.report_late(1.0)
        backend = await client.room.desk.backend()
        settings = backend.jobs.settings
        with LiveSignal(
            signal_path(settings.folder), backend.jobs.clocks.monotonic, 0.015, 5.0
        ) as live:
            assert live.waits_s() == 0, "nothing was open yet"
            client.room.desk.report_late(0.001)
            assert live.waits_s() == 0
            client.room.desk.report_late(0.5)
            assert live.waits_s() > 0


async def test_real_workers_start_when_needed_die_and_are_killed(root: Path, memory: Path) -> None:
    async with working(root, memory, workers=True) as client:
        backend = await client.room.desk.backend()
        await client.ask("GET", "/jobs")
        assert [slot.pid for slot in backend.supervisor.status()] == [None]
        gate = memory / "gate"
        job = await client.start("steps", params={"steps": 2, "gate": str(gate)})
        async for name, data in client.events(f"/jobs/{job['id']}/events"):
            if name == "progress" and data["progress"] == 0.5:
                break
        pid = backend.supervisor.status()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        gate.touch()
        done = await client.until(job["id"], "done", "failed")
        assert (done["state"], done["attempt"]) == ("done", 2)
        again = await client.start("steps", params=done["params"])
        assert again["cached"], (done["recipe"], code_version(), machine())
        never = {"steps": 2, "gate": str(memory / "never"), "deaf": True}
        deaf = await client.start("steps", params=never)
        async for name, data in client.events(f"/jobs/{deaf['id']}/events"):
            if name == "progress" and data["progress"] == 0.5:
                break
        asked = await client.ask("DELETE", f"/jobs/{deaf['id']}?kill=true", 202)
        assert asked["state"] == "running"
        assert (await client.until(deaf["id"], "cancelled"))["attempt"] == 1


async def test_the_desk_needs_nothing_heavy_before_it_opens() -> None:
    code = "import server, sys; print(*{'sqlalchemy', 'torch', 'diffusers'} & set(sys.modules))"
    found = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True
    )
    assert found.stdout.split() == []


async def test_work_that_piles_up_is_refused(
    root: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transport.jobs.desk._MOST_CALLS", 1)
    async with working(root, memory) as client:
        await client.ask("GET", "/jobs")
        gate = asyncio.get_running_loop().create_future()
        release = asyncio.Event()

        def hold() -> None:
            gate.get_loop().call_soon_threadsafe(gate.set_result, None)
            asyncio.run_coroutine_threadsafe(release.wait(), gate.get_loop()).result()

        held = asyncio.create_task(client.room.desk.run(hold))
        await gate
        assert (await client.ask("GET", "/jobs", 503))["kind"] == "StoreBusy"
        release.set()
        await held
