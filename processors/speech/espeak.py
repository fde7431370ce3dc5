"""Speech by espeak-ng (GPL-3.0, run as a program of its own): no model, a hundred languages."""

import bisect
import difflib
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from engine.errors import MissingDependency
from engine.speech.captions import spread, tokens
from engine.speech.settings import SynthesisSettings
from engine.speech.sound import SpeechChunk, Word
from processors.speech.child import Child, check_exit
from processors.speech.pieces import Manner, Recital, SpeechFailed, UnknownVoice, in_time, recite
from processors.speech.text import sentences

NAME = "espeak-ng"
HINT = "sudo apt-get install espeak-ng (macOS: brew install espeak-ng)"

_WORKER = [sys.executable, "-I", "-S", str(Path(__file__).with_name("espeak_worker.py"))]
_PROBE_TIMEOUT_S = 10
_OWN_VOICE = "en-us"
_VOICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+() -]{0,59}")
_SOME_VOICES = ("en-us", "en-gb", "es", "es-419", "fr-fr", "de", "it", "pt-br", "cmn", "hi")

_HEADER = struct.Struct("<cI")
_MAX_FRAME = 16 * 1024 * 1024
_WAV_HEADER_BYTES = 44
_PROGRAM_RATE = 22_050


@dataclass(frozen=True, slots=True)
class Installed:
    """What there is of espeak-ng.

    Attributes:
        library: The library can be loaded; it tells when each word is said.
        program: Path of the program; it only speaks.
    """

    library: bool
    program: str | None

    @property
    def usable(self) -> bool:
        """There is enough to speak."""
        return self.library or self.program is not None


def find_espeak() -> Installed:
    """Look for espeak-ng. Starts a process: takes some 50 ms."""
    try:
        probe = subprocess.run(
            [*_WORKER, "--probe"], capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False
        )
        library = probe.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        library = False
    return Installed(library, shutil.which("espeak-ng"))


class EspeakProvider:
    """Speaks with espeak-ng; implements ``SpeechProvider``.

    Args:
        settings: Of the synthesis.
        installed: What there is of espeak-ng; None: look for it.
    """

    name = NAME

    def __init__(self, settings: SynthesisSettings, installed: Installed | None = None) -> None:
        self._settings = settings
        self._installed = find_espeak() if installed is None else installed

    async def speak(self, text: str, voice: str) -> AsyncGenerator[SpeechChunk, None]:
        """Speak a text; see ``SpeechProvider``.

        Raises:
            MissingDependency: espeak-ng is not installed.
            UnknownVoice: It has no such voice.
            SpeechFailed: It hangs, dies or says nothing.
        """
        voice = (voice or self._settings.voice or _OWN_VOICE).replace("_", "-")
        if not _VOICE.fullmatch(voice):
            raise _unknown(voice, _SOME_VOICES)
        if self._installed.library:
            chunks = self._by_library(text, voice)
        elif self._installed.program is not None:
            chunks = self._by_program(self._installed.program, text, voice)
        else:
            raise MissingDependency("espeak-ng is not installed.", HINT)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def _by_library(self, text: str, voice: str) -> AsyncGenerator[SpeechChunk, None]:
        manner = Manner(NAME, 0, self._settings.timeout_s)
        child = await Child.start([*_WORKER, voice, str(self._settings.rate)], text)
        try:
            report = _Report(text, voice)
            while data := await in_time(child.read(), manner):
                if (chunk := report.feed(data)) is not None:
                    yield chunk
            await in_time(check_exit(child, NAME), manner)
            report.check_end()
        finally:
            await child.close()

    async def _by_program(
        self, program: str, text: str, voice: str
    ) -> AsyncGenerator[SpeechChunk, None]:
        arguments = [program, "--stdin", "--stdout", "-v", voice, "-s", str(self._settings.rate)]

        async def begin(piece: str) -> Recital:
            # The program would read what is between [[ and ]] as phonemes.
            child = await Child.start(arguments, piece.replace("[[", "[ ["))
            return _WavRecital(child, voice)

        manner = Manner(NAME, _PROGRAM_RATE, self._settings.timeout_s)
        chunks = recite(sentences(text, voice), begin, manner)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk


