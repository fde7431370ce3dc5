"""From sound to what is played: levelled, limited, listened to for voice, and encoded.

All of it is work for a worker thread: one thread at a time for each utterance.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.speech.decode import SoundTooLong, decode_sound
from engine.speech.limiter import Limiter
from engine.speech.loudness import (
    USUAL_LOUDNESS,
    FixedGain,
    LoudnessMeter,
    RunningGain,
    normalising_gain,
)
from engine.speech.opus import OpusEncoder
from engine.speech.resample import PcmResampler
from engine.speech.settings import SpeechSettings
from engine.speech.sound import SAMPLE_RATE, Samples, Span

MEASURED_SECONDS = 60
"""Of a file, this much is decoded and measured before it is played; all of most files."""

_FIRST = SAMPLE_RATE // 5
_LATER = SAMPLE_RATE


class VoiceTracker(Protocol):
    """Finds the voice in one utterance, as its sound comes in."""

    @property
    def spans(self) -> tuple[Span, ...]:
        """The voice before ``horizon_ms``, in order."""

    @property
    def horizon_ms(self) -> int:
        """Up to where ``spans`` is final."""

    def feed(self, samples: Samples) -> None:
        """Take the next piece of the utterance."""

    def finish(self) -> None:
        """Say that the utterance ends here."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What has become ready of an utterance.

    Attributes:
        packets: Opus, 20 ms each, which follow those of the pieces before.
        spans: All voice so far.
        horizon_ms: Up to where the voice is known, in ms since the start of the utterance.
        complete: It is the last piece.
    """

    packets: tuple[bytes, ...]
    spans: tuple[Span, ...]
    horizon_ms: int
    complete: bool


class UtteranceEncoder:
    """Makes one utterance of sound that comes in pieces of any length.

    The voice tracker is given the samples that are encoded, as many as came in and at the same
    times: sample ``n`` is in packet ``n // 960``. What is heard lags behind by
    ``engine.speech.opus.DECODER_DELAY`` more.

    Args:
        settings: Loudness, peak and bit rate.
        voice: Used by this encoder alone.
        gain_db: The gain of the whole utterance; None where the sound is not known ahead: then
            its gain follows from what was heard so far.
        usual_loudness: With a gain of None: LUFS of such speech, until it has been heard.
    """

    def __init__(
        self,
        settings: SpeechSettings,
        voice: VoiceTracker,
        gain_db: float | None,
        usual_loudness: float = USUAL_LOUDNESS,
    ) -> None:
        self._gain = (
            RunningGain(settings, usual_loudness) if gain_db is None else FixedGain(gain_db)
        )
        self._limiter = Limiter(settings.peak)
        self._voice = voice
        self._opus = OpusEncoder(settings.bitrate)

    def feed(self, samples: Samples) -> Piece:
        """Take sound; return what is ready, perhaps no packet.

        Up to 35 ms are held back: less than a packet, 10 ms of the gain and 5 ms of the limiter.
        """
        packets: list[bytes] = []
        # Long sound goes through in parts: each step needs several times its memory.
        for start in range(0, len(samples), _LATER):
            levelled = self._gain.feed(samples[start : start + _LATER])
            packets += self._take(self._limiter.feed(levelled))
        return self._piece(packets, complete=False)

    def finish(self) -> Piece:
        """Return the rest; packets are filled up with silence."""
        packets = self._take(self._limiter.feed(self._gain.finish()))
        packets += self._take(self._limiter.finish())
        packets += self._opus.finish()
        self._voice.finish()
        return self._piece(packets, complete=True)

    def _take(self, heard: Samples) -> list[bytes]:
        if not len(heard):
            return []
        self._voice.feed(heard)
        return self._opus.encode(heard)

    def _piece(self, packets: list[bytes], complete: bool) -> Piece:
        return Piece(tuple(packets), self._voice.spans, self._voice.horizon_ms, complete)


def prepare(
    source: bytes | Path, settings: SpeechSettings, make_voice: Callable[[], VoiceTracker]
) -> Generator[Piece]:
    """Make an utterance of a sound file, or of the sound of a video.

    The first ``MEASURED_SECONDS`` are decoded and measured before the first piece; the rest, and
    all encoding, is done when a piece is asked for. Nothing is done before the first one is.

    Args:
        source: The file's bytes, or where it lies.
        settings: Loudness, peak, bit rate and the longest utterance.
        make_voice: Returns a voice tracker without a past.

    Yields:
        Pieces: the first of about 200 ms, then of about 1 s; the last is complete.

    Raises:
        SoundError: From the first piece on; only sound beyond ``MEASURED_SECONDS`` can still
            prove damaged or too long later. Says what to do about it.
    """
    with closing(decode_sound(source, settings.max_seconds)) as decoded:
        known, gain = _measured(decoded, settings)
        encoder = UtteranceEncoder(settings, make_voice(), gain)
        for samples in _portions(chain(_emptied(known), decoded)):
            yield encoder.feed(samples)
    yield encoder.finish()


def _measured(sound: Iterator[Samples], settings: SpeechSettings) -> tuple[list[Samples], float]:
    """Return the sound that was measured, and the gain in dB for all of it."""
    meter = LoudnessMeter()
    known: list[Samples] = []
    count = 0
    while count < MEASURED_SECONDS * SAMPLE_RATE and (samples := next(sound, None)) is not None:
        meter.feed(samples)
        known.append(samples)
        count += len(samples)
    return known, normalising_gain(meter.integrated(), settings)


def _emptied(known: list[Samples]) -> Iterator[Samples]:
    """Give the samples away one by one, so that those that were played take no memory."""
    known.reverse()
    while known:
        yield known.pop()


def _portions(sound: Iterator[Samples]) -> Iterator[Samples]:
    """Cut sound into a first short portion and longer ones behind it."""
    held = next(sound, np.empty(0, np.float32))
    yield held[:_FIRST]
    held = held[_FIRST:]
    for samples in sound:
        held = np.concatenate([held, samples])
        if len(held) >= _LATER:
            yield held
            held = held[:0]
    if len(held):
        yield held


class PcmPreparation:
    """Makes one utterance of PCM that arrives while it is played.

    Args:
        rate: Samples per second of the PCM.
        settings: Loudness, peak, bit rate and the longest utterance.
        voice: Used by this utterance alone.
        usual_loudness: LUFS of such speech, until it has been heard.

    Raises:
        SoundError: The rate cannot be played.
    """

    def __init__(
        self,
        rate: int,
        settings: SpeechSettings,
        voice: VoiceTracker,
        usual_loudness: float = USUAL_LOUDNESS,
    ) -> None:
        self._resampler = PcmResampler(rate)
        self._encoder = UtteranceEncoder(settings, voice, None, usual_loudness)
        self._bytes_left = int(settings.max_seconds * rate) * 2
        self._max_seconds = settings.max_seconds

    def feed(self, pcm: bytes) -> Piece:
        """Take PCM (``s16le``, mono), cut anywhere; return what is ready, perhaps no packet.

        Raises:
            SoundTooLong: It is more than the settings allow; nothing of this PCM was taken.
        """
        if len(pcm) > self._bytes_left:
            raise SoundTooLong(
                f"The streamed sound is longer than {self._max_seconds:.0f} seconds.",
                "End the utterance and begin another, or raise speech.max_seconds.",
            )
        self._bytes_left -= len(pcm)
        return self._encoder.feed(self._resampler.feed(pcm))

    def finish(self) -> Piece:
        """Return the rest; without a packet at all, if there was no sound."""
        rest = self._encoder.feed(self._resampler.finish())
        last = self._encoder.finish()
        return Piece(rest.packets + last.packets, last.spans, last.horizon_ms, complete=True)


def prepare_pcm(
    rate: int, settings: SpeechSettings, make_voice: Callable[[], VoiceTracker]
) -> PcmPreparation:
    """Return a ``PcmPreparation`` with a voice tracker of its own.

    Raises:
        SoundError: The rate cannot be played.
    """
    return PcmPreparation(rate, settings, make_voice())
