"""Where the voice is: sound, the detector by energy, and the two together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.speech.decimate import Decimator
from engine.speech.probability import WINDOW, EnergyProbability, NoiseFloor, SpeechProbability
from engine.speech.settings import VoiceSettings
from engine.speech.sound import SAMPLE_RATE, Samples, Span
from engine.speech.voice import VoiceTracker
from tests.speech_recordings import (
    AUDIBLE_DB,
    PER_MS,
    cut_in,
    cut_places,
    load,
    movement,
    noise,
    silence,
    telephone,
    tone,
    track,
    voice_by_energy,
)

VOICE = VoiceSettings(detector="energy")
WINDOW_MS = 32


class Scripted:
    """A detector that says what it is told, window by window, and then its last word again."""

    window = WINDOW

    def __init__(self, *likely: float) -> None:
        self._likely = list(likely)

    def feed(self, samples: Samples) -> float:
        assert samples.shape == (WINDOW,)
        assert samples.dtype == np.float32
        return self._likely.pop(0) if len(self._likely) > 1 else self._likely[0]


def joined(*parts: Samples) -> Samples:
    return np.concatenate(parts)


def pairs(spans: tuple[Span, ...]) -> list[tuple[int, int | None]]:
    return [(span.start, span.end) for span in spans]


# From 48 kHz to 16 kHz.


def decimated(sound: Samples, chunk: int = SAMPLE_RATE) -> Samples:
    decimator = Decimator(WINDOW)
    parts = [decimator.feed(sound[at : at + chunk]) for at in range(0, len(sound), chunk)]
    return joined(*(part.reshape(-1) for part in [*parts, decimator.finish()]))


def test_that_speech_keeps_its_level_and_its_place() -> None:
    out = decimated(tone(1000, 1000))

    time = np.arange(16_000) / 16_000
    expected = np.sqrt(2) * 10 ** (-13 / 20) * np.sin(2 * np.pi * 1000 * time)
    np.testing.assert_allclose(out[100:15_900], expected[100:15_900], atol=2e-3)


@pytest.mark.parametrize("hertz", [8700, 10_000, 12_000, 15_000, 20_000])
def test_that_what_16_khz_cannot_hold_is_removed(hertz: float) -> None:
    out = decimated(tone(hertz, 500, level_db=0))[100:7900]

    assert 10 * np.log10(np.mean(out**2)) < -50


@given(
    st.integers(0, 5000),
    st.lists(st.integers(0, 2000), max_size=8),
)
@settings(derandomize=True, max_examples=40, deadline=None)
def test_that_chunks_make_no_difference(length: int, cuts: list[int]) -> None:
    sound = noise(200, -20)[:length]
    decimator = Decimator(WINDOW)
    parts = [decimator.feed(part) for part in np.split(sound, sorted(min(c, length) for c in cuts))]
    parts.append(decimator.finish())

    out = joined(*(part.reshape(-1) for part in parts))
    whole = decimated(sound)
    np.testing.assert_allclose(out, whole, atol=1e-6)
    # All of it is there, and less than a window of silence behind it.
    assert 0 <= len(whole) - -(-length // 3) < WINDOW


# Speech by energy.


def test_that_the_floor_is_the_softest_of_the_last_windows() -> None:
    floor = NoiseFloor(memory=3)
    energies = []
    for energy in [4.0, 4.0, 4.0, 0.0, 100.0, 100.0, 100.0, 100.0]:
        floor.update(energy)
        energies.append(floor.energy)

    # A single soft window counts with the 0.4 that is new in a smoothed value.
    assert energies[:3] == [4.0, 4.0, 4.0]
    assert energies[3:6] == pytest.approx([2.4, 2.4, 2.4])
    assert energies[6] == pytest.approx(0.6 * 2.4 + 0.4 * 100)


def windows(sound: Samples) -> Samples:
    out = decimated(sound)
    return out.reshape(-1, WINDOW)


def likely(detector: SpeechProbability, sound: Samples) -> list[float]:
    return [detector.feed(window) for window in windows(sound)]


def test_that_audible_sound_is_likely_and_soft_noise_is_not() -> None:
    assert min(likely(EnergyProbability(), tone(440, 320, -19))) > 0.9
    assert max(likely(EnergyProbability(), noise(5000, -50))) < 0.05
    assert max(likely(EnergyProbability(), silence(320))) < 0.01


@pytest.mark.parametrize("sound", [noise(6000, -20), tone(440, 6000, -20)], ids=["noise", "tone"])
def test_that_steady_sound_stops_being_likely(sound: Samples) -> None:
    values = likely(EnergyProbability(), sound)

    assert min(values[1:70]) > 0.9
    assert max(values[85:-1]) < 0.2


def test_that_mains_hum_is_not_likely() -> None:
    assert max(likely(EnergyProbability(), tone(50, 1984, -20))[1:]) < 0.05


# The tracker: sound.


@pytest.fixture(params=[0.0, 1.0], ids=["never speech", "always speech"])
def sure(request: pytest.FixtureRequest) -> Callable[[], Scripted]:
    return lambda: Scripted(request.param)


@pytest.mark.parametrize("at_ms", [0, 1, 17, 500, 1003])
def test_that_a_beep_is_found_to_the_millisecond(at_ms: int, sure: Callable[[], Scripted]) -> None:
    sound = joined(silence(at_ms), tone(440, 200), silence(700))

    ((start, end),) = pairs(track(sound, sure(), VOICE))

    assert end is not None
    assert at_ms <= start <= at_ms + 2
    assert abs(end - at_ms - 200) <= 5


def test_that_a_beep_moves_the_avatar_with_the_detector_by_energy() -> None:
    for lead in (0, 1000, 4000):
        sound = joined(silence(lead), tone(440, 200), silence(300))
        assert pairs(track(sound, EnergyProbability(), VOICE)) == [(lead, lead + 200)]


def test_that_a_soft_beginning_belongs_to_the_voice() -> None:
    sound = joined(silence(600), tone(300, 100, -42), tone(300, 400, -20), silence(400))

    assert pairs(track(sound, EnergyProbability(), VOICE)) == [(600, 1100)]


@pytest.mark.parametrize("sound", [silence(3000), noise(3000, -50), silence(0), tone(440, 1)[:10]])
def test_that_silence_is_no_voice(sound: Samples, sure: Callable[[], Scripted]) -> None:
    for detector in (EnergyProbability(), sure()):
        tracker = VoiceTracker(detector, VOICE)
        tracker.feed(sound)
        tracker.finish()

        assert tracker.spans == ()
        assert tracker.horizon_ms == -(-len(sound) // PER_MS)


def test_that_steady_noise_does_not_keep_the_avatar_moving() -> None:
    spans = track(joined(silence(500), noise(8000, -25)), EnergyProbability(), VOICE)

    assert [span.start for span in spans] == [500]
    assert spans[0].end is not None
    assert spans[0].end <= 500 + 2700


def test_that_shorter_sounds_do_not_move_the_avatar(sure: Callable[[], Scripted]) -> None:
    for length, found in [(8, 0), (60, 0), (100, 1)]:
        sound = joined(silence(1000), tone(440, length), silence(1000))
        assert len(track(sound, sure(), VOICE)) == found


def test_that_repeated_clicks_do_not_hold_back_what_is_known(
    sure: Callable[[], Scripted],
) -> None:
    tracker = VoiceTracker(sure(), VOICE)
    lag = []
    for number in range(60):
        tracker.feed(joined(tone(1000, 3), silence(97)))
        lag.append((number + 1) * 100 - tracker.horizon_ms)

    assert tracker.spans == ()
    assert max(lag) <= VOICE.min_speech_ms + 400 + 100 + 34


def test_that_a_last_consonant_belongs_to_the_voice() -> None:
    sound = joined(silence(500), tone(200, 400), silence(300), tone(3000, 30), silence(900))
    assert pairs(track(sound, Scripted(1.0), VOICE)) == [(500, 900), (1200, 1232)]

    # The same sound after a long pause is nothing.
    late = joined(silence(500), tone(200, 400), silence(700), tone(3000, 30), silence(900))
    assert pairs(track(late, Scripted(1.0), VOICE)) == [(500, 900)]


def test_that_a_short_silence_is_part_of_the_voice() -> None:
    sound = joined(silence(500), tone(200, 300), silence(152), tone(200, 300), silence(500))

    assert pairs(track(sound, Scripted(1.0), VOICE)) == [(500, 1252)]


# The tracker: the detector decides.


def test_that_doubt_ends_after_a_while() -> None:
    sound = joined(silence(1000), tone(440, 4000), silence(1000))

    ((start, end),) = pairs(track(sound, Scripted(0.0), VOICE))

    assert start == 1000
    assert end == pytest.approx(2500, abs=8)


def test_that_each_sound_after_a_pause_gets_the_doubt_anew() -> None:
    sound = joined(*[silence(1000), tone(440, 1400)] * 3, silence(1000))

    assert pairs(track(sound, Scripted(0.0), VOICE)) == [
        (1000, 2400),
        (3400, 4800),
        (5800, 7200),
    ]


def test_that_music_with_beats_does_not_keep_the_avatar_moving() -> None:
    bar = joined(tone(110, 150, -15), tone(220, 250, -30), silence(100))
    sound = joined(*[bar] * 20)

    spans = track(sound, Scripted(0.0), VOICE)

    assert spans[-1].end is not None
    assert spans[-1].end <= 1600


def test_that_speech_ends_where_the_detector_says_so_though_music_plays_on() -> None:
    said = [0.0] * 10 + [0.9] * 50 + [0.1] * 500
    sound = joined(silence(320), tone(300, 6000, -25))

    ((start, end),) = pairs(track(sound, Scripted(*said), VOICE))

    assert start == 320
    assert end == 60 * WINDOW_MS


def test_that_speech_over_music_begins_where_the_detector_hears_it() -> None:
    said = [0.0] * 100 + [0.9] * 50 + [0.1] * 500
    bed = tone(300, 6000, -30)
    speech = joined(silence(100 * WINDOW_MS), tone(500, 50 * WINDOW_MS, -15))
    bed[: len(speech)] += speech

    spans = pairs(track(bed, Scripted(*said), VOICE))

    (doubt_start, doubt_end), (start, end) = spans
    assert doubt_start == 0
    assert doubt_end == pytest.approx(1500, abs=8)
    assert start == pytest.approx(100 * WINDOW_MS, abs=WINDOW_MS)
    assert end == 150 * WINDOW_MS


def test_that_the_likelihood_must_fall_below_the_threshold_to_end() -> None:
    # Doubt is over after 1.5 s, so that the detector alone counts.
    before = [0.0] * 80
    sound = joined(tone(300, 80 * WINDOW_MS, -30), tone(300, 40 * WINDOW_MS, -15))

    for after, windows_of_voice in [(0.4, 25), (0.2, 5)]:
        said = [*before, *[0.9] * 5, *[after] * 20, 0.0]
        spans = track(sound, Scripted(*said), VOICE)
        assert pairs(spans)[-1][1] == (80 + windows_of_voice) * WINDOW_MS

    # What does not reach the threshold never begins...
    ((start, end),) = pairs(track(sound, Scripted(*before, 0.4), VOICE))
    assert start == 0
    assert end == pytest.approx(1500, abs=8)

    # ... unless voice has just ended.
    said = [*before, *[0.9] * 5, *[0.0] * 10, 0.4]
    spans = track(sound, Scripted(*said), VOICE)
    (begin, end), (again, last) = pairs(spans)[-2:]
    assert begin == pytest.approx(80 * WINDOW_MS, abs=WINDOW_MS)
    assert again == pytest.approx(95 * WINDOW_MS, abs=WINDOW_MS)
    assert (end, last) == (85 * WINDOW_MS, 120 * WINDOW_MS)


# The tracker: a stream.


def known_before(spans: tuple[Span, ...], horizon: int) -> list[tuple[int, int]]:
    return [
        (span.start, horizon if span.end is None else min(span.end, horizon))
        for span in spans
        if span.start < horizon
    ]


bursts = st.lists(
    st.tuples(st.integers(0, 900), st.integers(1, 700), st.sampled_from([-50, -40, -30, -20, -10])),
    max_size=5,
)


@given(
    bursts,
    st.lists(st.floats(0, 1), min_size=1, max_size=150),
    st.integers(1, 9000),
    st.sampled_from([0, 80, 300]),
)
@settings(derandomize=True, max_examples=40, deadline=None)
def test_that_what_is_known_never_changes(
    parts: list[tuple[int, int, int]], said: list[float], chunk: int, shortest: int
) -> None:
    sounds = [joined(silence(gap), tone(400, length, level)) for gap, length, level in parts]
    sound = joined(*sounds, silence(100))
    tracker = VoiceTracker(Scripted(*said), VoiceSettings(min_speech_ms=shortest))

    seen: list[tuple[tuple[Span, ...], int]] = [((), 0)]
    for at in range(0, len(sound), chunk):
        tracker.feed(sound[at : at + chunk])
        seen.append((tracker.spans, tracker.horizon_ms))
    tracker.finish()

    spans, length = tracker.spans, tracker.horizon_ms
    assert length == -(-len(sound) // PER_MS)
    horizons = [horizon for _, horizon in seen]
    assert horizons == sorted(horizons)
    for earlier, horizon in seen:
        assert known_before(earlier, horizon) == known_before(spans, horizon)
        assert all(span.end is not None for span in earlier[:-1])
    edges = [edge for stretch in known_before(spans, length) for edge in stretch]
    assert edges == sorted(set(edges))
    assert all(span.end is not None for span in spans)
    assert spans == track(sound, Scripted(*said), VoiceSettings(min_speech_ms=shortest))


def test_that_a_stream_is_known_soon() -> None:
    tracker = VoiceTracker(Scripted(1.0), VOICE)
    sound = joined(silence(1000), tone(300, 1000), silence(1000))
    began = ended = None
    for at in range(0, len(sound), 10 * PER_MS):
        tracker.feed(sound[at : at + 10 * PER_MS])
        fed = at // PER_MS + 10
        if began is None and tracker.spans:
            began = fed
        if ended is None and tracker.spans and tracker.spans[0].end is not None:
            ended = fed

    assert began is not None
    assert began <= 1000 + VOICE.min_speech_ms + 44
    assert ended is not None
    assert ended <= 2000 + 200 + 44


def test_that_a_finished_utterance_takes_no_more() -> None:
    tracker = VoiceTracker(EnergyProbability(), VOICE)
    tracker.feed(tone(440, 500))
    tracker.finish()
    spans = tracker.spans
    tracker.finish()

    assert tracker.spans is spans
    assert pairs(spans) == [(0, 500)]
    with pytest.raises(ValueError, match="finished"):
        tracker.feed(silence(20))


def test_that_a_detector_of_another_window_is_refused() -> None:
    class Wide(Scripted):
        window = 1024

    with pytest.raises(ValueError, match="512 samples, not 1024"):
        VoiceTracker(Wide(1.0), VOICE)


# Real speech.


@pytest.fixture(scope="module", params=["talk", "short"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def speech(name: str, media: Path) -> Samples:
    return load(media / "speech" / f"{name}.wav")


@pytest.mark.parametrize("heard", [lambda sound: sound, telephone], ids=["whole", "telephone"])
def test_that_the_avatar_moves_with_real_speech(
    name: str, speech: Samples, heard: Callable[[Samples], Samples]
) -> None:
    clean = heard(speech)
    for at in cut_places(clean, AUDIBLE_DB[name]):
        sound = cut_in(clean, at)
        expected = voice_by_energy(sound, AUDIBLE_DB[name])
        found = movement(track(sound, EnergyProbability(), VOICE), len(sound) // PER_MS)
        assert np.shape(found) == np.shape(expected), f"silence at {at} ms: {found}, not {expected}"
        assert np.abs(np.subtract(found, expected)).max() <= 120, f"{at}: {found}, not {expected}"


def test_that_silence_before_real_speech_is_rest(name: str, speech: Samples) -> None:
    sound = joined(silence(2000), speech)

    ((start, end),) = movement(track(sound, EnergyProbability(), VOICE), len(sound) // PER_MS)

    ((expected_start, expected_end),) = voice_by_energy(sound, AUDIBLE_DB[name])
    assert abs(start - expected_start) <= 20
    assert abs(end - expected_end) <= 20
