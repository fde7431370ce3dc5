"""Opus packets of 20 ms, for voice that is heard as soon as it can be (RFC 6716, RFC 7587).

The encoder is that of libopus for low delay: every packet is CELT (configuration 16 to 31). It has
a third of the delay of libopus's voice mode and takes half its time; at 32 kbit/s and more it is
also nearer to the original. Because no packet is SILK or hybrid, any packet may follow any other
without a change of mode, those of silence included.

There is no in-band FEC: only SILK has it. What is lost is concealed by the decoder; the rate that
FEC would take makes the sound better instead.
"""

from functools import cache

import numpy as np
from av.audio.codeccontext import AudioCodecContext

from engine.speech.resample import audio_frame
from engine.speech.sound import PACKET_SAMPLES, SAMPLE_RATE, Samples

DECODER_DELAY = 120
"""Samples by which a decoder's output lags behind what was encoded: 2.5 ms. The first packet of an
utterance gives out its first sample that late, after what the packet before left over."""

DTX_PACKET = bytes([31 << 3])
"""20 ms without any sound: a packet of one frame without bytes (RFC 6716, 3.2.1 and 3.2.3).

A decoder goes on with what it has: with silence after ``silence_packets``, but with up to half a
second of fading voice straight after speech. Browsers take it as the beginning of a pause: one in
400 ms keeps a pause alive."""

_COMPLEXITY = 10
_SILENCE_PACKETS = 3


class OpusEncoder:
    """Encodes one utterance, fullband mono, from sound that comes in pieces of any length.

    Its packets need nothing of what was sent before them, so that utterances can be encoded apart.

    Args:
        bitrate: Bits per second; a target, packets vary.
    """

    def __init__(self, bitrate: int) -> None:
        context = AudioCodecContext.create("libopus", "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate = SAMPLE_RATE
        context.layout = "mono"
        context.format = "flt"
        context.bit_rate = bitrate
        context.options = {
            "application": "lowdelay",
            "frame_duration": "20",
            "compression_level": str(_COMPLEXITY),
        }
        self._context = context
        self._held = np.empty(0, np.float32)
        self._encoded = -PACKET_SAMPLES
        # Packets say how loud each band is by the difference to the packet before (RFC 6716,
        # 4.3.2.1): the one before the first is silence, for the encoder as for the decoder.
        self._encode(np.zeros(PACKET_SAMPLES, np.float32))

    def encode(self, samples: Samples) -> list[bytes]:
        """Return the packets that sound completes."""
        self._held = np.concatenate([self._held, samples])
        whole = len(self._held) - len(self._held) % PACKET_SAMPLES
        packets: list[bytes] = []
        for start in range(0, whole, PACKET_SAMPLES):
            packets += self._encode(self._held[start : start + PACKET_SAMPLES])
        self._held = self._held[whole:]
        return packets

    def finish(self) -> list[bytes]:
        """Return the last packets, filled with silence so that the decoder gives out all sound.

        There are none if there was no sound.
        """
        if self._encoded <= 0 and not len(self._held):
            return []
        padding = DECODER_DELAY + -(len(self._held) + DECODER_DELAY) % PACKET_SAMPLES
        return self.encode(np.zeros(padding, np.float32))

    def _encode(self, samples: Samples) -> list[bytes]:
        frame = audio_frame(samples, "flt", SAMPLE_RATE)
        frame.pts = self._encoded
        self._encoded += PACKET_SAMPLES
        return [bytes(packet) for packet in self._context.encode(frame)]


@cache
def silence_packets() -> tuple[bytes, ...]:
    """Return packets of digital silence, which may follow any packet.

    What is left of the sound before them fades within 5 ms of the first one. After the last one,
    ``DTX_PACKET`` is silent too.
    """
    return tuple(
        OpusEncoder(bitrate=32_000).encode(np.zeros(_SILENCE_PACKETS * PACKET_SAMPLES, np.float32))
    )
