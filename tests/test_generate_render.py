"""``render``: every frame of a file through the live processors, as a job."""

import functools
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import av
import cv2
import numpy as np
import pytest

from engine.clips.opening import ClipTruncated
from engine.pipeline.frame import Frame, Image
from engine.pipeline.settings import ProcessorSettings
from processors.basic import Mirror, NoProcessor
from processors.generate.declaration import BadParameters
from processors.generate.inputs import BadInput
from processors.generate.offline import ProcessorFailed
from processors.generate.processing import FacesMissing
from processors.generate.recipe import read_recipe
from processors.generate.registry import LoadedGenerator, LoadedGenerators
from processors.generate.render_video import RENDER, ProcessorName
from processors.registry import ProcessorContext, processor_factories
from tests.clipmaking import (
    cut_off,
    luma_of,
    numbered,
    numbered_clip,
    quartered,
    read_number,
    read_quarters,
    write_clip,
)
from tests.generate_parts import FakeContext, Stopped, services

Made = tuple[dict[str, Any], FakeContext]


@functools.cache
def loaded() -> LoadedGenerator:
    return LoadedGenerators(services(), {"render": RENDER}).get("render")


def run(
    folder: Path,
    media: Path,
    *processors: str,
    stop: Callable[[float], bool] = lambda _: False,
    **params: object,
) -> Made:
    folder.mkdir(exist_ok=True)
    context = FakeContext(folder, stop)
    given = {"processors": processors, "preset": "ultrafast", **params}
    return loaded().run(given, {"media": media}, context), context


def pictures(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_frame_in_order_with_times_and_sound(tmp_path: Path, batch_size: int) -> None:
    times = [Fraction(n * n, 100) for n in range(1, 31)]
    source = write_clip(
        tmp_path / "in.mp4", [numbered(n) for n in range(30)], times=times, sound=1.0
    )
    made, context = run(tmp_path / "out", source, "none", batch_size=batch_size)
    target = tmp_path / "out" / "rendered.mp4"
    assert made["files"] == {"video": ["rendered.mp4"]}
    assert made["values"]["frames"] == 30
    assert made["values"]["warnings"] == []
    assert [read_number(frame) for frame in pictures(target)] == list(range(30))
    before = [frame.time for frame in pictures(source)]
    assert [frame.time for frame in pictures(target)] == pytest.approx(before, abs=1e-4)
    assert sound(target) == sound(source)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rendered.mp4"]
    assert len(context.previews) == 1
    assert context.reports[-1] == (1.0, "30 of 30 frames")
    assert len(context.reports) > 30 / batch_size
    recipe = read_recipe(target)
    assert (recipe.generator, recipe.params["processors"]) == ("render", ["none"])


def test_a_turned_video_is_upright_and_mirrored(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", [quartered((160, 120))] * 3, rotation=90)
    made, _ = run(tmp_path / "out", source, "mirror")
    frames = pictures(tmp_path / "out" / "rendered.mp4")
    assert made["values"]["frames"] == len(frames) == 3
    assert (frames[0].width, frames[0].height) == (120, 160)
    assert read_quarters(frames[0]) == ("grey", "green", "blue", "red")


@pytest.mark.parametrize("colour", [(1, 1, 1), (6, 6, 6), None])
def test_colours_stay_what_they_are(tmp_path: Path, colour: tuple[int, int, int] | None) -> None:
    source = write_clip(tmp_path / "in.mp4", [quartered()] * 2, colour=colour)
    run(tmp_path / "out", source, "none", crf=1)
    before, after = pictures(source)[0], pictures(tmp_path / "out" / "rendered.mp4")[0]
    told = [
        (int(f.colorspace), int(f.color_range), int(f.color_primaries), int(f.color_trc))
        for f in (before, after)
    ]
    assert told[0] == told[1]
    assert np.abs(luma_of(before).astype(int) - luma_of(after)).mean() < 0.5
    for one, other in zip(before.planes, after.planes, strict=True):
        apart = np.abs(np.frombuffer(one, np.uint8).astype(int) - np.frombuffer(other, np.uint8))
        assert apart.mean() < 1


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 12, sound=0.5)
    for name in ("one", "two"):
        run(tmp_path / name, source, "mirror")
    first, second = (tmp_path / name / "rendered.mp4" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_a_picture_becomes_a_picture(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "in.png"), image)
    made, context = run(tmp_path / "out", tmp_path / "in.png", "mirror")
    assert made["files"] == {"picture": ["rendered.png"]}
    done = cv2.imread(str(tmp_path / "out" / "rendered.png"))
    assert np.array_equal(done, image[:, ::-1])
    assert read_recipe(tmp_path / "out" / "rendered.png").params["processors"] == ["mirror"]
    assert np.array_equal(context.previews[0], done)


def test_a_cancelled_job_leaves_nothing_and_ends_at_the_frame(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 40)
    seen: list[float] = []

    def stop(share: float) -> bool:
        seen.append(share)
        return share >= 0.25

    with pytest.raises(Stopped):
        run(tmp_path / "out", source, "none", stop=stop)
    assert max(seen) == pytest.approx(10 / 40)
    assert list((tmp_path / "out").iterdir()) == []


def failing(
    monkeypatch: pytest.MonkeyPatch, kind: type[Any], sequences: Sequence[int] | None
) -> None:
    work = kind.process

    def process(self: Any, frames: Sequence[Frame]) -> Sequence[Image]:
        if sequences is None or any(frame.sequence in sequences for frame in frames):
            raise ValueError("it broke")
        return list(work(self, frames))

    monkeypatch.setattr(kind, "process", process)


def test_a_processor_that_keeps_failing_ends_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 40)
    failing(monkeypatch, Mirror, None)
    with pytest.raises(ProcessorFailed, match="mirror failed: it broke"):
        run(tmp_path / "out", source, "mirror")
    assert list((tmp_path / "out").iterdir()) == []
    cv2.imwrite(str(tmp_path / "in.png"), numbered(3))
    with pytest.raises(ProcessorFailed, match="it broke"):
        run(tmp_path / "out", tmp_path / "in.png", "mirror")


