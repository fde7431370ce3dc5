"""Reading the facts of clips, and refusing what is none."""

import hashlib
import os
from fractions import Fraction
from pathlib import Path

import pytest

from engine.clips.info import fingerprint, read_info
from engine.clips.opening import (
    ClipDamaged,
    ClipEmpty,
    ClipMissing,
    ClipTooLarge,
    ClipTooShort,
    ClipTruncated,
    ClipWithoutPicture,
    NotAVideo,
)
from engine.errors import ClipError
from tests.clipmaking import (
    cut_off,
    numbered,
    numbered_clip,
    quartered,
    write_clip,
    write_sound,
)


def test_real_clip_with_oblong_pixels(media: Path) -> None:
    info = read_info(media / "avatar" / "idle.mp4")

    assert (info.container, info.codec, info.pixel_format) == ("mp4", "h264", "yuv420p")
    assert info.pixel_aspect == Fraction(15, 16)
    assert (info.width, info.height) == (480, 480)
    assert (info.fps, info.frames, info.variable_rate) == (30, 189, False)
    assert info.duration == pytest.approx(6.3)
    assert not info.has_audio
    assert info.complete


def test_real_clip_with_sound(media: Path) -> None:
    info = read_info(media / "avatar" / "talking_with_audio.mp4")

    assert info.has_audio
    assert (info.width, info.height, info.fps, info.frames) == (480, 480, 25, 175)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "expected", "bits"),
    [
        ("a.webm", "libvpx-vp9", "yuv420p", ("webm", "vp9"), 8),
        ("a.avi", "mpeg4", "yuv420p", ("avi", "mpeg4"), 8),
        ("a.avi", "mjpeg", "yuvj420p", ("avi", "mjpeg"), 8),
        ("a.gif", "gif", "rgb8", ("gif", "gif"), 8),
        ("a.mov", "prores_ks", "yuv422p10le", ("mov", "prores"), 10),
        ("a.mkv", "ffv1", "yuv444p10le", ("matroska", "ffv1"), 10),
        ("a.mp4", "libx264", "yuv420p10le", ("mp4", "h264"), 10),
        ("a.ts", "mpeg2video", "yuv420p", ("mpegts", "mpeg2video"), 8),
        ("a.h264", "libx264", "yuv420p", ("h264", "h264"), 8),
    ],
)
def test_containers_and_codecs(
    tmp_path: Path,
    name: str,
    codec: str,
    pixel_format: str,
    expected: tuple[str, str],
    bits: int,
) -> None:
    clip = numbered_clip(tmp_path / name, 12, codec=codec, pixel_format=pixel_format)

    info = read_info(clip)

    assert (info.container, info.codec) == expected
    assert (info.frames, info.fps, info.bit_depth) == (12, 25, bits)
    assert info.duration == pytest.approx(12 / 25, abs=0.005)
    assert not info.variable_rate
    assert info.complete
    assert info.size_bytes == clip.stat().st_size


@pytest.mark.parametrize(
    ("counter_clockwise", "clockwise", "size"),
    [(0, 0, (160, 120)), (90, 270, (120, 160)), (180, 180, (160, 120)), (270, 90, (120, 160))],
)
def test_size_is_that_of_the_upright_picture(
    tmp_path: Path, counter_clockwise: int, clockwise: int, size: tuple[int, int]
) -> None:
    info = read_info(write_clip(tmp_path / "a.mp4", [quartered()] * 3, rotation=counter_clockwise))

    assert info.orientation.clockwise == clockwise
    assert (info.width, info.height) == size


def test_oblong_pixels_that_are_also_turned(tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "a.mp4",
        [numbered(1, (80, 120))] * 3,
        rotation=90,
        pixel_aspect=Fraction(2),
    )

    info = read_info(clip)

    assert (info.width, info.height) == (120, 160)
    assert info.upright_pixel_aspect == Fraction(1, 2)


def test_variable_rate_is_seen(tmp_path: Path) -> None:
    times = [Fraction(hundredth, 100) for hundredth in (0, 4, 8, 30, 34, 60)]

    info = read_info(numbered_clip(tmp_path / "a.mp4", 6, times=times))

    assert info.variable_rate
    assert info.duration == pytest.approx(0.64, abs=0.02)


