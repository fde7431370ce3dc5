"""Speech at a viewer on aiortc: lip-sync, how soon it speaks, how soon it falls silent."""

import asyncio
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.speech.sound import PACKET_MS, SAMPLE_RATE
from tests.benchmarks.material import server
from tests.benchmarks.speech_material import (
    AGENT_RATE,
    BRIGHT_ENOUGH,
    altered,
    beep,
    demo_server,
    flashing_avatar,
    onset,
    talk_from_its_voice,
    text_of,
    two_beeps,
    unbroken_talk,
)
from tests.benchmarks.speech_receiver import Receiver, audible_until, first, receivers
from tests.benchmarks.table import Row, percentile
from tests.hearing import LOUD, Heard, pcm

_FLASH = "avatars.size=128x128"
_PATIENCE = 15.0
_NEAR = 0.3
_AT_A_TIME = 4


def run(quick: bool = False) -> list[Row]:
    """Measure a real server with its own voice detection and espeak-ng."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flashing_avatar(folder)
        with server(folder, _FLASH) as (address, _):
            rows += asyncio.run(_in_step(address, 16 if quick else 100))
            rows += asyncio.run(_delays(address, "flash", ", hard cuts", 5 if quick else 40))
            rows += asyncio.run(_ways(address, 5 if quick else 30))
    with demo_server() as address:
        rows += asyncio.run(_delays(address, "demo", ", morphed", 5 if quick else 40))
    return rows


def delay_row(what: str, milliseconds: Sequence[float], limit: float | None = None) -> Row:
    """Make a row of delays, with a target for the 95th percentile if there is one."""
    p95 = percentile(milliseconds, 95)
    text = f"median {statistics.median(milliseconds):.0f} ms, p95 {p95:.0f} ms"
    if limit is None:
        return Row(what, text)
    return Row(what, text, f"p95 <= {limit:.0f} ms", p95 <= limit)


def offset_row(what: str, milliseconds: Sequence[float], limit: float | None = None) -> Row:
    """Make a row of offsets; positive where the picture comes after the sound."""
    sizes = [abs(value) for value in milliseconds]
    p99 = percentile(sizes, 99)
    text = (
        f"median {statistics.median(milliseconds):+.1f} ms; "
        f"size p50 {percentile(sizes, 50):.1f}, p99 {p99:.1f} ms"
    )
    if limit is None:
        return Row(what, text)
    return Row(what, text, f"p99 within +-{limit:.0f} ms", p99 <= limit)


async def _pause(chance: random.Random) -> None:
    """Let the stream come to rest, and let every run begin at another phase of the pictures."""
    await asyncio.sleep(chance.uniform(0.25, 0.6))


# Picture against sound.


@dataclass(frozen=True, slots=True)
class _Offset:
    """Flash minus beep in ms, by the media clock and by when they were decoded."""

    mapped: float
    arrived: float


async def _in_step(address: str, runs: int) -> list[Row]:
    async with receivers(address, "flash", _AT_A_TIME) as viewers:
        parts = await asyncio.gather(
            *(_beeps(viewer, seed, runs // _AT_A_TIME) for seed, viewer in enumerate(viewers))
        )
    found = [one for part in parts for one in part[0]]
    later = [one for part in parts for one in part[1]]
    known, known_later = [one for one in found if one], [one for one in later if one]
    still = len(found) + len(later) - len(known) - len(known_later)
    return [
        offset_row(
            f"flash against beep by the reported media clock, {len(found)} runs, beep after 0 to "
            "400 ms",
            [one.mapped for one in known],
            limit=20,
        ),
        offset_row(
            "the same by when they are decoded, without a jitter buffer",
            [one.arrived for one in known],
        ),
        offset_row(
            f"the second beep of an utterance, after 0.9 to 1.4 s of silence, {len(later)} runs",
            [one.mapped for one in known_later],
            limit=20,
        ),
        Row("beeps that the avatar did not move to", str(still), "0", still == 0),
    ]


async def _beeps(
    viewer: Receiver, seed: int, runs: int
) -> tuple[list[_Offset | None], list[_Offset | None]]:
    """Return the offsets of beeps that begin an utterance, and of those after a pause in one."""
    chance = random.Random(seed)
    found = [
        await _flash_and_beep(viewer, chance, beep(chance.uniform(0, 400))) for _ in range(runs)
    ]
    later = [
        await _flash_and_beep(viewer, chance, two_beeps(chance.uniform(900, 1400)), 0.5)
        for _ in range(runs // 4)
    ]
    return found, later


async def _flash_and_beep(
    viewer: Receiver, chance: random.Random, sound: bytes, skip: float = 0.0
) -> _Offset | None:
    """Have a beep played; None if the avatar did not move to it.

    Args:
        skip: Seconds from an earlier beep on in which it is not looked for.
    """
    await _pause(chance)
    viewer.forget()
    said = await viewer.play(sound)
    heard = await first(viewer.ear.heard, said.asked, _has_onset)
    if skip:
        heard = await first(viewer.ear.heard, heard.at + skip, _has_onset)
    await viewer.event("stream/done", utterance=said.utterance)
    begin = onset(heard.samples)
    assert begin is not None
    heard_at = heard.at + begin / SAMPLE_RATE
    flashes = [
        one for one in viewer.eye.seen if one.at > heard_at - _NEAR and one.level > BRIGHT_ENOUGH
    ]
    if not flashes:
        return None
    sounds = viewer.sound_times.seconds(heard.timestamp + begin)
    mapped = viewer.picture_times.seconds(flashes[0].timestamp) - sounds
    return _Offset(mapped * 1000, (flashes[0].at - heard_at) * 1000)


def _has_onset(heard: Heard) -> bool:
    return onset(heard.samples) is not None


# From a call to the first sound and the first picture.


async def _delays(address: str, avatar: str, kind: str, runs: int) -> list[Row]:
    chance = random.Random(2)
    speech = talk_from_its_voice()
    sounds, pictures, answers = [], [], []
    async with receivers(address, avatar) as (viewer,):
        for number in range(-1, runs):
            await _pause(chance)
            viewer.forget()
            said = await viewer.play(altered(speech, chance.randrange(1 << 20)))
            sound = await viewer.sound(said.asked)
            entered = await viewer.event("stream/state", state="gesture")
            picture = await viewer.picture(entered["rtp_timestamp"])
            await viewer.interrupt()
            await viewer.event("stream/state", state="idle")
            await viewer.silence(time.monotonic())
            # The first run loads the voice detection's model.
            if number >= 0:
                sounds.append((sound.at - said.asked) * 1000)
                pictures.append((picture.at - said.asked) * 1000)
                answers.append((said.answered - said.asked) * 1000)
    return [
        delay_row(f"POST of 4.9 s of new sound to first sound{kind}, {runs} runs", sounds, 150),
        delay_row(f"the same to the first picture of the gesture{kind}", pictures, 150),
        delay_row(f"of that, until the call is answered{kind}", answers),
    ]


async def _ways(address: str, runs: int) -> list[Row]:
    async with receivers(address, "flash") as (viewer,):
        rows = [
            await _socket(viewer, runs, in_real_time=True),
            await _socket(viewer, runs, in_real_time=False),
        ]
        rows.append(await _texts(viewer, runs))
        rows += await _interrupts(viewer, runs)
    return rows


async def _measured(
    viewer: Receiver, runs: int, seed: int, speak: Callable[[random.Random], Awaitable[float]]
) -> list[float]:
    """Return the ms from when it was asked to speak to the first sound, for each run."""
    chance = random.Random(seed)
    times = []
    for number in range(-1, runs):
        await _pause(chance)
        viewer.forget()
        asked = await speak(chance)
        heard = await viewer.sound(asked)
        await viewer.interrupt()
        await viewer.silence(time.monotonic())
        if number >= 0:
            times.append((heard.at - asked) * 1000)
    return times


async def _socket(viewer: Receiver, runs: int, in_real_time: bool) -> Row:
    speech = pcm(talk_from_its_voice()[:: SAMPLE_RATE // AGENT_RATE])
    step = AGENT_RATE * 2 * PACKET_MS // 1000 if in_real_time else AGENT_RATE * 2

    async with contextlib.AsyncExitStack() as stack:
        socket = await stack.enter_async_context(viewer.socket())
        feeding: asyncio.Task[None] | None = None

        async def feed() -> None:
            began = time.monotonic()
            for number, at in enumerate(range(0, len(speech) // 2, step)):
                await socket.send_bytes(speech[at : at + step])
                if in_real_time:
                    due = began + (number + 1) * PACKET_MS / 1000
                    await asyncio.sleep(max(0.0, due - time.monotonic()))

        async def speak(chance: random.Random) -> float:
            nonlocal feeding
            if feeding is not None:
                feeding.cancel()
                await asyncio.wait([feeding])
            await socket.send_json({"type": "begin", "rate": AGENT_RATE})
            async with asyncio.timeout(_PATIENCE):
                while (await socket.receive_json())["type"] != "queued":
                    pass
            asked = time.monotonic()
            feeding = asyncio.create_task(feed())
            return asked

        times = await _measured(viewer, runs, 3, speak)
        assert feeding is not None
        feeding.cancel()
        await asyncio.wait([feeding])
    pace = "20 ms each 20 ms" if in_real_time else "1 s at once"
    return delay_row(f"first PCM on the WebSocket ({pace}) to first sound, {runs} runs", times, 200)


async def _texts(viewer: Receiver, runs: int) -> Row:
    async def speak(chance: random.Random) -> float:
        return (await viewer.speak(text_of(200, chance))).asked

    times = await _measured(viewer, runs, 4, speak)
    return delay_row(f"text of 200 words by espeak-ng to first sound, {runs} runs", times, 400)


# Falling silent.


async def _interrupts(viewer: Receiver, runs: int) -> list[Row]:
    chance = random.Random(5)
    silences, wrong, pictures = [], [], []
    for number in range(runs):
        await _pause(chance)
        viewer.forget()
        said = await viewer.play(unbroken_talk(number))
        begun = await viewer.event("stream/started", utterance=said.utterance)
        await viewer.event("stream/state", state="gesture")
        await asyncio.sleep(chance.uniform(0.2, 2.0))
        asked, answer = await viewer.interrupt()
        await viewer.silence(asked)
        rest = await viewer.picture(
            (await viewer.event("stream/state", state="idle"))["rtp_timestamp"]
        )
        pictures.append((rest.at - asked) * 1000)
        silences.append((audible_until(viewer.ear.heard, asked) - asked) * 1000)
        loud = [one for one in viewer.ear.heard if one.rms > LOUD]
        span = (loud[-1].timestamp - begun["rtp_timestamp"]) % (1 << 32)
        wrong.append(abs(answer["position_ms"] - span / SAMPLE_RATE * 1000 - PACKET_MS))
    return [
        delay_row(f"interrupt to the end of the last sound, {runs} runs", silences, 100),
        Row(
            "reported position against what was heard, largest difference",
            f"{max(wrong):.0f} ms",
            "<= 40 ms",
            max(wrong) <= 40,
        ),
        delay_row("interrupt to the first picture at rest, hard cuts", pictures),
    ]
