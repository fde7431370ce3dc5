"""What a viewer hears: packets of sound as they arrive, decoded one by one, and made-up sound."""

import asyncio
import io
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from aiortc import RTCRtpReceiver

from engine.speech.sound import SAMPLE_RATE, Samples

LOUD = 0.01
"""Root mean square from which a packet counts as sound."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A decoded packet: when it came, its RTP timestamp, its loudness, its samples."""

    at: float
    timestamp: int
    rms: float
    samples: Samples


class Ear:
    """Decodes a viewer's packets of sound on arrival, without a jitter buffer's delay.

    Args:
        receiver: Of the sound; its own decoding goes on as well.
        clock: Seconds.
    """

    def __init__(self, receiver: RTCRtpReceiver, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._decoder: Any = av.CodecContext.create("libopus", "r")
        self._decoder.sample_rate = SAMPLE_RATE
        self._decoder.layout = "mono"
        self.heard: list[Heard] = []
        self._news = asyncio.Event()
        self._original = receiver._handle_rtp_packet
        receiver._handle_rtp_packet = self._take

    async def _take(self, packet: Any, arrival_time_ms: int) -> None:
        at = self._clock()
        if packet.payload:
            frames = self._decoder.decode(av.Packet(packet.payload))
            samples = np.concatenate([f.to_ndarray().mean(axis=0) for f in frames])
            samples = (samples / 32768).astype(np.float32)
            rms = float(np.sqrt(np.mean(samples**2)))
            self.heard.append(Heard(at, packet.timestamp, rms, samples))
            self._news.set()
        await self._original(packet, arrival_time_ms)

    async def until(self, found: Callable[[Heard], bool], seconds: float = 10.0) -> Heard:
        """Return the first packet that came from now on and fits."""
        seen = len(self.heard)
        async with asyncio.timeout(seconds):
            while True:
                for heard in self.heard[seen:]:
                    if found(heard):
                        return heard
                seen = len(self.heard)
                self._news.clear()
                await self._news.wait()

    async def sound(self, seconds: float = 10.0) -> Heard:
        """Return the next packet that can be heard."""
        return await self.until(lambda heard: heard.rms > LOUD, seconds)

    async def silence(self, seconds: float = 10.0) -> Heard:
        """Return the next packet that cannot be heard."""
        return await self.until(lambda heard: heard.rms < LOUD, seconds)


def ear_of(viewer: Any) -> Ear:
    """Listen to a viewer that has set its remote description."""
    receivers = viewer.peer.getReceivers()
    return Ear(next(receiver for receiver in receivers if receiver.track.kind == "audio"))


def tone(seconds: float, hertz: float = 440.0, level: float = 0.3) -> Samples:
    """A sine at 48 kHz."""
    at = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (level * np.sin(2 * np.pi * hertz * at)).astype(np.float32)


def pcm(samples: Samples) -> bytes:
    """As s16le."""
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def wav(samples: Samples, rate: int = SAMPLE_RATE) -> bytes:
    """As a WAV file, mono, 16 bit."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm(samples))
    return out.getvalue()
