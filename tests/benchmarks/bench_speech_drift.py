"""Speech over 24 h on a fake clock: the real senders, their timers and their sender reports."""

import asyncio
import random
import selectors
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from unittest import mock

from aiortc.rtcrtpparameters import (
    RTCRtcpParameters,
    RTCRtpCodecParameters,
    RTCRtpSendParameters,
)
from aiortc.rtp import RtcpPacket, RtcpSrPacket, RtpPacket

from engine.avatar.cuts import CutWalk
from engine.avatar.player import Player
from engine.motion.step import REST_STATE
from engine.speech.sound import PACKET_MS, SAMPLE_RATE, Span
from engine.speech.speaker import SPEAKING_STATE, Speaker
from engine.speech.utterance import Utterance
from tests.benchmarks.speech_senses import Reports
from tests.benchmarks.table import Row
from tests.fakes import bare_pack
from transport.webrtc import internals
from transport.webrtc.media_clock import MediaClock
from transport.webrtc.played import PlayedSender
from transport.webrtc.rtp import VIDEO_CLOCK_RATE, RtpSender
from transport.webrtc.sound import SoundSender

NTSC = Fraction(30_000, 1001)
_LATEST = 0.004
_VOICE_PACKETS = 50
_QUIET, _VOICE, _MOVING, _RESTING = b"quiet", b"voice", b"moving", b"resting"


class _Skipping(selectors.DefaultSelector):
    """Waits for nothing: time passes at once, and each timer is late by chance."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.now = 1000.0
        self._chance = random.Random(seed)

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self.now += timeout + self._chance.uniform(0, _LATEST)
        return super().select(0)


class _FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers run on the selector's clock."""

    def __init__(self, selector: _Skipping) -> None:
        super().__init__(selector)
        self.clock = selector

    def time(self) -> float:
        return self.clock.now


class _Wire:
    """Takes what a sender sends, as a receiver would.

    Args:
        clock: The fake clock.
        clock_rate: Of the sender's RTP clock.
        awaited: Beginning of the payload whose time is wanted.
    """

    def __init__(self, clock: _Skipping, clock_rate: int, awaited: bytes) -> None:
        self._clock = clock
        self._awaited = awaited
        self._waiting = False
        self.reports = Reports(clock_rate)
        self.timestamp: int | None = None
        self.at = 0.0

    def expect(self) -> None:
        """Note the timestamp of the next such payload."""
        self._waiting, self.timestamp = True, None

    def rtp(self, data: bytes) -> int:
        if self._waiting and data[12:].startswith(self._awaited):
            self._waiting = False
            self.timestamp, self.at = RtpPacket.parse(data).timestamp, self._clock.now
        return len(data)

    def rtcp(self, data: bytes) -> int:
        for packet in RtcpPacket.parse(data):
            if isinstance(packet, RtcpSrPacket):
                self.reports.take(packet)
        return len(data)


@dataclass(frozen=True, slots=True)
class _Run:
    """One beep: when it was, in hours, and what a receiver makes of the reports.

    Attributes:
        offset: Flash minus beep by the reports, ms.
        error: Of the reported time of the beep's packet against when it left, ms; timers are late
            by up to 4 ms.
    """

    hours: float
    offset: float
    error: float


def run(quick: bool = False) -> list[Row]:
    """Let a stream at 29.97 pictures per second speak once a minute."""
    hours = 1 if quick else 24
    loop = _FakeTimeLoop(_Skipping(1))
    try:
        runs = loop.run_until_complete(_day(loop, hours))
    finally:
        loop.close()
    return _rows(runs, hours)


