"""``/jobs``: what is taken, refused, listed, changed and removed."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.settings import ServerSettings
from tests.http_jobs_serving import Client, png, working
from tests.serving import serving

pytest_plugins = ("tests.jobs_fixtures",)

PAINT = {"prompt": "hello"}


@pytest.fixture
async def client(root: Path, memory: Path) -> AsyncIterator[Client]:
    async with working(root, memory) as found:
        yield found


async def test_a_job_is_taken_and_done(client: Client) -> None:
    async with client.http.post("/jobs", json={"kind": "dots", "params": PAINT}) as answer:
        job = await answer.json()
        assert (answer.status, answer.headers["Location"]) == (202, f"/jobs/{job['id']}")
    assert (job["kind"], job["title"], job["state"], job["place"]) == ("dots", "Dots", "queued", 1)
    assert 0 <= job["params"]["seed"] < 2**31, "a seed that was not given is drawn, and told"
    await client.work()
    done = await client.ask("GET", f"/jobs/{job['id']}")
    (file,) = done["files"]
    assert (file["output"], file["kind"], file["type"]) == ("image", "image", "image/png")
    assert (done["state"], done["rung"], done["progress"]) == ("done", "full", 1.0)
    assert done["recipe"]["params"] == job["params"]
    assert await client.ask("DELETE", f"/jobs/{job['id']}") == {"status": "deleted"}
    assert (await client.ask("GET", f"/jobs/{job['id']}", 404))["kind"] == "JobNotFound"
    async with client.http.get(file["url"]) as answer:
        assert answer.status == 404


async def test_a_failed_job_says_why_and_is_tried_again(client: Client) -> None:
    failed = await client.made("fail")
    assert failed["state"] == "failed"
    assert failed["error"] == {
        "kind": "JobFailed",
        "description": "It does not work.",
        "hint": "Try another one.",
    }
    again = await client.ask("PATCH", f"/jobs/{failed['id']}", json={"retry": True})
    assert (again["state"], again["error"]) == ("queued", None)
    await client.ask("PATCH", f"/jobs/{failed['id']}", 409, json={"retry": True})


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "kind: missing"),
        ({"kind": "nothing"}, 404, "nothing"),
        ({"kind": "dots", "parms": {}}, 400, "parms"),
        ({"kind": "dots"}, 400, "prompt: Field required"),
        ({"kind": "dots", "params": {"prompt": "x", "size": 65}}, 400, "size: Input should be"),
        ({"kind": "dots", "params": {"prompt": "x", "sise": 6}}, 400, "sise"),
        ({"kind": "steps", "priority": 2000}, 400, "priority"),
        ({"kind": "steps", "delay_s": -1}, 400, "delay_s"),
        ({"kind": "steps", "delay_s": "nan"}, 400, "delay_s"),
        ({"kind": "steps", "depends_on": ["../../etc"]}, 404, "etc"),
        ({"kind": "steps", "webhook": "https://example.org/x"}, 403, "jobs.webhooks.allowed_hosts"),
        ({"kind": "steps", "webhook": "file:///etc/passwd"}, 400, "http or https"),
        ({"kind": "steps", "inputs": {"image": {"job": "0" * 32, "file": "x"}}}, 404, "00000"),
        ({"from_file": {"job": "0" * 32, "file": "x.png"}}, 404, "00000"),
        ({"kind": "modelled"}, 404, "no model 'weights'"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    client: Client, body: dict[str, Any], status: int, said: str
) -> None:
    refused = await client.ask("POST", "/jobs", status, json=body)
    assert said in refused["description"]
    assert (await client.ask("GET", "/jobs"))["jobs"] == []


async def test_files_come_with_a_job_within_limits(client: Client) -> None:
    many = [("more", "a/b/../more.png", png(shade=n)) for n in range(3)]
    job = await client.send(
        {"kind": "dots", "params": PAINT}, ("image", "../../etc/passwd", png()), *many
    )
    named = [(item["name"], item["file"]) for item in job["inputs"]]
    assert named == [
        ("image", "passwd"),
        ("more", "more.png"),
        ("more-2", "more-2.png"),
        ("more-3", "more-3.png"),
    ]
    async with client.http.get(job["inputs"][2]["url"]) as answer:
        assert await answer.read() == png(shade=1)
    assert await client.work() == "done"
    inside = [path for path in client.folder.rglob("*") if path.is_file()]
    assert all(client.folder / "jobs" in path.parents for path in inside)


BOMB = bytearray(png())
BOMB[16:24] = (30_000).to_bytes(4, "big") * 2


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([("image", "x.png", b"no picture at all" * 9)], "'x.png'"),
        ([("image", "x.png", bytes(BOMB))], "30000x30000"),
        ([("image", "a.png", png()), ("image", "b.png", png())], "image"),
        ([("picture", "x.png", png())], "takes no file 'picture'"),
        ([("image", "x.png", png()), ("job", "again", b"{}")], "given twice"),
    ],
)
async def test_files_that_a_generator_does_not_take(
    client: Client, files: list[tuple[str, str, bytes]], said: str
) -> None:
    refused = await client.send({"kind": "dots", "params": PAINT}, *files, status=400)
    assert said in refused["description"]
    assert list((client.folder / "jobs" / "files").glob("*")) == [], "nothing is left of it"


async def test_a_job_that_waits_for_another_one(client: Client) -> None:
    first = await client.start("dots", params={"prompt": "one", "seed": 1})
    source = {"job": first["id"], "file": "dots.png"}
    second = await client.start(
        "dots", params={"prompt": "two", "seed": 2}, inputs={"image": source}
    )
    assert (second["state"], second["depends_on"]) == ("waiting", [first["id"]])
    refused = {"kind": "dots", "params": PAINT, "inputs": {"picture": source}}
    assert (await client.ask("POST", "/jobs", 400, json=refused))["kind"] == "BadInput"
    assert [await client.work(), await client.work()] == ["done", "done"]
    # The input of a job serves as well as a result.
    third = await client.start(
        "dots", params=PAINT, inputs={"image": {"job": second["id"], "file": "image"}}
    )
    assert third["inputs"][0]["job"] == first["id"]
    missing = {"kind": "dots", "params": PAINT, "inputs": {"image": {**source, "file": "no.png"}}}
    assert (await client.ask("POST", "/jobs", 404, json=missing))["kind"] == "JobFileNotFound"


async def test_jobs_are_listed_in_order_page_by_page(client: Client) -> None:
    done = [(await client.made("steps"))["id"] for _ in range(2)]
    made = [await client.start("steps", priority=n, cache=False) for n in (0, 5, 0)]
    front = await client.start("dots", params={"prompt": "findme"}, front=True)
    wanted = [front["id"], made[1]["id"], made[0]["id"], made[2]["id"], done[1], done[0]]
    whole = await client.ask("GET", "/jobs")
    assert [job["id"] for job in whole["jobs"]] == wanted
    assert [job["place"] for job in whole["jobs"]] == [1, 2, 3, 4, None, None]
    assert (whole["counts"]["queued"], whole["counts"]["done"], whole["next"]) == (4, 2, None)
    for size in (1, 2, 3, 4, 5):
        found, after = [], ""
        while after is not None:
            query = {"limit": str(size), **({"after": after} if after else {})}
            page = await client.ask("GET", "/jobs", params=query)
            found += [job["id"] for job in page["jobs"]]
            after = page["next"]
        assert found == wanted, size
    for query, ids in (
        ({"state": "done"}, done[::-1]),
        ({"state": "queued", "kind": "dots"}, [front["id"]]),
        ({"search": "FindMe"}, [front["id"]]),
        ({"state": "failed,cancelled"}, []),
    ):
        page = await client.ask("GET", "/jobs", params=query)
        assert [job["id"] for job in page["jobs"]] == ids, query
    for wrong in ({"state": "gone"}, {"limit": "0"}, {"limit": "x"}, {"after": "x-1"}):
        await client.ask("GET", "/jobs", 400, params=wrong)


async def test_jobs_are_moved_paused_delayed_and_cancelled(client: Client) -> None:
    ids = [(await client.start("steps", cache=False))["id"] for _ in range(3)]

    async def change(number: int, status: int = 200, **values: Any) -> dict[str, Any]:
        return await client.ask("PATCH", f"/jobs/{ids[number]}", status, json=values)

    async def order() -> list[int]:
        page = await client.ask("GET", "/jobs", params={"state": "queued"})
        return [ids.index(job["id"]) for job in page["jobs"]]

    await change(2, move="front")
    assert await order() == [2, 0, 1]
    assert (await change(2, move="back"))["place"] == 3
    await change(2, move={"before": ids[1]})
    assert await order() == [0, 2, 1]
    assert (await change(1, priority=7))["priority"] == 7
    assert await order() == [1, 0, 2]
    assert (await change(1, paused=True))["state"] == "paused"
    assert (await change(0, delay_s=60))["state"] == "delayed"
    assert await order() == [2]
    assert (await change(0, delay_s=0))["state"] == "queued"
    assert (await change(1, paused=False))["state"] == "queued"
    await change(1, 400, move="sideways")
    await change(1, 400, priority=99_999)
    cancelled = await client.ask("DELETE", f"/jobs/{ids[0]}", 202)
    assert cancelled["state"] == "cancelled"
    assert await client.ask("DELETE", f"/jobs/{ids[0]}") == {"status": "deleted"}
    assert await client.ask("PATCH", "/jobs", json={"paused": True}) == {"paused": True}
    assert (await client.ask("GET", "/jobs"))["paused"] is True
    await client.ask("PATCH", "/jobs", json={"paused": False})
    await client.ask("DELETE", f"/jobs/{ids[1]}?kill=perhaps", 400)


async def test_a_result_that_is_there_already(client: Client) -> None:
    spec = {"prompt": "same", "seed": 3}
    first = await client.made("dots", params=spec)
    again = await client.start("dots", params=spec)
    assert (again["cached"], again["state"], first["cached"]) == (True, "done", False)
    assert again["recipe"] == first["recipe"]
    await client.ask("DELETE", f"/jobs/{first['id']}")
    async with client.http.get(again["files"][0]["url"]) as answer:
        assert len(await answer.read()) == again["files"][0]["bytes"]
    for other in ({**spec, "seed": 4}, {**spec, "strength": 0.25}, {"prompt": "same"}):
        assert not (await client.start("dots", params=other))["cached"]
    assert not (await client.start("dots", params=spec, cache=False))["cached"]
    # A result whose file was cut off is none.
    path = next((client.folder / "jobs/files" / again["id"]).rglob("dots.png"))
    path.write_bytes(b"")
    assert not (await client.start("dots", params=spec))["cached"]


async def test_all_of_it_wants_a_token_and_is_described(root: Path) -> None:
    async with serving(root, ServerSettings(tokens=("secret",))) as (http, _):
        for path in ("/jobs", "/jobs/events", "/generators", "/models", "/vram-monitor"):
            assert (await http.get(path)).status == 401, path
        headers = {"Authorization": "Bearer secret"}
        async with http.get("/jobs", headers=headers) as answer:
            assert (answer.status, (await answer.json())["kind"]) == (409, "JobsDisabled")
        async with http.get("/openapi.json", headers=headers) as answer:
            described = await answer.json()
    for path in ("/jobs", "/jobs/{id}", "/jobs/{id}/events", "/jobs/{id}/files/{name}"):
        assert path in described["paths"]
    schemas = described["components"]["schemas"]
    assert schemas["params.subtitles"]["properties"]["crf"]["maximum"] == 51
    kinds = [variant["properties"]["kind"]["const"] for variant in schemas["CreateJob"]["anyOf"]]
    assert "subtitles" in kinds
