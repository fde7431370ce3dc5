"""What speech costs: processor time in silence and in speech; 1,000 utterances on a stream."""

import asyncio
import contextlib
import gc
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from aiohttp.test_utils import TestServer

from engine.settings import AvatarSettings
from engine.speech.settings import SpeechSettings
from engine.speech.sound import SAMPLE_RATE
from tests.benchmarks.material import server
from tests.benchmarks.speech_material import flashing_avatar, talk_from_its_voice
from tests.benchmarks.speech_receiver import Receiver, receivers
from tests.benchmarks.table import Row
from tests.hearing import pcm, tone, wav
from tests.processes import ROOT
from tests.serving import serving
from transport.commands.speech import speech_tools
from transport.sessions import StreamRegistry

VIEWERS = 20
_SIZE = "avatars.size=128x128"
_RATE = 16_000


def run(quick: bool = False) -> list[Row]:
    """Compare a server with and without sound in pairs; then have one stream speak for minutes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flashing_avatar(folder)
        rows = _processor_time(folder, 1 if quick else 3, 5 if quick else 15)
        rows += asyncio.run(_many(folder, 60 if quick else 1000))
    return rows


# Processor time.


def _processor_time(folder: Path, pairs: int, seconds: float) -> list[Row]:
    speech = folder / "speech.wav"
    speech.write_bytes(_speech_for(seconds + 30))
    silent, speaking, without = [], [], []
    for _ in range(pairs):
        without.append(_spent(folder, seconds, "speech.enabled=false"))
        silent.append(_spent(folder, seconds))
        speaking.append(_spent(folder, seconds, sound=speech))
    base = statistics.median(without)
    silence = statistics.median(a - b for a, b in zip(silent, without, strict=True))
    speech_cost = statistics.median(a - b for a, b in zip(speaking, without, strict=True))
    spread = ", ".join(f"{a - b:.2f}" for a, b in zip(silent, without, strict=True))
    return [
        Row(
            f"CPU of a silent viewer's sound, {VIEWERS} viewers, {pairs} pairs of {seconds:.0f} s",
            f"{silence:.2f} ms per second ({spread})",
            "<= 0.5 ms per second",
            silence <= 0.5,
        ),
        Row(
            "CPU of a speaking viewer's sound",
            f"{speech_cost:.2f} ms per second",
            "<= 2 ms per second",
            speech_cost <= 2,
        ),
        Row("CPU of a viewer without sound, for comparison", f"{base:.2f} ms per second"),
    ]


def _speech_for(seconds: float) -> bytes:
    """A WAV file of 16 kHz."""
    speech = talk_from_its_voice()[:: SAMPLE_RATE // _RATE]
    return wav(np.tile(speech, int(seconds * _RATE / len(speech)) + 1), _RATE)


def _spent(folder: Path, seconds: float, *settings: str, sound: Path | None = None) -> float:
    """Return the server's CPU in ms per second and viewer."""
    with server(folder, _SIZE, *settings) as (address, _), _crowd(address, sound):
        # Preparing the sound, once for all viewers, is over.
        time.sleep(3)
        before = _process(address)
        time.sleep(seconds)
        after = _process(address)
    elapsed = after["uptime_seconds"] - before["uptime_seconds"]
    return float((after["cpu_seconds"] - before["cpu_seconds"]) / elapsed / VIEWERS * 1000)


@contextlib.contextmanager
def _crowd(address: str, sound: Path | None) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.benchmarks.speech_crowd", address, "flash"]
    command += [str(VIEWERS), *([str(sound)] if sound else [])]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline().strip() == "ready"
        yield
        process.stdin.close()


