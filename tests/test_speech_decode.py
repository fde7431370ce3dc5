"""Sound files of all kinds are decoded, and bad ones refused with a reason."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.speech.decode import (
    CHUNK,
    NotSound,
    SoundDamaged,
    SoundEmpty,
    SoundTooLong,
    decode_sound,
    sound_seconds,
)
from engine.speech.sound import SAMPLE_RATE, SoundError
from tests.speech_sounds import decoded, encoded, level_db, pcm16, sine, wav

TONE = sine(1.3, 440.0)
LEVEL = level_db(TONE)


def stereo(samples: np.ndarray) -> bytes:
    return np.stack([samples, samples], axis=1).tobytes()


def bits24(samples: np.ndarray) -> bytes:
    whole = (samples.astype(np.float64) * 8_388_607).astype("<i4")
    return whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def plain(rate: int = 16_000) -> bytes:
    return wav(pcm16(sine(1.3, rate=rate)).tobytes(), bits=16, rate=rate)


def floats(value: float, place: int = 30_000) -> bytes:
    samples = TONE.copy()
    samples[place] = value
    return wav(samples.tobytes(), bits=32, rate=SAMPLE_RATE, code=3)


def halved(source: bytes) -> bytes:
    return source[: len(source) // 2]


RAW: dict[str, Callable[[], bytes]] = {
    "8 kHz, 8 bits": lambda: wav(
        np.round(sine(1.3, rate=8_000) * 127 + 128).astype(np.uint8).tobytes(), bits=8, rate=8_000
    ),
    "16 kHz, 16 bits": plain,
    "44.1 kHz, 16 bits": lambda: plain(44_100),
    "24 bits": lambda: wav(bits24(TONE), bits=24, rate=SAMPLE_RATE),
    "32 bits": lambda: wav(
        (TONE.astype(np.float64) * 2**31).astype("<i4").tobytes(), bits=32, rate=SAMPLE_RATE
    ),
    "32-bit floats": lambda: wav(TONE.tobytes(), bits=32, rate=SAMPLE_RATE, code=3),
    "64-bit floats, 96 kHz": lambda: wav(
        sine(1.3, rate=96_000).astype(np.float64).tobytes(), bits=64, rate=96_000, code=3
    ),
    "length not known when it was written": lambda: wav(
        pcm16(TONE).tobytes(), bits=16, rate=SAMPLE_RATE, stated=0xFFFF_FFFF
    ),
}


@pytest.mark.parametrize("kind", RAW)
def test_wav_files_of_all_forms(kind: str) -> None:
    source = RAW[kind]()

    chunks = list(decode_sound(source, 5.0))

    assert {chunk.dtype for chunk in chunks} == {np.dtype(np.float32)}
    assert [len(chunk) for chunk in chunks[:-1]] == [CHUNK] * (len(chunks) - 1)
    samples = np.concatenate(chunks)
    assert len(samples) == pytest.approx(len(TONE), abs=1)
    inner = slice(500, len(TONE) - 500)
    tolerance = 0.01 if kind.startswith("8 kHz") else 1e-3
    np.testing.assert_allclose(samples[inner], TONE[inner], atol=tolerance)
    assert sound_seconds(source) == pytest.approx(1.3, abs=0.001)


@pytest.mark.parametrize(
    ("kind", "codec", "layout", "rate"),
    [
        ("mp3", "libmp3lame", "mono", 44_100),
        ("ogg", "libopus", "mono", 48_000),
        ("ogg", "flac", "stereo", 48_000),
        ("flac", "flac", "mono", 48_000),
        ("mp4", "aac", "stereo", 44_100),
        ("webm", "libopus", "mono", 48_000),
        ("adts", "aac", "mono", 44_100),
        ("matroska", "flac", "5.1", 96_000),
        ("mpegts", "mp2", "stereo", 48_000),
        ("avi", "pcm_s16le", "mono", 22_050),
        ("aiff", "pcm_s16be", "mono", 22_050),
        ("au", "pcm_mulaw", "mono", 8_000),
        ("ac3", "ac3", "5.1", 48_000),
        ("wav", "pcm_s16le", "5.1", 48_000),
    ],
)
def test_files_of_all_kinds(kind: str, codec: str, layout: str, rate: int) -> None:
    samples = decoded(encoded(TONE, kind, codec, layout, rate))

    assert len(samples) == pytest.approx(len(TONE), abs=0.15 * SAMPLE_RATE)
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * SAMPLE_RATE / len(middle) == pytest.approx(440, abs=2)
    # Six channels are mixed down from one of them; others keep the level, or add two.
    assert level_db(middle) == pytest.approx(LEVEL, abs=3.5)


def test_six_channels_without_a_layout() -> None:
    data = np.repeat(pcm16(TONE)[:, np.newaxis], 6, axis=1).tobytes()

    samples = decoded(wav(data, bits=16, rate=SAMPLE_RATE, channels=6))

    assert len(samples) == len(TONE)
    assert level_db(samples) > LEVEL


def test_both_channels_are_heard() -> None:
    left = np.stack([pcm16(TONE), np.zeros(len(TONE), np.int16)], axis=1)

    for channels in (left, left[:, ::-1]):
        source = wav(channels.tobytes(), bits=16, rate=SAMPLE_RATE, channels=2)
        assert level_db(decoded(source)) == pytest.approx(LEVEL - 3, abs=0.1)


def test_the_sound_of_a_video(media: Path) -> None:
    samples = decoded(media / "avatar/talking_with_audio.mp4")

    assert len(samples) / SAMPLE_RATE == pytest.approx(7.01, abs=0.02)
    assert -25 < level_db(samples) < -15


def test_bytes_and_path_give_the_same(media: Path) -> None:
    path = media / "speech/talk.wav"

    np.testing.assert_array_equal(decoded(path), decoded(path.read_bytes()))
    assert len(decoded(path)) / SAMPLE_RATE == pytest.approx(5.0155, abs=0.0001)


def test_a_form_that_changes_on_the_way() -> None:
    chained = encoded(TONE, "ogg", "flac", "mono", 48_000) + encoded(
        TONE, "ogg", "flac", "stereo", 16_000
    )

    assert len(decoded(chained)) == pytest.approx(2 * len(TONE), abs=100)


@pytest.mark.parametrize(
    ("source", "error", "word"),
    [
        (b"", SoundEmpty, "empty"),
        (b"hello, this is a text and no sound. " * 200, NotSound, "kind"),
        (bytes(5_000), NotSound, "kind"),
        (b"RIFF", NotSound, "kind"),
        (wav(b"", bits=16, rate=16_000), SoundEmpty, "no samples"),
        (wav(bytes(320), bits=16, rate=1), NotSound, "1 samples per second"),
        (wav(bytes(64_000), bits=16, rate=8_000, channels=100), NotSound, "100 channels"),
        (halved(plain()), SoundDamaged, "cut off"),
        (halved(encoded(TONE, "flac", "flac")), SoundDamaged, "of 1.3 seconds"),
        (halved(encoded(TONE, "mp4", "aac")), NotSound, "kind"),
        (floats(float("nan")), SoundDamaged, "NaN"),
        (floats(float("inf")), SoundDamaged, "infinite"),
        (floats(3e38), SoundDamaged, "large"),
    ],
)
def test_bad_sound_is_refused(source: bytes, error: type[SoundError], word: str) -> None:
    with pytest.raises(error, match=word) as caught:
        decoded(source)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["avatar/idle.mp4", "faces/mona_lisa.jpg"])
def test_pictures_are_no_sound(media: Path, name: str) -> None:
    with pytest.raises(NotSound, match=Path(name).name):
        decoded(media / name)


def test_a_path_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.wav"):
        with pytest.raises(NotSound, match=path.name):
            decoded(path)


def test_long_sound_is_refused_before_it_is_decoded() -> None:
    # Its first sample is no number: decoding it would be another error.
    with pytest.raises(SoundTooLong, match="1 seconds long"):
        next(decode_sound(floats(float("nan"), 0), 1.0))


def test_long_sound_of_unsure_length_is_counted() -> None:
    source = encoded(TONE, "mp3", "libmp3lame", rate=44_100)

    with pytest.raises(SoundTooLong, match="longer"):
        list(decode_sound(source, 0.9))


def test_sound_may_be_as_long_as_allowed() -> None:
    assert sum(len(chunk) for chunk in decode_sound(floats(0.0), 1.3)) == len(TONE)


@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat", "list.wav"])
def test_playlists_open_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.aac").write_bytes(encoded(TONE, "adts", "aac"))
    secret = tmp_path / "secret.aac"
    texts = {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile {secret.name}\n",
        "list.wav": f"ffconcat version 1.0\nfile {secret.name}\n",
    }
    playlist = tmp_path / name
    playlist.write_text(texts[name])
    with av.open(str(playlist)) as followed:  # FFmpeg alone would read the other file
        assert followed.streams.audio

    for source in (playlist, playlist.read_bytes()):
        with pytest.raises(NotSound):
            decoded(source)


FILES = [
    plain(),
    encoded(TONE, "mp3", "libmp3lame", rate=44_100),
    encoded(TONE, "ogg", "libopus"),
    encoded(TONE, "flac", "flac"),
    encoded(TONE, "mp4", "aac", rate=44_100),
    encoded(TONE, "webm", "libopus"),
    encoded(TONE, "wav", "adpcm_ms", rate=22_050),
]


def only_sound_or_an_error(source: bytes) -> None:
    try:
        samples = decoded(source)
    except SoundError:
        return
    assert len(samples)
    assert np.isfinite(samples).all()


@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=30),
    st.floats(0, 1),
    st.booleans(),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_damaged_files_give_sound_or_an_error(
    source: bytes, changes: list[tuple[float, int]], end: float, in_head: bool
) -> None:
    damaged = bytearray(source)
    for place, value in changes:
        damaged[int(place * (min(len(source), 400) if in_head else len(source) - 1))] = value
    only_sound_or_an_error(bytes(damaged[: int(len(damaged) * end) if end > 0.2 else None]))


@given(
    st.sampled_from([b"", b"RIFF\0\0\0\0WAVEfmt ", b"OggS\0\2", b"fLaC\0\0\0\x22", b"ID3\4\0\0"]),
    st.binary(max_size=2_000),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_bytes_give_sound_or_an_error(head: bytes, rest: bytes) -> None:
    only_sound_or_an_error(head + rest)
