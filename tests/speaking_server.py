"""A stand-in for a server that speaks: real WebRTC, and speech that a test acts out.

It answers the routes that the page uses, keeps what it is sent, and sends the events that a test
tells it to. What it sends as sound is a tone that can be switched on and off.
"""

import asyncio
import json
import threading
from collections.abc import Coroutine
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from aiohttp import WSMsgType, web
from aiortc import AudioStreamTrack, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack

from transport.http.guard import add_headers
from transport.http.pages import add_pages

PATIENCE = 20
RATE, FRAME = 48_000, 960
TONE_HZ = 440
VTT = "WEBVTT\n\n00:00.000 --> 00:01.000\nHello there\n"
AVATAR = {
    "id": "demo",
    "name": "Demo",
    "status": "ready",
    "progress": 1.0,
    "error": None,
    "states": ["idle", "gesture"],
    "actions": [],
    "fps": 25.0,
    "size": [64, 64],
    "codecs": ["VP8"],
    "poster": None,
}


class _Still(VideoStreamTrack):
    """One picture, again and again.

    Args:
        picture: ``uint8[height, width, 3]``, RGB.
    """

    def __init__(self, picture: npt.NDArray[np.uint8]) -> None:
        super().__init__()
        self._picture = picture

    async def recv(self) -> av.VideoFrame:
        frame = av.VideoFrame.from_ndarray(self._picture, format="rgb24")
        frame.pts, frame.time_base = await self.next_timestamp()
        return frame


class _Tone(AudioStreamTrack):
    """Silence, or a tone while ``loudness`` (0 to 1) is more than 0."""

    loudness = 0.0

    async def recv(self) -> av.AudioFrame:
        silence = await super().recv()
        assert isinstance(silence, av.AudioFrame)
        assert silence.pts is not None
        frame = av.AudioFrame(format="s16", layout="stereo", samples=FRAME)
        frame.pts, frame.sample_rate = silence.pts // silence.samples * FRAME, RATE
        frame.time_base = Fraction(1, RATE)
        times = (frame.pts + np.arange(FRAME)) / RATE
        tone = np.sin(2 * np.pi * TONE_HZ * times) * self.loudness * 32767
        frame.planes[0].update(np.repeat(tone, 2).astype(np.int16).tobytes())
        return frame


