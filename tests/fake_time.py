"""RTP senders on a loop whose time passes at once, sending to a wire of the test's."""

import asyncio
import random
import selectors
from typing import Any, Protocol
from unittest import mock

from aiortc.rtcrtpparameters import (
    RTCRtcpParameters,
    RTCRtpCodecParameters,
    RTCRtpSendParameters,
)

from transport.webrtc import internals
from transport.webrtc.rtp import RtpSender

LATEST = 0.004
"""Seconds that timers may be late."""


class Wire(Protocol):
    """Takes what a sender sends, and returns its length."""

    def rtp(self, data: bytes) -> int: ...

    def rtcp(self, data: bytes) -> int: ...


class Skipping(selectors.DefaultSelector):
    """Waits for nothing: time passes at once, and each timer is late by chance."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.now = 1000.0
        self._chance = random.Random(seed)

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self.now += timeout + self._chance.uniform(0, LATEST)
        return super().select(0)


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers run on the selector's clock."""

    def __init__(self, selector: Skipping) -> None:
        super().__init__(selector)
        self.clock = selector

    def time(self) -> float:
        return self.clock.now


async def connect(sender: RtpSender, wire: Wire, codec: str, rate: int) -> None:
    """Have a sender send to a wire instead of through a connection."""
    parameters = RTCRtpSendParameters(
        codecs=[RTCRtpCodecParameters(f"{sender.kind}/{codec}", rate, payloadType=96)],
        rtcp=RTCRtcpParameters(cname="test"),
    )
    sender.setTransport(mock.Mock())
    with (
        mock.patch.object(internals, "register_sender"),
        mock.patch.object(internals, "media_path", return_value=(wire.rtp, wire.rtcp)),
    ):
        await sender.send(parameters)
