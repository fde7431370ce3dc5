"""Requests for files that are in an object store, and a store that is away."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http_jobs_serving import Client, png, working
from tests.object_store_services import Bucket, nobody

pytest_plugins = ("tests.jobs_fixtures", "tests.jobs_bucket_fixtures")

PAINT = {"kind": "dots", "params": {"prompt": "hello", "seed": 5}}


@pytest.fixture
async def client(root: Path, memory: Path, bucket: Bucket) -> AsyncIterator[Client]:
    async with working(root, memory, **bucket.settings) as found:
        yield found


async def read(client: Client, url: str, status: int = 200) -> bytes:
    async with client.http.get(url) as answer:
        assert answer.status == status, await answer.text()
        return await answer.read()


async def test_files_that_are_on_no_disk_here_are_sent(client: Client, bucket: Bucket) -> None:
    job = await client.send(PAINT, ("image", "in.png", png()))
    assert bucket.objects() == [f"{job['id']}/inputs/in.png"]
    assert await client.work() == "done"
    urls = [f"/jobs/{job['id']}/files/dots.png", f"/jobs/{job['id']}/inputs/image"]
    here = [await read(client, url) for url in urls]
    shutil.rmtree(client.folder / "jobs" / "files")
    assert [await read(client, url) for url in urls] == here
    again = await client.send(PAINT, ("image", "again.png", png()))
    assert again["cached"]
    assert await read(client, f"/jobs/{again['id']}/files/dots.png") == here[0]
    for found in (job, again):
        await client.ask("DELETE", f"/jobs/{found['id']}")
    assert bucket.objects() == []
    await read(client, urls[0], 404)


async def test_what_is_refused_leaves_no_objects(client: Client, bucket: Bucket) -> None:
    wrong = await client.send(PAINT, ("image", "in.png", b"no picture"), status=400)
    assert wrong["kind"] != "ObjectStoreUnavailable"
    assert bucket.objects() == []


async def test_no_job_is_taken_while_the_store_is_away(
    root: Path, memory: Path, keys: None
) -> None:
    with nobody() as away:
        async with working(root, memory, files="s3://bucket", files_endpoint=away) as client:
            refused = await client.send(PAINT, ("image", "in.png", png()), status=503)
            assert refused["kind"] == "ObjectStoreUnavailable"
            assert away in refused["description"]
            assert (await client.ask("GET", "/jobs"))["jobs"] == []
            assert list((memory / "jobs" / "files").iterdir()) == []


async def test_a_store_that_does_not_answer_holds_nobody_else_up(
    root: Path, memory: Path, keys: None
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as store:
        store.setblocking(False)
        away = f"http://127.0.0.1:{store.getsockname()[1]}"
        async with working(root, memory, files="s3://bucket", files_endpoint=away) as client:
            upload = asyncio.create_task(client.send(PAINT, ("image", "in.png", png()), status=503))
            connection, _ = await asyncio.get_running_loop().sock_accept(store)
            await client.ask("GET", "/jobs")
            await client.ask("GET", "/health")
            assert not upload.done()
            connection.close()
            store.close()
            assert (await upload)["kind"] == "ObjectStoreUnavailable"
