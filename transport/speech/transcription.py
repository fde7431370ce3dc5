"""Words of speech that has no text: written down in steps while it is made or comes in."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence

import numpy as np

from engine.speech.decode import decode_sound
from engine.speech.resample import PcmResampler
from engine.speech.sound import SAMPLE_RATE, Samples, Transcriber, Word
from transport.speech.studio import SpeechStudio

_FILE_WINDOW_S = 20.0
_SEARCHED_S = 1.0
_QUIET_SAMPLES = SAMPLE_RATE // 50
_WAITING_WINDOWS = 4


class _Windows:
    """Cuts sound into windows at quiet moments, so that no word is cut in two."""

    def __init__(self, seconds: float) -> None:
        self._length = round(seconds * SAMPLE_RATE)
        self._searched = min(self._length // 2, round(_SEARCHED_S * SAMPLE_RATE))
        self._kept: list[Samples] = []
        self._count = 0

    def add(self, samples: Samples) -> Samples | None:
        """Take sound; return the next window if it is full."""
        self._kept.append(samples)
        self._count += len(samples)
        if self._count < self._length:
            return None
        whole = np.concatenate(self._kept)
        cut = self._quietest(whole)
        self._kept, self._count = [whole[cut:]], len(whole) - cut
        return whole[:cut]

    def rest(self) -> Samples:
        """Return what is left."""
        whole = np.concatenate(self._kept) if self._kept else np.zeros(0, np.float32)
        self._kept, self._count = [], 0
        return whole

    def _quietest(self, whole: Samples) -> int:
        first = len(whole) - self._searched
        blocks = (len(whole) - first) // _QUIET_SAMPLES
        searched = whole[first : first + blocks * _QUIET_SAMPLES].reshape(blocks, _QUIET_SAMPLES)
        return first + int(np.argmin((searched**2).sum(axis=1))) * _QUIET_SAMPLES


def _write(transcriber: Transcriber, window: Samples, start: int) -> Sequence[Word]:
    offset = start / SAMPLE_RATE
    return [
        Word(word.text, offset + word.start, offset + word.end)
        for word in transcriber.transcribe(window)
    ]


def _file_windows(sound: bytes, max_seconds: float) -> Iterator[Samples]:
    windows = _Windows(_FILE_WINDOW_S)
    for samples in decode_sound(sound, max_seconds):
        window = windows.add(samples)
        if window is not None:
            yield window
    yield windows.rest()


async def transcribe_sound(
    studio: SpeechStudio, transcriber: Transcriber, sound: bytes
) -> AsyncGenerator[Sequence[Word], None]:
    """Write down a sound file.

    Raises:
        AvatarServerError: It cannot be read or transcribed.
    """
    windows, start = _file_windows(sound, studio.settings.max_seconds), 0
    while (window := await studio.write_down(next, windows, None)) is not None:
        if len(window):
            yield await studio.write_down(_write, transcriber, window, start)
        start += len(window)


class LiveTranscription:
    """Writes down streamed sound while it comes in.

    Where transcribing is slower than the sound, windows are left out rather than shown late.

    Args:
        studio: Has the thread.
        transcriber: Does the work.
        rate: Samples per second of the PCM.
    """

    def __init__(self, studio: SpeechStudio, transcriber: Transcriber, rate: int) -> None:
        self._studio = studio
        self._transcriber = transcriber
        self._resampler = PcmResampler(rate)
        self._windows = _Windows(studio.settings.captions.live_s)
        self._start = 0
        self._queue: asyncio.Queue[tuple[Samples, int] | None] = asyncio.Queue(_WAITING_WINDOWS)

    async def feed(self, pcm: bytes) -> None:
        """Take sound: s16le, mono."""
        samples = await self._studio.run(self._resampler.feed, pcm)
        self._put(self._windows.add(samples))

    async def finish(self) -> None:
        """The sound is over."""
        rest = await self._studio.run(self._resampler.finish)
        self._put(self._windows.add(rest))
        self._put(self._windows.rest())
        await self._queue.put(None)

    async def words(self) -> AsyncGenerator[Sequence[Word], None]:
        """Yield words until the sound is over."""
        while (item := await self._queue.get()) is not None:
            window, start = item
            yield await self._studio.write_down(_write, self._transcriber, window, start)

    def _put(self, window: Samples | None) -> None:
        if window is None or not len(window):
            return
        start, self._start = self._start, self._start + len(window)
        if not self._queue.full():
            self._queue.put_nowait((window, start))
