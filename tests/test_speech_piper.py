"""A program like piper: sentence by sentence, slow, broken or not there."""

import asyncio
import itertools
import json
import os
import re
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.errors import MissingDependency, SettingsError
from processors.speech.pieces import SpeechFailed, UnknownVoice
from processors.speech.piper import PiperProvider
from tests.speaking import THREE, LoopFactory, both_loops, hear, run_twice, settings, voice_files

# 10 ms of sound at 16 kHz for each character, and a journal of what happens.
PIPER = """
import json, os, sys, time
here = os.path.dirname(os.path.abspath(__file__))
def note(*what):
    fd = os.open(here + "/journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (json.dumps(what) + "\\n").encode())
    os.close(fd)
text = sys.stdin.read()
note("begin", text, sys.argv[1:])
while "two" in text and os.path.exists(here + "/hold"):
    time.sleep(0.005)
for _ in text.strip():
    os.write(1, (5000).to_bytes(2, "little") * 160)
note("end", text)
"""


def piper(folder: Path, body: str = PIPER, **values: Any) -> PiperProvider:
    program = folder / "piper"
    program.write_text(f"#!{sys.executable} -IS\n{body}")
    program.chmod(0o755)
    voice = voice_files(folder)
    return PiperProvider(settings(piper_voice=voice, piper_program=str(program), **values))


def journal(folder: Path) -> list[list[Any]]:
    return [json.loads(line) for line in (folder / "journal").read_text().splitlines()]


@both_loops
def test_piper_speaks_sentence_by_sentence(make_loop: LoopFactory, tmp_path: Path) -> None:
    provider = piper(tmp_path)

    async def scene() -> None:
        heard = await hear(provider, THREE)

        assert heard.rate == 16_000
        assert [word.text for word in heard.words] == THREE.split()
        starts = {word.text: word.start for word in heard.words}
        # Each sentence, then 0.2 s of silence.
        assert starts["This"] == 0.0
        assert starts["And"] == pytest.approx(0.12 + 0.2)
        assert starts["Is"] == pytest.approx(0.12 + 0.2 + 0.16 + 0.2)
        assert heard.words[-1].end == pytest.approx(0.12 + 0.2 + 0.16 + 0.2 + 0.14)
        assert not heard.between(0.12, 0.32).any()

    run_twice(make_loop, scene)
    begun = [entry for entry in journal(tmp_path) if entry[0] == "begin"]
    assert [entry[1] for entry in begun[:3]] == [
        "This is one.\n",
        "And this is two!\n",
        "Is this three?\n",
    ]
    assert begun[0][2] == [
        *(
            "--model",
            str(tmp_path / "en_US-ann-low.onnx"),
            "--output_raw",
            "--sentence_silence",
            "0",
        )
    ]


def test_piper_starts_at_most_one_sentence_ahead(tmp_path: Path) -> None:
    asyncio.run(hear(piper(tmp_path), "Number 1. Number 2. Number 3. Number 4. Number 5."))

    events = [(entry[0], int(re.findall(r"\d", entry[1])[0])) for entry in journal(tmp_path)]
    assert sorted(events) == sorted(itertools.product(("begin", "end"), range(1, 6)))
    for number in range(1, 4):
        assert events.index(("end", number)) < events.index(("begin", number + 2))


@both_loops
def test_piper_is_heard_before_the_next_sentence_is_ready(
    make_loop: LoopFactory, tmp_path: Path
) -> None:
    provider = piper(tmp_path)
    hold = tmp_path / "hold"

    async def scene() -> None:
        hold.touch()
        async with aclosing(provider.speak("This is one. This is two.", "")) as speech:
            words = [word.text for word in (await anext(speech)).words]
            while "one." not in words:
                words += [word.text for word in (await anext(speech)).words]
            hold.unlink()
            words += [word.text async for chunk in speech for word in chunk.words]
        assert words == ["This", "is", "one.", "This", "is", "two."]

    run_twice(make_loop, scene)


