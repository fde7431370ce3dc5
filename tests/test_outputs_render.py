"""Rendering files: every frame, sound, timestamps, stopping and going on, failing closed."""

import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.errors import ClipError
from engine.media.render import RenderResult, progress_line, render
from engine.media.render_notes import OutputExists, RenderOptions
from engine.media.rendering import Progress
from engine.pipeline.frame import Frame
from processors.chain import Chain
from tests.clipmaking import numbered, numbered_clip, quartered, read_number, write_clip
from tests.pipeline_fakes import FakeClock, FunctionTransform

OPTIONS = RenderOptions(processors=("none",), crf=12)


def run(
    source: Path,
    target: Path,
    function: Callable[[Sequence[Frame]], list[Frame]] = list,
    options: RenderOptions = OPTIONS,
    stop_after: int | None = None,
) -> tuple[RenderResult, list[Progress]]:
    stop = threading.Event()
    reports: list[Progress] = []

    def report(progress: Progress) -> None:
        reports.append(progress)
        if stop_after is not None and progress.done >= stop_after:
            stop.set()

    transform = FunctionTransform(function)
    return render(source, target, transform, options, stop, report, FakeClock()), reports


def video(path: Path) -> tuple[list[float], list[int]]:
    """The times of all pictures and the numbers in them."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [float(frame.time) for frame in frames], [read_number(frame) for frame in frames]


def sound(path: Path) -> list[tuple[float, bytes]]:
    """The audio packets: time and contents."""
    with av.open(str(path)) as container:
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(audio=0)
            if packet.size
        ]


def test_every_frame_and_the_sound_and_the_times_are_kept(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 60, fps=Fraction(30000, 1001), sound=True)
    result, reports = run(source, tmp_path / "out.mp4")
    assert result == RenderResult(60, 0, 0, False)
    assert result.exit_code == 0
    times, numbers = video(tmp_path / "out.mp4")
    assert numbers == list(range(60))
    assert times == pytest.approx(video(source)[0], abs=1e-6)
    assert [data for _, data in sound(tmp_path / "out.mp4")] == [data for _, data in sound(source)]
    assert [at for at, _ in sound(tmp_path / "out.mp4")] == pytest.approx(
        [at for at, _ in sound(source)], abs=1e-4
    )
    assert reports[-1].done == reports[-1].total == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    times = [Fraction(n * n, 100) for n in range(1, 20)]
    source = write_clip(tmp_path / "in.mp4", [numbered(n) for n in range(19)], times=times)
    run(source, tmp_path / "out.mp4")
    assert video(tmp_path / "out.mp4") == (pytest.approx(video(source)[0]), list(range(19)))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_stopping_leaves_a_file_that_plays_and_the_same_call_goes_on(
    tmp_path: Path, batch_size: int
) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 80, sound=True)
    target = tmp_path / "out.mp4"
    options = RenderOptions(processors=("none",), crf=12, batch_size=batch_size)
    first, _ = run(source, target, options=options, stop_after=50)
    assert first.stopped
    assert first.exit_code == 130
    _, numbers = video(target)
    assert numbers == list(range(first.frames))
    assert 50 <= first.frames < 60
    seen: list[int] = []

    def note(frames: Sequence[Frame]) -> list[Frame]:
        seen.extend(frame.sequence for frame in frames)
        return list(frames)

    second, _ = run(source, target, note, options)
    assert second == RenderResult(80, first.frames, 0, False)
    assert seen[0] >= first.frames - 30
    assert video(target) == (pytest.approx(video(source)[0]), list(range(80)))
    assert [data for _, data in sound(target)] == [data for _, data in sound(source)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_a_run_that_was_killed_goes_on_from_its_last_fragment(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 80)
    target = tmp_path / "out.mp4"
    run(source, target, stop_after=40)
    target.replace(tmp_path / ".out.mp4.part")
    result, _ = run(source, target)
    assert result.resumed_from >= 40
    assert video(target)[1] == list(range(80))


def test_other_options_start_anew(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 30)
    run(source, tmp_path / "out.mp4", stop_after=10)
    options = RenderOptions(processors=("mirror",), crf=12)
    result, _ = run(source, tmp_path / "out.mp4", options=options)
    assert result == RenderResult(30, 0, 0, False)


def test_an_existing_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 5)
    (tmp_path / "out.mp4").write_text("precious")
    with pytest.raises(OutputExists):
        run(source, tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_text() == "precious"
    options = RenderOptions(processors=("none",), overwrite=True)
    assert run(source, tmp_path / "out.mp4", options=options)[0].frames == 5


def test_frames_that_must_not_be_shown_become_black(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 6)

    def withhold_odd(frames: Sequence[Frame]) -> list[Frame]:
        return [frame for frame in frames if frame.sequence % 2 == 0]

    result, _ = run(source, tmp_path / "out.mp4", withhold_odd)
    assert (result.frames, result.withheld, result.exit_code) == (6, 3, 3)
    with av.open(str(tmp_path / "out.mp4")) as container:
        brightness = [f.to_ndarray(format="gray").mean() for f in container.decode(video=0)]
    assert [value < 3 for value in brightness] == [False, True] * 3


def test_odd_sizes_rotation_and_a_change_of_size(tmp_path: Path) -> None:
    odd = write_clip(
        tmp_path / "odd.mkv", [quartered((161, 91))] * 3, codec="ffv1", pixel_format="yuv444p"
    )
    run(odd, tmp_path / "odd.mp4")
    turned = write_clip(tmp_path / "turned.mp4", [quartered((160, 120))] * 3, rotation=90)
    run(turned, tmp_path / "turned_out.mp4")
    changing = tmp_path / "changing.h264"
    with changing.open("wb") as file:
        for size in ((160, 120), (96, 64)):
            clip = write_clip(tmp_path / f"{size[0]}.h264", [quartered(size)] * 3)
            file.write(clip.read_bytes())
    run(changing, tmp_path / "changing.mp4")
    for name, size, count in [
        ("odd.mp4", (160, 90), 3),
        ("turned_out.mp4", (120, 160), 3),
        ("changing.mp4", (160, 120), 6),
    ]:
        with av.open(str(tmp_path / name)) as container:
            frames = list(container.decode(video=0))
        assert len(frames) == count
        assert {(frame.width, frame.height) for frame in frames} == {size}


def test_what_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").touch()
    with pytest.raises(ClipError):
        run(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_real_clip_with_sound_is_mirrored(tmp_path: Path, media: Path) -> None:
    source = media / "avatar" / "talking_with_audio.mp4"

    def mirror(frames: Sequence[Frame]) -> list[Frame]:
        return [frame.with_image(np.ascontiguousarray(frame.image[:, ::-1])) for frame in frames]

    result, _ = run(source, tmp_path / "out.mp4", mirror)
    assert result.frames == 175
    with av.open(str(source)) as one, av.open(str(tmp_path / "out.mp4")) as other:
        before = next(one.decode(video=0)).to_ndarray(format="gray").astype(int)
        after = next(other.decode(video=0)).to_ndarray(format="gray").astype(int)
    assert np.abs(before[:, ::-1] - after).mean() < 3
    assert [data for _, data in sound(tmp_path / "out.mp4")] == [data for _, data in sound(source)]


def test_an_empty_chain_renders(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 4)
    result = render(
        source, tmp_path / "out.mp4", Chain([]), OPTIONS, threading.Event(), lambda _: None
    )
    assert result.frames == 4


def test_the_progress_line() -> None:
    assert progress_line(Progress(50, 200, 25.0, 3675.0), 8) == (
        "[##      ] 50/200 frames, 25.0 per second, 1:01:15 left"
    )
    assert progress_line(Progress(7, None, 2.5, None), 4) == "[    ] 7 frames, 2.5 per second"
