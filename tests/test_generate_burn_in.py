"""Subtitles in the picture and as a track: times, quality, sound, turned and odd videos, cancel."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.clips.opening import ClipDamaged
from engine.media.containers import ContainerUnfit
from engine.media.tracks import display_size, sound_offset
from engine.speech.captions import Cue
from processors.generate.burn_in import burn
from processors.generate.soft_subtitles import add_track
from processors.generate.subtitle_files import Transcript
from processors.generate.subtitles import SubtitleParameters, SubtitleStyle
from tests.clipmaking import (
    luma_of,
    numbered_clip,
    quartered,
    read_number,
    read_quarters,
    write_clip,
)
from tests.generate_parts import FakeContext, Stopped, cue

pytest.importorskip("PIL", reason="Pillow is not installed")

STYLE = SubtitleStyle(size=14, box=1.0, box_colour="#ffffff", colour="#000000", margin=0)
CUES = (cue(0.4, 0.8, "Hello all"), cue(1.0, 1.6, "Two"))


def burnt(
    source: Path,
    folder: Path,
    cues: tuple[Cue, ...] = CUES,
    stop: Callable[[float], bool] = lambda _: False,
    **params: object,
) -> tuple[Path, FakeContext, list[float]]:
    folder.mkdir(exist_ok=True)
    context = FakeContext(folder, stop)
    done: list[float] = []

    def progress(share: float) -> None:
        done.append(share)
        context.progress(share)

    given = SubtitleParameters(embed="burnt", style=STYLE, preset="ultrafast", **params)  # type: ignore[arg-type]  # passed on unread
    return burn(source, context, cues, given, {"comment": "how"}, progress), context, done


def pictures(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def bottom(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The lowest rows in the middle, where a box begins."""
    luma = luma_of(frame)
    return luma[-6:-2, luma.shape[1] // 2 - 4 : luma.shape[1] // 2 + 4]


def is_drawn(frame: av.VideoFrame) -> bool:
    return bool(bottom(frame).mean() > 180)


def packets(path: Path, kind: str = "audio") -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(**{kind: 0})
            if packet.size
        ]


def test_cues_are_drawn_when_they_are_due_and_nothing_else_changes(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 50, sound=2.0)
    made, context, done = burnt(source, tmp_path / "out", crf=8)
    before, after = pictures(source), pictures(made)

    assert made == tmp_path / "out" / "video.mp4"
    assert [frame.time for frame in after] == pytest.approx([frame.time for frame in before])
    assert [read_number(frame) for frame in after] == list(range(50))
    drawn = [frame.time for frame in after if is_drawn(frame)]
    assert drawn == pytest.approx(
        [frame.time for frame in before if 0.4 <= frame.time < 0.8 or 1.0 <= frame.time < 1.6]
    )
    top = slice(0, 60)
    for one, other in zip(before, after, strict=True):
        difference = luma_of(one)[top].astype(int) - luma_of(other)[top].astype(int)
        assert np.abs(difference).mean() < 1.0
    assert packets(made) == packets(source)
    assert done == sorted(done)
    assert done[-1] > 0.9
    assert len(context.previews) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["video.mp4"]
    with av.open(str(made)) as container:
        assert container.metadata["comment"] == "how"
        assert container.metadata["major_brand"] == "isom"


