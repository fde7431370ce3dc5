"""Subtitles of real speech, with a tiny Whisper of random weights: form, times, files, bad input.

Nothing is claimed about the words it finds.
"""

import dataclasses
import errno
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from engine.errors import ClipError
from engine.jobs.retrying import classified
from engine.speech.decode import NotSound
from engine.speech.sound import SAMPLE_RATE
from engine.speech.windows import SoundWindows
from processors.generate import subtitling, transcript
from processors.generate.declaration import BadParameters
from processors.generate.model_folders import FolderNotAllowed
from processors.generate.recipe import read_recipe
from processors.generate.registry import LoadedGenerators
from processors.generate.subtitles import SUBTITLES, SubtitleParameters
from processors.generate.subtitling import NoPicture, Subtitler
from processors.generate.transcript import FileTranscriber, LanguageUnknown, NoSpeech, TooLong
from processors.models.catalog import Catalog, FileSpec, ModelSpec
from processors.models.files import ModelNotFound
from processors.models.library import ModelLibrary
from processors.speech.whisper_model import WhisperUnusable
from tests.clipmaking import numbered_clip, write_sound
from tests.generate_parts import FakeContext, Services, Stopped, services
from tests.test_speech_whisper import write_model

MODEL = "tiny"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with a folder ``tiny``."""
    pytest.importorskip("faster_whisper", reason="faster-whisper is not installed")
    folder = tmp_path_factory.mktemp("models")
    (folder / MODEL).mkdir()
    write_model(folder / MODEL)
    return folder


@pytest.fixture(scope="module")
def talk(media: Path) -> Path:
    """A talking head with sound, 7 s."""
    return media / "avatar" / "talking_with_audio.mp4"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def run(
    models: Path, source: Path, out: Path, context: FakeContext | None = None, **params: Any
) -> dict[str, Any]:
    loaded = LoadedGenerators(services(models)).get("subtitles")
    given = {"model": MODEL, "beam_size": 1, **params}
    return loaded.run(given, {"video": source}, context or FakeContext(out))


def run_fake(source: Path, out: Path, models: Path, **params: Any) -> dict[str, Any]:
    """Run with a ``FakeWhisper``: what becomes of its words is what is tested."""
    fake = dataclasses.replace(
        SUBTITLES, load=lambda given: Subtitler(given, lambda *_: FakeWhisper()).run
    )
    loaded = LoadedGenerators(services(models), {"subtitles": fake}).get("subtitles")
    return loaded.run({"model": MODEL, **params}, {"video": source}, FakeContext(out))


def test_all_files_of_a_talking_head(
    models: Path, talk: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it uses the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    context = FakeContext(out)
    made = run(models, talk, out, context, formats=["srt", "vtt", "ass", "json"])

    assert made["files"] == {
        "subtitles": ["subtitles.srt", "subtitles.vtt", "subtitles.ass"],
        "words": ["subtitles.json"],
    }
    words = json.loads((out / "subtitles.json").read_text())
    values = made["values"]
    assert values["language"] == words["language"] == "en"
    assert values["seconds"] == pytest.approx(7.0, abs=0.1)
    assert values["cues"] == len(words["cues"]) > 0
    starts = [word["start"] for cue in words["cues"] for word in cue["words"]]
    assert starts == sorted(starts)
    assert values["words"] == len(starts) > 0
    for one, other in zip(words["cues"], words["cues"][1:], strict=False):
        assert one["start"] < one["end"] <= other["start"]
    for name in ("srt", "vtt", "ass"):
        with av.open(str(out / f"subtitles.{name}")) as container:
            assert sum(1 for p in container.demux(subtitles=0) if p.size) == values["cues"]
    shares = [share for share, _ in context.reports]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len({share for share in shares if 0 < share < 1}) >= 1
    assert context.recipe is not None
    assert set(context.recipe["models"]) == {MODEL}


@pytest.mark.parametrize("embed", ["soft", "burnt"])
def test_a_video_with_subtitles_says_how_it_was_made(
    models: Path, talk: Path, out: Path, embed: str
) -> None:
    if embed == "burnt":
        pytest.importorskip("PIL", reason="Pillow is not installed")
    context = FakeContext(out)
    made = run(models, talk, out, context, embed=embed, formats=[], preset="ultrafast")

    assert made["files"] == {"video": ["video.mp4"]}
    assert [path.name for path in out.iterdir()] == ["video.mp4"]
    with av.open(str(out / "video.mp4")) as container:
        assert len(container.streams.video) == len(container.streams.audio) == 1
        assert len(container.streams.subtitles) == (embed == "soft")
        assert sum(1 for _ in container.decode(video=0)) == 175
    recipe = read_recipe(out / "video.mp4")
    assert recipe.key == context.key
    assert recipe.params["embed"] == embed
    shares = [share for share, _ in context.reports]
    assert shares == sorted(shares)


def test_the_same_again_has_the_same_words(models: Path, media: Path, tmp_path: Path) -> None:
    made = []
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        run(models, media / "speech" / "short.wav", folder)
        made.append((folder / "subtitles.json").read_bytes())

    assert made[0] == made[1]


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("embed", ["soft", "burnt"])
def test_the_same_again_has_the_same_bytes(
    models: Path, talk: Path, tmp_path: Path, embed: str, container: str
) -> None:
    if embed == "burnt":
        pytest.importorskip("PIL", reason="Pillow is not installed")
    made = []
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        params = {"embed": embed, "container": container, "preset": "ultrafast"}
        run_fake(talk, folder, models, **params)
        made.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})

    assert len(made[0]) == 4
    assert made[0] == made[1]


def test_a_sound_file_needs_no_picture(models: Path, media: Path, out: Path) -> None:
    speech = media / "speech" / "short.wav"

    assert run(models, speech, out)["values"]["words"] > 0
    with pytest.raises(NoPicture, match=r"'short\.wav' has no moving picture"):
        run_fake(speech, out, models, embed="soft")


def test_a_video_without_sound(models: Path, out: Path, tmp_path: Path) -> None:
    silent = numbered_clip(tmp_path / "in.mp4", 10)

    with pytest.raises(NotSound, match="file without sound"):
        run_fake(silent, out, models)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("voice_filter", [True, False])
def test_a_sound_without_speech(
    models: Path, out: Path, tmp_path: Path, voice_filter: bool
) -> None:
    tone = write_sound(tmp_path / "tone.m4a", 3.0)
    nothing = tmp_path / "nothing.wav"
    with av.open(str(nothing), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 32_000), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))

    with pytest.raises(NoSpeech, match="No speech was found"):
        run(models, nothing, out, voice_filter=voice_filter)
    if voice_filter:
        with pytest.raises(NoSpeech, match="voice_filter: false"):
            run(models, tone, out)


def test_what_is_no_video(models: Path, out: Path, tmp_path: Path) -> None:
    text = tmp_path / "in.mp4"
    text.write_text("no video")

    with pytest.raises(ClipError, match="not a video"):
        run(models, text, out)


def test_cancelling_between_segments_leaves_nothing(models: Path, talk: Path, out: Path) -> None:
    context = FakeContext(out, stop=lambda share: share > 0)

    with pytest.raises(Stopped):
        run(models, talk, out, context, embed="burnt")
    assert 0 < context.reports[-1][0] < 0.6
    assert list(out.iterdir()) == []


def test_a_full_disk_is_tried_again_and_leaves_nothing(
    models: Path, talk: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space") as caught:
        run_fake(talk, out, models)
    assert classified(caught.value).retryable
    assert list(out.iterdir()) == []


def test_a_full_disk_under_the_video(
    models: Path, talk: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    for suffix in ("mp4", "mkv"):
        (out / f".part-video.{suffix}").symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left") as caught:
            run_fake(talk, out, models, embed="soft", container=suffix, formats=[])
        assert classified(caught.value).retryable
    assert list(out.iterdir()) == []


def test_a_missing_model_is_answered_with_the_command(talk: Path, out: Path) -> None:
    spec = ModelSpec(
        files=(FileSpec(name="model.bin"), FileSpec(name="config.json")),
        vendor="OpenAI",
        licence="MIT",
        commercial=True,
        purpose="writes down speech",
    )
    library = ModelLibrary((out,), catalog=Catalog({}, {"whisper_small": spec}))
    loaded = LoadedGenerators(Services(library)).get("subtitles")

    with pytest.raises(ModelNotFound) as caught:
        loaded.run({}, {"video": talk}, FakeContext(out))
    assert caught.value.hint == "Get it with: python server.py models pull whisper_small"


def test_a_known_model_is_found_by_its_id(models: Path, media: Path, out: Path) -> None:
    names = ("model.bin", "config.json", "tokenizer.json", "vocabulary.json")
    spec = ModelSpec(
        files=tuple(FileSpec(name=name) for name in names),
        vendor="OpenAI",
        licence="MIT",
        commercial=True,
        purpose="writes down speech",
    )
    library = ModelLibrary((models / MODEL,), catalog=Catalog({}, {"whisper_small": spec}))
    loaded = LoadedGenerators(Services(library)).get("subtitles")

    speech = {"video": media / "speech" / "short.wav"}
    made = loaded.run({"beam_size": 1}, speech, FakeContext(out))
    assert made["values"]["words"] > 0


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", "..", ".", "~root"])
def test_callers_may_not_name_folders_elsewhere(
    models: Path, talk: Path, out: Path, name: str
) -> None:
    with pytest.raises((FolderNotAllowed, ModelNotFound)) as caught:
        run(models, talk, out, model=name)
    assert "/root" not in str(caught.value)


def test_the_command_may_name_any_folder(models: Path, media: Path, out: Path) -> None:
    loaded = LoadedGenerators(services(any_folder=True)).get("subtitles")
    given = {"model": str(models / MODEL), "beam_size": 1}

    speech = {"video": media / "speech" / "short.wav"}
    assert loaded.run(given, speech, FakeContext(out))["values"]["words"] > 0


@pytest.mark.parametrize("name", ["config.json", "model.bin", "tokenizer.json", "vocabulary.json"])
def test_a_model_that_is_not_whole(
    models: Path, talk: Path, out: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(models, tmp_path / "models")
    (tmp_path / "models" / MODEL / name).unlink()

    with pytest.raises(ModelNotFound, match=f"is not whole: .* has no {name}"):
        run(tmp_path / "models", talk, out)


def test_a_damaged_model(models: Path, talk: Path, out: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path / "models")
    weights = tmp_path / "models" / MODEL / "model.bin"
    weights.write_bytes(weights.read_bytes()[:1000])

    with pytest.raises(WhisperUnusable, match="cannot be loaded"):
        run(tmp_path / "models", talk, out)


def test_languages_that_the_model_does_not_know(models: Path, talk: Path, out: Path) -> None:
    with pytest.raises(LanguageUnknown, match=r"does not know 'es'\. It knows: en"):
        run(models, talk, out, language="es")
    with pytest.raises(LanguageUnknown, match="cannot translate"):
        run(models, talk, out, task="translate")


def test_the_model_is_loaded_once(talk: Path, out: Path, models: Path) -> None:
    loads: list[tuple[Path, str, int]] = []

    def load(folder: Path, device: str, threads: int) -> FakeWhisper:
        loads.append((folder, device, threads))
        return FakeWhisper()

    subtitler = Subtitler(services(models), load)
    context = FakeContext(out)
    for threads in (1, 1, 2):
        context.place.threads = threads
        subtitler.run(SubtitleParameters(model=MODEL), {"video": talk}, context)

    assert loads == [(models / MODEL, "cpu", 1), (models / MODEL, "cpu", 2)]


class FakeWhisper:
    """Says ``w0 w1 ...`` in each window, one word a second, and keeps what it was asked."""

    supported_languages = ("de", "en")

    def __init__(self, languages: tuple[str, ...] = ("de",), silent: int = 0) -> None:
        self.asked: list[dict[str, Any]] = []
        self.lengths: list[float] = []
        self._languages = languages
        self._silent = silent

    def transcribe(self, sound: Any, **how: Any) -> tuple[Iterator[Any], Any]:
        number = len(self.asked)
        self.asked.append(how)
        seconds = len(sound) / 16_000
        self.lengths.append(seconds)
        quiet = number < self._silent

        def segments() -> Iterator[Any]:
            for at in range(0 if quiet else int(seconds)):
                word = SimpleNamespace(word=f" w{at}.", start=float(at), end=at + 0.9)
                yield SimpleNamespace(words=[word], end=at + 0.9, text=f" w{at}.")

        language = self._languages[min(number, len(self._languages) - 1)]
        spoken = 0.0 if quiet else seconds
        return segments(), SimpleNamespace(language=language, duration_after_vad=spoken)


def noise(path: Path, seconds: float) -> Path:
    """Sound with a quiet stretch at each 3.7 s."""
    rate = 8_000
    wave = np.random.default_rng(2).integers(-9000, 9000, int(seconds * rate), np.int16)
    for start in np.arange(3.5, seconds, 3.7):
        wave[int(start * rate) : int((start + 0.5) * rate)] = 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
    return path


def test_long_sound_is_written_down_in_windows(tmp_path: Path) -> None:
    source = noise(tmp_path / "x.wav", 21.0)
    model = FakeWhisper(("en", "de", "en"), silent=1)
    reports: list[float] = []
    found = FileTranscriber(model, "fake", window_s=5.0).transcribe(
        source, SubtitleParameters(), lambda share, _: reports.append(share)
    )

    # Only speech tells the language, and then it stays.
    assert [how["language"] for how in model.asked[:3]] == [None, None, "de"]
    assert found.language == "de"
    assert len(model.asked) >= 5
    assert max(model.lengths) <= 5.6
    assert sum(model.lengths) == pytest.approx(21.0, abs=0.01)
    assert found.seconds == pytest.approx(21.0, abs=0.01)
    starts = [word.start for cue in found.cues for word in cue.words]
    second = model.lengths[0]
    assert starts[0] == pytest.approx(second, abs=0.01)
    assert starts == sorted(starts)
    assert reports == sorted(reports)


def test_windows_are_cut_where_it_is_quiet() -> None:
    loud = np.full(SAMPLE_RATE * 10, 0.5, np.float32)
    loud[int(SAMPLE_RATE * 8.2) : int(SAMPLE_RATE * 8.7)] = 0
    windows = SoundWindows(10.0, searched_s=4.0, quiet_s=0.4)
    window = windows.add(loud)

    assert window is not None
    assert 8.2 <= len(window) / SAMPLE_RATE <= 8.7
    assert len(window) + len(windows.rest()) == len(loud)
    assert len(windows.rest()) == 0


def test_what_is_asked_of_whisper(tmp_path: Path) -> None:
    model = FakeWhisper()
    params = SubtitleParameters(
        task="translate", language="de", prompt="WebRTC", beam_size=3, voice_filter=False
    )
    found = FileTranscriber(model, "fake").transcribe(
        noise(tmp_path / "x.wav", 3.0), params, lambda *_: None
    )

    (asked,) = model.asked
    assert (asked["task"], asked["language"], asked["initial_prompt"]) == (
        "translate",
        "de",
        "WebRTC",
    )
    assert (asked["beam_size"], asked["vad_filter"], asked["word_timestamps"]) == (3, False, True)
    assert (found.language, found.written_language) == ("de", "en")


def test_a_day_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "sound_seconds", lambda _: 25 * 3600.0)

    with pytest.raises(TooLong, match=r"25\.0 hours long; at most 24"):
        FileTranscriber(FakeWhisper(), "fake").transcribe(
            tmp_path / "x.wav", SubtitleParameters(), lambda *_: None
        )


def test_subtitles_count_from_the_start_of_the_file(
    models: Path, talk: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subtitling, "sound_offset", lambda _: 0.5)
    subtitler = Subtitler(services(models), lambda *_: FakeWhisper())
    subtitler.run(SubtitleParameters(model=MODEL), {"video": talk}, FakeContext(out))

    words = json.loads((out / "subtitles.json").read_text())["cues"][0]["words"]
    assert words[0]["start"] == 0.5
    assert (out / "subtitles.srt").read_text().startswith("1\n00:00:00,500 --> ")


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"formats": []}, "nothing to make"),
        ({"language": "English"}, "pattern"),
        ({"crf": 52}, "less than or equal to 51"),
        ({"formats": ["sub"]}, "'srt'"),
        ({"style": {"font": "a:file=/etc/passwd"}}, "pattern"),
        ({"style": {"colour": "red"}}, "pattern"),
        ({"out": "../x"}, "not permitted"),
    ],
)
def test_wrong_parameters(params: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadParameters, match=problem):
        SUBTITLES.validate(params)


def test_memory_grows_with_the_model() -> None:
    def needed(model: str) -> int:
        return SUBTITLES.memory(SubtitleParameters(model=model), {})["cpu"]

    assert needed("whisper_tiny") < needed("whisper_small") < needed("whisper_large_v3")
    assert needed("something") == needed("whisper_large_v3")