def test_late_start_counts_from_the_first_picture(tmp_path: Path) -> None:
    times = [Fraction(tick, 25) for tick in range(100, 110)]

    info = read_info(numbered_clip(tmp_path / "a.mkv", 10, times=times))

    assert info.duration == pytest.approx(0.4, abs=0.005)
    assert info.complete


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_sound_that_outlasts_the_pictures_is_no_damage(tmp_path: Path, name: str) -> None:
    clip = numbered_clip(tmp_path / name, 10, sound=3.0)

    info = read_info(clip)

    assert info.has_audio
    assert info.complete


def test_fingerprint_is_sha256_of_the_contents(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(bytes(range(256)) * 10_000)

    assert fingerprint(file) == hashlib.sha256(file.read_bytes()).hexdigest()


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(ClipMissing, match=r"There is no clip '.*nope\.mp4'"):
        read_info(tmp_path / "nope.mp4")
    with pytest.raises(ClipMissing):
        fingerprint(tmp_path / "nope.mp4")


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()

    with pytest.raises(ClipEmpty, match="0 bytes"):
        read_info(tmp_path / "a.mp4")


def test_folder_and_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")

    with pytest.raises(NotAVideo, match="folder"):
        read_info(tmp_path)
    with pytest.raises(NotAVideo, match="pipe"):
        read_info(tmp_path / "pipe.mp4")


def test_text_is_not_a_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("idle clip, version 2\n" * 100)

    with pytest.raises(NotAVideo, match="not a video"):
        read_info(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{other}'\n",
    ],
)
def test_a_playlist_reaches_no_other_file(tmp_path: Path, text: str) -> None:
    other = numbered_clip(tmp_path / "other.ts", 5)
    playlist = tmp_path / "idle.mp4"
    playlist.write_text(text.format(other=other))

    with pytest.raises(NotAVideo):
        read_info(playlist)


def test_sound_only(tmp_path: Path) -> None:
    with pytest.raises(ClipWithoutPicture, match="sound but no moving picture"):
        read_info(write_sound(tmp_path / "a.m4a"))


def test_one_picture(tmp_path: Path) -> None:
    with pytest.raises(ClipTooShort, match="single picture"):
        read_info(numbered_clip(tmp_path / "a.mp4", 1))


def test_cut_off_before_the_index(tmp_path: Path) -> None:
    whole = numbered_clip(tmp_path / "whole.mp4", 50)

    with pytest.raises(ClipTruncated, match="index at its end is missing"):
        read_info(cut_off(whole, tmp_path / "a.mp4", 0.6))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"movflags": "faststart"}),
        ("a.mkv", "libx264", {}),
        ("a.webm", "libvpx-vp9", {}),
        ("a.avi", "mpeg4", {}),
    ],
)
def test_cut_off_says_what_is_left(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    whole = numbered_clip(
        tmp_path / f"whole-{name}", 75, (320, 240), codec=codec, container_options=options
    )
    clip = cut_off(whole, tmp_path / name, 0.6)

    with pytest.raises(ClipTruncated, match=r"cut off: \d+.* pictures \(\d\.\d s\)") as caught:
        read_info(clip)
    info = read_info(clip, allow_truncated=True)

    assert 0 < caught.value.readable < 3.0
    assert "clips prepare" in caught.value.hint
    assert 2 <= info.frames < 75
    assert info.duration == caught.value.readable
    assert not info.complete


def test_pictures_that_do_not_decode(tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "a.mp4", 20)
    contents = bytearray(clip.read_bytes())
    start = contents.index(b"mdat") + 4
    end = contents.index(b"moov") - 4
    contents[start:end] = b"\xff" * (end - start)
    clip.write_bytes(bytes(contents))

    with pytest.raises(ClipDamaged, match="No picture"):
        read_info(clip)


def test_8k_is_accepted_and_more_is_not(tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "a.mkv",
        [numbered(number, (7680, 4320)) for number in range(2)],
        codec="mjpeg",
        pixel_format="yuvj420p",
    )

    info = read_info(clip)

    assert (info.width, info.height) == (7680, 4320)
    with pytest.raises(ClipTooLarge, match="7680x4320"):
        read_info(clip, max_pixels=3840 * 2160)


def test_every_refusal_is_a_clip_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video" * 50)
    refused = [
        tmp_path / "nope.mp4",
        tmp_path / "empty.mp4",
        tmp_path / "text.mp4",
        write_sound(tmp_path / "sound.m4a"),
        numbered_clip(tmp_path / "one.mp4", 1),
    ]

    for path in refused:
        with pytest.raises(ClipError) as caught:
            read_info(path)
        assert str(path) in caught.value.description
        assert caught.value.hint
