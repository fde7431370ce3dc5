"""Loudness is measured as EBU R128 asks, and speech becomes as loud as it should be."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from engine.speech.limiter import Limiter
from engine.speech.loudness import (
    USUAL_LOUDNESS,
    FixedGain,
    KWeighting,
    LoudnessMeter,
    RunningGain,
    normalising_gain,
)
from engine.speech.settings import SpeechSettings
from engine.speech.sound import SAMPLE_RATE, Samples
from tests.speech_sounds import cut, decoded, ebur128, sine

SETTINGS = SpeechSettings()
STEP = SAMPLE_RATE // 100


@pytest.fixture(scope="module")
def talk(media: Path) -> Samples:
    return decoded(media / "speech/talk.wav")


def louder(samples: Samples, db: float) -> Samples:
    return np.asarray(np.clip(samples * 10 ** (db / 20), -1, 1), np.float32)


def measured(samples: Samples) -> float | None:
    meter = LoudnessMeter()
    for each in cut(len(samples), [5_000, 777]):
        meter.feed(samples[each])
    return meter.integrated()


def streamed(samples: Samples, width: int = 960) -> tuple[Samples, np.ndarray]:
    """Return the sound as it is played, and the gain in dB after each piece of ``width``."""
    running, limiter = RunningGain(SETTINGS), Limiter(SETTINGS.peak)
    out, gains = [], []
    for each in cut(len(samples), [width]):
        out.append(limiter.feed(running.feed(samples[each])))
        gains.append(running.gain_db)
    out += [limiter.feed(running.finish()), limiter.finish()]
    return np.concatenate(out), np.array(gains)


@pytest.mark.parametrize("db", [-30, 0, 15])
@pytest.mark.parametrize("name", ["speech/talk.wav", "speech/short.wav"])
def test_the_meter_agrees_with_ffmpeg(media: Path, name: str, db: float) -> None:
    samples = louder(decoded(media / name), db)

    assert measured(samples) == pytest.approx(ebur128(samples)[0], abs=0.05)


def test_the_gates_leave_out_pauses(talk: Samples) -> None:
    hum = sine(20.0, 100.0, peak=0.003)  # far below the speech, above the absolute gate
    with_pause = np.concatenate([talk, hum, np.zeros(10 * SAMPLE_RATE, np.float32)])

    assert measured(with_pause) == pytest.approx(ebur128(with_pause)[0], abs=0.05)
    assert measured(with_pause) == pytest.approx(measured(talk), abs=0.3)


@pytest.mark.parametrize("seconds", [0.02, 0.2, 0.399])
def test_short_sound_is_as_loud_as_more_of_the_same(seconds: float) -> None:
    # BS.1770-4: a sine of 997 Hz at 0 dBFS in one channel has -3.01 LKFS.
    short = sine(seconds, 997.0, peak=0.1)

    assert measured(short) == pytest.approx(-23.0, abs=0.5)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(100), np.zeros(SAMPLE_RATE)])
def test_silence_has_no_loudness_and_no_gain(samples: np.ndarray) -> None:
    loudness = measured(samples.astype(np.float32))

    assert loudness is None
    assert normalising_gain(loudness, SETTINGS) == 0.0


def test_weighting_keeps_awake_in_silence(talk: Samples) -> None:
    weighting = KWeighting()
    weighting.feed(talk)

    late = weighting.feed(np.zeros(5 * SAMPLE_RATE, np.float32))[-SAMPLE_RATE:]

    assert np.abs(late).max() < 1e-11
    assert np.abs(late).min() > 1e-20  # denormal numbers are below 2e-308


@pytest.mark.parametrize("db", [-22, -10, 0, 10, 20])
def test_a_whole_utterance_gets_the_loudness(talk: Samples, db: float) -> None:
    copy = louder(talk, db)
    gain, limiter = FixedGain(normalising_gain(measured(copy), SETTINGS)), Limiter(SETTINGS.peak)

    played = np.concatenate([limiter.feed(gain.feed(copy)), limiter.finish()])

    loudness, true_peak = ebur128(played)
    assert loudness == pytest.approx(SETTINGS.loudness, abs=1.0)
    assert true_peak <= SETTINGS.peak + 0.1
    assert np.abs(played).max() <= 10 ** (SETTINGS.peak / 20)


def test_very_quiet_speech_is_raised_only_so_far(talk: Samples) -> None:
    assert normalising_gain(measured(louder(talk, -45)), SETTINGS) == SETTINGS.max_gain


@pytest.mark.parametrize("db", [-20, -10, 0, 10, 20])
def test_streamed_speech_gets_the_loudness_within_3_s(talk: Samples, db: float) -> None:
    played, _ = streamed(louder(talk, db))

    assert len(played) == len(talk)
    loudness, true_peak = ebur128(played[3 * SAMPLE_RATE :])
    assert loudness == pytest.approx(SETTINGS.loudness, abs=2.0)
    assert true_peak <= SETTINGS.peak + 0.1
    assert np.abs(played).max() <= 10 ** (SETTINGS.peak / 20)


@pytest.mark.parametrize("db", [-20, 0, 20])
def test_the_running_gain_moves_slowly_and_then_stays(talk: Samples, db: float) -> None:
    _, gains = streamed(np.tile(louder(talk, db), 6), STEP)

    steps = np.diff(gains, prepend=SETTINGS.loudness - USUAL_LOUDNESS)
    assert steps.max() <= 0.12 + 1e-9  # dB in 10 ms
    assert steps.min() >= -0.4 - 1e-9
    settled = gains[6 * 100 :]
    assert settled.max() - settled.min() < 1.0


@pytest.mark.parametrize("db", [-60, -45, -30, -22])
def test_noise_and_silence_are_never_raised(db: float) -> None:
    noise = np.random.default_rng(1).standard_normal(8 * SAMPLE_RATE).astype(np.float32)
    noise *= np.float32(10 ** (db / 20))
    noise[: SAMPLE_RATE // 2] = 0

    played, gains = streamed(noise)

    start = SETTINGS.loudness - USUAL_LOUDNESS
    assert gains.max() <= start
    assert len(played) == len(noise)
    _, gains = streamed(np.zeros(SAMPLE_RATE, np.float32))
    assert set(gains) == {start}


def test_a_steady_tone_is_not_raised_but_lowered() -> None:
    start = SETTINGS.loudness - USUAL_LOUDNESS

    assert set(streamed(sine(4.0, 1_000.0, peak=0.02))[1]) == {start}
    assert streamed(sine(4.0, 1_000.0, peak=0.9))[1][-1] == pytest.approx(-15.1, abs=0.5)


def test_noise_between_sentences_does_not_pump(talk: Samples) -> None:
    quiet = louder(talk, -15)[:SAMPLE_RATE]  # its gain is still rising
    noise = np.random.default_rng(2).standard_normal(3 * SAMPLE_RATE).astype(np.float32) * 0.0005
    _, gains = streamed(np.concatenate([quiet, noise, quiet]), STEP)

    in_pause = gains[len(quiet) // STEP + 5 : (len(quiet) + len(noise)) // STEP]
    assert in_pause.max() - in_pause.min() < 0.05
    assert gains[-1] > in_pause.max() + 3


@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=6))
@with_settings(max_examples=20, deadline=None, derandomize=True)
def test_where_sound_is_cut_makes_no_difference(cuts: list[int]) -> None:
    random = np.random.default_rng(5)
    samples = (0.2 * random.standard_normal(30_001)).astype(np.float32)
    samples[5_000:9_000] *= 0.01
    running = RunningGain(SETTINGS)

    pieces = [running.feed(samples[each]) for each in cut(len(samples), cuts)]

    whole = RunningGain(SETTINGS)
    np.testing.assert_allclose(
        np.concatenate([*pieces, running.finish()]),
        np.concatenate([whole.feed(samples), whole.finish()]),
        atol=1e-6,
    )
