"""Speech on a stream, through HTTP, WebSocket and WebRTC to a viewer that listens."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import FormData, WSMsgType
from aiohttp.test_utils import TestClient

from engine.errors import Unavailable
from engine.speech.settings import SpeechSettings
from engine.speech.sound import Samples, SpeechChunk, Word
from processors.speech.text import clean
from tests.hearing import LOUD, Ear, ear_of, pcm, tone, wav
from tests.serving import energy_tracker, serving
from tests.viewer import Viewer
from transport.http.fetch import Fetcher
from transport.sessions import StreamRegistry
from transport.speech.studio import SpeechTools

BEEP = wav(tone(0.4))
LONG = wav(np.concatenate([tone(8.0)]))


class ScriptedProvider:
    """Speaks as it is told to: one tone a word; ``gate`` holds it up; ``fault`` breaks it."""

    name = "scripted"

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.closed = 0
        self.ended = asyncio.Event()

    async def speak(self, text: str, voice: str) -> AsyncGenerator[SpeechChunk, None]:
        try:
            for number, word in enumerate(text.split()):
                await self.gate.wait()
                if self.fault is not None:
                    raise self.fault
                start = number * 0.3
                yield SpeechChunk(pcm(tone(0.3)[::2]), 24_000, [Word(word, start, start + 0.25)])
        finally:
            self.closed += 1
            self.ended.set()


class Writer:
    """Writes down one word for each second."""

    def transcribe(self, samples: Samples) -> list[Word]:
        seconds = max(1, round(len(samples) / 48_000))
        return [Word(f"word{n}.", float(n), n + 0.5) for n in range(seconds)]


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider()


@pytest.fixture
async def server(
    root: Path, provider: ScriptedProvider
) -> AsyncIterator[tuple[TestClient, StreamRegistry]]:
    settings = SpeechSettings.model_validate(
        {
            "max_seconds": 30,
            "max_queue": 5,
            "captions": {"live_s": 1.0},
            "fetch": {"allowed_hosts": ["127.0.0.1", "example.org"]},
        }
    )
    fetcher = Fetcher(settings.fetch)
    tools = SpeechTools(
        lambda: energy_tracker(settings.voice),
        provider=provider,
        transcriber=Writer(),
        fetch=fetcher.fetch,
        clean=clean,
        close=fetcher.close,
    )
    async with serving(root, speech=settings, tools=tools) as served:
        yield served


@pytest.fixture
async def viewer(server: tuple[TestClient, StreamRegistry]) -> AsyncIterator[Viewer]:
    viewer = Viewer(server[0])
    await viewer.connect(video_id="demo")
    await viewer.connected()
    assert (await viewer.event()).startswith("stream/ready")
    yield viewer
    await viewer.close()


@pytest.fixture
def ear(viewer: Viewer) -> Ear:
    return ear_of(viewer)


async def event(viewer: Viewer, subject: str) -> dict[str, Any]:
    """The payload of the next event with this subject."""
    while True:
        found, _, payload = (await viewer.event()).partition(":")
        if found == subject:
            return dict(json.loads(payload))


async def say(viewer: Viewer, **script: Any) -> tuple[int, dict[str, Any]]:
    """Post a script."""
    stream = viewer.stream
    path = f"/streams/{stream['id']}"
    response = await viewer.post(path, {"session_id": stream["session_id"], "script": script})
    return response.status, await response.json()


async def upload(viewer: Viewer, data: bytes, name: str = "audio") -> tuple[int, dict[str, Any]]:
    """Post a file."""
    form = FormData()
    form.add_field("session_id", viewer.stream["session_id"])
    form.add_field(name, io.BytesIO(data), filename="../sound.wav", content_type="audio/wav")
    response = await viewer._http.post(f"/streams/{viewer.stream['id']}", data=form)
    return response.status, await response.json()


def socket(viewer: Viewer) -> Any:
    """Open the WebSocket."""
    stream = viewer.stream
    return viewer._http.ws_connect(
        f"/streams/{stream['id']}/audio?session_id={stream['session_id']}"
    )


async def told(ws: Any, kind: str) -> dict[str, Any]:
    """The next message of this type."""
    while True:
        message = await asyncio.wait_for(ws.receive(), 10)
        assert message.type is WSMsgType.TEXT, message
        values = json.loads(message.data)
        if values["type"] == kind:
            return dict(values)


async def brightness_is(viewer: Viewer, bright: bool) -> None:
    """Watch until the avatar gestures (bright) or rests (dark)."""
    async with asyncio.timeout(5):
        while (await viewer.brightness() > 150) != bright:
            pass


async def test_the_offer_says_what_the_stream_can_say(viewer: Viewer) -> None:
    assert viewer.stream["speech"] == {"enabled": True, "provider": "scripted", "captions": True}
    assert "m=audio" in viewer.stream["offer"]["sdp"]
    assert "opus/48000" in viewer.stream["offer"]["sdp"]


@pytest.mark.parametrize("way", ["base64", "data url", "upload", "upload as file"])
async def test_sound_is_heard_and_the_avatar_gestures(viewer: Viewer, ear: Ear, way: str) -> None:
    if way.startswith("upload"):
        status, answer = await upload(viewer, BEEP, "file" if way.endswith("file") else "audio")
    else:
        text = base64.b64encode(BEEP).decode()
        text = f"data:audio/wav;base64,{text}" if way == "data url" else text
        status, answer = await say(viewer, type="audio", audio=text)
    assert status == 200, answer
    assert answer["status"] == "started"
    assert answer["duration"] == pytest.approx(0.4, abs=0.01)
    assert answer["video_id"] == "demo"
    await ear.sound()
    started = await event(viewer, "stream/started")
    assert started["utterance"] == answer["utterance"]
    await brightness_is(viewer, True)
    done = await event(viewer, "stream/done")
    assert done["utterance"] == answer["utterance"]
    assert done["position_ms"] == pytest.approx(400, abs=40)
    length = (done["rtp_timestamp"] - started["rtp_timestamp"]) % 2**32
    assert length == done["position_ms"] * 48
    await brightness_is(viewer, False)
    await ear.until(lambda heard: heard.rms < 0.001)


async def test_text_is_spoken_with_captions(viewer: Viewer, ear: Ear) -> None:
    status, answer = await say(viewer, type="text", input="one two\x07 three.")
    assert status == 200, answer
    assert answer["duration"] is None
    await ear.sound()
    caption = await event(viewer, "caption")
    assert caption["text"] == "one two three."
    assert [word["text"] for word in caption["words"]] == ["one", "two", "three."]
    assert caption["words"][1]["start_ms"] == 300
    assert (await event(viewer, "stream/done"))["position_ms"] == pytest.approx(900, abs=40)
    stream = viewer.stream
    response = await viewer._http.get(
        f"/streams/{stream['id']}/captions.vtt?session_id={stream['session_id']}"
    )
    text = await response.text()
    assert response.content_type == "text/vtt"
    assert text.startswith("WEBVTT")
    assert "one two three." in text


async def test_speech_starts_before_it_is_whole(
    viewer: Viewer, ear: Ear, provider: ScriptedProvider
) -> None:
    provider.gate.clear()
    asking = asyncio.create_task(say(viewer, type="text", input="one two three"))
    provider.gate.set()
    await ear.sound()
    status, _ = await asking
    assert status == 200
    assert (await event(viewer, "stream/done"))["position_ms"] == pytest.approx(900, abs=40)


async def test_utterances_queue_and_an_interrupt_ends_them_all(viewer: Viewer, ear: Ear) -> None:
    for _ in range(3):
        status, _ = await upload(viewer, LONG)
        assert status == 200
    queued = await event(viewer, "stream/queued")
    assert queued["waiting"] == 1
    await ear.sound()
    await asyncio.wait_for(ear.until(lambda heard: len(ear.heard) > 20), 5)
    response = await viewer.command("interrupt")
    answer = await response.json()
    assert answer["utterance"]
    await ear.silence()
    heard_ms = 20 * sum(heard.rms > LOUD for heard in ear.heard)
    assert answer["position_ms"] == pytest.approx(heard_ms, abs=40)
    cut = [await event(viewer, "stream/interrupted") for _ in range(3)]
    assert [e["dropped"] for e in cut] == [False, True, True]
    assert cut[0]["position_ms"] == answer["position_ms"]
    await brightness_is(viewer, False)
    assert (await (await viewer.command("interrupt")).json())["utterance"] is None


async def test_streamed_sound_is_played_and_reported(viewer: Viewer, ear: Ear) -> None:
    async with socket(viewer) as ws:
        await ws.send_json({"type": "begin", "rate": 24000})
        queued = await told(ws, "queued")
        sound = pcm(tone(1.5)[::2])
        for at in range(0, len(sound), 960):
            await ws.send_bytes(sound[at : at + 960])
        await ws.send_json({"type": "end"})
        started = await told(ws, "started")
        assert started["utterance"] == queued["utterance"]
        played = await told(ws, "played")
        assert 0 < played["position_ms"] < 1500
        done = await told(ws, "done")
        assert done["position_ms"] == pytest.approx(1500, abs=40)
    caption = await event(viewer, "caption")
    assert caption["text"].startswith("word0.")
    assert sum(heard.rms > LOUD for heard in ear.heard) * 20 == pytest.approx(1500, abs=60)


async def test_clear_drops_what_is_not_played_yet(viewer: Viewer, ear: Ear) -> None:
    async with socket(viewer) as ws:
        await ws.send_json({"type": "begin", "rate": 48000})
        await ws.send_bytes(pcm(tone(3.0)))
        await told(ws, "started")
        await told(ws, "played")
        await ws.send_json({"type": "clear"})
        cut = await told(ws, "interrupted")
        assert 0 < cut["position_ms"] < 3000
        await ear.silence()
        await ws.send_json({"type": "begin", "rate": 48000})
        await ws.send_bytes(pcm(tone(0.2)))
        await ws.send_json({"type": "end"})
        assert (await told(ws, "done"))["position_ms"] == pytest.approx(200, abs=30)


async def test_a_client_that_goes_in_the_middle_leaves_a_stream_that_lives(
    viewer: Viewer, ear: Ear
) -> None:
    async with socket(viewer) as ws:
        await ws.send_json({"type": "begin", "rate": 16000})
        await ws.send_bytes(pcm(tone(2.0)[::3]))
        await told(ws, "started")
        await brightness_is(viewer, True)
    error = await event(viewer, "stream/error")
    assert error["kind"] == "ClientGone"
    await ear.silence()
    await brightness_is(viewer, False)
    status, _ = await upload(viewer, BEEP)
    assert status == 200
    await event(viewer, "stream/done")


@pytest.mark.parametrize(
    ("messages", "kind"),
    [
        ([{"type": "begin", "rate": 44100}], "BadAudioMessage"),
        ([{"type": "begin"}], "BadAudioMessage"),
        ([{"type": "sing"}], "BadAudioMessage"),
        (["not json"], "BadAudioMessage"),
        ([b"\x00\x00"], "BadAudioMessage"),
    ],
)
async def test_what_the_socket_does_not_take(
    viewer: Viewer, messages: list[Any], kind: str
) -> None:
    async with socket(viewer) as ws:
        for message in messages:
            if isinstance(message, bytes):
                await ws.send_bytes(message)
            else:
                await ws.send_str(message if isinstance(message, str) else json.dumps(message))
        error = await told(ws, "error")
        assert error["kind"] == kind
        assert error["description"]
        await ws.send_json({"type": "begin", "rate": 48000})
        await told(ws, "queued")


async def test_a_fast_sender_is_held_up(root: Path) -> None:
    settings = SpeechSettings(buffer_s=1.0)
    async with serving(root, speech=settings) as (client, _):
        viewer = Viewer(client)
        await viewer.connect(video_id="demo")
        await viewer.connected()
        async with socket(viewer) as ws:
            await ws.send_json({"type": "begin", "rate": 48000})
            await ws.send_bytes(pcm(tone(2.0)))
            await ws.send_json({"type": "begin"})  # is read once the first second was played
            played = 0
            while True:
                message = json.loads((await asyncio.wait_for(ws.receive(), 10)).data)
                if message["type"] == "error":
                    break
                played = message.get("position_ms", played)
            assert played >= 700
        await viewer.close()


async def test_events_are_sent_to_watchers(viewer: Viewer, ear: Ear) -> None:
    stream = viewer.stream
    url = f"/streams/{stream['id']}/events?session_id={stream['session_id']}"
    async with viewer._http.get(url) as response:
        assert response.content_type == "text/event-stream"
        assert (await response.content.readline()).startswith(b": open")
        await upload(viewer, BEEP)
        seen = []
        async with asyncio.timeout(10):
            while "stream/done" not in seen:
                line = (await response.content.readline()).decode()
                if line.startswith("event: "):
                    seen.append(line.removeprefix("event: ").strip())
        assert seen[0] in ("stream/started", "stream/state")
        assert "stream/started" in seen


BAD_SOUND = {
    "not audio": b"this is not a sound file, whatever its name says",
    "empty": b"",
    "truncated": BEEP[:20],
    "too long": wav(np.zeros(16000 * 40, np.float32), 16000),
}


@pytest.mark.parametrize("which", BAD_SOUND)
async def test_bad_sound_is_refused_and_the_stream_lives(
    viewer: Viewer, ear: Ear, which: str
) -> None:
    status, answer = await upload(viewer, BAD_SOUND[which])
    assert status == 400, answer
    assert answer["kind"]
    assert len(answer["description"]) > 20
    status, _ = await upload(viewer, BEEP)
    assert status == 200
    await ear.sound()
    await event(viewer, "stream/done")


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ({"type": "text"}, 400),
        ({"type": "text", "input": ""}, 400),
        ({"type": "text", "input": "\x00\x01 \n"}, 400),
        ({"type": "text", "input": "word " * 200_000}, 400),
        ({"type": "audio"}, 400),
        ({"type": "audio", "audio": "%%%"}, 400),
        ({"type": "audio", "audio": "AAAA", "audio_url": "http://example.org/x"}, 400),
        ({"type": "audio", "audio_url": "file:///etc/passwd"}, 400),
        ({"type": "audio", "audio_url": "http://127.0.0.1:1/x.wav"}, 403),
        ({"type": "audio", "audio_url": "http://elsewhere.test/x.wav"}, 403),
        ({"type": "song"}, 400),
    ],
)
async def test_scripts_that_cannot_be_said(
    viewer: Viewer, script: dict[str, Any], status: int
) -> None:
    answered, answer = await say(viewer, **script)
    assert answered == status, answer
    assert answer["description"]


async def test_a_provider_that_fails_is_reported(
    viewer: Viewer, provider: ScriptedProvider
) -> None:
    provider.fault = Unavailable("The provider broke.")
    status, answer = await say(viewer, type="text", input="one two")
    assert (status, answer["kind"]) == (503, "Unavailable")
    error = await event(viewer, "stream/error")
    assert error["description"] == "The provider broke."
    assert provider.closed == 1
    provider.fault = None
    status, _ = await say(viewer, type="text", input="one")
    assert status == 200
    await event(viewer, "stream/done")


@pytest.mark.logs_errors
async def test_a_provider_with_a_fault_of_ours_is_reported(
    viewer: Viewer, provider: ScriptedProvider
) -> None:
    provider.fault = KeyError("x")
    status, answer = await say(viewer, type="text", input="one two")
    assert (status, answer["kind"]) == (500, "SpeechBroken")


async def test_an_interrupt_stops_the_provider(
    viewer: Viewer, ear: Ear, provider: ScriptedProvider
) -> None:
    await say(viewer, type="text", input="one")
    provider.gate.clear()
    asking = asyncio.create_task(say(viewer, type="text", input="two three"))
    await event(viewer, "stream/queued")
    provider.ended.clear()
    await viewer.command("interrupt")
    await asyncio.wait_for(provider.ended.wait(), 5)
    await asking


async def test_a_full_queue_refuses_more(viewer: Viewer, provider: ScriptedProvider) -> None:
    provider.gate.clear()
    asking = [asyncio.create_task(say(viewer, type="text", input="one")) for _ in range(6)]
    done, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    status, answer = done.pop().result()
    assert (status, answer["kind"]) == (503, "SpeechQueueFull")
    provider.gate.set()
    assert {status for status, _ in await asyncio.gather(*waiting)} == {200}
    await viewer.command("interrupt")


async def test_a_stream_without_a_voice_says_so(root: Path) -> None:
    async with serving(root) as (client, _):
        viewer = Viewer(client)
        await viewer.create(source="pattern:")
        assert viewer.stream["speech"]["enabled"] is False
        status, answer = await upload(viewer, BEEP)
        assert (status, answer["kind"]) == (409, "NoVoice")
        await viewer.close()


async def test_only_who_knows_the_secret_may_speak(viewer: Viewer) -> None:
    path = f"/streams/{viewer.stream['id']}"
    for suffix in ("/audio", "/events", "/captions.vtt"):
        response = await viewer._http.get(path + suffix + "?session_id=wrong")
        assert response.status == 403
    script = {"type": "text", "input": "x"}
    response = await viewer.post(path, {"session_id": "wrong", "script": script})
    assert response.status == 403


async def test_a_viewer_that_takes_no_sound_still_sees_the_gesture(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    viewer = Viewer(server[0])
    await viewer.create(video_id="demo")
    sdp = viewer.stream["offer"]["sdp"]
    viewer.stream["offer"]["sdp"] = sdp
    answer = await viewer.answer()
    head, *sections = answer.split("m=")
    refused = [s.replace("recvonly", "inactive") if s.startswith("audio") else s for s in sections]
    await viewer.send_answer("m=".join([head, *refused]))
    await viewer.frame()
    status, _ = await upload(viewer, BEEP)
    assert status == 200
    await brightness_is(viewer, True)
    await event(viewer, "stream/done")
    await viewer.close()
