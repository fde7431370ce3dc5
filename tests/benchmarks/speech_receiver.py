"""A viewer on aiortc that decodes picture and sound on arrival, without a jitter buffer's delay."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from unittest import mock

import aiortc.rtcrtpreceiver
import numpy as np
from aiohttp import ClientSession, FormData

from engine.speech.sound import PACKET_MS, SAMPLE_RATE
from tests.benchmarks.speech_senses import Eye, Listener, Seen, reports_of
from tests.hearing import LOUD, Heard
from tests.viewer import Viewer
from transport.webrtc.rtp import VIDEO_CLOCK_RATE

PATIENCE = 15.0


class Arrived(Protocol):
    """A picture or a packet of sound."""

    @property
    def at(self) -> float:
        """When it came, on the monotonic clock."""


A = TypeVar("A", bound=Arrived)


class _Nothing:
    """A decoder that costs nothing."""

    def decode(self, encoded_frame: Any) -> list[Any]:
        return []


@dataclass(frozen=True, slots=True)
class Said:
    """A script that the server took.

    Attributes:
        asked: When the call was made, on the monotonic clock.
        answered: When it was answered.
        utterance: Its id.
    """

    asked: float
    answered: float
    utterance: str


class Receiver:
    """A connected viewer that sees and hears; see ``receivers``.

    Args:
        http: Requests go through it.
        address: Of the server.
    """

    def __init__(self, http: ClientSession, address: str) -> None:
        self._http = http
        self._address = address
        self.viewer = Viewer(http, address)
        self._events: list[tuple[str, dict[str, Any]]] = []

    async def connect(self, avatar: str) -> None:
        """Connect to a new stream; return once picture, sound and both reports have come."""
        await self.viewer.connect(codec="video/H264", video_id=avatar)
        picture, sound = self.viewer.peer.getReceivers()
        self.eye, self.ear = Eye(picture), Listener(sound)
        self.picture_times = reports_of(picture, VIDEO_CLOCK_RATE)
        self.sound_times = reports_of(sound, SAMPLE_RATE)
        await self.viewer.connected()
        await self.event("stream/ready")
        await first(self.eye.seen, 0.0)
        await first(self.ear.heard, 0.0)

    @property
    def path(self) -> str:
        """Of the stream in the API."""
        return f"/streams/{self.viewer.stream['id']}"

    @property
    def secret(self) -> str:
        """The stream's ``session_id``."""
        return str(self.viewer.stream["session_id"])

    async def play(self, sound: bytes) -> Said:
        """Have a sound file played."""
        return await self._say(data=upload(self.secret, sound))

    async def speak(self, text: str) -> Said:
        """Have a text spoken."""
        script = {"type": "text", "input": text}
        return await self._say(json={"session_id": self.secret, "script": script})

    async def _say(self, **body: Any) -> Said:
        asked = time.monotonic()
        async with self._http.post(self._address + self.path, **body) as response:
            answer = await response.json()
            answered = time.monotonic()
        assert response.status == 200, answer
        return Said(asked, answered, answer["utterance"])

    async def interrupt(self) -> tuple[float, dict[str, Any]]:
        """Have it fall silent; return when that was asked for, and the answer."""
        asked = time.monotonic()
        response = await self.viewer.command("interrupt")
        return asked, await response.json()

    def socket(self) -> Any:
        """Open the WebSocket that takes sound."""
        url = f"{self._address}{self.path}/audio?session_id={self.secret}"
        return self._http.ws_connect(url)

    async def event(self, *subjects: str, **wanted: Any) -> dict[str, Any]:
        """Take the oldest event that has one of the subjects and these values; wait for it."""
        tried = 0
        while True:
            for number, (subject, payload) in enumerate(self._events[tried:], tried):
                if subject in subjects and wanted.items() <= payload.items():
                    del self._events[number]
                    return payload
            tried = len(self._events)
            self._note(await asyncio.wait_for(self.viewer.events.get(), PATIENCE))

    async def events_until(self, subject: str, **wanted: Any) -> list[tuple[str, dict[str, Any]]]:
        """Take all events up to one that has the subject and these values."""
        async with asyncio.timeout(PATIENCE):
            found = self.events()
            while not any(s == subject and wanted.items() <= p.items() for s, p in found):
                await asyncio.sleep(0.01)
                found += self.events()
        return found

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Take all events that nobody has taken."""
        while not self.viewer.events.empty():
            self._note(self.viewer.events.get_nowait())
        found, self._events = self._events, []
        return found

    def _note(self, text: str) -> None:
        subject, _, payload = text.partition(":")
        self._events.append((subject, json.loads(payload)))

    async def picture(self, timestamp: int) -> Seen:
        """Return the picture with an RTP timestamp."""
        return await first(self.eye.seen, 0.0, lambda seen: seen.timestamp == timestamp)

    async def sound(self, after: float) -> Heard:
        """Return the first packet of sound after a moment that can be heard."""
        return await first(self.ear.heard, after, lambda heard: heard.rms > LOUD)

    async def silence(self, after: float, packets: int = 5) -> None:
        """Wait until nothing is heard for some packets of sound."""
        quiet = 0
        while quiet < packets:
            heard = await first(self.ear.heard, after)
            quiet = quiet + 1 if heard.rms <= LOUD else 0
            after = float(np.nextafter(heard.at, np.inf))

    def forget(self) -> None:
        """Let go of what came so far, events included."""
        self.events()
        self.eye.seen.clear()
        self.ear.heard.clear()


async def first(log: Sequence[A], after: float, found: Callable[[A], bool] = lambda one: True) -> A:
    """Return the first that came after a moment and fits, waiting for it if need be."""
    begin = 0
    async with asyncio.timeout(PATIENCE):
        while True:
            for one in log[begin:]:
                if one.at >= after and found(one):
                    return one
            begin = len(log)
            # Short against what is measured, and it delays no arrival: those carry their own time.
            await asyncio.sleep(0.002)


def upload(secret: str, sound: bytes) -> FormData:
    """Return the form that has a sound file played."""
    form = FormData()
    form.add_field("session_id", secret)
    form.add_field("audio", sound, filename="sound.wav", content_type="audio/wav")
    return form


def audible_until(heard: Sequence[Heard], after: float) -> float:
    """Return when the last audible packet since a moment would have been played, if at once."""
    last = max((one.at for one in heard if one.at >= after and one.rms > LOUD), default=after)
    return last + PACKET_MS / 1000


@contextlib.contextmanager
def decoding_nothing() -> Iterator[None]:
    """Keep the library's own decoders and their queues out of the way."""
    with mock.patch.object(aiortc.rtcrtpreceiver, "get_decoder", return_value=_Nothing()):
        yield


@contextlib.asynccontextmanager
async def receivers(address: str, avatar: str, count: int = 1) -> AsyncIterator[list[Receiver]]:
    """Connect viewers to streams of their own."""
    with decoding_nothing():
        async with ClientSession() as http:
            viewers = [Receiver(http, address) for _ in range(count)]
            try:
                for viewer in viewers:
                    await viewer.connect(avatar)
                yield viewers
            finally:
                for viewer in viewers:
                    await viewer.viewer.command("interrupt")
                    await viewer.viewer.close()