async def _day(loop: _FakeTimeLoop, hours: int) -> list[_Run]:
    clock = MediaClock(loop.time)
    speaker = Speaker(600, lambda event: None)
    sound = SoundSender(speaker, clock)
    picture = _picture_sender(clock, sound, speaker)
    pictures = _Wire(loop.clock, VIDEO_CLOCK_RATE, _MOVING)
    sounds = _Wire(loop.clock, SAMPLE_RATE, _VOICE)
    await _connect(sound, sounds, "opus", SAMPLE_RATE)
    await _connect(picture, pictures, "H264", VIDEO_CLOCK_RATE)
    epoch = clock.start()
    began = clock.ntp(epoch) / (1 << 32)
    chance = random.Random(2)
    found: list[_Run] = []
    for number in range(hours * 60):
        await asyncio.sleep(chance.uniform(50, 60))
        pictures.expect()
        sounds.expect()
        lead = chance.randrange(400)
        speaker.say(_beep(str(number), lead))
        sound.wake()
        await asyncio.sleep(4)
        assert pictures.timestamp is not None, "the avatar did not move"
        assert sounds.timestamp is not None, "no voice was sent"
        beep = sounds.timestamp + lead % PACKET_MS * SAMPLE_RATE // 1000
        heard = sounds.reports.seconds(beep)
        reported = sounds.reports.seconds(sounds.timestamp) - began
        found.append(
            _Run(
                (loop.time() - epoch) / 3600,
                (pictures.reports.seconds(pictures.timestamp) - heard) * 1000,
                (reported - (sounds.at - epoch)) * 1000,
            )
        )
    sound.close()
    with mock.patch.object(internals, "unregister_sender"):
        await picture.stop()
        await sound.stop()
    return found


def _picture_sender(clock: MediaClock, sound: SoundSender, speaker: Speaker) -> PlayedSender:
    pack = bare_pack({REST_STATE: [180], SPEAKING_STATE: [180]}, fps=NTSC)
    payloads = tuple(
        (_RESTING if clip.state == REST_STATE else _MOVING,)
        for clip in pack.clips
        for _ in range(clip.count)
    )

    def make_player(codec: str, start: float) -> Player:
        player = Player(CutWalk(pack, 1), pack.fps, start)
        speaker.move(player)
        sound.run()
        return player

    return PlayedSender(lambda codec: payloads, make_player, clock, lambda *_: None, speaker.follow)


async def _connect(sender: RtpSender, wire: _Wire, codec: str, rate: int) -> None:
    """Have a sender send to a wire instead of through a connection."""
    parameters = RTCRtpSendParameters(
        codecs=[RTCRtpCodecParameters(f"{sender.kind}/{codec}", rate, payloadType=96)],
        rtcp=RTCRtcpParameters(cname="drift"),
    )
    sender.setTransport(mock.Mock())
    with (
        mock.patch.object(internals, "register_sender"),
        mock.patch.object(internals, "media_path", return_value=(wire.rtp, wire.rtcp)),
    ):
        await sender.send(parameters)


def _beep(name: str, lead: int) -> Utterance:
    quiet = lead // PACKET_MS
    utterance = Utterance(name, prebuffer_ms=40)
    end = (quiet + _VOICE_PACKETS) * PACKET_MS
    packets = [_QUIET] * quiet + [_VOICE] * _VOICE_PACKETS
    utterance.add(packets, (Span(lead, end),), end, complete=True)
    return utterance


def _rows(runs: Sequence[_Run], hours: int) -> list[Row]:
    hour = [one for one in runs if one.hours <= 1]
    last = [one for one in runs if one.hours > runs[-1].hours - 1]
    begin, end = ([one.offset for one in part] for part in (hour, last))
    drift = statistics.median(end) - statistics.median(begin)
    largest = max(abs(one.offset) for one in runs)
    error = max(abs(one.error) for one in runs)
    return [
        Row(
            f"drift of picture against sound in {hours} h, {len(runs):,} utterances, 29.97 fps",
            f"{abs(drift):.3f} ms",
            "< 5 ms",
            abs(drift) < 5,
        ),
        Row(
            "largest offset of flash against beep by the reports",
            f"{largest:.3f} ms",
            "within +-20 ms",
            largest <= 20,
        ),
        Row(
            "largest error of a packet's reported time, with timers up to 4 ms late",
            f"{error:.3f} ms",
            "< 5 ms",
            error < 5,
        ),
    ]
