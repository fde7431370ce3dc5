"""Servers like OpenAI's: slow, broken, hanging or not there."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from processors.speech.openai_speech import OpenAISpeechProvider
from processors.speech.pieces import SpeechFailed
from processors.speech.providers import make_provider
from tests.speaking import THREE, hear, settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
KEY = "sk-very-secret"


@asynccontextmanager
async def address(handler: Handler) -> AsyncIterator[str]:
    """The address of a server that answers with the handler."""
    app = web.Application()
    app.router.add_post("/v1/audio/speech", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/v1"))


@asynccontextmanager
async def speech_server(handler: Handler, **values: Any) -> AsyncIterator[OpenAISpeechProvider]:
    """A provider that talks to such a server."""
    async with address(handler) as url:
        provider = OpenAISpeechProvider(settings(openai_url=url, **values), KEY)
        try:
            yield provider
        finally:
            await provider.aclose()


def tone(seconds: float) -> bytes:
    return struct.pack("<h", 5000) * round(24_000 * seconds)


async def test_openai_speaks_sentence_by_sentence() -> None:
    requests: list[tuple[Any, Any]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        requests.append((await request.json(), request.headers.get("Authorization")))
        response = web.StreamResponse()
        await response.prepare(request)
        data = bytes(2400) + tone(0.5) + bytes(4800)
        for index in range(0, len(data), 777):
            await response.write(data[index : index + 777])
        return response

    async with speech_server(handler, openai_model="m", rate=330) as provider:
        heard = await hear(provider, THREE, "nova")

    assert [body["input"] for body, _ in requests] == [
        "This is one.",
        "And this is two!",
        "Is this three?",
    ]
    assert requests[0][0] == {
        "model": "m",
        "voice": "nova",
        "input": "This is one.",
        "response_format": "pcm",
        "speed": 2.0,
    }
    assert {authorization for _, authorization in requests} == {f"Bearer {KEY}"}
    assert heard.rate == 24_000
    assert len(heard.samples) == 3 * 15_600
    assert [word.text for word in heard.words] == THREE.split()
    # Words are where sound is: behind the silence that the server begins with.
    assert heard.words[0].start == pytest.approx(0.05)
    assert heard.words[2].end == pytest.approx(0.55)
    assert heard.words[3].start == pytest.approx(0.65 + 0.05)


async def test_openai_voice_of_the_settings() -> None:
    voices: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        voices.append((await request.json())["voice"])
        return web.Response(body=tone(0.1))

    async with speech_server(handler, openai_voice="own") as provider:
        await hear(provider, "One.")
    async with speech_server(handler, openai_voice="own", voice="set") as provider:
        await hear(provider, "One.")

    assert voices == ["own", "set"]


async def test_openai_asks_for_the_next_sentence_while_one_is_heard() -> None:
    events: list[str] = []
    second_asked = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        number = (await request.json())["input"][-2]
        events.append(f"begin {number}")
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(tone(0.1))
        if number == "1":
            await second_asked.wait()
        second_asked.set()
        events.append(f"end {number}")
        return response

    async with speech_server(handler) as provider:
        await hear(provider, "Number 1. Number 2. Number 3. Number 4.")

    assert events.index("begin 2") < events.index("end 1")
    assert events.index("end 1") < events.index("begin 3")
    assert events.index("end 2") < events.index("begin 4")


async def test_openai_closes_the_connection_when_interrupted() -> None:
    gone = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(tone(0.1))
        except (ConnectionError, asyncio.CancelledError):
            gone.set()
            raise

    async with speech_server(handler) as provider:
        speech = provider.speak("One. Two.", "")
        await anext(speech)
        await speech.aclose()
        await asyncio.wait_for(gone.wait(), 10)


async def raw(request: web.Request, data: bytes) -> web.StreamResponse:
    """Send bytes as they are and hang up."""
    transport = request.transport
    assert isinstance(transport, asyncio.WriteTransport)
    transport.write(data)
    transport.close()
    return web.Response()


def answering(status: int, body: Any, **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        if isinstance(body, bytes):
            return web.Response(status=status, body=body, headers=headers)
        return web.json_response(body, status=status)

    return handler


async def hanging(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await asyncio.Event().wait()
    return response


async def mute(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


async def broken(request: web.Request) -> web.StreamResponse:
    return await raw(request, b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nabcd")


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (
            answering(401, {"error": {"message": f"Incorrect key: {KEY}.", "code": "x"}}),
            r"answered 401: Incorrect key: \*\*\*\. See speech.synthesis.openai",
        ),
        (answering(422, {"detail": [{"msg": "no voice x"}]}), "answered 422: .*no voice x"),
        (answering(503, b"<h1>busy\n</h1>"), "answered 503: <h1>busy </h1>"),
        (answering(500, b""), "answered 500: Internal Server Error"),
        (answering(302, b"", Location="http://127.0.0.1:9/"), "answered 302"),
        (answering(200, {"error": "out of memory"}), "sent application/json .*: out of memory"),
        (answering(200, b"ID3x", **{"Content-Type": "audio/mpeg"}), "sent audio/mpeg instead"),
        (answering(200, b"RIFF" + bytes(40)), "sent a sound file"),
        (answering(200, b""), "returned no sound for 'Hello.'"),
        (answering(200, b"x"), "returned no sound for 'Hello.'"),
        (broken, "broke off"),
        (hanging, "sent no sound for 0.3 s"),
        (mute, "sent no sound for 0.3 s"),
    ],
)
async def test_openai_server_that_fails(handler: Handler, message: str) -> None:
    timeout_s = 0.3 if handler in (hanging, mute) else 20
    async with speech_server(handler, timeout_s=timeout_s) as provider:
        with pytest.raises(SpeechFailed, match=message) as caught:
            await hear(provider, "Hello.")

    assert KEY not in str(caught.value)


async def test_openai_server_that_is_not_there() -> None:
    provider = OpenAISpeechProvider(settings(openai_url="http://127.0.0.1:9/v1"), "")

    with pytest.raises(SpeechFailed, match=r"127\.0\.0\.1:9/v1/audio/speech cannot be reached"):
        await hear(provider, "Hello.")

    await provider.aclose()
    await provider.aclose()


@pytest.mark.parametrize(
    ("values", "key"),
    [({"openai_key": "from settings"}, "from settings"), ({}, "from environment")],
)
async def test_the_key_comes_from_the_settings_or_the_environment(
    values: dict[str, str], key: str
) -> None:
    seen: list[str | None] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.Response(body=tone(0.1))

    async with address(handler) as url:
        environ = {"OPENAI_API_KEY": "from environment"}
        provider = make_provider(settings(openai_url=url, **values), environ)
        assert isinstance(provider, OpenAISpeechProvider)
        await hear(provider, "Hello.")
        await provider.aclose()

    assert seen == [f"Bearer {key}"]
