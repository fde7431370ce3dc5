"""Speaking a text piece by piece: one is prepared ahead, and each gets times for its words."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from engine.errors import InvalidInput, Unavailable
from engine.speech.captions import spread
from engine.speech.sound import SpeechChunk, Word

_T = TypeVar("_T")

_AUDIBLE = 330
"""Samples (int16) above this are heard: -40 dB."""

_FILES = (b"RIFF", b"OggS", b"fLaC", b"ID3", b"\x1aE\xdf\xa3")
"""What sound files start with, and no speech does."""


class SpeechFailed(Unavailable):
    """A provider of speech died, hung, or returned nothing or what is no speech."""


class UnknownVoice(InvalidInput):
    """A provider of speech has no such voice."""


class Recital(Protocol):
    """A piece of text that is being spoken by a provider."""

    async def read(self) -> bytes:
        """Return the next sound, ``s16le``, cut anywhere; nothing at the end.

        Raises:
            AvatarServerError: It broke off.
        """

    async def close(self) -> None:
        """End it at once, whatever its state."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How the pieces of an utterance are spoken.

    Attributes:
        provider: Its name, for messages.
        rate: Samples per second.
        timeout_s: Longest wait for the next sound, in seconds.
        pause_s: Seconds of silence that are put between two sentences.
    """

    provider: str
    rate: int
    timeout_s: float
    pause_s: float = 0.0


async def in_time(coming: Awaitable[_T], manner: Manner) -> _T:
    """Wait for the next sound, or for the end.

    Raises:
        SpeechFailed: It did not come in time.
    """
    try:
        async with asyncio.timeout(manner.timeout_s):
            return await coming
    except TimeoutError:
        raise SpeechFailed(
            f"The speech provider '{manner.provider}' sent no sound for {manner.timeout_s:g} s.",
            "Look after the provider, or raise speech.synthesis.timeout_s.",
        ) from None


async def recite(
    pieces: Sequence[str], begin: Callable[[str], Awaitable[Recital]], manner: Manner
) -> AsyncGenerator[SpeechChunk, None]:
    """Speak pieces one after the other.

    The next one is begun when the first sound of the present one has come, so at most two are
    under way. The words of a piece come with its end, spread over its audible part.

    Args:
        pieces: What is said.
        begin: Has a piece spoken.
        manner: How.

    Raises:
        SpeechFailed: No sound came in time, or what came is none.
        AvatarServerError: What ``begin`` and its recitals raise.
    """
    at = 0
    async with aclosing(_OneAhead(pieces, begin)) as recitals:
        for index, piece in enumerate(pieces):
            meter = _Meter(manner, at)
            while data := await in_time(recitals.read(), manner):
                if pcm := meter.take(data):
                    yield SpeechChunk(pcm, manner.rate)
            pauses = index + 1 < len(pieces) and _ends_sentence(piece)
            pause = round(manner.pause_s * manner.rate) if pauses else 0
            at = meter.end(piece) + pause
            yield SpeechChunk(bytes(2 * pause), manner.rate, meter.words(piece))


class _OneAhead:
    """Reads recitals one after the other, and has the next one begun meanwhile."""

    def __init__(self, pieces: Sequence[str], begin: Callable[[str], Awaitable[Recital]]) -> None:
        self._pieces = deque(pieces)
        self._begin = begin
        self._current: Recital | None = None
        self._next: asyncio.Future[Recital] | None = None

    async def read(self) -> bytes:
        """Return the next sound of the current piece; nothing at its end, then the next one's."""
        if self._current is None:
            self._begin_next()
            assert self._next is not None
            self._current = await self._next
            self._next = None
        data = await self._current.read()
        if data:
            self._begin_next()
        else:
            await self._current.close()
            self._current = None
        return data

    def _begin_next(self) -> None:
        if self._next is None and self._pieces:
            self._next = asyncio.ensure_future(self._begin(self._pieces.popleft()))

    async def aclose(self) -> None:
        coming, self._next = self._next, None
        try:
            if coming is not None:
                coming.cancel()
                await asyncio.wait([coming])
                if not coming.cancelled() and coming.exception() is None:
                    await coming.result().close()
        finally:
            if self._current is not None:
                await self._current.close()


class _Meter:
    """Measures a piece: where it starts in the utterance, and which part of it is audible.

    Args:
        manner: How it is spoken.
        start: Samples of the utterance before it.
    """

    def __init__(self, manner: Manner, start: int) -> None:
        self._manner = manner
        self._start = self._at = start
        self._first: int | None = None
        self._last = start
        self._odd = b""

    def take(self, data: bytes) -> bytes:
        """Measure the next sound and return the whole samples of it.

        Raises:
            SpeechFailed: It is no plain PCM.
        """
        if self._at == self._start and data.startswith(_FILES):
            raise SpeechFailed(
                f"The speech provider '{self._manner.provider}' sent a sound file, not plain PCM.",
                "It must send 16-bit mono samples without a header.",
            )
        data = self._odd + data
        whole = len(data) & ~1
        pcm, self._odd = data[:whole], data[whole:]
        audible = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)) > _AUDIBLE)
        if audible.size:
            if self._first is None:
                self._first = self._at + int(audible[0])
            self._last = self._at + int(audible[-1]) + 1
        self._at += whole // 2
        return pcm

    def end(self, piece: str) -> int:
        """Return the samples of the utterance up to here.

        Raises:
            SpeechFailed: There was no sound.
        """
        if self._at == self._start:
            raise SpeechFailed(
                f"The speech provider '{self._manner.provider}' returned no sound"
                f" for '{piece[:60]}'.",
                "Does its voice know the language?",
            )
        return self._at

    def words(self, piece: str) -> tuple[Word, ...]:
        """The words of the piece, spread over its audible part."""
        rate = self._manner.rate
        if self._first is None:
            return spread(piece, self._start / rate, self._at / rate)
        return spread(piece, self._first / rate, self._last / rate)


def _ends_sentence(piece: str) -> bool:
    return piece[-1] not in ",;:–—،؛、，；："