def test_frames_that_may_not_be_shown_are_black_and_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = numbered_clip(tmp_path / "in.mp4", 12)
    failing(monkeypatch, NoProcessor, (3, 4))
    closed = NoProcessor.traits.__class__(fails_closed=True)
    monkeypatch.setattr(NoProcessor, "traits", closed)
    made, _ = run(tmp_path / "out", source, "none")
    assert made["values"]["withheld"] == 2
    warnings = made["values"]["warnings"]
    assert warnings == [
        "2 frames are black: a processor could not do them.",
        "none failed 2 times.",
    ]
    bright = [luma_of(frame).mean() for frame in pictures(tmp_path / "out" / "rendered.mp4")]
    assert [number for number, level in enumerate(bright) if level < 20] == [3, 4]
    failing(monkeypatch, NoProcessor, range(12))
    with pytest.raises(ProcessorFailed, match="it broke"):
        run(tmp_path / "out", numbered_clip(tmp_path / "short.mp4", 5), "none")


def test_a_video_that_ends_early_is_rendered_with_a_warning(tmp_path: Path) -> None:
    whole = numbered_clip(tmp_path / "whole.mp4", 60, container_options={"movflags": "faststart"})
    made, _ = run(tmp_path / "out", cut_off(whole, tmp_path / "cut.mp4", 0.6), "none")
    frames, (warning,) = made["values"]["frames"], made["values"]["warnings"]
    assert 5 < frames < 55
    assert warning.startswith(f"{60 - frames} frames could not be read")


def test_what_cannot_be_rendered(tmp_path: Path) -> None:
    clip = numbered_clip(tmp_path / "in.mp4", 3)
    with pytest.raises(ClipTruncated):
        run(tmp_path / "out", cut_off(clip, tmp_path / "cut.mp4", 0.5), "none")
    bomb = bytearray(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(BadInput, match="30000x30000"):
        run(tmp_path / "out", tmp_path / "bomb.png", "none")
    with pytest.raises(BadParameters, match=r"processors\.0: .*face_swap"):
        run(tmp_path / "out", clip, "sharpen")
    with pytest.raises(BadParameters, match="processors"):
        run(tmp_path / "out", clip)
    with pytest.raises(BadParameters, match="not one of the known models"):
        run(tmp_path / "out", clip, "anonymise", anonymise={"model": "/etc/passwd"})
    with pytest.raises(FacesMissing, match="needs a file 'face'"):
        run_swap_without_face(tmp_path, clip)


def run_swap_without_face(tmp_path: Path, clip: Path) -> None:
    context = FakeContext(tmp_path)
    params = RENDER.validate({"processors": ["face_swap"]})
    RENDER.load(services())(params, {"media": clip}, context)


def test_all_processors_for_files_can_be_named() -> None:
    known = set(processor_factories(ProcessorSettings(), ProcessorContext()))
    # The overlay shows figures of a live pipeline; the mark comes with the face swap.
    assert set(get_args(ProcessorName)) == known - {"overlay", "swap_mark"}


def test_models_and_memory_are_those_of_the_processors(tmp_path: Path) -> None:
    def models(*names: str, **more: object) -> tuple[str, ...]:
        return RENDER.models(RENDER.validate({"processors": names, **more}))

    assert models("mirror") == ()
    assert models("anonymise", "background_blur") == ("yunet", "modnet")
    assert models("face_swap", face_swap={"model": "inswapper_128"}) == (
        "inswapper_128",
        "arcface_w600k",
        "yunet",
    )
    clip = numbered_clip(tmp_path / "in.mp4", 2)
    few, many = (
        RENDER.memory(RENDER.validate({"processors": ["none"], "batch_size": n}), {"media": clip})
        for n in (1, 16)
    )
    assert few["cuda"] == many["cuda"] == 0
    assert many["cpu"] - few["cpu"] >= 15 * 160 * 120 * 3
