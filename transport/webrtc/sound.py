"""Sends an avatar's voice: packets that were encoded before, and next to nothing in silence."""

import asyncio
from typing import Final

from engine.clock import aligned
from engine.speech.opus import DTX_PACKET, silence_packets
from engine.speech.sound import PACKET_MS, SAMPLE_RATE
from engine.speech.speaker import Packet, Speaker
from transport.webrtc.media_clock import MediaClock
from transport.webrtc.rtp import REPORT_INTERVAL, RtpSender

SILENCE_INTERVAL: Final = 0.4
"""Seconds between the packets of a long silence, as Opus has it (RFC 6716, 2.1.9)."""

TAIL_PACKETS: Final = 6
"""Packets of silence after speech: receivers that gather some packets get to its end at once."""

REPORT_INTERVAL_LATER: Final = 5.0
"""Seconds between reports, as RFC 3550 (6.2) has it, once receivers know the time line."""

_FIRST_REPORTS = 3
_TIMER_ERROR = 0.001
"""Timers count in milliseconds, and may be this early."""

_SLOT = PACKET_MS / 1000
_ROUNDING = 1e-6


class SoundSender(RtpSender):
    """Sends what a speaker says; a timer drives it, and no codec runs.

    It keeps the speaker going where the viewer takes no sound, too: the avatar moves all the same.

    Args:
        speaker: Says when which packet is due.
        clock: The stream's time line.
    """

    kind = "audio"
    clock_rate = SAMPLE_RATE

    def __init__(self, speaker: Speaker, clock: MediaClock) -> None:
        super().__init__(clock)
        self._speaker = speaker
        self._silence = silence_packets()
        self._timer: asyncio.TimerHandle | None = None
        self._running = False
        self._last = float("-inf")
        self._tail = 0
        self._reports = 0

    @property
    def epoch(self) -> float | None:
        """When the stream began, in seconds on its clock; None before."""
        return self._clock.epoch

    def media_time(self, at: float) -> int:
        """Return the RTP timestamp of a moment."""
        return self._timestamp(round(self._clock.elapsed(at) * SAMPLE_RATE))

    def run(self) -> None:
        """The stream has begun."""
        self._running = True
        self._last = self._clock.start() - _SLOT
        self._tick()

    def wake(self) -> None:
        """The speaker has something new to say, or has fallen silent."""
        if self._running:
            self._tick()

    def close(self) -> None:
        """The stream has ended."""
        self._running = False
        self._cancel()

    def _begin(self, now: float) -> None:
        """Packets may leave; ``run`` says when."""

    def _end(self) -> None:
        """Nothing to do: what is due is no longer sent."""

    def _keyframe_wanted(self) -> None:
        """Every packet of sound can be decoded."""

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _tick(self) -> None:
        self._cancel()
        now = self._clock.now()
        end = now + _TIMER_ERROR
        try:
            while (packet := self._speaker.advance(end)) is not None:
                self.statistics.lateness.add(now - packet.at)
                self._leave(packet)
                self._tail = 0
            self._be_silent(end)
        except ConnectionError:
            self._halt()
        delay = max(0.0, self._due() - self._clock.now())
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _report_interval(self) -> float:
        self._reports += 1
        return REPORT_INTERVAL if self._reports <= _FIRST_REPORTS else REPORT_INTERVAL_LATER

    def _due(self) -> float:
        """Return when there is something to send next."""
        silence, spoken = self._silence_due(), self._speaker.due()
        # A packet of silence must be over before speech begins.
        if spoken is not None and spoken < max(silence, self._clock.now()) + _SLOT - _ROUNDING:
            return spoken
        return silence

    def _leave(self, packet: Packet) -> None:
        self._last = packet.at
        if self._sending and self._enabled:
            at = round(self._clock.elapsed(packet.at) * SAMPLE_RATE)
            self._send_payloads((packet.payload,), at, marker=packet.first)

    def _silence_due(self) -> float:
        return self._last + (_SLOT if self._tail < TAIL_PACKETS else SILENCE_INTERVAL)

    def _be_silent(self, now: float) -> None:
        due = self._silence_due()
        if now < due or self._due() != due:
            return
        at = due if now - due < _SLOT else aligned(now)
        silence = self._silence
        payload = (
            silence[min(self._tail, len(silence) - 1)] if self._tail < TAIL_PACKETS else DTX_PACKET
        )
        self._tail += 1
        self._leave(Packet(payload, at, first=False))
        self._speaker.hold(at + _SLOT)
