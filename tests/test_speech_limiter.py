"""Peaks stay below the ceiling, and nothing else is changed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.speech.limiter import LATENCY, Limiter
from engine.speech.sound import SAMPLE_RATE, Samples
from tests.speech_sounds import cut, ebur128, sine

CEILING = 10 ** (-1.5 / 20)


def limited(samples: Samples, cuts: list[int] | None = None) -> Samples:
    limiter = Limiter(-1.5)
    parts = [limiter.feed(samples[each]) for each in cut(len(samples), cuts or [])]
    return np.concatenate([*parts, limiter.finish()])


def noise(count: int, seed: int = 0) -> Samples:
    random = np.random.default_rng(seed)
    loudness = np.repeat(random.uniform(0, 2, count // 500 + 1), 500)[:count]
    return (random.standard_normal(count) * loudness).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 23, 24, 200, 960, 4_801])
def test_as_much_comes_out_as_went_in(count: int) -> None:
    samples = noise(count)

    out = limited(samples)

    assert out.dtype == np.float32
    assert len(out) == count
    assert np.abs(out).max(initial=0) <= CEILING


def test_sound_below_the_ceiling_is_left_alone() -> None:
    samples = sine(0.5, 300.0, peak=CEILING - 0.01)

    np.testing.assert_array_equal(limited(samples), samples)


@pytest.mark.parametrize("peak", [0.9, 1.0, 4.0, 1_000.0])
def test_peaks_between_samples_are_limited_too(peak: float) -> None:
    # At a quarter of the rate and 45 degrees, samples lie 3 dB below the true peak.
    times = np.arange(SAMPLE_RATE)
    samples = (peak * np.sin(np.pi / 2 * times + np.pi / 4)).astype(np.float32)
    samples[:4_800] *= np.linspace(0, 1, 4_800, dtype=np.float32)

    assert ebur128(limited(samples))[1] <= -1.5 + 0.1


def test_noise_never_exceeds_the_ceiling() -> None:
    out = limited(noise(5 * SAMPLE_RATE), [960])

    assert np.abs(out).max() <= CEILING
    assert np.abs(out).max() > 0.8 * CEILING


def test_the_gain_falls_before_a_peak_and_rises_slowly() -> None:
    samples = np.full(SAMPLE_RATE, 0.1, np.float32)
    samples[20_000] = 2.0

    gains = 20 * np.log10(np.delete(limited(samples) / samples, 20_000))

    assert gains.min() == pytest.approx(-7.5, abs=0.2)
    assert np.all(gains[: 20_000 - LATENCY] == 0)
    falls, rises = -np.diff(gains).min(), np.diff(gains).max()
    assert falls * 48 < 3.0  # dB per ms, of the 7.5 in 3.5 ms
    assert rises * 48 < 0.06
    assert np.all(gains[20_000 + SAMPLE_RATE // 4 :] > -0.01)


def test_little_is_held_back() -> None:
    assert LATENCY <= 0.005 * SAMPLE_RATE
    limiter = Limiter(-1.5)
    samples = noise(4_800)
    ready = 0
    for count, sample in enumerate(samples, 1):
        ready += len(limiter.feed(sample[np.newaxis]))
        assert count - ready <= LATENCY


@given(st.integers(0, 5_000), st.lists(st.integers(1, 1_500), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_where_sound_is_cut_makes_no_difference(count: int, cuts: list[int]) -> None:
    samples = noise(count, seed=count)

    np.testing.assert_allclose(limited(samples, cuts), limited(samples), atol=1e-6)
