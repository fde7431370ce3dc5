"""Words of speech that has no text: written down in steps while it is made or comes in."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence

from engine.speech.decode import decode_sound
from engine.speech.resample import PcmResampler
from engine.speech.sound import SAMPLE_RATE, Samples, Transcriber, Word
from engine.speech.windows import SoundWindows
from transport.speech.studio import SpeechStudio

_FILE_WINDOW_S = 20.0
_WAITING_WINDOWS = 4


def _write(transcriber: Transcriber, window: Samples, start: int) -> Sequence[Word]:
    offset = start / SAMPLE_RATE
    return [
        Word(word.text, offset + word.start, offset + word.end)
        for word in transcriber.transcribe(window)
    ]


def _file_windows(sound: bytes, max_seconds: float) -> Iterator[Samples]:
    windows = SoundWindows(_FILE_WINDOW_S)
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
        self._windows = SoundWindows(studio.settings.captions.live_s)
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
