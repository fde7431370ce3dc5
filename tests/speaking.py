"""What the tests of speech providers share."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import uvloop

from engine.speech.settings import SynthesisSettings
from engine.speech.sound import SpeechChunk, Word
from processors.speech.espeak import EspeakProvider
from processors.speech.openai_speech import OpenAISpeechProvider
from processors.speech.piper import PiperProvider

THREE = "This is one. And this is two! Is this three?"

Provider = EspeakProvider | PiperProvider | OpenAISpeechProvider
LoopFactory = Callable[[], asyncio.AbstractEventLoop]

both_loops = pytest.mark.parametrize(
    "make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


@dataclass
class Heard:
    """All that a provider sent."""

    chunks: list[SpeechChunk]

    @property
    def samples(self) -> np.ndarray[Any, np.dtype[np.int16]]:
        return np.frombuffer(b"".join(chunk.pcm for chunk in self.chunks), "<i2")

    @property
    def rate(self) -> int:
        (rate,) = {chunk.rate for chunk in self.chunks}
        return rate

    @property
    def words(self) -> list[Word]:
        return [word for chunk in self.chunks for word in chunk.words]

    def between(self, start: float, end: float) -> np.ndarray[Any, np.dtype[np.int16]]:
        return self.samples[round(start * self.rate) : round(end * self.rate)]


async def hear(provider: Provider, text: str, voice: str = "") -> Heard:
    async with aclosing(provider.speak(text, voice)) as chunks:
        return Heard([chunk async for chunk in chunks])


def run_twice(make_loop: LoopFactory, scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine in a loop; no process and no pipe may be left behind."""
    me = psutil.Process()
    others = me.children()
    with asyncio.Runner(loop_factory=make_loop) as runner:
        # The loop opens files of its own when it first starts a process.
        runner.run(scene())
        files = me.num_fds()
        runner.run(scene())
        assert me.num_fds() <= files
        assert me.children() == others


def settings(**values: Any) -> SynthesisSettings:
    return SynthesisSettings.model_validate({"timeout_s": 20, **values})


def voice_files(folder: Path, name: str = "en_US-ann-low", **config: Any) -> Path:
    voice = folder / f"{name}.onnx"
    voice.touch()
    whole = {"audio": {"sample_rate": 16_000}, "espeak": {"voice": "en-us"}, **config}
    (folder / f"{name}.onnx.json").write_text(json.dumps(whole))
    return voice