class SpeakingServer:
    """A server in a thread of its own.

    Args:
        speech: What it says about speech in the answer to ``POST /streams``.
        picture: ``uint8[height, width, 3]``, RGB; grey when None.
    """

    def __init__(
        self,
        speech: dict[str, Any] | None = None,
        picture: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        self.speech = speech or {"enabled": True, "provider": "fake", "captions": True}
        self.refusal: tuple[int, str, str] | None = None
        """Status, kind and description that scripts are refused with."""
        self.utterances: list[str] = []
        """The names that scripts were given."""
        self.texts: list[str] = []
        self.files: dict[str, bytes] = {}
        self.pcm = bytearray()
        self.told: list[dict[str, Any]] = []
        self.interrupts = 0
        self.address = ""
        self._picture = np.full((64, 64, 3), 90, np.uint8) if picture is None else picture
        self._peers: list[RTCPeerConnection] = []
        self._channels: list[Any] = []
        self._tones: list[_Tone] = []
        self._sockets: list[web.WebSocketResponse] = []
        self._admitting = asyncio.Event()
        self._admitting.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="speaking-server", daemon=True
        )

    def start(self) -> "SpeakingServer":
        """Start it at a free port."""
        self._thread.start()
        self._run(self._serve())
        return self

    def stop(self) -> None:
        """Close everything."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def event(self, subject: str, **payload: Any) -> None:
        """Send an event to the page that has connected last."""
        text = f"{subject}:{json.dumps(payload)}"
        self._loop.call_soon_threadsafe(self._channels[-1].send, text)

    def tell_socket(self, **message: Any) -> None:
        """Send a message to the page's microphone."""
        self._run(self._sockets[-1].send_json(message))

    def sound(self, loudness: float) -> None:
        """Switch the tone on, or off with 0."""
        for tone in self._tones:
            tone.loudness = loudness

    def drop(self) -> None:
        """Lose the connection that was made last; the next one is made after ``admit``."""
        self._loop.call_soon_threadsafe(self._admitting.clear)
        self._run(self._peers[-1].close())

    def admit(self) -> None:
        """Let pages connect again."""
        self._loop.call_soon_threadsafe(self._admitting.set)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _serve(self) -> None:
        app = web.Application(client_max_size=2**26)
        add_pages(app)
        app.on_response_prepare.append(add_headers)
        app.router.add_get("/avatars", self._avatars)
        app.router.add_post("/streams", self._create)
        app.router.add_post("/streams/{id}", self._script)
        app.router.add_delete("/streams/{id}", self._ok)
        app.router.add_post("/streams/{id}/sdp", self._sdp)
        app.router.add_post("/streams/{id}/ice", self._ok)
        app.router.add_post("/streams/{id}/interrupt", self._interrupt)
        app.router.add_get("/streams/{id}/captions.vtt", self._captions)
        app.router.add_get("/streams/{id}/audio", self._audio)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"

    async def _close(self) -> None:
        for socket in self._sockets:
            await socket.close()
        for peer in self._peers:
            await peer.close()
        await self._runner.cleanup()

    async def _avatars(self, request: web.Request) -> web.Response:
        return web.json_response([AVATAR])

    async def _ok(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _create(self, request: web.Request) -> web.Response:
        await self._admitting.wait()
        peer, tone = RTCPeerConnection(), _Tone()
        peer.addTrack(_Still(self._picture))
        if self.speech["enabled"]:
            peer.addTrack(tone)
            for transceiver in peer.getTransceivers():
                transceiver.direction = "sendonly"
        self._peers.append(peer)
        self._tones.append(tone)
        self._channels.append(peer.createDataChannel("events"))
        await peer.setLocalDescription(await peer.createOffer())
        body = {
            "id": f"s{len(self._peers)}",
            "session_id": "secret",
            "offer": {"type": "offer", "sdp": peer.localDescription.sdp},
            "ice_servers": [],
            "state": "idle",
            "speech": self.speech,
        }
        return web.json_response(body, status=201)

    async def _sdp(self, request: web.Request) -> web.Response:
        sdp = (await request.json())["answer"]["sdp"]
        # Names that only the browser's own machine can resolve take a second to fail.
        lines = [line for line in sdp.splitlines() if ".local" not in line]
        answer = RTCSessionDescription("\r\n".join([*lines, ""]), "answer")
        await self._peers[-1].setRemoteDescription(answer)
        return web.json_response({"status": "ok"})

    async def _script(self, request: web.Request) -> web.Response:
        if request.content_type == "multipart/form-data":
            form = await request.post()
            audio = form["audio"]
            assert isinstance(audio, web.FileField)
            secret, name, content = form["session_id"], audio.filename, audio.file.read()
            self.files[name] = content
        else:
            body = await request.json()
            secret = body["session_id"]
            self.texts.append(body["script"]["input"])
        assert secret == "secret"
        if self.refusal is not None:
            status, kind, description = self.refusal
            return web.json_response({"kind": kind, "description": description}, status=status)
        self.utterances.append(f"utt_{len(self.utterances)}")
        body = {"status": "started", "duration": None, "utterance": self.utterances[-1]}
        return web.json_response(body)

    async def _interrupt(self, request: web.Request) -> web.Response:
        self.interrupts += 1
        return web.json_response({"status": "ok", "position_ms": None, "utterance": None})

    async def _captions(self, request: web.Request) -> web.Response:
        assert request.query["session_id"] == "secret"
        return web.Response(text=VTT, content_type="text/vtt")

    async def _audio(self, request: web.Request) -> web.WebSocketResponse:
        assert request.query["session_id"] == "secret"
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                self.pcm += message.data
            elif message.type is WSMsgType.TEXT:
                self.told.append(json.loads(message.data))
        return socket
