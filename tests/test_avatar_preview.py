"""Previews: what a viewer would see, as pictures and as a film."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import av.error
import av.logging
import numpy as np
import pytest

from engine.avatar.pack import Pack
from engine.avatar.preview import decoded, random_changes, viewed, walked, write_preview
from engine.avatar.written import OutputNotWritten, written_whole
from tests.fakes import bare_pack, grey_pack
from tests.swaying_avatar import SIDE, Packs, compiled

SECONDS = 8.0
COUNT = 200


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Packs:
    return compiled(tmp_path_factory.mktemp("avatar"))


@contextlib.contextmanager
def _complaints() -> Iterator[list[tuple[int, str, str]]]:
    """What FFmpeg warns of meanwhile."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture(local=False) as messages:
            yield messages
    finally:
        av.logging.set_level(before)


def _pixels(pack: Pack, seed: int) -> list[np.ndarray]:
    changes = random_changes(pack, SECONDS, seed)
    return [frame.to_ndarray() for _, frame in viewed(pack, SECONDS, seed, changes)]


def test_changes_come_every_two_to_six_seconds(packs: Packs) -> None:
    changes = random_changes(packs.graph, 120.0, 3)
    gaps = [after - before for before, after in pairwise([0, *changes])]
    assert min(gaps) >= 2 * 25
    assert max(gaps) <= 6 * 25 + 1
    assert set(changes.values()) == {"idle", "gesture", "wave"}
    assert changes == random_changes(packs.plain, 120.0, 3)
    assert changes != random_changes(packs.plain, 120.0, 4)


def test_an_avatar_with_one_state_has_no_changes() -> None:
    assert random_changes(bare_pack({"idle": [50]}), 60.0, 1) == {}
    assert set(random_changes(bare_pack({"idle": [50]}, {"wave": 20}), 60.0, 1).values()) == {
        "wave"
    }


@pytest.mark.parametrize("kind", ["graph", "plain"])
def test_every_picture_decodes_as_after_its_own_predecessors(packs: Packs, kind: str) -> None:
    pack: Pack = getattr(packs, kind)
    changes = random_changes(pack, SECONDS, 1)
    with _complaints() as complaints:
        shown = list(viewed(pack, SECONDS, 1, changes))
    assert complaints == []
    assert len(shown) == COUNT
    assert not any(frame.is_corrupt for _, frame in shown)
    assert [frame.pts * frame.time_base for _, frame in shown] == [
        Fraction(number, 25) for number in range(COUNT)
    ]
    assert [step for step, _ in shown] == list(walked(pack, SECONDS, 1, changes))
    seen: dict[int, np.ndarray] = {}
    for step, frame in shown:
        pixels = frame.to_ndarray()
        assert pixels.shape == (SIDE * 3 // 2, SIDE)
        assert (seen.setdefault(step.index, pixels) == pixels).all()
    straight = [clip for clip in pack.clips if clip.first in seen]
    assert straight
    units = pack.codecs["H264"].access_units
    for clip in straight:
        whole = range(clip.first, clip.first + clip.count)
        for index, frame in zip(whole, decoded(pack, iter(units[i] for i in whole)), strict=True):
            if index in seen:
                assert (frame.to_ndarray() == seen[index]).all(), index


def test_a_start_without_a_keyframe_would_be_complained_of(packs: Packs) -> None:
    units = packs.plain.codecs["H264"].access_units
    with _complaints() as complaints, contextlib.suppress(av.error.InvalidDataError):
        list(decoded(packs.plain, iter(units[1:5])))
    assert complaints


def test_the_requested_states_are_seen(packs: Packs) -> None:
    changes = {50: "gesture", 100: "wave"}
    states = [step.state for step, _ in viewed(packs.graph, SECONDS, 1, changes)]
    assert states[:50] == ["idle"] * 50
    assert "gesture" in states[50:60]
    assert "wave" in states[100:110]
    assert states[-1] == "gesture"


@pytest.mark.parametrize("kind", ["graph", "plain"])
def test_a_film_shows_the_same_pictures_evenly(packs: Packs, kind: str, tmp_path: Path) -> None:
    pack: Pack = getattr(packs, kind)
    film = tmp_path / "preview.mp4"
    progress: list[float] = []
    write_preview(pack, film, SECONDS, 5, progress.append)
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert (stream.width, stream.height, stream.average_rate) == (SIDE, SIDE, 25)
        assert stream.codec_context.colorspace == 1
        assert container.duration == SECONDS * av.time_base
    times = [frame.pts * frame.time_base for frame in frames]
    assert times == [Fraction(number, 25) for number in range(COUNT)]
    for frame, pixels in zip(frames, _pixels(pack, 5), strict=True):
        assert (frame.to_ndarray() == pixels).all()
    assert film.read_bytes().index(b"moov") < film.read_bytes().index(b"mdat")
    assert [path.name for path in tmp_path.iterdir()] == ["preview.mp4"]


def test_the_same_seed_gives_the_same_film(packs: Packs, tmp_path: Path) -> None:
    films = []
    for name, seed in (("a.mp4", 2), ("b.mp4", 2), ("c.mp4", 3)):
        write_preview(packs.graph, tmp_path / name, SECONDS, seed)
        films.append((tmp_path / name).read_bytes())
    assert films[0] == films[1]
    assert films[0] != films[2]


def test_a_pack_in_vp8_alone_is_seen_but_not_written(tmp_path: Path) -> None:
    pack = grey_pack({"idle": 80, "gesture": 160}, codecs=("VP8",))
    changes = {10: "gesture"}
    levels = [frame.to_ndarray()[40, 40] for _, frame in viewed(pack, 1.0, 1, changes)]
    assert len(levels) == 25
    assert max(levels[:10]) < min(levels[12:])
    with pytest.raises(OutputNotWritten, match=r"avatars\.codecs"):
        write_preview(pack, tmp_path / "x.mp4", 1.0)


@pytest.mark.parametrize(
    ("name", "seconds", "message"),
    [("x.avi", 1.0, "x.mp4"), ("none/x.mp4", 1.0, "mkdir"), ("x.mp4", 0.0, "some seconds")],
)
def test_what_cannot_be_written_is_said(
    packs: Packs, tmp_path: Path, name: str, seconds: float, message: str
) -> None:
    with pytest.raises(OutputNotWritten, match=message):
        write_preview(packs.graph, tmp_path / name, seconds)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    target.write_bytes(b"old")

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(OutputNotWritten, match="Free some space"),
        written_whole(target) as temporary,
    ):
        fail(temporary)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    with pytest.raises(OutputNotWritten, match="is a folder"), written_whole(tmp_path):
        fail(tmp_path)
