"""The form that sound has everywhere here, and what the parts of speech tell each other."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.errors import InvalidInput

SAMPLE_RATE = 48_000
"""Samples per second, of everything that is played (Opus and its RTP clock, RFC 7587)."""

PACKET_SAMPLES = 960
"""Samples of one Opus packet: 20 ms."""

PACKET_MS = 20

Samples = npt.NDArray[np.float32]
"""Mono sound: ``float32[n]``, nominally -1..1, ``SAMPLE_RATE``."""


class SoundError(InvalidInput):
    """Sound cannot be read, is too long, or is none."""


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word.

    Attributes:
        text: As it is shown, with its punctuation and without spaces around it.
        start: Seconds since the start of the utterance.
        end: Seconds; not before ``start``.
    """

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of voice, in milliseconds since the start of the utterance.

    Attributes:
        start: Its first audible moment.
        end: Its last, or None while it goes on at the horizon.
    """

    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """Some speech from a provider, in order.

    Attributes:
        pcm: ``s16le``, mono, at ``rate``; may be empty.
        rate: Samples per second, the same throughout an utterance.
        words: Those whose times are known by now, in order, each once.
    """

    pcm: bytes
    rate: int
    words: Sequence[Word] = ()


class SpeechProvider(Protocol):
    """Turns text into speech."""

    @property
    def name(self) -> str:
        """Its name in the settings."""

    def speak(self, text: str, voice: str) -> AsyncGenerator[SpeechChunk, None]:
        """Speak a text, piece by piece, the first one as soon as there is sound.

        Closing the iterator ends the work at once, processes and connections included.

        Args:
            text: One or more whole sentences without markup.
            voice: Voice or language; empty for the provider's own.

        Raises:
            AvatarServerError: It cannot be spoken; says what to do.
        """


class Transcriber(Protocol):
    """Writes down what is said. Slow: called on a worker thread, never two calls at once."""

    def transcribe(self, samples: Samples) -> Sequence[Word]:
        """Return the words with their times since the start of ``samples``."""
