"""A viewer on aiortc that speaks the HTTP API, for tests and benchmarks."""

import asyncio
from typing import Any

from aiohttp import ClientResponse, ClientSession
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamTrack
from av import VideoFrame


class Viewer:
    """Connects to a stream, decodes its pictures and keeps its events.

    Args:
        http: A session (or test client) that requests go through.
        base: Address of the server, empty for a test client.
    """

    def __init__(self, http: Any, base: str = "") -> None:
        self._http: ClientSession = http
        self._base = base
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.events: asyncio.Queue[str] = asyncio.Queue()
        self.track: MediaStreamTrack | None = None
        self.sound: MediaStreamTrack | None = None
        self.stream: dict[str, Any] = {}
        self.peer.on("track", self._on_track)
        self.peer.on("datachannel", self._on_channel)

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            self.track = track
        else:
            self.sound = track

    def _on_channel(self, channel: RTCDataChannel) -> None:
        channel.on("message", self.events.put_nowait)

    async def post(self, path: str, body: dict[str, Any]) -> ClientResponse:
        """Post JSON."""
        return await self._http.post(self._base + path, json=body)

    async def create(self, **body: Any) -> dict[str, Any]:
        """Create a stream and return what the server says of it."""
        response = await self.post("/streams", body)
        self.stream = await response.json()
        assert response.status == 201, self.stream
        return self.stream

    async def answer(self, codec: str | None = None, channel: str | None = None) -> str:
        """Set the offer and return the answer's SDP.

        Args:
            codec: The only video codec to accept, e.g. ``video/VP8``.
            channel: Label of a data channel to open, as some clients do while they answer.
        """
        if channel is not None:
            own = self.peer.createDataChannel(channel)
            own.on("message", self.events.put_nowait)
        await self.peer.setRemoteDescription(RTCSessionDescription(**self.stream["offer"]))
        if codec is not None:
            chosen = [
                c
                for c in RTCRtpReceiver.getCapabilities("video").codecs
                if c.mimeType in (codec, "video/rtx")
            ]
            self.peer.getTransceivers()[0].setCodecPreferences(chosen)
            await self.peer.setRemoteDescription(RTCSessionDescription(**self.stream["offer"]))
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        return self.peer.localDescription.sdp

    async def connect(
        self, codec: str | None = None, channel: str | None = None, **body: Any
    ) -> None:
        """Create a stream and connect to it."""
        await self.create(**body)
        await self.send_answer(await self.answer(codec, channel))

    async def connected(self) -> None:
        """Wait until the connection is up."""
        up = asyncio.Event()

        def check() -> None:
            if self.peer.connectionState == "connected":
                up.set()

        self.peer.on("connectionstatechange", check)
        check()
        await asyncio.wait_for(up.wait(), 20)

    async def send_answer(self, sdp: str) -> ClientResponse:
        """Send an answer."""
        return await self.command("sdp", answer={"type": "answer", "sdp": sdp})

    async def command(self, name: str, **body: Any) -> ClientResponse:
        """Call one of the stream's routes with its secret."""
        path = f"/streams/{self.stream['id']}/{name}"
        return await self.post(path, body | {"session_id": self.stream["session_id"]})

    async def frame(self) -> VideoFrame:
        """Return the next decoded picture."""
        assert self.track is not None
        frame = await asyncio.wait_for(self.track.recv(), 10)
        assert isinstance(frame, VideoFrame)
        return frame

    async def brightness(self) -> int:
        """Return the brightness in the middle of the next picture."""
        image = (await self.frame()).to_ndarray(format="gray")
        return int(image[image.shape[0] // 2, image.shape[1] // 2])

    async def event(self) -> str:
        """Return the next event."""
        return await asyncio.wait_for(self.events.get(), 10)

    async def close(self) -> None:
        """Hang up."""
        await self.peer.close()
