"""Inspecting clips: each fault is put into a clip and has to be found, and nothing else."""

import itertools
import json
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from engine.clips.inspection import Inspection, as_dict, describe, inspect
from engine.errors import ClipError
from tests.clipmaking import Picture, cut_off, numbered, write_clip

SIZE = (480, 480)


def portrait(moment: float, light: int = 0, shift: tuple[int, int] = (0, 0)) -> Picture:
    """A figure that sways before a patterned wall; ``moment`` in turns of the sway."""
    width, height = SIZE
    x, y = np.meshgrid(np.arange(width) - shift[0], np.arange(height) - shift[1])
    wall = 110 + 40 * (np.sin(x / 17) * np.sin(y / 23) > 0.3)
    sway = 12 * np.sin(2 * np.pi * moment)
    head = ((x - 240 - sway) / 70) ** 2 + ((y - 200) / 120) ** 2 < 1
    body = (np.abs(x - 240 - sway / 2) < 130) & (y > 330)
    luma = np.where(head, 170 + 20 * np.sin(x / 9), np.where(body, 70, wall)) + light
    return np.repeat(np.clip(luma, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def swaying(count: int = 100) -> list[Picture]:
    return list(_swaying(count))


@cache
def _swaying(count: int) -> tuple[Picture, ...]:
    return tuple(portrait(2 * index / count) for index in range(count))


def inspected(path: Path, pictures: list[Picture], **how: object) -> Inspection:
    return inspect(write_clip(path, pictures, **how))  # type: ignore[arg-type]  # passed on unread


def problems(inspection: Inspection) -> str:
    return "\n".join(f"{finding.level}: {finding.problem}" for finding in inspection.findings)


def test_a_good_clip_has_no_findings(tmp_path: Path) -> None:
    inspection = inspected(tmp_path / "a.mp4", swaying())

    assert inspection.findings == ()
    assert inspection.command == ""
    assert inspection.loop is not None
    assert inspection.loop.whole_jump < 2
    assert "Nothing is wrong" in describe(inspection)


def _black_start(pictures: list[Picture]) -> list[Picture]:
    return [np.zeros_like(pictures[0])] * 10 + pictures


def _black_end(pictures: list[Picture]) -> list[Picture]:
    return pictures + [np.zeros_like(pictures[0])] * 5


def _all_black(pictures: list[Picture]) -> list[Picture]:
    return [np.zeros_like(picture) for picture in pictures]


def _frozen(pictures: list[Picture]) -> list[Picture]:
    return pictures[:40] + [pictures[40]] * 30 + pictures[41:]


def _cut(pictures: list[Picture]) -> list[Picture]:
    return pictures[:50] + [255 - picture // 2 for picture in pictures[50:]]


def _flash(pictures: list[Picture]) -> list[Picture]:
    bright = [np.clip(picture.astype(int) + 90, 0, 255) for picture in pictures[50:53]]
    return pictures[:50] + [picture.astype(np.uint8) for picture in bright] + pictures[53:]


def _drift(pictures: list[Picture]) -> list[Picture]:
    return [portrait(2 * i / 100, light=round(i * 0.4)) for i in range(len(pictures))]


def _dark(pictures: list[Picture]) -> list[Picture]:
    return [picture // 6 for picture in pictures]


def _glaring(pictures: list[Picture]) -> list[Picture]:
    return [np.where(picture > 140, 255, picture).astype(np.uint8) for picture in pictures]


def _shaky(pictures: list[Picture]) -> list[Picture]:
    shifts = [
        (round(5 * np.sin(i * 1.1)), round(4 * np.sin(i * 0.8 + 1))) for i in range(len(pictures))
    ]
    return [portrait(2 * i / 100, shift=shift) for i, shift in enumerate(shifts)]


@pytest.mark.parametrize(
    ("spoil", "problem", "option"),
    [
        (_black_start, "warning: The picture is black for 0.40 s at the start", "--start 0.40"),
        (_black_end, "and 0.20 s at the end", "--duration 4.00"),
        (_all_black, "error: The whole clip is black", ""),
        (_frozen, "warning: The picture stands still from 1.60 s to 2.76 s", ""),
        (_cut, "warning: There is a cut at 2.00 s", "--start 2.00"),
        (_flash, "warning: The light flashes at 2.00 s", ""),
        (_drift, "warning: The picture gets brighter", ""),
        (_dark, "warning: The picture is very dark", "--brightness"),
        (_glaring, "is pure white", ""),
        (_shaky, "warning: The camera shakes", "--stabilize"),
    ],
)
def test_faults_of_the_pictures(
    tmp_path: Path,
    spoil: Callable[[list[Picture]], list[Picture]],
    problem: str,
    option: str,
) -> None:
    inspection = inspected(tmp_path / "a.mp4", spoil(swaying()))

    assert problem in problems(inspection)
    assert option in inspection.command
    assert problem.split(": ")[-1] in describe(inspection)


def test_a_flash_is_no_cut_and_a_cut_no_flash(tmp_path: Path) -> None:
    flash = inspected(tmp_path / "1.mp4", _flash(swaying()))
    cut = inspected(tmp_path / "2.mp4", _cut(swaying()))

    assert "cut" not in problems(flash)
    assert "flash" not in problems(cut)


def test_best_loop_is_found(tmp_path: Path) -> None:
    # The sway takes 90 pictures, the clip goes on for 30 more and ends elsewhere.
    inspection = inspected(tmp_path / "a.mp4", [portrait(i / 90) for i in range(120)])

    assert inspection.loop is not None
    assert inspection.loop.end - inspection.loop.start == pytest.approx(90 / 25, abs=0.08)
    assert inspection.loop.jump < inspection.loop.whole_jump / 4
    assert "differs from the first" in problems(inspection)
    assert f"--duration {inspection.loop.end - inspection.loop.start:.2f}" in inspection.command


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ({"sound": 2.0}, "note: The clip has sound"),
        ({"rotation": 90}, "turned by 270 degrees"),
        ({"fps": 13}, "warning: 13.0 fps are too few"),
        ({"fps": 27}, "note: The frame rate is 27 fps"),
        ({"pixel_format": "yuv420p10le"}, "note: The colours have 10 bits"),
        ({"pixel_format": "yuv420p10le", "colour": (9, 9, 16)}, "warning: The clip is HDR"),
        (
            {"times": [Fraction(i + i // 3, 30) for i in range(40)]},
            "note: The frame rate varies",
        ),
    ],
)
def test_facts_that_matter(tmp_path: Path, how: dict[str, object], problem: str) -> None:
    assert problem in problems(inspected(tmp_path / "a.mp4", swaying(40), **how))


def test_unusual_codec_and_interlacing(tmp_path: Path) -> None:
    inspection = inspected(
        tmp_path / "a.mpg",
        swaying(40),
        codec="mpeg2video",
        options={"flags": "+ildct+ilme", "q:v": "2"},
    )

    assert "note: The codec mpeg2video is unusual" in problems(inspection)
    assert "warning: The clip is interlaced" in problems(inspection)


def test_short_and_small(tmp_path: Path) -> None:
    inspection = inspected(tmp_path / "a.mp4", [numbered(i) for i in range(20)])

    assert "error: The clip lasts 0.8 s only" in problems(inspection)
    assert "error: The picture is 160x120" in problems(inspection)
    assert inspection.findings[0].level == "error"
    assert "--size 112" in inspection.command


def test_truncated(tmp_path: Path) -> None:
    whole = write_clip(
        tmp_path / "whole.mp4", swaying(), container_options={"movflags": "faststart"}
    )

    inspection = inspect(cut_off(whole, tmp_path / "my clip.mp4", 0.7))

    assert "error: The file is cut off" in problems(inspection)
    assert "clips prepare" in inspection.command
    assert f"'{tmp_path}/my clip.mp4' '{tmp_path}/my clip-prepared.mp4'" in inspection.command


def test_damaged_pictures_are_counted(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", swaying(40), codec="mjpeg", pixel_format="yuvj420p")
    contents = bytearray(clip.read_bytes())
    at = [index for index in range(len(contents)) if contents[index : index + 2] == b"\xff\xd8"]
    for number in range(10, 20):
        first, last = at[number], at[number + 1] - 40
        contents[first:last] = bytes(last - first)
    clip.write_bytes(bytes(contents))

    assert "warning: 10 of 40 pictures are damaged" in problems(inspect(clip))


@pytest.mark.parametrize("name", ["idle", "gesture"])
def test_real_clips_are_steady_and_show_one_face(media: Path, name: str) -> None:
    model = media.parent / "models" / "yunet_n_dynamic.onnx"

    inspection = inspect(media / "avatar" / f"{name}.mp4", face_model=model)

    assert "face" not in problems(inspection)
    assert "camera" not in problems(inspection)
    assert "error" not in problems(inspection)
    assert inspection.loop is not None


def test_no_face_and_several_faces(media: Path, tmp_path: Path) -> None:
    import cv2

    model = media.parent / "models" / "yunet_n_dynamic.onnx"
    six = cv2.imread(str(media / "faces" / "six_people.jpg"))
    picture = cv2.resize(six, (960, 664))[..., ::-1]
    crowd = write_clip(tmp_path / "a.mp4", [np.ascontiguousarray(picture)] * 5)
    nobody = write_clip(tmp_path / "b.mp4", swaying(30))

    assert "more than one face" in problems(inspect(crowd, face_model=model))
    assert "No face was found" in problems(inspect(nobody, face_model=model))


def test_far_face_is_to_be_framed(media: Path, tmp_path: Path) -> None:
    model = media.parent / "models" / "yunet_n_dynamic.onnx"
    with av.open(str(media / "camera" / "person_1280x720.mp4")) as container:
        frames = list(itertools.islice(container.decode(video=0), 6))
    far = []
    for frame in frames:
        canvas = np.full((720, 1280, 3), 90, np.uint8)
        canvas[360:, 320:960] = frame.reformat(640, 360).to_ndarray(format="rgb24")
        far.append(canvas)

    inspection = inspect(write_clip(tmp_path / "a.mp4", far), face_model=model)

    assert "The face takes" in problems(inspection)
    assert ("--crop", "face") in [
        option for finding in inspection.findings for option in finding.options or ()
    ]


def test_inspection_as_json(tmp_path: Path) -> None:
    inspection = inspected(tmp_path / "a.mp4", _shaky(swaying()), rotation=90)

    values = json.loads(json.dumps(as_dict(inspection)))

    assert values["info"]["codec"] == "h264"
    assert values["info"]["fps"] == 25
    assert values["info"]["orientation"] == {"clockwise": 270, "mirrored": False}
    assert {finding["level"] for finding in values["findings"]} == {"warning", "note"}
    assert values["command"] == inspection.command
    assert set(values["loop"]) == {"start", "end", "jump", "whole_jump"}


def test_description_is_laid_out(tmp_path: Path) -> None:
    text = describe(inspected(tmp_path / "a.mp4", _black_start(swaying())))

    lines = text.splitlines()
    assert lines[0] == str(tmp_path / "a.mp4")
    assert "  picture     480x480, 25 fps" in lines
    assert "  length      4.40 s, 110 pictures" in lines
    assert lines[-2] == "  To mend it:"
    assert lines[-1].startswith("    python server.py clips prepare ")


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClipError):
        inspect(tmp_path / "nope.mp4")
