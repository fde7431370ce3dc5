"""From what is to be said to pieces of an utterance: text, sound files, streamed PCM."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from dataclasses import dataclass

from engine.speech.encoder import PcmPreparation, Piece, prepare, prepare_pcm
from engine.speech.sound import SoundError, SpeechProvider, Word
from transport.speech.studio import SpeechStudio


@dataclass(frozen=True, slots=True)
class Made:
    """What became ready of an utterance.

    Attributes:
        piece: Its next packets.
        words: Whose times are known now.
    """

    piece: Piece
    words: Sequence[Word] = ()


async def speak_text(
    provider: SpeechProvider, studio: SpeechStudio, text: str, voice: str
) -> AsyncGenerator[Made, None]:
    """Have a text spoken.

    Raises:
        AvatarServerError: The text cannot be spoken, or the provider failed.
    """
    preparation: PcmPreparation | None = None
    sounds = False
    async with contextlib.aclosing(provider.speak(text, voice)) as chunks:
        async for chunk in chunks:
            if preparation is None:
                preparation = await studio.run(
                    prepare_pcm, chunk.rate, studio.settings, studio.tools.make_tracker
                )
            sounds = sounds or bool(chunk.pcm)
            yield Made(await studio.run(preparation.feed, chunk.pcm), chunk.words)
    if preparation is None or not sounds:
        raise SoundError(f"{provider.name} returned no sound.", "Try another voice or text.")
    yield Made(await studio.run(preparation.finish))


async def play_sound(studio: SpeechStudio, sound: bytes) -> AsyncGenerator[Made, None]:
    """Play a sound file, or the sound of a video.

    Raises:
        SoundError: It cannot be read, or is too long.
    """
    key = await studio.run(studio.cache.key, sound)
    known = studio.cache.get(key)
    if known is not None:
        for piece in known:
            yield Made(piece)
        return
    steps = _Steps(prepare(sound, studio.settings, studio.tools.make_tracker))
    made: list[Piece] = []
    try:
        while (piece := await studio.run(steps.next)) is not None:
            made.append(piece)
            yield Made(piece)
    finally:
        await asyncio.shield(studio.run(steps.close))
    studio.cache.put(key, made)


class _Steps:
    """A generator that is closed only when no thread is inside of it."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._lock = threading.Lock()

    def next(self) -> Piece | None:
        with self._lock:
            return next(self._pieces, None)

    def close(self) -> None:
        with self._lock:
            if isinstance(self._pieces, Generator):
                self._pieces.close()
