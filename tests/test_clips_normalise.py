"""Any clip becomes even pictures: their order, their place and their colour are read back."""

import gc
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.clips.framing import Face, head_and_shoulders
from engine.clips.normalise import Preparation, pictures
from engine.clips.opening import ClipTooShort, ClipTruncated
from engine.clips.orientation import Orientation
from engine.clips.planes import Plane, planes
from engine.clips.timeline import LONGEST_STILL, Picture, Timeline, cadence
from engine.errors import ClipError, MissingDependency
from tests.clipmaking import (
    cut_off,
    joined,
    luma_of,
    numbered,
    numbered_clip,
    quartered,
    read_number,
    read_quarters,
    write_clip,
)

SMALL = Preparation(size=(160, 120))
UPRIGHT = ("red", "green", "blue", "grey")


def numbers(path: Path, preparation: Preparation = SMALL) -> list[int]:
    return [read_number(frame) for frame in pictures(path, preparation)]


# Real clips


@pytest.mark.parametrize(
    ("name", "count"),
    [("idle", 157), ("gesture", 264), ("talking_with_audio", 175)],
)
def test_real_clips_come_out_even(media: Path, name: str, count: int) -> None:
    made = list(pictures(media / "avatar" / f"{name}.mp4", Preparation(size=(256, 256))))

    assert [frame.pts for frame in made] == list(range(count))
    for frame in made:
        assert frame.time_base == Fraction(1, 25)
        assert (frame.width, frame.height, frame.format.name) == (256, 256, "yuv420p")
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)
        assert frame.color_range == 1
        assert not frame.interlaced_frame
        assert frame.pict_type == 0
        assert len(frame.side_data) == 0


def test_real_clip_keeps_its_looks(media: Path) -> None:
    clip = media / "avatar" / "idle.mp4"
    with av.open(str(clip)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")

    made = next(pictures(clip, Preparation(size=(480, 480)))).to_ndarray(format="rgb24")

    # The clip's pixels are oblong: 512x480 stored for a square on the screen.
    columns = np.linspace(0, 511, 480).round().astype(int)
    apart = np.abs(stored[:, columns].astype(int) - made)
    assert apart.mean() < 3.0


# Order and cadence


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mp4", "libx264", "yuv420p10le"),
        ("a.mp4", "libx264", "yuv444p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.gif", "gif", "rgb8"),
        ("a.mov", "prores_ks", "yuv422p10le"),
        ("a.mov", "qtrle", "rgb24"),
        ("a.mov", "png", "rgba"),
        ("a.mkv", "ffv1", "gray"),
        ("a.mkv", "ffv1", "yuv444p10le"),
        ("a.mkv", "libx264rgb", "rgb24"),
        ("a.ts", "mpeg2video", "yuv420p"),
        ("a.h264", "libx264", "yuv420p"),
    ],
)
def test_no_picture_is_lost_or_repeated(
    tmp_path: Path, name: str, codec: str, pixel_format: str
) -> None:
    clip = numbered_clip(tmp_path / name, 15, codec=codec, pixel_format=pixel_format)

    assert numbers(clip) == list(range(15))


def test_reordered_pictures_come_out_in_order(tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "a.mp4", 40, options={"preset": "medium", "bf": "3"})

    assert numbers(clip) == list(range(40))


def test_half_the_rate_takes_every_other_picture(tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "a.mp4", 20, fps=50)

    made = numbers(clip)

    assert len(made) == 10
    assert set(np.diff(made)) == {2}


def test_twice_the_rate_shows_each_picture_twice(tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "a.mp4", 6)

    made = numbers(clip, Preparation(size=(160, 120), fps=Fraction(50)))

    assert made == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_thirty_to_twenty_five_leaves_out_each_sixth(tmp_path: Path) -> None:
    made = numbers(numbered_clip(tmp_path / "a.mp4", 60, fps=30))

    steps = np.diff(made)
    assert len(made) == 50
    assert set(steps) == {1, 2}
    assert set(np.diff(np.flatnonzero(steps == 2))) == {5}


