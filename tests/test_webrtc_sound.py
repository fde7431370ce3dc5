"""Tests of ``transport.webrtc.sound``: when packets leave."""

import asyncio
import itertools
from collections.abc import Iterator
from unittest import mock

import pytest
from aiortc.rtp import RtcpPacket, RtcpSrPacket, RtpPacket

from engine.clock import GRID
from engine.speech.sound import PACKET_MS, SAMPLE_RATE, Span
from engine.speech.speaker import Speaker
from engine.speech.utterance import Utterance
from tests.fake_time import LATEST, FakeTimeLoop, Skipping, connect
from transport.webrtc import internals
from transport.webrtc.media_clock import MediaClock
from transport.webrtc.sound import SILENCE_INTERVAL, SoundSender

VIEWERS = 20
VOICE = b"voice"


class Log:
    """Notes when a sender's packets and reports leave.

    Args:
        loop: Its time.
    """

    def __init__(self, loop: FakeTimeLoop) -> None:
        self._loop = loop
        self.packets: list[tuple[float, RtpPacket]] = []
        self.reports: list[float] = []

    def rtp(self, data: bytes) -> int:
        self.packets.append((self._loop.time(), RtpPacket.parse(data)))
        return len(data)

    def rtcp(self, data: bytes) -> int:
        if any(isinstance(packet, RtcpSrPacket) for packet in RtcpPacket.parse(data)):
            self.reports.append(self._loop.time())
        return len(data)

    def voiced(self) -> list[tuple[float, RtpPacket]]:
        return [(at, packet) for at, packet in self.packets if packet.payload == VOICE]


@pytest.fixture
def loop() -> Iterator[FakeTimeLoop]:
    loop = FakeTimeLoop(Skipping(1))
    yield loop
    loop.close()


async def stream(loop: FakeTimeLoop) -> tuple[SoundSender, Speaker, MediaClock, Log]:
    clock = MediaClock(loop.time)
    speaker = Speaker(600, lambda event: None)
    sender, log = SoundSender(speaker, clock), Log(loop)
    await connect(sender, log, "opus", SAMPLE_RATE)
    sender.run()
    return sender, speaker, clock, log


async def end(*senders: SoundSender) -> None:
    with mock.patch.object(internals, "unregister_sender"):
        for sender in senders:
            sender.close()
            await sender.stop()


def talk(seconds: float) -> Utterance:
    count = round(seconds * 1000 / PACKET_MS)
    utterance = Utterance("talk", prebuffer_ms=40)
    utterance.add((VOICE,) * count, (Span(0, None),), count * PACKET_MS, complete=True)
    return utterance


def test_many_speaking_streams_share_their_wakings(loop: FakeTimeLoop) -> None:
    async def scene() -> None:
        streams = []
        for _ in range(VIEWERS):
            streams.append(await stream(loop))
            await asyncio.sleep(0.013)
        for _, speaker, _, _ in streams:
            speaker.say(talk(2))
        for sender, *_ in streams:
            sender.wake()
        await asyncio.sleep(2.5)
        sent = [entry for *_, log in streams for entry in log.voiced()]
        assert len(sent) == VIEWERS * 100
        # Each waking serves all that is due at once; timers are early or late by a little.
        assert len({round(at / GRID) for at, _ in sent}) <= 2 / GRID + 1
        assert len({at for at, _ in sent}) <= 2 * 2 / GRID
        await end(*(sender for sender, *_ in streams))

    loop.run_until_complete(scene())


def test_packets_leave_when_their_times_say(loop: FakeTimeLoop) -> None:
    async def scene() -> None:
        sender, speaker, clock, log = await stream(loop)
        await asyncio.sleep(1.2345)
        speaker.say(talk(3))
        sender.wake()
        await asyncio.sleep(4)
        sent = log.voiced()
        stamps = [packet.timestamp for _, packet in sent]
        steps = {(b - a) % (1 << 32) for a, b in itertools.pairwise(stamps)}
        assert steps == {PACKET_MS * SAMPLE_RATE // 1000}
        origin = sender.media_time(clock.start())
        for at, packet in sent:
            due = clock.start() + ((packet.timestamp - origin) % (1 << 32)) / SAMPLE_RATE
            assert -LATEST - 0.001 <= due - at <= 0.001
        await end(sender)

    loop.run_until_complete(scene())


def test_silence_costs_few_packets_and_few_reports(loop: FakeTimeLoop) -> None:
    async def scene() -> None:
        sender, _, _, log = await stream(loop)
        await asyncio.sleep(10)
        log.packets.clear()
        log.reports.clear()
        await asyncio.sleep(100)
        assert 100 / SILENCE_INTERVAL * 0.9 <= len(log.packets) <= 100 / SILENCE_INTERVAL + 1
        assert 100 / 5 / 1.25 - 1 <= len(log.reports) <= 100 / 5 / 0.75 + 1
        await end(sender)

    loop.run_until_complete(scene())
