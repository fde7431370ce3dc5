"""Writing prepared clips: what is in the file, and that no half file is ever left."""

import errno
import os
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import pytest

from engine.clips.info import fingerprint, read_info
from engine.clips.normalise import Preparation
from engine.clips.opening import ClipMissing
from engine.clips.prepare import ClipNotWritten, prepare
from tests.clipmaking import (
    cut_off,
    numbered_clip,
    quartered,
    read_number,
    read_quarters,
    write_clip,
)

SMALL = Preparation(size=(160, 120))


def boxes(path: Path) -> list[bytes]:
    """The names of the boxes at the top of an MP4 file."""
    contents = path.read_bytes()
    names, at = [], 0
    while at < len(contents):
        names.append(contents[at + 4 : at + 8])
        at += int.from_bytes(contents[at : at + 4], "big")
    return names


def test_what_is_written(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.webm", 40, codec="libvpx-vp9")
    target = tmp_path / "out.mp4"

    info = prepare(source, target, SMALL)

    assert (info.container, info.codec, info.pixel_format) == ("mp4", "h264", "yuv420p")
    assert (info.width, info.height, info.fps, info.frames) == (160, 120, 25, 40)
    assert (info.has_audio, info.variable_rate, info.complete) == (False, False, True)
    assert (info.colorspace, info.full_range) == (1, False)
    assert boxes(target).index(b"moov") < boxes(target).index(b"mdat")
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert not stream.codec_context.has_b_frames
        assert (stream.color_primaries, stream.color_trc) == (1, 1)
        assert [read_number(frame) for frame in container.decode(video=0)] == list(range(40))


def test_all_at_once(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "in.mp4",
        [quartered((320, 180))] * 90,
        fps=Fraction(30000, 1001),
        rotation=90,
        sound=3.0,
    )
    wanted = Preparation(
        size=(128, 192),
        fps=Fraction(30),
        start=0.5,
        duration=1.5,
        brightness=0.02,
        contrast=1.1,
        saturation=1.1,
        sharpen=0.6,
        stabilize=True,
    )

    info = prepare(source, tmp_path / "out.mp4", wanted)

    assert (info.width, info.height, info.fps, info.frames) == (128, 192, 30, 45)
    assert not info.has_audio
    assert info.orientation.clockwise == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        for frame in container.decode(video=0):
            assert read_quarters(frame) == ("green", "grey", "red", "blue")


def test_lower_crf_is_larger(media: Path, tmp_path: Path) -> None:
    source = media / "avatar" / "idle.mp4"
    short = Preparation(size=(256, 256), duration=1.0)

    fine = prepare(source, tmp_path / "fine.mp4", short, crf=12)
    coarse = prepare(source, tmp_path / "coarse.mp4", short, crf=35)

    assert fine.frames == coarse.frames == 25
    assert fine.size_bytes > 3 * coarse.size_bytes


def test_preparing_again_changes_nothing_but_bytes(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 30)

    prepare(source, tmp_path / "1.mp4", SMALL)
    again = prepare(tmp_path / "1.mp4", tmp_path / "2.mp4", SMALL)

    assert again.frames == 30
    with av.open(str(tmp_path / "2.mp4")) as container:
        assert [read_number(frame) for frame in container.decode(video=0)] == list(range(30))


def test_progress_is_told(tmp_path: Path) -> None:
    seen: list[float] = []

    prepare(numbered_clip(tmp_path / "in.mp4", 10), tmp_path / "out.mp4", SMALL, 18, seen.append)

    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_of_a_cut_off_clip_what_is_there(tmp_path: Path) -> None:
    whole = numbered_clip(
        tmp_path / "whole.mp4", 75, (320, 240), container_options={"movflags": "faststart"}
    )

    info = prepare(cut_off(whole, tmp_path / "in.mp4", 0.6), tmp_path / "out.mp4", SMALL)

    assert 10 < info.frames < 75
    assert info.complete


def test_an_older_result_is_replaced(tmp_path: Path) -> None:
    target = numbered_clip(tmp_path / "out.mp4", 5)

    info = prepare(numbered_clip(tmp_path / "in.mp4", 12), target, SMALL)

    assert info.frames == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_new_file_has_ordinary_permissions(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        prepare(numbered_clip(tmp_path / "in.mp4", 5), tmp_path / "out.mp4", SMALL)
    finally:
        os.umask(mask)

    assert (tmp_path / "out.mp4").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("link", [None, "symlink", "hardlink"])
def test_the_source_is_never_overwritten(tmp_path: Path, link: str | None) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 5)
    target = source
    if link == "symlink":
        target = tmp_path / "other.mp4"
        target.symlink_to(source)
    elif link == "hardlink":
        target = tmp_path / "other.mp4"
        target.hardlink_to(source)
    before = fingerprint(source)

    with pytest.raises(ClipNotWritten, match="not overwritten"):
        prepare(source, target, SMALL)

    assert fingerprint(source) == before


def test_failing_leaves_what_was_there(tmp_path: Path) -> None:
    target = numbered_clip(tmp_path / "out.mp4", 5)
    before = fingerprint(target)

    with pytest.raises(ClipMissing):
        prepare(tmp_path / "nope.mp4", target, SMALL)

    assert fingerprint(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_ctrl_c_leaves_what_was_there(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 50)

    def stop_in_the_middle(done: float) -> None:
        if done >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "out.mp4", SMALL, 18, stop_in_the_middle)

    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 50)

    def on_a_full_disk(suffix: str, prefix: str, dir: Path) -> tuple[int, str]:  # noqa: A002
        name = dir / f"{prefix}x{suffix}"
        name.symlink_to("/dev/full")
        return os.open(name, os.O_RDONLY), str(name)

    monkeypatch.setattr(tempfile, "mkstemp", on_a_full_disk)
    with pytest.raises(ClipNotWritten, match="disk is full") as caught:
        prepare(source, tmp_path / "out.mp4", SMALL)

    assert "space" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 5)

    def refused(**_: object) -> tuple[int, str]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", refused)
    with pytest.raises(ClipNotWritten, match="may not be written"):
        prepare(source, tmp_path / "out.mp4", SMALL)


def test_targets_that_make_no_sense(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 5)
    (tmp_path / "folder.mp4").mkdir()

    for target, problem in [
        (tmp_path / "out.webm", "are MP4 files"),
        (tmp_path / "no" / "out.mp4", "no folder"),
        (tmp_path / "folder.mp4", "is a folder"),
    ]:
        with pytest.raises(ClipNotWritten, match=problem):
            prepare(source, target, SMALL)
    with pytest.raises(ClipNotWritten, match="crf of 60"):
        prepare(source, tmp_path / "out.mp4", SMALL, crf=60)
    assert read_info(source).frames == 5