def test_ntsc_rate_is_kept_exactly(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    clip = numbered_clip(tmp_path / "a.mp4", 30, fps=rate)

    made = list(pictures(clip, Preparation(size=(160, 120), fps=rate)))

    assert [read_number(frame) for frame in made] == list(range(30))
    assert made[0].time_base == 1 / rate


def test_variable_rate_is_made_even(tmp_path: Path) -> None:
    times = [Fraction(hundredth, 100) for hundredth in (0, 4, 8, 30, 34, 60, 64)]
    clip = numbered_clip(tmp_path / "a.mp4", 7, times=times)

    assert numbers(clip) == [0, 1, *[2] * 5, 3, *[4] * 7, 5, 6]


def test_late_start_does_not_delay(tmp_path: Path) -> None:
    times = [Fraction(tick, 25) for tick in range(100, 112)]
    clip = numbered_clip(tmp_path / "a.mkv", 12, times=times)

    assert numbers(clip) == list(range(12))


@pytest.mark.parametrize("start", [0.4, 5.0, 8.2])
def test_part_of_a_clip(tmp_path: Path, start: float) -> None:
    clip = numbered_clip(tmp_path / "a.mp4", 250, options={"g": "60", "bf": "2"})
    part = Preparation(size=(160, 120), start=start, duration=0.6)

    first = round(start * 25)
    assert numbers(clip, part) == list(range(first, first + 15))


def test_part_of_a_clip_that_starts_late_and_cannot_be_sought(tmp_path: Path) -> None:
    raw = numbered_clip(tmp_path / "a.h264", 150, options={"g": "250"})
    late = numbered_clip(
        tmp_path / "a.mkv", 150, times=[Fraction(tick, 25) for tick in range(100, 250)]
    )

    for clip in (raw, late):
        made = numbers(clip, Preparation(size=(160, 120), start=4.0, duration=0.2))
        assert made == [100, 101, 102, 103, 104]


def test_shorter_limit_wins(tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "a.mp4", 50)

    assert len(numbers(clip, Preparation(size=(160, 120), duration=1.0, max_seconds=0.4))) == 10
    assert len(numbers(clip, Preparation(size=(160, 120), duration=9.0))) == 50


def test_start_after_the_end(tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "a.mp4", 10)

    with pytest.raises(ClipTooShort, match=r"0\.4 s long.*after 90 s"):
        next(pictures(clip, Preparation(start=90)))


def test_timestamps_that_start_anew(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "1.ts", [numbered(number) for number in range(10)])
    second = write_clip(tmp_path / "2.ts", [numbered(number) for number in range(10, 20)])

    assert numbers(joined(tmp_path / "a.ts", first, second)) == list(range(20))


def test_timestamps_that_jump_ahead(tmp_path: Path) -> None:
    far = [Fraction(tick, 25) for tick in (0, 1, 2, 3, 90_000, 90_001, 90_002)]
    clip = numbered_clip(tmp_path / "a.mkv", 7, times=far)

    assert numbers(clip) == list(range(7))


# Place and shape


@pytest.mark.parametrize(
    ("degrees", "mirrored", "expected"),
    [
        (0, False, UPRIGHT),
        (90, False, ("green", "grey", "red", "blue")),
        (180, False, ("grey", "blue", "green", "red")),
        (270, False, ("blue", "red", "grey", "green")),
        (0, True, ("green", "red", "grey", "blue")),
        (90, True, ("grey", "green", "blue", "red")),
        (180, True, ("blue", "grey", "red", "green")),
        (270, True, ("red", "blue", "green", "grey")),
    ],
)
def test_rotation_flags_are_obeyed(
    tmp_path: Path, degrees: int, mirrored: bool, expected: tuple[str, ...]
) -> None:
    clip = write_clip(tmp_path / "a.mp4", [quartered()] * 3, rotation=degrees, mirrored=mirrored)

    for frame in pictures(clip, Preparation(size=(128, 128))):
        assert read_quarters(frame) == expected


def test_odd_angles_go_to_the_nearest_turn() -> None:
    assert Orientation.of_matrix((65000, 3000, 0, -3000, 65000, 0, 0, 0, 1)) == Orientation()
    turned = Orientation.of_matrix((3000, 65000, 0, -65000, 3000, 0, 0, 0, 1))
    assert (turned.clockwise, turned.mirrored) == (90, False)


@pytest.mark.parametrize("size", [(160, 160), (320, 120), (90, 160), (256, 144), (16, 16)])
@pytest.mark.parametrize("source", [(161, 121), (97, 211), (33, 17)])
def test_any_size_is_covered_from_the_middle(
    tmp_path: Path, source: tuple[int, int], size: tuple[int, int]
) -> None:
    clip = write_clip(
        tmp_path / "a.mkv", [quartered(source)] * 2, codec="ffv1", pixel_format="yuv444p"
    )

    frames = list(pictures(clip, Preparation(size=size)))

    for frame in frames:
        assert (frame.width, frame.height) == size
        assert read_quarters(frame) == UPRIGHT
    # The seams between the quarters are in the middle: nothing was cut off on one side only.
    picture = frames[0].to_ndarray(format="rgb24").astype(int)
    pixel = max(size[0] / source[0], size[1] / source[1])
    assert abs(_seam(picture[size[1] // 4]) - size[0] / 2) <= 1.6 * pixel + 2
    assert abs(_seam(picture[:, size[0] // 4]) - size[1] / 2) <= 1.6 * pixel + 2


@pytest.mark.parametrize("rotation", [0, 90])
def test_oblong_pixels_make_round_circles(tmp_path: Path, rotation: int) -> None:
    across, down = np.meshgrid(np.arange(100) * 2 - 99, np.arange(200) - 99.5)
    disc = np.where((across**2 + down**2 < 60**2)[..., None], 235, 16).astype(np.uint8)
    clip = write_clip(
        tmp_path / "a.mp4",
        [np.repeat(disc, 3, axis=2)] * 2,
        pixel_aspect=Fraction(2),
        rotation=rotation,
    )

    luma = luma_of(next(pictures(clip, Preparation(size=(200, 200)))))

    white = luma > 126
    assert abs(white.any(axis=0).sum() - 120) <= 3
    assert abs(white.any(axis=1).sum() - 120) <= 3


def test_size_that_changes_midway(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "1.ts", [numbered(number) for number in range(8)])
    large = write_clip(tmp_path / "2.ts", [numbered(number, (320, 240)) for number in range(8, 16)])

    assert numbers(joined(tmp_path / "a.ts", small, large)) == list(range(16))


def test_8k(tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "a.mkv",
        [quartered((7680, 4320))] * 2,
        codec="mjpeg",
        pixel_format="yuvj420p",
    )

    made = list(pictures(clip, Preparation(size=(512, 288))))

    assert [read_quarters(frame) for frame in made] == [UPRIGHT, UPRIGHT]


def test_interlacing_is_removed(tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "a.mpg",
        _combed(12),
        codec="mpeg2video",
        options={"flags": "+ildct+ilme", "q:v": "2", "top": "1"},
    )

    made = [luma_of(frame) for frame in pictures(clip, Preparation(size=(160, 120)))]

    assert len(made) == 12
    stored = [_comb(luma_of(frame)) for frame in _combed(12)]
    assert min(stored[2:-2]) > 6
    assert max(_comb(luma) for luma in made[2:-2]) < 2


# Colour


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mkv", "ffv1", "yuv444p"),
        ("a.mkv", "ffv1", "yuv420p10le"),
        ("a.mkv", "libx264rgb", "rgb24"),
        ("a.mov", "qtrle", "rgb24"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.gif", "gif", "rgb8"),
    ],
)
def test_colours_stay(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    clip = write_clip(tmp_path / name, [quartered()] * 2, codec=codec, pixel_format=pixel_format)

    made = next(pictures(clip, SMALL)).to_ndarray(format="rgb24")

    # The palette of a GIF of fixed colours is coarse.
    tolerance = 36 if codec == "gif" else 6
    apart = np.abs(made[30, 40].astype(int) - (220, 30, 30))
    assert apart.max() <= tolerance


def test_large_clips_that_say_nothing_are_taken_for_bt709(tmp_path: Path) -> None:
    frame = av.VideoFrame(1280, 720, "yuv420p")
    for plane, value in zip(planes(frame), (100, 90, 200), strict=True):
        plane[:] = value
    clip = write_clip(tmp_path / "a.mkv", [frame] * 2, codec="ffv1")

    made = next(pictures(clip, Preparation(size=(320, 180))))

    assert [int(plane[50, 50]) for plane in planes(made)] == [100, 90, 200]


def test_transparency_becomes_black(tmp_path: Path) -> None:
    picture = np.full((120, 160, 4), 255, np.uint8)
    picture[:, :80, 3] = 0
    clip = write_clip(
        tmp_path / "a.mov",
        [av.VideoFrame.from_ndarray(picture, format="rgba") for _ in range(2)],
        codec="qtrle",
        pixel_format="argb",
    )

    luma = luma_of(next(pictures(clip, SMALL)))

    assert luma[:, :76].max() <= 18
    assert luma[:, 84:].min() >= 233


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_becomes_an_ordinary_picture(tmp_path: Path, transfer: int) -> None:
    clip = write_clip(
        tmp_path / "a.mkv",
        [_ramp(transfer) for _ in range(2)],
        codec="libx264",
        pixel_format="yuv420p10le",
        colour=(9, 9, transfer),
    )

    made = next(pictures(clip, SMALL))

    row = luma_of(made)[60].astype(int)
    assert (np.diff(row) >= -2).all()
    assert row[0] <= 22
    assert row[-1] >= 220
    assert len(np.unique(row)) > 60
    assert (made.colorspace, made.color_trc, made.color_primaries) == (1, 1, 1)


def test_brightness_contrast_and_saturation(tmp_path: Path) -> None:
    frame = av.VideoFrame(160, 120, "yuv420p")
    for plane, value in zip(planes(frame), (100, 118, 148), strict=True):
        plane[:] = value
    clip = write_clip(tmp_path / "a.mkv", [frame] * 2, codec="ffv1", colour=(1, 1, 1))

    def middle(**change: float) -> list[int]:
        made = next(pictures(clip, SMALL.model_copy(update=change)))
        return [int(plane[20, 20]) for plane in planes(made)]

    assert middle() == [100, 118, 148]
    assert middle(brightness=0.1) == pytest.approx([100 + 21.9, 118, 148], abs=1)
    assert middle(contrast=2.0) == pytest.approx([125.5 - 2 * 25.5, 118, 148], abs=1)
    assert middle(saturation=1.5) == pytest.approx([100, 128 - 15, 128 + 30], abs=1)
    assert middle(saturation=0.0) == [100, 128, 128]
    assert middle(brightness=1.0)[0] == 235
    assert middle(brightness=-1.0)[0] == 16


def test_sharpening_steepens_edges(media: Path) -> None:
    clip = media / "avatar" / "idle.mp4"
    plain = luma_of(next(pictures(clip, Preparation())))
    sharp = luma_of(next(pictures(clip, Preparation(sharpen=0.8))))

    assert _steepness(sharp) > 1.15 * _steepness(plain)
    assert abs(float(sharp.mean()) - float(plain.mean())) < 1.0


# Streaming


def test_progress_grows_to_one(tmp_path: Path) -> None:
    seen: list[float] = []

    made = list(pictures(numbered_clip(tmp_path / "a.mp4", 20), SMALL, seen.append))

    assert len(made) == 20
    assert seen == sorted(seen)
    assert seen[0] <= 0.1
    assert seen[-1] == 1.0


def test_pictures_are_streamed(tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "a.mp4", 60, (640, 480))
    gc.collect()
    gc.disable()
    try:
        for count, frame in enumerate(pictures(clip, SMALL)):
            assert frame.pts == count
        kept = sum(issubclass(type(thing), av.VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()

    assert kept < 20


def test_each_picture_is_its_own(tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "a.mp4", 3)

    made = list(pictures(clip, Preparation(size=(160, 120), fps=Fraction(75))))

    planes(made[0])[0][:] = 0
    assert read_number(made[1]) == 0
    assert luma_of(made[1]).max() > 90


def test_stopping_early_closes_the_clip(tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "a.mp4", 50)
    made = pictures(clip, SMALL)
    assert isinstance(made, Iterator)
    next(made)

    made.close()  # type: ignore[attr-defined]  # a generator

    assert list(made) == []


def test_truncated_clip_is_refused_or_given_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = numbered_clip(
        tmp_path / "whole.mp4", 75, (320, 240), container_options={"movflags": "faststart"}
    )
    clip = cut_off(whole, tmp_path / "a.mp4", 0.6)

    with pytest.raises(ClipTruncated):
        next(pictures(clip, SMALL))
    made = [read_number(frame) for frame in pictures(clip, SMALL, allow_truncated=True)]

    assert 10 < len(made) < 75
    assert made == list(range(len(made)))


def test_damage_in_the_middle_keeps_the_time(tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "a.mkv", 30, codec="mjpeg", pixel_format="yuvj420p")
    contents = bytearray(clip.read_bytes())
    at = [index for index in range(len(contents)) if contents[index : index + 2] == b"\xff\xd8"]
    contents[at[14] : at[15] - 40] = bytes(at[15] - 40 - at[14])
    clip.write_bytes(bytes(contents))

    made = numbers(clip)

    assert len(made) == 30
    assert made[:14] == list(range(14))
    assert made[16:] == list(range(16, 30))


# Timestamps by themselves


@given(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_time_only_grows_and_never_stands_long(stamps: list[float | None]) -> None:
    timeline = Timeline(0.04)

    times = [timeline.place(stamp) for stamp in stamps]

    assert times[0] == 0.0
    for before, after in itertools.pairwise(times):
        assert 0 < after - before <= LONGEST_STILL + 1e-6


@given(st.integers(1, 60), st.sampled_from([12, 24, 25, 30, 50, 60]), st.sampled_from([24, 25, 30]))
def test_cadence_keeps_the_duration(count: int, rate: int, wanted: int) -> None:
    frame = av.VideoFrame(16, 16, "yuv420p")
    shown = [Picture(index / rate, 1 / rate, frame) for index in range(count)]

    made = list(cadence(shown, Fraction(wanted)))

    assert abs(len(made) / wanted - count / rate) <= 0.5 / wanted + 1e-9
    for tick, picture in enumerate(made):
        assert picture.time <= (tick + 0.5) / wanted < picture.time + 1 / rate + 1e-9


# Steadying and framing


def test_steadying_holds_the_background(media: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", _shaken(media / "driving" / "smile_480.mp4", 60))
    plain = Preparation(size=(320, 320))

    shaken = _unrest([luma_of(frame) for frame in pictures(clip, plain)])
    steadied = list(pictures(clip, plain.model_copy(update={"stabilize": True})))

    assert [frame.pts for frame in steadied] == list(range(60))
    assert {(frame.width, frame.height) for frame in steadied} == {(320, 320)}
    assert _unrest([luma_of(frame) for frame in steadied]) < shaken / 4


def test_steadying_leaves_a_steady_clip_alone(media: Path) -> None:
    clip = media / "avatar" / "gesture.mp4"
    plain = Preparation(size=(320, 320), duration=2.0)

    before = list(pictures(clip, plain))
    after = list(pictures(clip, plain.model_copy(update={"stabilize": True})))

    assert len(before) == len(after) == 50
    assert _unrest([luma_of(frame) for frame in after]) < 1.3 * _unrest(
        [luma_of(frame) for frame in before]
    )


def test_face_is_framed(media: Path) -> None:
    import cv2

    model = media.parent / "models" / "yunet_n_dynamic.onnx"
    framed = Preparation(size=(400, 400), crop="face", duration=1.0)

    made = list(pictures(media / "camera" / "person_1280x720.mp4", framed, face_model=model))

    detector = cv2.FaceDetectorYN.create(str(model), "", (400, 400))
    assert len(made) == 25
    for frame in (made[0], made[-1]):
        _, faces = detector.detect(frame.to_ndarray(format="bgr24"))
        left, top, width, height = faces[0][:4]
        eyes = (faces[0][5] + faces[0][7]) / 2
        assert 0.33 <= height / 400 <= 0.48
        assert 0.25 <= eyes / 400 <= 0.55
        assert 0.3 <= (left + width / 2) / 400 <= 0.7
        assert top > 0


def test_framing_of_a_small_face() -> None:
    face = Face(left=0.45, top=0.3, width=0.1, height=0.2, eyes=0.38, score=0.9)

    left, top, right, bottom = head_and_shoulders([face], picture=16 / 9, wanted=1.0)

    assert bottom - top == pytest.approx(0.5)
    assert right - left == pytest.approx(0.5 * 9 / 16)
    assert (left + right) / 2 == pytest.approx(0.5)
    assert (0.38 - top) / 0.5 == pytest.approx(0.37)


def test_framing_stays_inside_the_picture() -> None:
    low = Face(left=0.0, top=0.6, width=0.2, height=0.4, eyes=0.75, score=0.9)

    left, top, right, bottom = head_and_shoulders([low], picture=16 / 9, wanted=1.0)

    assert (top, bottom) == (0.0, 1.0)
    assert left == 0.0
    assert right == pytest.approx(9 / 16)


def test_face_without_a_model_says_where_it_goes(tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "a.mp4", 5)

    with pytest.raises(MissingDependency, match="models/yunet"):
        next(pictures(clip, Preparation(crop="face")))


def test_no_face_suggests_the_centre(media: Path, tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "a.mp4", 10)
    model = media.parent / "models" / "yunet_n_dynamic.onnx"

    with pytest.raises(ClipError, match="--crop center"):
        next(pictures(clip, Preparation(crop="face"), face_model=model))


@pytest.mark.parametrize(
    "wrong", [{"size": (511, 512)}, {"fps": 0}, {"start": -1}, {"crop": "left"}, {"zoom": 2}]
)
def test_preparation_refuses_what_makes_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Preparation.model_validate(wrong)


def _seam(line: np.ndarray) -> float:
    """Where a line of RGB pixels changes the most."""
    return float(np.abs(np.diff(line, axis=0)).sum(axis=1).argmax()) + 1


def _combed(count: int) -> list[av.VideoFrame]:
    """A bright bar that moves, its two fields half a step apart, as a camera's fields are."""
    frames = []
    for number in range(count):
        luma = np.full((120, 160), 40, np.uint8)
        for field in (0, 1):
            left = 20 + 8 * number + 4 * field
            luma[field::2, left : left + 30] = 200
        frame = av.VideoFrame(160, 120, "yuv420p")
        for plane, values in zip(planes(frame), (luma, 128, 128), strict=True):
            plane[:] = values
        frames.append(frame)
    return frames


def _comb(luma: Plane) -> float:
    """How much rows differ from the mean of their neighbours where the picture is vertical."""
    rows = luma[20:100].astype(float)
    return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).max(axis=0).mean())


def _ramp(transfer: int) -> av.VideoFrame:
    frame = av.VideoFrame(160, 120, "yuv420p10le")
    for plane in frame.planes:
        np.frombuffer(memoryview(plane), np.uint16)[:] = 512
    luma = np.frombuffer(memoryview(frame.planes[0]), np.uint16)
    luma.reshape(120, -1)[:, :160] = np.linspace(64, 940, 160).astype(np.uint16)
    frame.colorspace, frame.color_trc, frame.color_primaries = 9, transfer, 9
    return frame


def _steepness(luma: Plane) -> float:
    return float(np.abs(np.diff(luma.astype(int), axis=1)).mean())


def _shaken(source: Path, count: int) -> list[np.ndarray]:
    """The clip as if it were held by hand: shifted by some pixels and turned a little."""
    import cv2

    moment = np.arange(count)
    across = 7 * np.sin(moment * 0.9) + 4 * np.sin(moment * 0.31 + 1)
    down = 6 * np.sin(moment * 0.7 + 2) + 3 * np.sin(moment * 0.23)
    turn = 0.3 * np.sin(moment * 0.5)
    shaken = []
    for index, frame in enumerate(
        itertools.islice(pictures(source, Preparation(size=(480, 480))), count)
    ):
        matrix = cv2.getRotationMatrix2D((240, 240), turn[index], 1.12)
        matrix[:, 2] += (across[index], down[index])
        moved = cv2.warpAffine(frame.to_ndarray(format="rgb24"), matrix, (480, 480))
        shaken.append(moved[40:-40, 40:-40])
    return shaken


def _unrest(lumas: list[Plane]) -> float:
    """How much the background, the upper corners, changes in time."""
    stack = np.stack(lumas).astype(np.float32)
    height, width = stack.shape[1:]
    corners = np.concatenate(
        [stack[:, : height // 3, : width // 6], stack[:, : height // 3, -width // 6 :]], axis=2
    )
    return float(corners.std(axis=0).mean())
