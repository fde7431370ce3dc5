"""Speech by piper: neural voices, run as a program of its own.

Both programs of this name work: that of OHF-Voice/piper1-gpl (``pip install piper-tts``) and the
older one of rhasspy/piper. Raw output does not tell where a sentence ends, so each one gets a
process; it loads its voice while the sentence before it is played.
"""

import shutil
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from pydantic import AliasPath, BaseModel, Field, ValidationError

from engine.errors import MissingDependency, SettingsError
from engine.speech.settings import SynthesisSettings
from engine.speech.sound import SpeechChunk
from processors.speech.child import Child, check_exit
from processors.speech.pieces import Manner, Recital, UnknownVoice, recite
from processors.speech.text import sentences

NAME = "piper"
HINT = "pip install piper-tts, or set speech.synthesis.piper_program."

_PAUSE_S = 0.2
_NATURAL_WPM = 165
"""What voices of piper speak at their own length scale, roughly."""


class _Config(BaseModel):
    """What is needed of ``NAME.onnx.json``."""

    rate: int = Field(validation_alias=AliasPath("audio", "sample_rate"), ge=8000, le=96_000)
    language: str = Field("en", validation_alias=AliasPath("espeak", "voice"))
    length_scale: float = Field(1.0, validation_alias=AliasPath("inference", "length_scale"), gt=0)


class PiperProvider:
    """Speaks with piper; implements ``SpeechProvider``.

    Args:
        settings: Of the synthesis; ``piper_voice`` is set.

    Raises:
        SettingsError: The voice is missing or damaged.
    """

    name = NAME

    def __init__(self, settings: SynthesisSettings) -> None:
        if settings.piper_voice is None:
            raise SettingsError(
                "speech.synthesis.provider is piper, but speech.synthesis.piper_voice is not set.",
                "Name the NAME.onnx of a voice; 'python -m piper.download_voices' gets one.",
            )
        self._settings = settings
        self._own_voice = settings.piper_voice
        _read_config(self._own_voice)

    async def speak(self, text: str, voice: str) -> AsyncGenerator[SpeechChunk, None]:
        """Speak a text; see ``SpeechProvider``.

        Args:
            text: What is said.
            voice: Name or language of a voice in the folder of the voice in the settings.

        Raises:
            MissingDependency: The program is not there.
            UnknownVoice: There is no such voice.
            SpeechFailed: It hangs, dies or says nothing.
        """
        program = shutil.which(self._settings.piper_program)
        if program is None:
            raise MissingDependency(
                f"There is no program '{self._settings.piper_program}' to speak with.", HINT
            )
        path = self._pick(voice or self._settings.voice)
        config = _read_config(path)
        # Spelled with underscores, which both programs know.
        arguments = [program, "--model", str(path), "--output_raw", "--sentence_silence", "0"]
        if self._settings.rate != _NATURAL_WPM:
            scale = config.length_scale * _NATURAL_WPM / self._settings.rate
            arguments += ["--length_scale", f"{scale:.3f}"]

        async def begin(piece: str) -> Recital:
            # Each line is an utterance of its own.
            return _PiperRecital(await Child.start(arguments, " ".join(piece.split()) + "\n"))

        manner = Manner(NAME, config.rate, self._settings.timeout_s, _PAUSE_S)
        chunks = recite(sentences(text, config.language), begin, manner)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    def _pick(self, voice: str) -> Path:
        """The voice of a name, else the first one of a language; the settings' own goes first."""
        if not voice:
            return self._own_voice
        beside = sorted(self._own_voice.parent.glob("*.onnx"))
        for path in [self._own_voice, *beside]:
            if path.stem == voice:
                return path
        wanted = _normal(voice)
        for path in [self._own_voice, *beside]:
            if f"{_normal(path.stem)}-".startswith(f"{wanted}-"):
                return path
        raise UnknownVoice(
            f"piper has no voice '{voice[:60]}'.",
            f"There are: {', '.join(path.stem for path in beside[:20])}.",
        )


class _PiperRecital:
    """A piece spoken by a process of piper."""

    def __init__(self, child: Child) -> None:
        self._child = child

    async def read(self) -> bytes:
        data = await self._child.read()
        if not data:
            await check_exit(self._child, NAME)
        return data

    async def close(self) -> None:
        await self._child.close()


def _read_config(voice: Path) -> _Config:
    """Read what belongs to a voice.

    Raises:
        SettingsError: One of its files is missing or damaged.
    """
    path = voice.with_name(f"{voice.name}.json")
    hint = "A voice is NAME.onnx with NAME.onnx.json beside it."
    for file in (voice, path):
        if not file.is_file():
            raise SettingsError(f"speech.synthesis.piper_voice: there is no {file}.", hint)
    try:
        return _Config.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise SettingsError(
            f"speech.synthesis.piper_voice: {path} does not describe a voice"
            f" ({error.errors()[0]['msg']}).",
            hint,
        ) from error


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")
