"""Speech or not by the Silero model, alone and with the tracker on real speech."""

import importlib.util
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.errors import MissingDependency
from engine.speech.decimate import Decimator
from engine.speech.probability import WINDOW, EnergyProbability
from engine.speech.settings import VoiceSettings
from engine.speech.sound import Samples
from processors.speech.silero import (
    SileroModel,
    SileroProbability,
    find_model,
    probability_factory,
)
from tests.conftest import SHARED
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
    with_noise,
)

VOICE = VoiceSettings(detector="silero")


@pytest.fixture(scope="module")
def model() -> SileroModel:
    pytest.importorskip("onnxruntime", reason="onnxruntime (requirements-ai.txt) is not installed")
    if importlib.util.find_spec("faster_whisper") is None:
        pytest.skip("faster-whisper (requirements-ai.txt), which has the model, is not installed")
    return SileroModel(find_model())


@pytest.fixture(scope="module", params=["talk", "short"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def speech(name: str, media: Path) -> Samples:
    return load(media / "speech" / f"{name}.wav")


def windows(sound: Samples) -> Samples:
    decimator = Decimator(WINDOW)
    return np.concatenate([decimator.feed(sound), decimator.finish()])


def likely(model: SileroModel, sound: Samples) -> list[float]:
    detector = SileroProbability(model)
    return [detector.feed(window) for window in windows(sound)]


# The model.


def test_that_speech_is_likely_and_other_sound_is_not(model: SileroModel, speech: Samples) -> None:
    assert np.median(likely(model, speech)) > 0.9
    for other in (silence(1000), noise(1000, -25), tone(440, 1000)):
        assert max(likely(model, other)) < 0.3


def test_that_each_utterance_has_a_state_of_its_own(model: SileroModel, media: Path) -> None:
    sounds = [load(media / "speech" / f"{name}.wav") for name in ("talk", "short")]
    alone = [likely(model, sound) for sound in sounds]

    first, second = SileroProbability(model), SileroProbability(model)
    both = zip(windows(sounds[0]), windows(sounds[1]), strict=False)
    turns = [(first.feed(one), second.feed(other)) for one, other in both]

    assert turns == list(zip(*alone, strict=False))


def test_that_threads_share_the_model(model: SileroModel, speech: Samples) -> None:
    expected = likely(model, speech)
    found: list[list[float]] = []
    begin = threading.Barrier(3)

    def work() -> None:
        begin.wait(10)
        found.append(likely(model, speech))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert found == [expected] * 3


def test_that_the_context_and_the_state_go_from_window_to_window(
    model: SileroModel, speech: Samples
) -> None:
    # The network takes a whole sequence too: its answer is the same, made in one call.
    sound = windows(speech).reshape(-1)
    padded = np.concatenate([np.zeros(64, np.float32), sound])
    sequence = np.lib.stride_tricks.sliding_window_view(padded, 64 + WINDOW)[::WINDOW]
    import onnxruntime  # type: ignore[import-untyped]  # it ships none

    session = onnxruntime.InferenceSession(find_model(), providers=["CPUExecutionProvider"])
    zeros = np.zeros((1, 1, 128), np.float32)
    (expected,) = session.run(["speech_probs"], {"input": sequence, "h": zeros, "c": zeros})

    np.testing.assert_allclose(likely(model, speech), expected.reshape(-1), atol=1e-4)


# What is missing.


def test_that_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(MissingDependency, match=r"faster-whisper.*requirements-ai\.txt"):
        probability_factory(VOICE)


def test_that_missing_onnxruntime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(MissingDependency, match=r"onnxruntime.*requirements-ai\.txt"):
        SileroModel(Path("any.onnx"))


def test_that_a_package_without_the_model_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "faster_whisper").mkdir()
    (tmp_path / "faster_whisper" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "faster_whisper", raising=False)

    with pytest.raises(MissingDependency, match=r"has no assets/silero_vad_v6\.onnx"):
        find_model()


def test_that_a_damaged_model_is_named(model: SileroModel, tmp_path: Path) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(b"not a model")

    with pytest.raises(MissingDependency, match=r"damaged\.onnx cannot be read"):
        SileroModel(path)


def test_that_another_model_is_named(model: SileroModel) -> None:
    path = SHARED / "models" / "yunet_n_dynamic.onnx"
    if not path.is_file():
        pytest.skip(f"no other model: {path} does not exist")

    with pytest.raises(MissingDependency, match=r"yunet_n_dynamic\.onnx is another model"):
        SileroModel(path)


def test_that_the_choice_of_the_detector_is_kept(
    model: SileroModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for detector, kind in [
        ("auto", SileroProbability),
        ("silero", SileroProbability),
        ("energy", EnergyProbability),
    ]:
        make = probability_factory(VoiceSettings.model_validate({"detector": detector}))
        assert isinstance(make(), kind)
        assert make() is not make()
    assert not caplog.records

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    make = probability_factory(VoiceSettings(detector="auto"))

    assert [type(make()) for _ in range(3)] == [EnergyProbability] * 3
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "faster-whisper" in record.getMessage()


def test_that_faster_whisper_itself_is_not_imported(model: SileroModel) -> None:
    program = (
        "import sys; from processors.speech.silero import *; "
        "probability_factory(VoiceSettings(detector='silero')); "
        "print({'faster_whisper', 'ctranslate2'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.strip() == "set()"


# With the tracker.


def whole(sound: Samples) -> Samples:
    return sound


def noisy(sound: Samples) -> Samples:
    return with_noise(sound, sound, 20)


@pytest.mark.parametrize(
    ("heard", "disturbed"),
    [(whole, whole), (telephone, whole), (whole, noisy)],
    ids=["whole", "telephone", "noise at 20 dB"],
)
def test_that_the_avatar_moves_with_real_speech(
    model: SileroModel,
    name: str,
    speech: Samples,
    heard: Callable[[Samples], Samples],
    disturbed: Callable[[Samples], Samples],
) -> None:
    clean = heard(speech)
    for at in cut_places(clean, AUDIBLE_DB[name]):
        sound = cut_in(clean, at)
        expected = voice_by_energy(sound, AUDIBLE_DB[name])
        spans = track(disturbed(sound), SileroProbability(model), VOICE)
        found = movement(spans, len(sound) // PER_MS)
        assert np.shape(found) == np.shape(expected), f"silence at {at} ms: {found}, not {expected}"
        assert np.abs(np.subtract(found, expected)).max() <= 120, f"{at}: {found}, not {expected}"


def test_that_silence_before_real_speech_is_rest(
    model: SileroModel, name: str, speech: Samples
) -> None:
    sound = np.concatenate([silence(2000), speech])

    spans = track(sound, SileroProbability(model), VOICE)
    ((start, end),) = movement(spans, len(sound) // PER_MS)

    ((expected_start, expected_end),) = voice_by_energy(sound, AUDIBLE_DB[name])
    assert abs(start - expected_start) <= 20
    assert abs(end - expected_end) <= 20


def test_that_a_beep_moves_the_avatar(model: SileroModel) -> None:
    for lead in (0, 1000):
        sound = np.concatenate([silence(lead), tone(440, 200), silence(800)])
        ((start, end),) = movement(track(sound, SileroProbability(model), VOICE), lead + 1000)
        assert (start, end) == (lead, lead + 200)


def test_that_speech_in_going_on_music_is_followed(
    model: SileroModel, name: str, speech: Samples
) -> None:
    # Soft chords, from 4 s before to 4 s behind the speech.
    length = 8000 + len(speech) // PER_MS
    chord = np.sum([tone(hertz, length, -45) for hertz in (220, 277, 330, 440)], axis=0)
    beat = 1 + 0.5 * np.sin(2 * np.pi * 2 * np.arange(len(chord)) / (PER_MS * 1000))
    sound = (chord * beat).astype(np.float32)
    sound[4000 * PER_MS : 4000 * PER_MS + len(speech)] += speech

    found = movement(track(sound, SileroProbability(model), VOICE), length)

    ((expected_start, expected_end),) = voice_by_energy(speech, AUDIBLE_DB[name])
    start, end = found[-1]
    # The crowd before the first word of talk.wav is neither speech nor does it follow a pause.
    assert -120 <= start - (4000 + expected_start) <= (620 if name == "talk" else 120)
    # There is no silence that would say where the last word ends.
    assert abs(end - (4000 + expected_end)) <= 250


def test_that_silence_and_noise_are_no_voice(model: SileroModel) -> None:
    for sound in (silence(3000), noise(5000, -39), noise(3000, -50)):
        assert track(sound, SileroProbability(model), VOICE) == ()
