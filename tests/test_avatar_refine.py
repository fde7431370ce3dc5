"""The pack with a motion graph, from files to decoded pictures; and what bad clips make of it."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from engine.avatar import pack as packs
from engine.avatar.pack import Pack
from engine.avatar.refine import compile_graph
from engine.avatar.walks import WalkMaker
from engine.motion.graph import MotionSettings
from engine.motion.pair_cache import PairCache
from tests.fakes import spec
from tests.motion_clips import drawn, swaying

SETTINGS = MotionSettings(bridge_lengths=(2, 3), tries=1, loops_per_clip=6)


def write(path: Path, pictures: Sequence[np.ndarray]) -> Path:
    """Write I420 pictures as a clip."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "16"})
        stream.width, stream.height = pictures[0].shape[1], pictures[0].shape[0] * 2 // 3
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def compiled(folder: Path, idle: Sequence[np.ndarray], gesture: Sequence[np.ndarray]) -> Pack:
    clips = {
        "idle": [write(folder / "idle.mp4", idle)],
        "gesture": [write(folder / "gesture.mp4", gesture)],
    }
    return compile_graph(spec(clips, size=(128, 128)), SETTINGS, folder)


def play(pack: Pack, count: int) -> list[np.ndarray]:
    """Decode what a viewer would, with a change of state each second."""
    walk = WalkMaker().make(pack, 3)
    decoder = av.CodecContext.create("h264", "r")
    units = pack.codecs["H264"].access_units
    shown: list[np.ndarray] = []
    last_keyframe = 0
    for number in range(count):
        if number % 25 == 24:
            walk.request("gesture" if walk.state == "idle" else "idle")
        step = walk.next()
        last_keyframe = 0 if step.keyframe else last_keyframe + 1
        assert last_keyframe <= 12, "a picture loss would not be repaired within half a second"
        frames = decoder.decode(av.Packet(units[step.index]))
        shown += [frame.to_ndarray(format="gray") for frame in frames]
    return shown + [frame.to_ndarray(format="gray") for frame in decoder.decode(None)]


def test_a_graph_pack_survives_the_disk_and_decodes_without_a_break(tmp_path: Path) -> None:
    pack = compiled(tmp_path, swaying(60), swaying(50, width=12.0, period=17.0))
    packs.write(pack, tmp_path / "x.graph.pack")
    assert packs.read(tmp_path / "x.graph.pack") == pack
    shown = play(pack, 300)
    assert len(shown) == 300
    steps = [
        float(np.sqrt(np.mean((a.astype(float) - b) ** 2))) for a, b in itertools.pairwise(shown)
    ]
    inside = [
        float(np.sqrt(np.mean((a[:128].astype(float) - b[:128]) ** 2)))
        for clip in (swaying(50, width=12.0, period=17.0),)
        for a, b in itertools.pairwise(clip)
    ]
    assert max(steps) <= 1.5 * np.percentile(inside, 95)


@pytest.mark.parametrize(
    "idle",
    [
        [drawn(0.0)] * 30,
        swaying(4),
        [np.full((192, 128), 16, np.uint8)] * 8 + swaying(40),
        [*swaying(20), np.full((192, 128), 235, np.uint8), *swaying(20)],
        [*swaying(25, seed=1), *swaying(25, seed=9)],
    ],
    ids=["still", "few", "black start", "flash", "cut"],
)
def test_bad_clips_compile_warn_and_never_show_black(
    idle: Sequence[np.ndarray], tmp_path: Path
) -> None:
    pack = compiled(tmp_path, idle, swaying(40))
    assert pack.graph is not None
    shown = play(pack, 200)
    assert len(shown) == 200
    levels = [float(picture.mean()) for picture in shown]
    assert min(levels) > 60
    assert max(levels) < 200


def test_what_was_found_out_about_pairs_is_kept(tmp_path: Path) -> None:
    first = compiled(tmp_path, swaying(50), swaying(40))
    cache = PairCache(tmp_path / "pairs")
    before = set(cache)
    assert len(before) == 4
    again = compiled(tmp_path, swaying(50), swaying(40))
    assert again == first
    assert set(cache) == before
    compiled(tmp_path, swaying(50), swaying(44))
    # Only the three pairs that the changed clip takes part in are new.
    assert len(cache) == 7


def test_a_damaged_pair_is_found_out_again(tmp_path: Path) -> None:
    cache = PairCache(tmp_path)
    cache["key"] = []
    assert cache["key"] == []
    (tmp_path / "key.json").write_text("{")
    with pytest.raises(KeyError):
        cache["key"]
    del cache["key"]
    assert len(cache) == 0
