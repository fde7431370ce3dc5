"""Transcription, with a tiny Whisper of random weights in CTranslate2's own form.

Nothing is claimed about the words it finds: only their form, order and times.
"""

import shutil
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from engine.errors import MissingDependency, SettingsError
from engine.speech.settings import CaptionSettings
from engine.speech.sound import SAMPLE_RATE, Samples, Word
from processors.speech.whisper import WhisperTranscriber
from processors.speech.whisper_model import words_of

SHARED = Path(__file__).resolve().parents[2] / "shared"
WIDTH = 16
HEADS = 2
SPECIAL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
]
TIMES = [f"<|{index * 0.02:.2f}|>" for index in range(1501)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as ``speech.captions.model`` names one."""
    pytest.importorskip("faster_whisper", reason="faster-whisper is not installed")
    folder = tmp_path_factory.mktemp("whisper") / "tiny"
    folder.mkdir()
    write_model(folder)
    return folder


def write_model(folder: Path) -> None:
    from ctranslate2.specs import WhisperSpec

    text = write_tokenizer(folder)
    vocabulary = [*text, *SPECIAL, *TIMES]
    random = np.random.default_rng(5)

    def linear(layer: Any, rows: int, columns: int) -> None:
        layer.weight = random.normal(0, 0.3, (rows, columns)).astype(np.float32)
        layer.bias = np.zeros(rows, np.float32)

    def norm(layer: Any) -> None:
        layer.gamma = np.ones(WIDTH, np.float32)
        layer.beta = np.zeros(WIDTH, np.float32)

    def attention(layer: Any, rows: list[int]) -> None:
        norm(layer.layer_norm)
        for part, count in zip(layer.linear, rows, strict=True):
            linear(part, count, WIDTH)

    def feed_forward(layer: Any) -> None:
        norm(layer.layer_norm)
        linear(layer.linear_0, 2 * WIDTH, WIDTH)
        linear(layer.linear_1, WIDTH, 2 * WIDTH)

    def table(rows: int) -> np.ndarray[Any, Any]:
        return random.normal(0, 0.3, (rows, WIDTH)).astype(np.float32)

    spec: Any = WhisperSpec(1, HEADS, 2, HEADS)
    for convolution, channels in ((spec.encoder.conv1, 80), (spec.encoder.conv2, WIDTH)):
        convolution.weight = random.normal(0, 0.1, (WIDTH, channels, 3)).astype(np.float32)
        convolution.bias = np.zeros(WIDTH, np.float32)
    spec.encoder.position_encodings.encodings = table(1500)
    spec.decoder.position_encodings.encodings = table(448)
    for part in (spec.encoder, spec.decoder):
        norm(part.layer_norm)
        for layer in part.layer:
            attention(layer.self_attention, [3 * WIDTH, WIDTH])
            feed_forward(layer.ffn)
    for layer in spec.decoder.layer:
        attention(layer.attention, [WIDTH, 2 * WIDTH, WIDTH])
    spec.decoder.embeddings.weight = table(len(vocabulary))
    linear(spec.decoder.projection, len(vocabulary), WIDTH)
    # Else it would say hardly anything but broken UTF-8.
    spec.decoder.projection.bias[[token.startswith("Ġ") for token in vocabulary]] = 6.0
    spec.register_vocabulary(vocabulary)
    spec.config.alignment_heads = [[1, 0], [1, 1]]
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [len(text)]
    spec.config.lang_ids = [vocabulary.index("<|en|>")]
    spec.validate()
    spec.save(str(folder))


def write_tokenizer(folder: Path) -> list[str]:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    text = sorted(pre_tokenizers.ByteLevel.alphabet())
    text += [f"Ġ{word}" for word in ("one", "two", "three", "yes", "no", "this", "is", "speech")]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(text)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    return text


@pytest.fixture(scope="module")
def talk() -> Samples:
    """Real speech, 5 s."""
    path = SHARED / "media/speech/talk.wav"
    if not path.is_file():
        pytest.skip(f"no real speech: {path} does not exist")
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def test_words_are_in_order_and_within_the_sound(
    folder: Path, talk: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it uses the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    words = WhisperTranscriber(CaptionSettings(model=str(folder))).transcribe(talk)

    assert words
    assert all(word.text == word.text.strip() != "" for word in words)
    assert all(type(word.start) is float and type(word.end) is float for word in words)
    assert all(0 <= word.start <= word.end <= len(talk) / SAMPLE_RATE for word in words)
    starts = [word.start for word in words]
    assert starts == sorted(starts)


def test_a_second_sound_does_not_hear_the_first(folder: Path, talk: Samples) -> None:
    transcriber = WhisperTranscriber(CaptionSettings(model=str(folder), language="en"))

    first = transcriber.transcribe(talk)
    transcriber.transcribe(talk[::-1])

    assert transcriber.transcribe(talk) == first


@pytest.mark.parametrize("seconds", [0, 0.01, 2])
def test_silence_has_no_words(folder: Path, seconds: float) -> None:
    silence = np.zeros(int(seconds * SAMPLE_RATE), np.float32)

    assert not WhisperTranscriber(CaptionSettings(model=str(folder))).transcribe(silence)


@pytest.mark.parametrize(
    "name", ["config.json", "model.bin", "tokenizer.json", "vocabulary.json", ""]
)
def test_a_missing_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    if name:
        (copy / name).unlink()
    else:
        shutil.rmtree(copy)

    with pytest.raises(SettingsError) as caught:
        WhisperTranscriber(CaptionSettings(model=str(copy)))

    assert str(copy) in caught.value.description
    assert name in caught.value.description
    assert "tokenizer.json" in caught.value.hint


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json", "vocabulary.json"])
def test_a_damaged_file_is_an_error(folder: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: len(data) // 2])

    with pytest.raises(SettingsError, match=r"cannot be loaded: .+ The folder must hold"):
        WhisperTranscriber(CaptionSettings(model=str(copy)))


def test_a_language_that_the_model_does_not_know(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"does not know 'es'\. It knows: en\."):
        WhisperTranscriber(CaptionSettings(model=str(folder), language="es"))


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config.json", "model.bin", "tokenizer.json", "vocabulary.json"):
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, "faster_whisper", None)

    with pytest.raises(MissingDependency, match="requirements-ai.txt"):
        WhisperTranscriber(CaptionSettings(model=str(tmp_path)))


def segments(*words: tuple[str, float, float]) -> list[SimpleNamespace]:
    found = [SimpleNamespace(word=text, start=start, end=end) for text, start, end in words]
    return [SimpleNamespace(words=found), SimpleNamespace(words=None)]


def test_words_that_the_model_takes_apart_are_mended() -> None:
    words = words_of(segments((" state", 0, 0.2), ("-of", 0.2, 0.4), (" art.", 0.4, 0.9)), 5)

    assert words == (Word("state-of", 0, 0.4), Word("art.", 0.4, 0.9))


def test_characters_of_chinese_stay_words() -> None:
    words = words_of(segments((" 你", 0, 0.2), ("好。", 0.2, 0.4), ("今", 0.4, 0.9)), 5)

    assert [word.text for word in words] == ["你", "好。", "今"]


def test_times_that_go_back_or_beyond_are_put_right() -> None:
    words = words_of(segments((" a", 1.0, 1.2), (" b", 0.5, 0.4), ("  ", 2, 2), (" c", 4.9, 7)), 5)

    assert words == (Word("a", 1.0, 1.2), Word("b", 1.0, 1.0), Word("c", 4.9, 5))