def test_variable_frame_rate_and_a_late_start(tmp_path: Path) -> None:
    times = [5 + Fraction(n * n, 40) for n in range(10)]
    source = write_clip(tmp_path / "in.mkv", [quartered()] * 10, times=times)
    with av.open(str(source)) as container:
        assert container.start_time == 5_000_000
    made, _, _ = burnt(source, tmp_path / "out", container="mkv")

    assert [frame.time for frame in pictures(made)] == pytest.approx(
        [float(time) - 5 for time in times], abs=2e-3
    )
    drawn = [frame.time for frame in pictures(made) if is_drawn(frame)]
    assert drawn == pytest.approx([0.4, 0.625, 1.225], abs=2e-3)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_video_gets_upright_letters(tmp_path: Path, rotation: int) -> None:
    source = write_clip(tmp_path / "in.mp4", [quartered((320, 240))] * 20, rotation=rotation)
    size = (320, 240) if rotation == 180 else (240, 320)
    assert display_size(source) == size
    made, _, _ = burnt(source, tmp_path / "out")
    frame = pictures(made)[12]

    assert (frame.width, frame.height) == size
    assert frame.rotation == 0
    assert is_drawn(frame)
    quarters = {
        90: ("green", "grey", "red", "blue"),
        180: ("grey", "blue", "green", "red"),
        270: ("blue", "red", "grey", "green"),
    }[rotation]
    assert read_quarters(pictures(made)[2]) == quarters


