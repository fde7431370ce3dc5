"""Speech over 24 h on a fake clock: the real senders, their timers and their sender reports."""

import asyncio
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from unittest import mock

from aiortc.rtp import RtcpPacket, RtcpSrPacket, RtpPacket

from engine.avatar.cuts import CutWalk
from engine.avatar.player import Player
from engine.motion.step import REST_STATE, SPEAKING_STATE
from engine.speech.sound import PACKET_MS, SAMPLE_RATE, Span
from engine.speech.speaker import Speaker
from engine.speech.utterance import Utterance
from tests.benchmarks.speech_senses import Reports
from tests.benchmarks.table import Row
from tests.fake_time import FakeTimeLoop, Skipping, connect
from tests.fakes import bare_pack
from transport.webrtc import internals
from transport.webrtc.media_clock import MediaClock
from transport.webrtc.played import PlayedSender
from transport.webrtc.rtp import VIDEO_CLOCK_RATE
from transport.webrtc.sound import SoundSender

NTSC = Fraction(30_000, 1001)
_VOICE_PACKETS = 50
_QUIET, _VOICE, _MOVING, _RESTING = b"quiet", b"voice", b"moving", b"resting"


class _Wire:
    """Takes what a sender sends, as a receiver would.

    Args:
        clock: The fake clock.
        clock_rate: Of the sender's RTP clock.
        awaited: Beginning of the payload whose time is wanted.
    """

    def __init__(self, clock: Skipping, clock_rate: int, awaited: bytes) -> None:
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
    loop = FakeTimeLoop(Skipping(1))
    try:
        runs = loop.run_until_complete(_day(loop, hours))
    finally:
        loop.close()
    return _rows(runs, hours)


async def _day(loop: FakeTimeLoop, hours: int) -> list[_Run]:
    clock = MediaClock(loop.time)
    speaker = Speaker(600, lambda event: None)
    sound = SoundSender(speaker, clock)
    picture = _picture_sender(clock, sound, speaker)
    pictures = _Wire(loop.clock, VIDEO_CLOCK_RATE, _MOVING)
    sounds = _Wire(loop.clock, SAMPLE_RATE, _VOICE)
    await connect(sound, sounds, "opus", SAMPLE_RATE)
    await connect(picture, pictures, "H264", VIDEO_CLOCK_RATE)
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
