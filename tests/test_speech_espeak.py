"""The real espeak-ng, and helper processes of it that fail."""

import asyncio
import itertools
import sys

import numpy as np
import psutil
import pytest

from engine.errors import MissingDependency, Unavailable
from engine.speech.sound import Word
from processors.speech import espeak
from processors.speech.espeak import EspeakProvider, Installed, WordTimes, find_espeak
from processors.speech.pieces import SpeechFailed, UnknownVoice
from tests.speaking import THREE, LoopFactory, both_loops, hear, run_twice, settings

NOTHING = Installed(library=False, program=None)


@pytest.fixture
def installed() -> Installed:
    found = find_espeak()
    if not found.library or found.program is None:
        pytest.skip("espeak-ng is not installed")
    return found


@both_loops
def test_espeak_says_all_words_when_it_says_so(
    make_loop: LoopFactory, installed: Installed
) -> None:
    async def scene() -> None:
        heard = await hear(
            EspeakProvider(settings(), installed), 'Hello there, Zoë — "really?" she asked. Yes!'
        )

        words = heard.words
        assert [word.text for word in words] == [
            *("Hello", "there,", "Zoë —", '"really?"', "she", "asked.", "Yes!")
        ]
        assert heard.rate == 22_050
        for word in words:
            assert np.abs(heard.between(word.start, word.end)).max() > 1000, word
        # Pauses of espeak-ng are digital silence, so the edges can be checked to the sample.
        gaps = [(a.end, b.start) for a, b in itertools.pairwise(words) if b.start - a.end > 0.1]
        gaps.append((words[-1].end, len(heard.samples) / heard.rate))
        assert len(gaps) == 5
        for start, end in gaps:
            assert not heard.between(start + 1e-3, end - 1e-3).any()

    run_twice(make_loop, scene)


@pytest.mark.parametrize(
    ("voice", "text", "count"),
    [
        ("es", "¿Cómo está usted? El Sr. Pérez, 3,50 €.", 8),
        ("es_MX", "Buenos días.", 2),
        ("", "It costs $3.50 & 12,000 €, 100 % e.g. 😀 at www.example.com (now).", 12),
        ("cmn", "你好。今天天气很好！", 8),
        ("en-us", "مرحبا كيف hello", 3),
    ],
)
def test_espeak_speaks(installed: Installed, voice: str, text: str, count: int) -> None:
    heard = asyncio.run(hear(EspeakProvider(settings(), installed), text, voice))

    assert "".join(word.text for word in heard.words).replace(" ", "") == text.replace(" ", "")
    assert len(heard.words) == count
    at = 0.0
    for word in heard.words:
        assert at - 1e-9 <= word.start <= word.end
        at = word.end
    assert at <= len(heard.samples) / heard.rate


def test_espeak_speaks_faster_where_it_shall(installed: Installed) -> None:
    async def length(rate: int) -> int:
        heard = await hear(EspeakProvider(settings(rate=rate), installed), THREE)
        return len(heard.samples)

    assert asyncio.run(length(330)) < 0.7 * asyncio.run(length(165))


@both_loops
def test_espeak_begins_before_it_has_said_all(make_loop: LoopFactory, installed: Installed) -> None:
    async def scene() -> None:
        chunks = (await hear(EspeakProvider(settings(), installed), THREE * 30)).chunks

        assert len(chunks) > 10
        assert chunks[0].pcm

    run_twice(make_loop, scene)


@both_loops
def test_espeak_can_be_interrupted(make_loop: LoopFactory, installed: Installed) -> None:
    async def scene() -> None:
        for each in (installed, Installed(False, installed.program)):
            speech = EspeakProvider(settings(), each).speak(THREE * 2000, "")
            assert (await anext(speech)).pcm
            await speech.aclose()
            assert psutil.Process().children() == []

    run_twice(make_loop, scene)


@both_loops
def test_espeak_can_be_cancelled_at_any_moment(
    make_loop: LoopFactory, installed: Installed
) -> None:
    async def scene() -> None:
        provider = EspeakProvider(settings(), installed)
        for steps in range(12):
            task = asyncio.create_task(hear(provider, THREE * 100))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert psutil.Process().children() == []

    run_twice(make_loop, scene)


