"""Files of side jobs: sent back, made again from what they say of themselves, too large."""

import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http_jobs_serving import Client, png, working

pytest_plugins = ("tests.jobs_fixtures",)

PAINT = {"prompt": "hello", "seed": 5}


@pytest.fixture
async def client(root: Path, memory: Path) -> AsyncIterator[Client]:
    async with working(root, memory, max_upload_mb=1) as found:
        yield found


async def _read(client: Client, path: str, status: int = 200, **headers: str) -> bytes:
    async with client.http.get(path, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        return await answer.read()


async def test_a_file_is_sent_whole_in_parts_or_not_again(client: Client) -> None:
    done = await client.made("dots", params=PAINT)
    url = done["files"][0]["url"]
    whole = await _read(client, url)
    assert await _read(client, url, 206, Range="bytes=4-9") == whole[4:10]
    async with client.http.get(url) as answer:
        tag = answer.headers["ETag"]
        assert "Content-Disposition" not in answer.headers
    assert await _read(client, url, 304, **{"If-None-Match": tag}) == b""
    async with client.http.get(url + "?download=1") as answer:
        assert answer.headers["Content-Disposition"].endswith("dots.png")
    for wrong in ("..%2F..%2Fjobs.sqlite", "nothing.png", ".hidden"):
        await _read(client, f"/jobs/{done['id']}/files/{wrong}", 404)


async def test_a_picture_is_made_again_from_its_recipe(client: Client) -> None:
    first = await client.send({"kind": "dots", "params": PAINT}, ("image", "in.png", png()))
    await client.work()
    url = f"/jobs/{first['id']}/files/dots.png"
    picture = await _read(client, url)
    named = {"from_file": {"job": first["id"], "file": "dots.png"}, "cache": False}
    again = await client.ask("POST", "/jobs", 202, json=named)
    assert (again["kind"], again["params"]) == ("dots", first["params"])
    assert await client.work() == "done"
    assert await _read(client, f"/jobs/{again['id']}/files/dots.png") == picture
    # The same picture sent as a file: its input is found by its hash, and so is the result.
    sent = await client.send(None, ("from_file", "kept.png", picture))
    assert sent["cached"]
    other = await client.send({"params": {"seed": 6}}, ("from_file", "kept.png", picture))
    assert (other["cached"], other["params"]["seed"]) == (False, 6)
    assert [item["name"] for item in other["inputs"]] == ["image"]
    await client.ask("DELETE", f"/jobs/{other['id']}", 202)
    for job in (await client.ask("GET", "/jobs"))["jobs"]:
        await client.ask("DELETE", f"/jobs/{job['id']}")
    lost = await client.send(None, ("from_file", "kept.png", picture), status=400)
    assert (lost["kind"], "named image" in lost["description"]) == ("InputNotFound", True)
    given = await client.send(None, ("from_file", "k.png", picture), ("image", "x.png", png()))
    assert await client.work() == "done"
    assert await _read(client, f"/jobs/{given['id']}/files/dots.png") == picture


async def test_a_film_is_made_again_and_other_files_are_not(client: Client) -> None:
    first = await client.made("film")
    assert first["state"] == "done", first
    film = await _read(client, first["files"][0]["url"])
    again = await client.send({"cache": False}, ("from_file", "film.mp4", film))
    assert again["kind"] == "film"
    plain = await client.send(None, ("from_file", "x.png", png()), status=404)
    assert plain["kind"] == "NoRecipe"
    both = {"from_file": {"job": first["id"], "file": "film.mp4"}}
    await client.send(both, ("from_file", "film.mp4", film), status=400)


async def test_more_than_the_limit_is_not_taken(client: Client) -> None:
    large = ("image", "x.png", png() + bytes(1_000_001))
    refused = await client.send({"kind": "dots", "params": PAINT}, large, status=413)
    assert refused["kind"] == "UploadTooLarge"

    async def drops() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
        for _ in range(40):
            yield bytes(50_000)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    refused = await client.ask("POST", "/jobs", 413, data=drops(), headers=headers)
    cut = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\nabc'
    broken = await client.ask("POST", "/jobs", 400, data=cut, headers=headers)
    assert (refused["kind"], broken["kind"]) == ("UploadTooLarge", "BrokenUpload")
    assert list((client.folder / "jobs" / "files").glob("*")) == []


async def test_a_full_disk_is_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    await client.ask("GET", "/jobs")
    monkeypatch.setattr("transport.http.jobs_intake._write", full)
    job = {"kind": "dots", "params": PAINT}
    refused = await client.send(job, ("image", "x.png", png()), status=507)
    assert (refused["kind"], "full" in refused["description"]) == ("DiskFull", True)


async def test_what_there_is_to_make_things_with(client: Client) -> None:
    async with client.http.get("/generators") as answer:
        found = {item["name"]: item for item in await answer.json()}
    seed = found["dots"]["parameters"]["properties"]["seed"]
    assert (seed["x-widget"], found["dots"]["inputs"][0]["kinds"]) == ("seed", ["image"])
    assert found["modelled"]["missing"] == [
        {"model": "weights", "command": "python server.py models pull weights"}
    ]
    async with client.http.get("/models") as answer:
        models = await answer.json()
    yunet = next(model for model in models if model["id"].startswith("yunet"))
    assert (yunet["health"], yunet["places"], yunet["commercial"]) == ("missing", [], True)
    assert yunet["command"].startswith("python server.py models pull yunet")
    monitor = await client.ask("GET", "/vram-monitor")
    ram = next(device for device in monitor["devices"] if device["device"] == "cpu")
    assert 0 < ram["used"] < ram["total"]
    assert monitor["history"][-1]["device"] in {item["device"] for item in monitor["devices"]}
