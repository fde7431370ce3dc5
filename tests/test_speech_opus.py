"""Packets of 20 ms that a decoder turns into the same sound, a little later."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.speech.opus import DECODER_DELAY, DTX_PACKET, OpusEncoder, silence_packets
from engine.speech.sound import PACKET_SAMPLES, SAMPLE_RATE, Samples
from tests.speech_sounds import cut, decoded, level_db, opus_decoded, sine


@pytest.fixture(scope="module")
def talk(media: Path) -> Samples:
    return decoded(media / "speech/talk.wav")


def encoded(samples: Samples, bitrate: int = 40_000) -> list[bytes]:
    encoder = OpusEncoder(bitrate)
    return encoder.encode(samples) + encoder.finish()


def test_the_decoder_lags_by_the_stated_delay(talk: Samples) -> None:
    heard = opus_decoded(encoded(talk))
    part = talk[48_000:144_000]

    lags = range(1_000)
    likeness = [np.dot(part, heard[48_000 + lag : 144_000 + lag]) for lag in lags]

    assert int(np.argmax(likeness)) == DECODER_DELAY
    assert DECODER_DELAY / SAMPLE_RATE == 0.0025


def test_what_is_heard_is_what_was_said(talk: Samples) -> None:
    heard = opus_decoded(encoded(talk))[DECODER_DELAY:][: len(talk)]

    noise = heard - talk
    assert len(heard) == len(talk)
    assert level_db(talk) - level_db(noise) > 12
    assert level_db(heard) == pytest.approx(level_db(talk), abs=0.3)


@pytest.mark.parametrize("bitrate", [12_000, 40_000, 96_000])
def test_the_bit_rate_is_kept(talk: Samples, bitrate: int) -> None:
    packets = encoded(talk, bitrate)

    rate = 8 * sum(map(len, packets)) / (len(packets) * 0.02)
    assert rate == pytest.approx(bitrate, rel=0.2)
    assert {packet[0] >> 7 for packet in packets} == {1}  # CELT, RFC 6716 table 2
    assert {packet[0] & 7 for packet in packets} == {0}  # mono, one frame


@pytest.mark.parametrize("count", [1, 839, 840, 841, 960, 961, 48_000])
def test_the_last_sample_is_heard(count: int) -> None:
    samples = np.zeros(count, np.float32)
    samples[-120:] = sine(1.0, 1_000.0)[:120][-count:]

    packets = encoded(samples)

    assert len(packets) == -(-(count + DECODER_DELAY) // PACKET_SAMPLES)
    tail = opus_decoded(packets)[count + DECODER_DELAY - 60 : count + DECODER_DELAY + 60]
    assert level_db(tail) > -40 or count == 1


def test_without_sound_there_is_no_packet() -> None:
    assert encoded(np.zeros(0, np.float32)) == []


@given(st.integers(0, 6_000), st.lists(st.integers(1, 2_500), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_where_sound_is_cut_makes_no_difference(count: int, cuts: list[int]) -> None:
    samples = sine(0.2, 700.0)[:count]
    encoder = OpusEncoder(40_000)

    pieces = [packet for each in cut(count, cuts) for packet in encoder.encode(samples[each])]

    assert pieces + encoder.finish() == encoded(samples)


@pytest.mark.parametrize("bitrate", [12_000, 40_000, 128_000])
def test_silence_follows_any_packet_without_a_click(talk: Samples, bitrate: int) -> None:
    packets = encoded(talk, bitrate)
    silence = [*silence_packets(), *[DTX_PACKET] * 20, silence_packets()[-1], DTX_PACKET]

    for count in range(20, len(packets), 7):
        heard = opus_decoded(packets[:count] + silence)
        end = count * PACKET_SAMPLES
        steps = np.abs(np.diff(heard))
        before = steps[end - 3 * PACKET_SAMPLES : end - 1].max()
        assert steps[end - 1 :].max() <= 1.5 * before + 1e-3
        assert level_db(heard[end + 240 :]) < -90  # silent after 5 ms, and stays so


def test_a_pause_without_silence_packets_fades_without_a_click(talk: Samples) -> None:
    packets = encoded(talk)

    for count in range(26, len(packets), 11):
        heard = opus_decoded(packets[:count] + [DTX_PACKET] * 40)
        end = count * PACKET_SAMPLES
        steps = np.abs(np.diff(heard))
        assert steps[end - 1 :].max() <= 1.5 * steps[end - SAMPLE_RATE // 2 : end - 1].max()
        assert level_db(heard[-5 * PACKET_SAMPLES :]) < level_db(heard[end - 4_800 : end]) - 20


def test_speech_begins_after_silence_as_after_nothing(talk: Samples) -> None:
    packets = encoded(talk[12_000:36_000])
    silence = [*silence_packets(), *[DTX_PACKET] * 5]

    heard = opus_decoded(silence + packets)[len(silence) * PACKET_SAMPLES :]

    np.testing.assert_allclose(heard, opus_decoded(packets), atol=2e-3)


def test_silence_costs_almost_nothing() -> None:
    assert len(set(silence_packets())) == 1
    assert max(map(len, silence_packets())) <= 3
    assert len(DTX_PACKET) == 1
    assert DTX_PACKET[0] == silence_packets()[0][0]
