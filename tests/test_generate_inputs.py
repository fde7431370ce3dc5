"""Files that generators are handed: of the right kind, told by contents, and not too large."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.clips.opening import ClipTruncated, ClipWithoutPicture
from engine.errors import InvalidInput
from processors.generate.declaration import Input
from processors.generate.inputs import BadInput, check_file, check_inputs
from processors.generate.subtitles import SUBTITLES
from tests.clipmaking import cut_off, numbered_clip, write_sound
from tests.generate_parts import paint

PICTURE = Input("image", ("image",))
VIDEO = Input("video", ("video",))
EITHER = Input("video", ("video", "audio"))


def picture(path: Path) -> Path:
    cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
    return path


def bomb(path: Path) -> Path:
    """A PNG of 30,000 x 30,000 pixels in a few bytes: only its header is ever looked at."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
    )
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_pictures_are_told_by_their_contents(tmp_path: Path, suffix: str) -> None:
    path = picture(tmp_path / f"x.{suffix}").rename(tmp_path / "x.mp4")

    check_file(path, PICTURE)
    with pytest.raises(BadInput, match=r"is a picture\. It must be a video"):
        check_file(path, VIDEO)


def test_videos_and_sounds_are_told_by_their_contents(tmp_path: Path) -> None:
    video = numbered_clip(tmp_path / "x.mp4", 3).rename(tmp_path / "x.png")
    sound = write_sound(tmp_path / "x.m4a")

    check_file(video, VIDEO)
    check_file(video, EITHER)
    check_file(sound, EITHER)
    with pytest.raises(ClipWithoutPicture):
        check_file(sound, VIDEO)
    with pytest.raises(BadInput, match="It must be a picture"):
        check_file(video, PICTURE)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"30000x30000 pixels\. It may have at most 100 million"):
        check_file(bomb(tmp_path / "x.png"), PICTURE)


def test_damaged_files_say_what_is_wrong_with_them(tmp_path: Path) -> None:
    whole = numbered_clip(tmp_path / "x.mp4", 30)
    with pytest.raises(ClipTruncated):
        check_file(cut_off(whole, tmp_path / "half.mp4", 0.5), EITHER)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty").touch()
    for name in ("text.png", "empty", "missing", "."):
        for item in (PICTURE, VIDEO, EITHER):
            with pytest.raises(InvalidInput):
                check_file(tmp_path / name, item)


def test_names_of_files_are_checked(tmp_path: Path) -> None:
    path = picture(tmp_path / "x.png")

    check_inputs(paint(), {"palette": path, "palette-2": path, "model_picture": path})
    for name in ("other", "palette-3", "model_picture-2", "../palette"):
        with pytest.raises(BadInput, match=f"takes no file '{name}'"):
            check_inputs(paint(), {"palette": path, name: path})


def test_a_required_file_is_asked_for() -> None:
    with pytest.raises(BadInput, match="subtitles needs a file 'video'"):
        check_inputs(SUBTITLES, {})