class WordTimes:
    """Gives the words of a text the times at which they are said.

    A word that the provider does not report shares the time of the one before it.

    Args:
        text: What is said.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._starts = [token.start for token in self._tokens]
        self._open = 0
        self._begun = False
        self._since = 0.0
        self._audible_end: float | None = None

    def word(self, position: int, at: float) -> tuple[Word, ...]:
        """Note that the word at a position starts; return the words that are over by then.

        Args:
            position: Index of a character in the text.
            at: Seconds.
        """
        index = bisect.bisect_right(self._starts, position) - 1
        if index <= self._open and (self._begun or index < 0):
            return ()
        words = self._close(index, at)
        self._begun = True
        self._open, self._since, self._audible_end = index, at, None
        return words

    def pause(self, audible_end: float) -> None:
        """Note that there is silence since then, in seconds."""
        self._audible_end = audible_end

    def end(self, at: float) -> tuple[Word, ...]:
        """Return the rest."""
        return self._close(len(self._tokens), at)

    def _close(self, until: int, at: float) -> tuple[Word, ...]:
        if until == self._open:
            return ()
        end = at if self._audible_end is None else max(self._since, self._audible_end)
        part = self._text[self._tokens[self._open].start : self._tokens[until - 1].end]
        self._open = until
        return spread(part, self._since, end)


class _Report:
    """Reads the frames of ``espeak_worker.py``."""

    def __init__(self, text: str, voice: str) -> None:
        self._voice = voice
        self._times = WordTimes(text)
        self._buffer = bytearray()
        self._rate = 0
        self._samples = 0
        self._done = False

    def feed(self, data: bytes) -> SpeechChunk | None:
        """Take what the worker wrote; return the sound and words in it, if any.

        Raises:
            UnknownVoice: There is no such voice.
            SpeechFailed: The library failed, or this is no report.
        """
        self._buffer += data
        pcm = bytearray()
        words: list[Word] = []
        while len(self._buffer) >= _HEADER.size:
            kind, size = _HEADER.unpack_from(self._buffer)
            if kind not in b"RPWSVEZ" or size > _MAX_FRAME:
                raise _senseless()
            if len(self._buffer) < _HEADER.size + size:
                break
            payload = bytes(self._buffer[_HEADER.size : _HEADER.size + size])
            del self._buffer[: _HEADER.size + size]
            if kind == b"P" and self._rate:
                pcm += payload
                self._samples += size // 2
                continue
            try:
                words += self._note(kind, payload)
            except (struct.error, UnicodeDecodeError) as error:
                raise _senseless() from error
        return SpeechChunk(bytes(pcm), self._rate, words) if pcm or words else None

    def _note(self, kind: bytes, payload: bytes) -> tuple[Word, ...]:
        if kind == b"V":
            raise _unknown(self._voice, payload.decode().split())
        if kind == b"E":
            raise SpeechFailed(f"espeak-ng failed: {payload.decode()}.", f"Is it whole? {HINT}")
        if kind == b"R":
            (self._rate,) = struct.unpack("<I", payload)
        elif not self._rate:
            raise _senseless()
        elif kind == b"W":
            position, sample = struct.unpack("<II", payload)
            return self._times.word(position, sample / self._rate)
        elif kind == b"S":
            self._times.pause(struct.unpack("<I", payload)[0] / self._rate)
        else:
            self._done = True
            return self._times.end(self._samples / self._rate)
        return ()

    def check_end(self) -> None:
        """Make sure that all has been said.

        Raises:
            SpeechFailed: It has not.
        """
        if not self._done:
            raise SpeechFailed("The helper process of espeak-ng ended too early.")
        if not self._samples:
            raise SpeechFailed(
                f"espeak-ng said nothing with the voice '{self._voice}'.",
                "Does that voice know the language?",
            )


class _WavRecital:
    """A piece spoken by the program, which writes a WAV file."""

    def __init__(self, child: Child, voice: str) -> None:
        self._child = child
        self._voice = voice
        self._header = b""

    async def read(self) -> bytes:
        while data := await self._child.read():
            if len(self._header) == _WAV_HEADER_BYTES:
                return data
            data = self._header + data
            self._header, pcm = data[:_WAV_HEADER_BYTES], data[_WAV_HEADER_BYTES:]
            self._check_header()
            if pcm:
                return pcm
        if "voice does not exist" in self._child.complaint:
            raise _unknown(self._voice, _SOME_VOICES)
        await check_exit(self._child, NAME)
        return b""

    async def close(self) -> None:
        await self._child.close()

    def _check_header(self) -> None:
        if len(self._header) < _WAV_HEADER_BYTES:
            return
        channels, rate = struct.unpack_from("<HI", self._header, 22)
        if not self._header.startswith(b"RIFF") or (channels, rate) != (1, _PROGRAM_RATE):
            raise SpeechFailed(f"The program espeak-ng wrote no mono sound of {_PROGRAM_RATE} Hz.")


def _senseless() -> SpeechFailed:
    return SpeechFailed("The helper process of espeak-ng wrote something senseless.")


def _unknown(voice: str, voices: tuple[str, ...] | list[str]) -> UnknownVoice:
    alike = difflib.get_close_matches(voice, voices, 5, 0.4)
    some = [*alike, *(v for v in _SOME_VOICES if v in voices and v not in alike)]
    return UnknownVoice(
        f"espeak-ng has no voice '{voice[:60]}'.",
        f"For example: {', '.join(some)}. 'espeak-ng --voices' lists all.",
    )