@pytest.mark.parametrize("name", ["yuv420p10le", "yuv422p", "yuv444p"])
def test_depth_colour_and_shape_are_kept(tmp_path: Path, name: str) -> None:
    source = write_clip(
        tmp_path / "in.mkv",
        [quartered((160, 120))] * 20,
        pixel_format=name,
        colour=(9, 9, 14),
        pixel_aspect=Fraction(4, 3),
    )
    made, _, _ = burnt(source, tmp_path / "out")
    frame = pictures(made)[12]

    assert frame.format.name == name
    assert (int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc)) == (9, 9, 14)
    with av.open(str(made)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
    assert display_size(made) == display_size(source) == (213, 120)


def test_odd_sizes_and_formats_that_cannot_be_drawn_on(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "in.mkv", [quartered((161, 91))] * 20, codec="libx264rgb", pixel_format="rgb24"
    )
    made, _, _ = burnt(source, tmp_path / "out")
    frame = pictures(made)[12]

    assert (frame.width, frame.height, frame.format.name) == (160, 90, "yuv420p")
    assert (int(frame.color_range), int(frame.colorspace)) == (1, 6)
    assert is_drawn(frame)
    assert read_quarters(pictures(made)[2]) == read_quarters(pictures(source)[2])


@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_formats_that_cannot_be_drawn_on_keep_their_colours(tmp_path: Path, matrix: int) -> None:
    source = write_clip(
        tmp_path / "in.mkv",
        [quartered()] * 2,
        codec="ffv1",
        pixel_format="yuv411p",
        colour=(matrix, 1, 1),
    )
    made, _, _ = burnt(source, tmp_path / "out", crf=1)
    before, after = pictures(source)[0], pictures(made)[0]

    assert after.format.name == "yuv420p"
    assert int(after.colorspace) == matrix
    one, other = (frame.to_ndarray(format="rgb24").astype(int) for frame in (before, after))
    assert np.abs(one - other).mean() < 3


def test_a_size_that_changes_on_the_way(tmp_path: Path) -> None:
    whole = tmp_path / "in.h264"
    with whole.open("wb") as file:
        for size in ((160, 120), (96, 64)):
            clip = write_clip(tmp_path / f"{size[0]}.h264", [quartered(size)] * 12)
            file.write(clip.read_bytes())
    made, _, _ = burnt(whole, tmp_path / "out")

    frames = pictures(made)
    assert {(frame.width, frame.height) for frame in frames} == {(160, 120)}
    assert len(frames) == 24


def test_a_stopped_job_leaves_nothing(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 50)
    for make in (burnt, soft):
        with pytest.raises(Stopped):
            make(source, tmp_path / "out", stop=lambda done: done >= 0.0)
        assert list((tmp_path / "out").iterdir()) == []


def test_a_video_without_a_readable_picture(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 20)
    data = bytearray(source.read_bytes())
    start, end = data.index(b"mdat") + 4, data.rindex(b"moov")
    data[start : end - 4] = bytes(end - 4 - start)
    source.write_bytes(data)

    with pytest.raises(ClipDamaged):
        burnt(source, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def soft(
    source: Path,
    folder: Path,
    stop: Callable[[float], bool] = lambda _: False,
    container: str = "auto",
    language: str = "es",
) -> Path:
    folder.mkdir(exist_ok=True)
    context = FakeContext(folder, stop)
    return add_track(
        source,
        folder,
        Transcript(CUES, language, 2.0),
        container,  # type: ignore[arg-type]  # one of its names
        {"comment": "how"},
        context.progress,
    )


def subtitles(path: Path) -> list[tuple[float, float, str]]:
    with av.open(str(path)) as container:
        return [
            (
                float(packet.pts * packet.time_base),
                float(packet.duration * packet.time_base),
                subtitle.dialogue.decode(),
            )
            for packet in container.demux(subtitles=0)
            if packet.size > 2
            for subtitle in packet.decode()
        ]


@pytest.mark.parametrize(("container", "codec"), [("mp4", "mov_text"), ("mkv", "subrip")])
def test_a_track_is_added_and_the_rest_copied(tmp_path: Path, container: str, codec: str) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 50, sound=2.0)
    made = soft(source, tmp_path / "out", container=container)

    assert made.name == f"video.{container}"
    shift = packets(made, "video")[0][0] - packets(source, "video")[0][0]
    assert [data for _, data in packets(made)] == [data for _, data in packets(source)]
    assert [read_number(frame) for frame in pictures(made)] == list(range(50))
    assert subtitles(made) == [
        (pytest.approx(0.4 + shift, abs=2e-3), pytest.approx(0.4, abs=2e-3), "Hello all"),
        (pytest.approx(1.0 + shift, abs=2e-3), pytest.approx(0.6, abs=2e-3), "Two"),
    ]
    with av.open(str(made)) as opened:
        track = opened.streams.subtitles[0]
        assert track.codec_context.name in (codec, "srt")
        assert track.metadata["language"] == "spa"
        assert track.disposition & av.stream.Disposition.default
        tags = {key.lower(): value for key, value in opened.metadata.items()}
    assert tags["comment"] == "how"
    assert shift < 0.1


def test_a_transport_stream_becomes_an_mp4(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.ts", 50, sound=2.0)
    made = soft(source, tmp_path / "out")

    assert made.name == "video.mp4"
    assert pictures(made)[0].time < 0.1
    assert [start for start, _, _ in subtitles(made)] == pytest.approx([0.4, 1.0], abs=2e-3)


def test_what_begins_late_begins_at_zero(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "in.mkv", [quartered()] * 25, times=[5 + Fraction(n, 25) for n in range(25)]
    )
    made = soft(source, tmp_path / "out")

    assert pictures(made)[0].time == 0
    assert [start for start, _, _ in subtitles(made)] == pytest.approx([0.4, 1.0], abs=2e-3)


def test_sound_may_begin_later_than_the_picture(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 25, sound=1.0)
    with av.open(str(source)) as one, av.open(str(tmp_path / "late.mkv"), "w") as other:
        tracks = {s.index: other.add_stream_from_template(s) for s in one.streams}
        for packet in one.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio":
                packet.pts += round(Fraction(1, 2) / packet.time_base)
                packet.dts = packet.pts
            packet.stream = tracks[packet.stream.index]
            other.mux(packet)

    assert sound_offset(tmp_path / "late.mkv") == pytest.approx(0.5, abs=0.03)
    assert sound_offset(source) == 0


def test_mp4_is_only_taken_for_what_it_can_hold(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.webm", 20, codec="libvpx", sound=0.0)

    assert soft(source, tmp_path / "out").name == "video.mkv"
    with pytest.raises(ContainerUnfit, match=r"cannot hold vp8 .* Set container: mkv"):
        soft(source, tmp_path / "out", container="mp4")
    # Burnt pictures are H.264, which it can hold.
    assert burnt(source, tmp_path / "out")[0].name == "video.mp4"


def test_an_unknown_language_is_left_open(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 50)
    made = soft(source, tmp_path / "out", language="yue")

    with av.open(str(made)) as container:
        assert container.streams.subtitles[0].metadata["language"] == "und"