def _process(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(address + "/status") as response:
        found: dict[str, Any] = json.load(response)["process"]
    return found


# Many utterances.


class _Counts:
    """What became of the utterances of one stream."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self.started: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.interrupted: Counter[str] = Counter()
        self.dropped = 0

    def take(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        for subject, payload in events:
            name = payload.get("utterance")
            if name is None:
                continue
            if subject == "stream/started":
                self.started[name] += 1
            elif subject == "stream/done":
                self.done[name] += 1
            elif subject == "stream/interrupted":
                self.interrupted[name] += 1
                self.dropped += payload["dropped"]

    @property
    def over(self) -> int:
        return len(self.done) + len(self.interrupted)

    def wrong(self) -> int:
        """Count those without exactly one end, and those done or cut off without a start."""
        found = 0
        for name in self.asked:
            ends = self.done[name] + self.interrupted[name]
            found += ends != 1 or self.started[name] > 1
            found += self.done[name] > self.started[name]
        return found + len((self.done.keys() | self.interrupted.keys()) - self.asked)


async def _many(folder: Path, count: int) -> list[Row]:
    speech = SpeechSettings()
    tools = speech_tools(speech, {})
    settings = AvatarSettings(
        folder=folder, cache=folder / "cache", size="128x128", transitions="cut"
    )
    async with serving(folder, avatars=settings, speech=speech, tools=tools) as (client, registry):
        assert isinstance(client.server, TestServer)
        address = str(client.make_url("")).rstrip("/")
        async with receivers(address, "flash") as (viewer,):
            counts, sizes, tasks = await _conversation(viewer, registry, count)
            return await _after(viewer, registry, counts, sizes, tasks)


async def _conversation(
    viewer: Receiver, registry: StreamRegistry, count: int
) -> tuple[_Counts, list[int], list[int]]:
    """Say things and interrupt by chance; return what came of it, memory and tasks at rest."""
    chance = random.Random(6)
    counts = _Counts()
    sizes: list[int] = []
    tasks: list[int] = []
    async with viewer.socket() as socket:
        while len(counts.asked) < count:
            for _ in range(chance.randint(1, 5)):
                counts.asked.add(await _say_something(viewer, socket, chance))
            await asyncio.sleep(chance.uniform(0, 0.5))
            if chance.random() < 0.5:
                await viewer.interrupt()
            async with asyncio.timeout(30):
                while counts.over < len(counts.asked):
                    counts.take(viewer.events())
                    await asyncio.sleep(0.01)
            viewer.forget()
            gc.collect()
            sizes.append(psutil.Process().memory_info().rss)
            tasks.append(len(asyncio.all_tasks()))
    return counts, sizes, tasks


async def _say_something(viewer: Receiver, socket: Any, chance: random.Random) -> str:
    way = chance.random()
    length = chance.uniform(0.02, 0.4)
    if way < 0.15:
        return (await viewer.speak(chance.choice(("Yes.", "No, thank you.", "Well.")))).utterance
    if way < 0.7:
        return (await viewer.play(wav(tone(length, chance.uniform(200, 2000))))).utterance
    await socket.send_json({"type": "begin", "rate": 24_000})
    while (queued := await socket.receive_json())["type"] != "queued":
        pass
    await socket.send_bytes(pcm(tone(length)[::2]))
    await socket.send_json({"type": "end"})
    return str(queued["utterance"])


async def _after(
    viewer: Receiver,
    registry: StreamRegistry,
    counts: _Counts,
    sizes: list[int],
    tasks: list[int],
) -> list[Row]:
    (stream,) = registry.streams()
    voice = stream.speaking()
    left = len(voice.speaker.waiting) + (voice.speaker.current is not None)
    said = await viewer.play(wav(tone(0.1, 777)))
    done = await viewer.event("stream/done", utterance=said.utterance)
    counts.take(viewer.events())
    fifth = len(sizes) // 5
    grown = (statistics.median(sizes[-fifth:]) - statistics.median(sizes[fifth : 2 * fifth])) / 1e6
    more = max(tasks[-fifth:]) - max(tasks[:fifth])
    wrong = counts.wrong()
    return [
        Row(
            f"{len(counts.asked):,} utterances by file, text and WebSocket: those that did not "
            "start and end once",
            f"{wrong} ({len(counts.done)} done, {len(counts.interrupted)} interrupted, "
            f"{counts.dropped} of these before they began)",
            "0",
            wrong == 0,
        ),
        Row(
            "still queued or playing at the end; one more is spoken",
            f"{left}; {done['position_ms']} ms",
            "0; 100 ms",
            left == 0 and 80 <= done["position_ms"] <= 140,
        ),
        Row("tasks more than in the first fifth", str(more), "0", more <= 0),
        Row(
            "memory grown from the second to the last fifth, viewer included",
            f"{grown:.1f} MB",
            "<= 5 MB",
            grown <= 5,
        ),
    ]