@both_loops
def test_espeak_without_the_library_spreads_the_words(
    make_loop: LoopFactory, installed: Installed
) -> None:
    async def scene() -> None:
        provider = EspeakProvider(settings(), Installed(False, installed.program))
        heard = await hear(provider, THREE + " [[see]] - ")

        assert [word.text for word in heard.words] == [*THREE.split(), "[[see]] -"]
        assert heard.rate == 22_050
        for word in heard.words:
            assert heard.between(word.start, word.end).any(), word

    run_twice(make_loop, scene)


@pytest.mark.parametrize("voice", ["klingonese", "../../x", "-x", "en;id", "ę", "a" * 99])
@pytest.mark.parametrize("library", [True, False])
def test_espeak_unknown_voice(installed: Installed, voice: str, library: bool) -> None:
    provider = EspeakProvider(settings(), Installed(library, installed.program))

    with pytest.raises(UnknownVoice, match=r"has no voice .*en-us, .*es, .*--voices"):
        asyncio.run(hear(provider, "Hello.", voice))


def test_espeak_suggests_voices_of_a_like_name(installed: Installed) -> None:
    with pytest.raises(UnknownVoice, match="fr-be"):
        asyncio.run(hear(EspeakProvider(settings(), installed), "Hello.", "frbe"))


def test_espeak_that_is_not_installed() -> None:
    with pytest.raises(MissingDependency, match=r"sudo apt-get install espeak-ng.*brew install"):
        asyncio.run(hear(EspeakProvider(settings(), NOTHING), "Hello."))


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        ("import sys; sys.exit('the data is gone')", "ended with 1: the data is gone"),
        ("import os; os.kill(os.getpid(), 11)", "was killed by signal 11"),
        ("pass", "ended too early"),
        ("print('Traceback: something else')", "wrote something senseless"),
        ("import struct, os; os.write(1, struct.pack('<cI', b'P', 1 << 30))", "senseless"),
        ("import os; os.write(1, b'E' + bytes([3, 0, 0, 0]) + b'bad')", "espeak-ng failed: bad"),
        ("import os; os.write(1, b'Z' + bytes(4))", "senseless"),
        ("import os; os.write(1, b'R' + bytes([1, 0, 0, 0, 9]))", "senseless"),
        (
            "import os; os.write(1, b'R' + bytes([4, 0, 0, 0, 9, 0, 0, 0]) + b'Z' + bytes(4))",
            "said nothing",
        ),
        ("import signal; signal.pause()", "sent no sound for 0.3 s"),
    ],
)
@both_loops
def test_espeak_worker_that_fails(
    make_loop: LoopFactory, monkeypatch: pytest.MonkeyPatch, worker: str, message: str
) -> None:
    monkeypatch.setattr(espeak, "_WORKER", [sys.executable, "-IS", "-c", worker])
    provider = EspeakProvider(settings(timeout_s=0.3), Installed(library=True, program=None))

    async def scene() -> None:
        with pytest.raises(SpeechFailed, match=message) as caught:
            await hear(provider, "Hello.")
        assert isinstance(caught.value, Unavailable)

    if "no sound" not in message:
        provider = EspeakProvider(settings(), Installed(library=True, program=None))
    run_twice(make_loop, scene)


def test_words_that_are_not_reported_share_the_time_of_the_one_before() -> None:
    times = WordTimes("one & two three. four")

    assert times.word(0, 0.0) == ()
    assert times.word(1, 0.2) == ()
    times.pause(1.8)
    first = times.word(17, 2.0)
    assert [word.text for word in first] == ["one &", "two", "three."]
    assert first[0].start == 0.0
    assert first[-1].end == pytest.approx(1.8)
    assert times.word(6, 2.1) == ()
    assert times.end(3.0) == (Word("four", 2.0, 3.0),)
    assert times.end(3.0) == ()


def test_words_before_the_first_report() -> None:
    times = WordTimes("one two")

    assert times.word(4, 0.5) == (Word("one", 0.0, 0.5),)
    assert times.end(1.0) == (Word("two", 0.5, 1.0),)
