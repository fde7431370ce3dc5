"""An utterance is ready soon, complete, at the right loudness, and its times agree."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from engine.speech.decode import NotSound, SoundDamaged, SoundTooLong
from engine.speech.encoder import (
    MEASURED_SECONDS,
    PcmPreparation,
    Piece,
    UtteranceEncoder,
    prepare,
    prepare_pcm,
)
from engine.speech.opus import DECODER_DELAY
from engine.speech.probability import EnergyProbability
from engine.speech.settings import SpeechSettings
from engine.speech.sound import PACKET_MS, PACKET_SAMPLES, SAMPLE_RATE, Samples, SoundError, Span
from engine.speech.voice import VoiceTracker
from tests.speech_sounds import cut, decoded, ebur128, level_db, opus_decoded, pcm16, sine, wav

SETTINGS = SpeechSettings()


class Listener:
    """A voice tracker that remembers what it is given, and takes all of it for voice."""

    def __init__(self) -> None:
        self.parts: list[Samples] = []
        self.finished = False

    @property
    def heard(self) -> Samples:
        return np.concatenate([np.empty(0, np.float32), *self.parts])

    @property
    def horizon_ms(self) -> int:
        return len(self.heard) * 1000 // SAMPLE_RATE

    @property
    def spans(self) -> tuple[Span, ...]:
        return (Span(0, self.horizon_ms if self.finished else None),) if self.parts else ()

    def feed(self, samples: Samples) -> None:
        assert not self.finished
        self.parts.append(samples)

    def finish(self) -> None:
        self.finished = True


def packets_of(pieces: Iterable[Piece]) -> list[bytes]:
    return [packet for piece in pieces for packet in piece.packets]


def packets_for(samples: int) -> int:
    return -(-(samples + DECODER_DELAY) // PACKET_SAMPLES) if samples else 0


def onset(samples: Samples) -> int:
    return int(np.argmax(np.abs(samples) > 0.05))


@given(
    st.integers(0, 20_000),
    st.lists(st.integers(1, 9_000), min_size=1, max_size=5),
    st.sampled_from([None, -6.0, 20.0]),
)
@with_settings(max_examples=40, deadline=None, derandomize=True)
def test_where_sound_is_cut_makes_no_difference(
    count: int, cuts: list[int], gain_db: float | None
) -> None:
    samples = sine(0.5, 300.0)[:count]
    listener, whole = Listener(), Listener()
    encoder = UtteranceEncoder(SETTINGS, listener, gain_db)

    pieces = [encoder.feed(samples[each]) for each in cut(count, cuts)] + [encoder.finish()]

    assert len(packets_of(pieces)) == packets_for(count)
    assert [piece.complete for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert [piece.horizon_ms for piece in pieces] == sorted(piece.horizon_ms for piece in pieces)
    assert listener.finished
    at_once = UtteranceEncoder(SETTINGS, whole, gain_db)
    at_once.feed(samples)
    at_once.finish()
    np.testing.assert_allclose(listener.heard, whole.heard, atol=1e-6)
    assert len(listener.heard) == count


@pytest.mark.parametrize("gain_db", [None, 0.0, 12.0])
def test_the_times_of_voice_and_packets_agree(gain_db: float | None) -> None:
    samples = np.zeros(SAMPLE_RATE, np.float32)
    samples[20_000:30_000] = sine(1.0, 1_000.0)[:10_000]
    listener = Listener()
    encoder = UtteranceEncoder(SETTINGS, listener, gain_db)

    packets = packets_of([encoder.feed(samples), encoder.finish()])

    assert onset(listener.heard) == pytest.approx(20_000, abs=5)
    assert onset(opus_decoded(packets)) == pytest.approx(20_000 + DECODER_DELAY, abs=24)


def test_a_file_is_ready_piece_by_piece(media: Path) -> None:
    listener = Listener()

    pieces = list(prepare(media / "speech/talk.wav", SETTINGS, lambda: listener))

    assert 5 <= len(pieces[0].packets) <= 10  # 100 to 200 ms
    assert all(len(piece.packets) <= 75 for piece in pieces)
    assert [piece.complete for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    samples = decoded(media / "speech/talk.wav")
    assert len(packets_of(pieces)) == packets_for(len(samples))
    assert len(listener.heard) == len(samples)
    assert pieces[-1].spans == (Span(0, 5015),)
    assert pieces[-1].horizon_ms == 5015
    # The listener hears what the packets say.
    heard = opus_decoded(packets_of(pieces))[DECODER_DELAY:][: len(samples)]
    assert level_db(heard - listener.heard) < level_db(listener.heard) - 12


@pytest.mark.parametrize("name", ["speech/talk.wav", "speech/short.wav"])
@pytest.mark.parametrize("db", [-15, 0, 15])
def test_what_is_heard_of_a_file_has_the_loudness(media: Path, name: str, db: float) -> None:
    samples = np.clip(decoded(media / name) * 10 ** (db / 20), -1, 1).astype(np.float32)
    source = wav(samples.tobytes(), bits=32, rate=SAMPLE_RATE, code=3)

    heard = opus_decoded(packets_of(prepare(source, SETTINGS, Listener)))

    assert ebur128(heard)[0] == pytest.approx(SETTINGS.loudness, abs=1.0)


def test_the_real_tracker_finds_the_voice(media: Path) -> None:
    def make_voice() -> VoiceTracker:
        return VoiceTracker(EnergyProbability(), SETTINGS.voice)

    *_, last = prepare(media / "speech/talk.wav", SETTINGS, make_voice)

    assert last.complete
    assert last.horizon_ms == pytest.approx(5015, abs=1)
    assert last.spans
    assert last.spans[0].start < 500
    assert sum((span.end or 0) - span.start for span in last.spans) > 3_000


@pytest.mark.parametrize("seconds", [0.01, 0.15, 3.0])
def test_silence_is_played(seconds: float) -> None:
    silence = wav(bytes(2 * round(seconds * SAMPLE_RATE)), bits=16, rate=SAMPLE_RATE)
    listener = Listener()

    pieces = list(prepare(silence, SETTINGS, lambda: listener))

    assert len(packets_of(pieces)) == packets_for(round(seconds * SAMPLE_RATE))
    assert not listener.heard.any()
    assert level_db(opus_decoded(packets_of(pieces))) < -90


def test_nothing_is_done_before_a_piece_is_asked_for() -> None:
    pieces = prepare(b"no sound", SETTINGS, Listener)

    with pytest.raises(NotSound):
        next(pieces)


def test_the_rest_of_a_file_may_be_left(media: Path) -> None:
    pieces = prepare(media / "speech/talk.wav", SETTINGS, Listener)
    next(pieces)

    pieces.close()  # an open file would be warned of

    assert next(pieces, None) is None


def test_long_sound_begins_before_all_of_it_is_decoded() -> None:
    samples = np.tile(sine(1.0, 300.0, 8_000, peak=0.2), MEASURED_SECONDS + 5)
    samples[-4_000] = np.nan
    pieces = prepare(wav(samples.tobytes(), bits=32, rate=8_000, code=3), SETTINGS, Listener)

    made = 0.0

    def play() -> Iterator[None]:
        nonlocal made
        for piece in pieces:
            made += len(piece.packets) * PACKET_MS / 1000
            yield

    with pytest.raises(SoundDamaged):
        list(play())
    assert made >= MEASURED_SECONDS


def streamed(preparation: PcmPreparation, pcm: bytes, cuts: list[int]) -> list[Piece]:
    pieces = [preparation.feed(pcm[each]) for each in cut(len(pcm), cuts)]
    return [*pieces, preparation.finish()]


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_streamed_pcm_comes_out_after_little_more_than_a_packet(rate: int) -> None:
    pcm = pcm16(sine(1.0, 300.0, rate)).tobytes()
    listener = Listener()
    preparation = prepare_pcm(rate, SETTINGS, lambda: listener)

    pieces = streamed(preparation, pcm, [rate // 50 * 2])

    assert len(packets_of(pieces[:2])) == 1
    assert len(packets_of(pieces[:-1])) >= 48
    assert len(packets_of(pieces)) == packets_for(SAMPLE_RATE)
    assert len(listener.heard) == SAMPLE_RATE


@given(st.lists(st.integers(31, 2_000), min_size=1, max_size=5))
@with_settings(max_examples=15, deadline=None, derandomize=True)
def test_where_pcm_is_cut_makes_no_difference(cuts: list[int]) -> None:
    pcm = pcm16(sine(0.4, 300.0, 24_000)).tobytes()
    listener, whole = Listener(), Listener()

    pieces = streamed(PcmPreparation(24_000, SETTINGS, listener), pcm, cuts)

    at_once = streamed(PcmPreparation(24_000, SETTINGS, whole), pcm, [])
    assert len(packets_of(pieces)) == len(packets_of(at_once))
    np.testing.assert_allclose(listener.heard, whole.heard, atol=1e-6)


def test_streamed_speech_has_the_loudness_after_3_s(media: Path) -> None:
    quiet = decoded(media / "speech/talk.wav") * np.float32(0.1)
    preparation = prepare_pcm(SAMPLE_RATE, SETTINGS, Listener)

    heard = opus_decoded(packets_of(streamed(preparation, pcm16(quiet).tobytes(), [1_920])))

    assert ebur128(heard[3 * SAMPLE_RATE :])[0] == pytest.approx(SETTINGS.loudness, abs=2.0)


def test_a_usual_loudness_may_be_stated() -> None:
    known = PcmPreparation(SAMPLE_RATE, SETTINGS, listener := Listener(), usual_loudness=-31.0)

    streamed(known, pcm16(sine(0.1, 300.0, peak=0.1)).tobytes(), [])

    assert np.abs(listener.heard).max() == pytest.approx(0.1 * 10 ** (12 / 20), rel=0.02)


def test_streamed_sound_is_counted() -> None:
    preparation = prepare_pcm(16_000, SpeechSettings(max_seconds=0.5), Listener)
    preparation.feed(bytes(16_000))

    with pytest.raises(SoundTooLong, match="longer") as caught:
        preparation.feed(bytes(2))

    assert "max_seconds" in caught.value.hint
    assert preparation.finish().complete  # what came before may still be played


def test_no_pcm_is_no_packet() -> None:
    listener = Listener()

    last = prepare_pcm(16_000, SETTINGS, lambda: listener).finish()

    assert last == Piece((), (), 0, complete=True)
    assert listener.finished


def test_a_rate_that_cannot_be_played() -> None:
    with pytest.raises(SoundError, match="4000"):
        prepare_pcm(4_000, SETTINGS, Listener)
