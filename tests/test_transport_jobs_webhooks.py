"""Webhooks of jobs: to whom, signed, again, and never in anybody's way."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from tests.http_jobs_serving import PATIENCE_S, Client, working

pytest_plugins = ("tests.jobs_fixtures",)

HOST = "hooks.example.org"


class Names(AbstractResolver):
    """Says that every host is this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


class Hook:
    """A server that is called."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.calls: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue(100)
        self.hang = asyncio.Event()
        self.hang.set()

    async def answer(self, request: web.Request) -> web.Response:
        headers = {key.lower(): value for key, value in request.headers.items()}
        self.calls.put_nowait((headers, await request.read()))
        await self.hang.wait()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def call(self) -> tuple[dict[str, str], bytes]:
        async with asyncio.timeout(PATIENCE_S):
            return await self.calls.get()


@asynccontextmanager
async def _listening(hook: Hook) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hook", hook.answer)
    async with TestServer(app) as server:
        yield f"http://{HOST}:{server.port}/hook"


def _hooked(root: Path, folder: Path, **more: object) -> AsyncIterator[Client]:
    values = {"allowed_hosts": (HOST,), "private": True, "first_s": 0.0, "timeout_s": 5.0, **more}
    return working(root, folder, resolver=Names(), webhooks=values)


async def _lines(client: Client, job_id: str, count: int) -> list[str]:
    """Return the job's log once it has so many lines."""
    lines: list[str] = []
    pause = asyncio.Event()
    async with asyncio.timeout(PATIENCE_S):
        while len(lines) < count:
            found = await client.room.desk.call(lambda b: b.jobs.history.log(job_id))
            lines = [line.line for line in found]
            asyncio.get_running_loop().call_later(0.02, pause.set)
            await pause.wait()
            pause.clear()
    return lines


async def test_a_call_is_signed_and_made_once(root: Path, memory: Path) -> None:
    hook = Hook()
    async with (
        _listening(hook) as url,
        _hooked(root, memory, secret="whsec_c2VjcmV0") as client,
    ):
        job = await client.made("dots", params={"prompt": "x"}, webhook=url)
        headers, body = await hook.call()
        told = json.loads(body)
        assert (told["type"], told["data"]["id"]) == ("job.done", job["id"])
        assert told["data"]["files"] == job["files"]
        signed = f"{job['id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(b"secret", signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        assert (await _lines(client, job["id"], 2))[-1] == "Webhook: call 1 was taken"
        assert hook.calls.empty()


async def test_a_call_that_fails_is_made_again_and_then_given_up(root: Path, memory: Path) -> None:
    hook = Hook(500, 302, 500, 200)
    async with (
        _listening(hook) as url,
        _hooked(root, memory, attempts=3) as client,
    ):
        job = await client.made("fail", webhook=url)
        for _ in range(3):
            assert json.loads((await hook.call())[1])["type"] == "job.failed"
        lines = await _lines(client, job["id"], 3)
        assert [line.split()[-1] for line in lines[-3:]] == ["500.", "302.", "500."]
        assert await client.room.desk.call(lambda b: b.jobs.notices.due()) == []


async def test_a_hanging_webhook_is_in_nobodys_way_and_outlives_a_restart(
    root: Path, memory: Path
) -> None:
    hook = Hook()
    hook.hang.clear()
    async with _listening(hook) as url:
        async with _hooked(root, memory, timeout_s=1.0) as client:
            await client.made("fail", webhook=url)
            await hook.call()
            # While it hangs, jobs are taken and done; then the server ends.
            assert (await client.made("dots", params={"prompt": "x"}))["state"] == "done"
        hook.hang.set()
        async with _hooked(root, memory) as client:
            await client.ask("GET", "/jobs")
            assert json.loads((await hook.call())[1])["type"] == "job.failed"


async def test_private_addresses_and_other_hosts_are_refused(root: Path, memory: Path) -> None:
    hook = Hook()
    async with _listening(hook) as url, _hooked(root, memory, private=False) as client:
        # The name is allowed, but it leads to this machine.
        job = await client.made("fail", webhook=url)
        (line,) = (await _lines(client, job["id"], 1))[-1:]
        assert "was not allowed" in line
        assert "no public address" in line
        for wrong in ("http://127.0.0.1/x", "http://other.example.org/x", "http://a@b/"):
            answer = await client.http.post("/jobs", json={"kind": "fail", "webhook": wrong})
            assert answer.status in (400, 403)
        assert hook.calls.empty()
