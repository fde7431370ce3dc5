"""What the voices of all streams share: threads, a provider of speech, a transcriber."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from engine.errors import Conflict, Forbidden
from engine.speech.encoder import Piece, VoiceTracker
from engine.speech.settings import SpeechSettings
from engine.speech.sound import SpeechProvider, Transcriber

P = ParamSpec("P")
R = TypeVar("R")

CACHED_BYTES = 64 << 20


class NoProvider(Conflict):
    """Nothing is set up that turns text into speech."""


async def _fetches_nothing(url: str) -> bytes:
    raise Forbidden(f"This server downloads nothing, so not {url!r} either.")


async def _closes_nothing() -> None:
    """There is nothing to let go of."""


@dataclass(frozen=True, slots=True)
class SpeechTools:
    """What speech is made with.

    Attributes:
        make_tracker: Makes what finds the voice in one utterance.
        provider: Turns text into speech, if anything does.
        missing: Why there is no provider, and how to get one.
        transcriber: Writes down speech that has no text, if anything does.
        fetch: Downloads a sound.
        clean: Makes a text speakable; takes the most characters that it may have.
        close: Lets go of connections and programs.
    """

    make_tracker: Callable[[], VoiceTracker]
    provider: SpeechProvider | None = None
    missing: str = ""
    transcriber: Transcriber | None = None
    fetch: Callable[[str], Awaitable[bytes]] = _fetches_nothing
    clean: Callable[[str, int], str] = lambda text, limit: text[:limit]
    close: Callable[[], Awaitable[None]] = _closes_nothing


class SpeechStudio:
    """Prepares utterances for all streams, off the event loop.

    Args:
        settings: The ``speech`` section.
        tools: What speech is made with.
    """

    def __init__(self, settings: SpeechSettings, tools: SpeechTools) -> None:
        self.settings = settings
        self.tools = tools
        self._pool = ThreadPoolExecutor(settings.workers, "speech")
        self._writer = ThreadPoolExecutor(1, "transcription")
        self._cache = PieceCache(CACHED_BYTES)

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do a part of preparing an utterance; parts of different streams take turns."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))

    async def write_down(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do a part of a transcription; one at a time."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, lambda: work(*args, **kwargs))

    def provider(self) -> SpeechProvider:
        """Return what turns text into speech.

        Raises:
            NoProvider: Nothing does; says how to change that.
        """
        if self.tools.provider is None:
            raise NoProvider("This server cannot speak text.", self.tools.missing)
        return self.tools.provider

    def text(self, text: str) -> str:
        """Return a text without what cannot be spoken.

        Raises:
            InvalidInput: Nothing is left, or it is too long.
        """
        return self.tools.clean(text, self.settings.synthesis.max_text)

    async def fetch(self, url: str) -> bytes:
        """Download a sound.

        Raises:
            AddressNotAllowed: The settings allow no downloads from there.
            AvatarServerError: It cannot be had.
        """
        return await self.tools.fetch(url)

    @property
    def cache(self) -> "PieceCache":
        """Sound that was prepared before."""
        return self._cache

    async def close(self) -> None:
        """End the threads, once what they do is done."""
        await self.tools.close()
        await asyncio.to_thread(self._shut_down)

    def _shut_down(self) -> None:
        for pool in (self._pool, self._writer):
            pool.shutdown(wait=True, cancel_futures=True)


class PieceCache:
    """Prepared sound by its content: what many viewers hear is encoded once.

    Args:
        capacity: Bytes of packets that are kept, the least lately used go first.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._size = 0
        self._kept: OrderedDict[str, Sequence[Piece]] = OrderedDict()

    @staticmethod
    def key(sound: bytes) -> str:
        """Return the key of a file's content."""
        return hashlib.sha256(sound).hexdigest()

    def get(self, key: str) -> Sequence[Piece] | None:
        """Return all pieces of a sound, if they are there."""
        pieces = self._kept.get(key)
        if pieces is not None:
            self._kept.move_to_end(key)
        return pieces

    def put(self, key: str, pieces: Sequence[Piece]) -> None:
        """Keep all pieces of a sound."""
        size = _size(pieces)
        if size > self._capacity or key in self._kept:
            return
        self._kept[key] = tuple(pieces)
        self._size += size
        while self._size > self._capacity:
            _, gone = self._kept.popitem(last=False)
            self._size -= _size(gone)


def _size(pieces: Sequence[Piece]) -> int:
    return sum(len(packet) for piece in pieces for packet in piece.packets)