@both_loops
def test_piper_can_be_interrupted_while_two_sentences_are_under_way(
    make_loop: LoopFactory, tmp_path: Path
) -> None:
    body = """
import os, signal, sys
os.write(1, bytes(100))
with open(os.path.dirname(os.path.abspath(__file__)) + "/begun", "wb") as begun:
    begun.write(b"x")
signal.pause()
"""
    provider = piper(tmp_path, body)
    os.mkfifo(tmp_path / "begun")

    async def scene() -> None:
        begun = os.open(tmp_path / "begun", os.O_RDWR)
        try:
            speech = provider.speak("This is one. This is two.", "")
            await anext(speech)
            for _ in range(2):
                await asyncio.to_thread(os.read, begun, 1)
            assert len(psutil.Process().children()) == 2
            await speech.aclose()
            assert psutil.Process().children() == []
        finally:
            os.close(begun)

    run_twice(make_loop, scene)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import sys; sys.exit('no such model')", "'piper' ended with 1: no such model"),
        ("import os; os.write(1, b'ab' * 999); os.abort()", "'piper' was killed by signal 6"),
        ("pass", "'piper' returned no sound for 'Hello there.'"),
        ("import os; os.write(1, b'RIFF' + bytes(40))", "'piper' sent a sound file"),
        ("import signal; signal.pause()", "'piper' sent no sound for 0.3 s"),
        ("import os, signal; os.write(1, b'ab'); os.close(1); signal.pause()", "no sound for 0.3"),
    ],
)
@both_loops
def test_piper_that_fails(make_loop: LoopFactory, tmp_path: Path, body: str, message: str) -> None:
    provider = piper(tmp_path, body, timeout_s=0.3 if "signal.pause" in body else 20)

    async def scene() -> None:
        with pytest.raises(SpeechFailed, match=message):
            await hear(provider, "Hello there.")

    run_twice(make_loop, scene)


def test_piper_is_told_the_rate(tmp_path: Path) -> None:
    provider = piper(tmp_path, rate=330)
    voice_files(tmp_path, inference={"length_scale": 1.2})

    asyncio.run(hear(provider, "Hello."))

    assert journal(tmp_path)[0][2][-2:] == ["--length_scale", "0.600"]


def test_piper_program_that_is_not_there(tmp_path: Path) -> None:
    provider = PiperProvider(
        settings(piper_voice=voice_files(tmp_path), piper_program="no-such-piper")
    )

    with pytest.raises(MissingDependency, match=r"'no-such-piper'.*pip install piper-tts"):
        asyncio.run(hear(provider, "Hello."))


@pytest.mark.parametrize(
    ("voice", "expected"),
    [
        ("", "en_US-ann-low"),
        ("en_US-ann-low", "en_US-ann-low"),
        ("en_US-zoe-high", "en_US-zoe-high"),
        ("es_ES-eva-low", "es_ES-eva-low"),
        ("en", "en_US-ann-low"),
        ("en-us", "en_US-ann-low"),
        ("es", "es_ES-eva-low"),
    ],
)
def test_piper_takes_voices_beside_its_own(tmp_path: Path, voice: str, expected: str) -> None:
    provider = piper(tmp_path)
    for name in ("es_ES-eva-low", "en_US-zoe-high", "en_US-aaa-low"):
        voice_files(tmp_path, name)

    asyncio.run(hear(provider, "Hello.", voice))

    assert journal(tmp_path)[0][2][1] == str(tmp_path / f"{expected}.onnx")


@pytest.mark.parametrize("voice", ["fr", "e", "../x", "/etc/x"])
def test_piper_unknown_voice(tmp_path: Path, voice: str) -> None:
    with pytest.raises(UnknownVoice, match=r"no voice .* There are: en_US-ann-low\."):
        asyncio.run(hear(piper(tmp_path), "Hello.", voice))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "there is no .*onnx.json"),
        ("{", "does not describe a voice"),
        ("{}", "does not describe a voice .*required"),
        ('{"audio": {"sample_rate": "many"}}', "does not describe a voice .*integer"),
    ],
)
def test_piper_voice_that_is_damaged(tmp_path: Path, config: str | None, message: str) -> None:
    voice = tmp_path / "x.onnx"
    voice.touch()
    if config is not None:
        (tmp_path / "x.onnx.json").write_text(config)

    with pytest.raises(SettingsError, match=message):
        PiperProvider(settings(piper_voice=voice))
