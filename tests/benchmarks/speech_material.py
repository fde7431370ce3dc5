"""Avatars and sounds for the benchmarks of speech."""

import contextlib
import json
import random
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine.speech.sound import SAMPLE_RATE, Samples
from tests.benchmarks.material import MEDIA
from tests.clipmaking import Picture, write_clip
from tests.hearing import wav
from tests.processes import ServerProcess
from tests.speech_recordings import AUDIBLE_DB, PER_MS, load, voice_by_energy

DARK, DIM, FLASH = 30, 90, 235
FLASHING_PICTURES = 3
BRIGHT_ENOUGH = 170
BEEP_LEVEL = 0.3
AGENT_RATE = 24_000
_ONSET = 0.06  # above what a codec puts before a beep
_WORDS = (
    "the", "morning", "train", "leaves", "from", "platform", "nine", "and", "nobody", "knows",
    "whether", "it", "will", "stop", "at", "little", "station", "by", "river", "where", "we",
    "used", "to", "wait", "for", "our", "friends", "every", "summer",
)  # fmt: skip


def flashing_avatar(folder: Path, seconds: float = 6.0) -> None:
    """Make the avatar ``flash``: dark when idle; its gesture begins with three white pictures."""
    own = folder / "flash"
    own.mkdir(parents=True)
    count = round(seconds * 25)
    write_clip(own / "idle.mp4", (_flat(DARK, n) for n in range(count)))
    levels = [FLASH] * FLASHING_PICTURES + [DIM] * (count - FLASHING_PICTURES)
    write_clip(own / "gesture.mp4", (_flat(level, n) for n, level in enumerate(levels)))


def _flat(level: int, number: int) -> Picture:
    """One grey with a small square that moves, so that each picture differs."""
    picture = np.full((128, 128, 3), level, np.uint8)
    left = number % 100
    picture[110:126, left : left + 16] = 255 - level
    return picture


def beep(lead_ms: float) -> bytes:
    """A WAV file of silence with a beep of 150 ms behind it that begins at once."""
    return wav(np.concatenate([_silence(lead_ms), _beep()]))


def two_beeps(silence_ms: float) -> bytes:
    """A WAV file of a beep, silence and another beep."""
    return wav(np.concatenate([_beep(), _silence(silence_ms), _beep()]))


def _beep() -> Samples:
    at = np.arange(150 * SAMPLE_RATE // 1000) / SAMPLE_RATE
    return (BEEP_LEVEL * np.cos(2 * np.pi * 1000 * at)).astype(np.float32)


def _silence(milliseconds: float) -> Samples:
    return np.zeros(round(milliseconds * SAMPLE_RATE / 1000), np.float32)


def talk() -> Samples:
    """The recording of ``talk.wav``, normalised, mono: 5.0 s, with voice from 0.11 s on."""
    return load(MEDIA / "speech" / "talk.wav")


def talk_from_its_voice() -> Samples:
    """The same from its first audible moment on."""
    whole = talk()
    ((start, _),) = voice_by_energy(whole, AUDIBLE_DB["talk"])
    return whole[start * PER_MS :]


def unbroken_talk(number: int) -> bytes:
    """A WAV file of 9.8 s of speech over a soft tone, so that no packet of it is silent."""
    speech = talk_from_its_voice()
    sound = np.tile(speech, 2)
    at = np.arange(len(sound)) / SAMPLE_RATE
    return altered(sound + (0.05 * np.sin(2 * np.pi * 300 * at)).astype(np.float32), number)


def altered(sound: Samples, number: int) -> bytes:
    """A WAV file of the sound with another last sample: the server has not prepared it before."""
    changed = sound.copy()
    changed[-1] = np.float32((number % 20_000) / 32767)
    return wav(changed)


def onset(samples: Samples) -> int | None:
    """Return the first sample of a beep, if it is in there."""
    loud = np.flatnonzero(np.abs(samples) > _ONSET)
    return int(loud[0]) if len(loud) else None


def text_of(words: int, chance: random.Random) -> str:
    """Return sentences of 8 to 16 words."""
    sentences: list[str] = []
    while words > 0:
        length = min(words, chance.randint(8, 16))
        sentences.append(" ".join(chance.choices(_WORDS, k=length)).capitalize() + ".")
        words -= length
    return " ".join(sentences)


@contextlib.contextmanager
def demo_server(*settings: str) -> Iterator[str]:
    """Start a server as users do, with the shipped avatars and all defaults; yields its address.

    It waits until the loops and transitions of ``demo`` are there.
    """
    flags = [x for value in settings for x in ("--set", value)]
    process = ServerProcess("--port", "0", *flags).start()
    try:
        while not _morphed(process.address):
            time.sleep(1)
        yield process.address
    finally:
        process.stop()


def _morphed(address: str) -> bool:
    with urllib.request.urlopen(address + "/avatars") as response:
        avatars = json.load(response)
    return any(a["id"] == "demo" and a["transitions"] == "morph" for a in avatars)
