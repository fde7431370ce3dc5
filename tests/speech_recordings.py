"""Real speech with silence cut in, and where the voice is in it by construction."""

from pathlib import Path

import av
import numpy as np

from engine.speech.activity import Activity
from engine.speech.probability import SpeechProbability
from engine.speech.settings import VoiceSettings
from engine.speech.sound import SAMPLE_RATE, Samples, Span
from engine.speech.voice import VoiceTracker

PAUSE_MS = 600
PER_MS = SAMPLE_RATE // 1000

# What counts as voice in the clean recordings, in dBFS. There is a crowd at -36 behind talk.wav,
# and nothing behind short.wav.
AUDIBLE_DB = {"talk": -33, "short": -42}

_LEVEL_DB = -19  # of speech, as it is made before the avatar speaks it

Stretch = tuple[int, int]


def normalised(sound: Samples) -> Samples:
    """``sound`` with the level of speech in its loud half."""
    power = np.sort((sound[: len(sound) // 480 * 480].reshape(-1, 480) ** 2).mean(axis=1))
    level = 10 * np.log10(power[len(power) // 2 :].mean())
    out: Samples = (sound * 10 ** ((_LEVEL_DB + 2 - level) / 20)).astype(np.float32)
    return out


def load(path: Path) -> Samples:
    """The sound of a file, normalised: ``float32[n]``, mono, 48 kHz."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    with av.open(str(path)) as container:
        parts = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    parts += resampler.resample(None)
    return normalised(np.concatenate([part.to_ndarray()[0] for part in parts]))


def silence(ms: int) -> Samples:
    return np.zeros(ms * PER_MS, np.float32)


def tone(hertz: float, ms: int, level_db: float = -13.0) -> Samples:
    """A sine of this RMS level in dBFS."""
    time = np.arange(ms * PER_MS) / SAMPLE_RATE
    peak = np.sqrt(2) * 10 ** (level_db / 20)
    out: Samples = (peak * np.sin(2 * np.pi * hertz * time)).astype(np.float32)
    return out


def noise(ms: int, level_db: float, seed: int = 0) -> Samples:
    """White noise of this RMS level in dBFS."""
    samples = np.random.default_rng(seed).normal(0, 10 ** (level_db / 20), ms * PER_MS)
    return samples.astype(np.float32)


def with_noise(sound: Samples, clean: Samples, snr_db: float) -> Samples:
    """``sound`` in white noise this far below the level of ``clean``."""
    level = 10 * np.log10(np.mean(clean**2))
    return sound + noise(len(sound) // PER_MS + 1, level - snr_db)[: len(sound)]


def telephone(sound: Samples) -> Samples:
    """What is left of it between 300 and 3400 Hz, normalised."""
    spectrum = np.fft.rfft(sound)
    hertz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    # Slopes of 200 and 600 Hz: steep ones would ring before each sound.
    spectrum *= np.clip((hertz - 100) / 200, 0, 1) * np.clip((4000 - hertz) / 600, 0, 1)
    return normalised(np.fft.irfft(spectrum, len(sound)).astype(np.float32))


def cut_in(sound: Samples, at_ms: int, gap_ms: int = 1000) -> Samples:
    """``sound`` with silence put in."""
    at = at_ms * PER_MS
    return np.concatenate([sound[:at], silence(gap_ms), sound[at:]])


def voice_by_energy(sound: Samples, audible_db: float, pause_ms: int = PAUSE_MS) -> list[Stretch]:
    """Where a clean sound is audible, in ms, with the pauses up to ``pause_ms``: energy over 10 ms,
    each millisecond.
    """
    power = np.concatenate([[0.0], np.cumsum(sound.astype(np.float64) ** 2)])
    middles = np.arange(0, len(sound), PER_MS)
    low = np.clip(middles - 5 * PER_MS, 0, len(sound))
    high = np.clip(middles + 5 * PER_MS, 0, len(sound))
    energy = (power[high] - power[low]) / (10 * PER_MS)
    stretches: list[Stretch] = []
    for ms in np.flatnonzero(energy > 10 ** (audible_db / 10)).tolist():
        if stretches and ms - stretches[-1][1] <= pause_ms:
            stretches[-1] = (stretches[-1][0], ms + 1)
        else:
            stretches.append((ms, ms + 1))
    return stretches


def cut_places(clean: Samples, audible_db: float) -> list[int]:
    """Moments well inside words, each 100 ms, that leave 150 ms of voice on both sides."""
    ((start, end),) = voice_by_energy(clean, audible_db)
    words = voice_by_energy(clean, audible_db, pause_ms=60)
    return [
        at
        for at in range(start + 150, end - 150, 100)
        if any(first + 30 < at < last - 30 for first, last in words)
    ]


def track(
    sound: Samples, detector: SpeechProbability, settings: VoiceSettings, chunk: int = SAMPLE_RATE
) -> tuple[Span, ...]:
    """The voice of a whole utterance."""
    tracker = VoiceTracker(detector, settings)
    for first in range(0, len(sound), chunk):
        tracker.feed(sound[first : first + chunk])
    tracker.finish()
    return tracker.spans


def movement(spans: tuple[Span, ...], length_ms: int) -> list[Stretch]:
    """When the avatar moves during a complete utterance, as (on, off) in ms."""
    activity = Activity(PAUSE_MS)
    at, changes = -1, []
    while (change := activity.next_change(spans, length_ms, True, at)) is not None:
        at = change[0]
        changes.append(at)
    return list(zip(changes[::2], changes[1::2], strict=True))
