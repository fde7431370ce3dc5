"""What a receiver on aiortc sees and hears, decoded on arrival, and the sender's clock."""

import time
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from aiortc import RTCRtpReceiver
from aiortc.codecs.h264 import h264_depayload
from aiortc.rtp import AnyRtcpPacket, RtcpSrPacket

from engine.speech.sound import SAMPLE_RATE, Samples
from tests.clipmaking import luma_of
from tests.hearing import Heard

_NTP_SECOND = 1 << 32


@dataclass(frozen=True, slots=True)
class Seen:
    """A decoded picture.

    Attributes:
        at: When it was decoded.
        timestamp: Of RTP.
        level: Mean brightness, 0 to 255.
        corner: The same of its top left corner.
    """

    at: float
    timestamp: int
    level: float
    corner: float


class Eye:
    """Decodes a viewer's H.264 pictures as soon as their last packet comes.

    Args:
        receiver: Of the pictures.
    """

    def __init__(self, receiver: RTCRtpReceiver) -> None:
        context: Any = av.CodecContext.create("h264", "r")
        context.thread_count = 1
        context.options = {"flags": "low_delay"}
        self._decoder = context
        self._unit = b""
        self.seen: list[Seen] = []
        self._original = receiver._handle_rtp_packet
        receiver._handle_rtp_packet = self._take  # type: ignore[method-assign]  # to be called first

    async def _take(self, packet: Any, arrival_time_ms: int) -> None:
        self._unit += h264_depayload(packet.payload)
        if packet.marker:
            unit, self._unit = self._unit, b""
            for frame in self._decoder.decode(av.Packet(unit)):
                luma = luma_of(frame)
                level, corner = float(np.mean(luma)), float(np.mean(luma[4:32, 4:32]))
                self.seen.append(Seen(time.monotonic(), packet.timestamp, level, corner))
        await self._original(packet, arrival_time_ms)


class Listener:
    """Decodes a viewer's packets of sound as they come.

    Args:
        receiver: Of the sound.
    """

    def __init__(self, receiver: RTCRtpReceiver) -> None:
        context: Any = av.CodecContext.create("libopus", "r")
        context.sample_rate = SAMPLE_RATE
        context.layout = "mono"
        self._decoder = context
        self.heard: list[Heard] = []
        self._original = receiver._handle_rtp_packet
        receiver._handle_rtp_packet = self._take  # type: ignore[method-assign]  # to be called first

    async def _take(self, packet: Any, arrival_time_ms: int) -> None:
        frames = self._decoder.decode(av.Packet(packet.payload)) if packet.payload else []
        if frames:
            at = time.monotonic()
            whole = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
            scale = 32768 if whole.dtype == np.int16 else 1
            samples: Samples = (whole / scale).astype(np.float32)
            rms = float(np.sqrt(np.mean(samples**2)))
            self.heard.append(Heard(at, packet.timestamp, rms, samples))
        await self._original(packet, arrival_time_ms)


class Reports:
    """Maps RTP timestamps to the sender's wall clock by its newest report.

    Args:
        rate: Of the RTP clock.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._newest: tuple[int, int] | None = None

    def take(self, packet: AnyRtcpPacket) -> None:
        """Take any packet of RTCP."""
        if isinstance(packet, RtcpSrPacket):
            self._newest = packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp

    def seconds(self, timestamp: float) -> float:
        """Return the NTP time of a timestamp, in seconds."""
        assert self._newest is not None, "no sender report came"
        ntp, rtp = self._newest
        since = (timestamp - rtp + (1 << 31)) % (1 << 32) - (1 << 31)
        return ntp / _NTP_SECOND + since / self._rate


def reports_of(receiver: RTCRtpReceiver, rate: int) -> Reports:
    """Follow the reports that a receiver gets, with the rate of their RTP clock."""
    reports = Reports(rate)
    original = receiver._handle_rtcp_packet

    async def take(packet: AnyRtcpPacket) -> None:
        reports.take(packet)
        await original(packet)

    receiver._handle_rtcp_packet = take  # type: ignore[method-assign]  # to be called first
    return reports
