"""PCM of any rate, cut anywhere, becomes 48 kHz without a click."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.speech.resample import MAX_RATE, MIN_RATE, PcmResampler
from engine.speech.sound import SAMPLE_RATE, Samples, SoundError
from tests.speech_sounds import cut, pcm16, sine


def resampled(pcm: bytes, rate: int, cuts: list[int]) -> Samples:
    resampler = PcmResampler(rate)
    parts = [resampler.feed(pcm[each]) for each in cut(len(pcm), cuts)]
    return np.concatenate([*parts, resampler.finish()])


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("share", [0.05, 0.4])
def test_a_tone_stays_the_tone_it_was(rate: int, share: float) -> None:
    frequency = share * min(rate, SAMPLE_RATE)
    tone = pcm16(sine(0.5, frequency, rate))

    samples = resampled(tone.tobytes(), rate, [rate // 25 + 1])

    assert samples.dtype == np.float32
    assert abs(len(samples) - len(tone) * SAMPLE_RATE / rate) <= 1
    middle = slice(2400, len(samples) - 2400)
    wanted = sine(0.6, frequency)[: len(samples)] * (32767 / 32768)
    noise = samples[middle] - wanted[middle]
    snr = 10 * np.log10(np.mean(wanted[middle] ** 2) / np.mean(noise**2))
    assert snr > 75  # 16 bits leave 89; a delay of a tenth of a sample would leave 30


@given(
    st.sampled_from([8_000, 16_000, 22_050, 48_000, 96_000]),
    st.integers(200, 3_000),
    st.lists(st.integers(1, 999), min_size=1, max_size=6),
)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_where_pcm_is_cut_makes_no_difference(rate: int, count: int, cuts: list[int]) -> None:
    pcm = np.random.default_rng(count).integers(-9_000, 9_000, count, np.int16).tobytes()

    pieces = resampled(pcm, rate, cuts)

    np.testing.assert_array_equal(pieces, resampled(pcm, rate, []))
    assert abs(len(pieces) - count * SAMPLE_RATE / rate) <= 1


def test_half_a_sample_at_the_end_is_dropped() -> None:
    pcm = pcm16(sine(0.1, rate=16_000)).tobytes()

    np.testing.assert_array_equal(
        resampled(pcm + b"\x7f", 16_000, [7]), resampled(pcm, 16_000, [7])
    )


@pytest.mark.parametrize("rate", [8_000, 48_000, 96_000])
def test_no_sound_and_a_few_samples(rate: int) -> None:
    assert len(resampled(b"", rate, [])) == 0
    assert len(resampled(b"\1", rate, [])) == 0
    assert len(resampled(bytes(20), rate, [3])) <= 10 * SAMPLE_RATE / rate


def test_little_is_held_back() -> None:
    resampler = PcmResampler(16_000)

    ready = resampler.feed(bytes(2 * 320))

    assert SAMPLE_RATE // 50 - len(ready) <= 0.003 * SAMPLE_RATE


@pytest.mark.parametrize("rate", [-1, 0, MIN_RATE - 1, MAX_RATE + 1, 1_000_000_000])
def test_other_rates_are_refused(rate: int) -> None:
    with pytest.raises(SoundError, match=str(rate)) as caught:
        PcmResampler(rate)
    assert "48000" in caught.value.hint
