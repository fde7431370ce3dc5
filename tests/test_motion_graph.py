"""Motion graphs built from drawn clips."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from engine.motion.building import fitted, link
from engine.motion.features import PictureFile
from engine.motion.graph import Jump, JumpKind, MotionGraph
from engine.motion.nodes import prepare
from engine.motion.pairs import PairTask
from engine.motion.trials import render
from tests.motion_clips import FPS, SETTINGS, built, drawn, prepared, source, swaying

IDLE = source("idle", swaying(60, width=4.0))
GESTURE = source("gesture", swaying(60, width=8.0))
WAVE = source("wave", swaying(30, width=8.0), action=True)


@pytest.fixture(scope="module")
def graph() -> MotionGraph:
    return built(IDLE, GESTURE, WAVE)


def _exits(graph: MotionGraph, source_: int, group: str) -> set[int]:
    return {
        jump.exit
        for jump in graph.jumps
        if jump.kind is JumpKind.TRANSITION
        and jump.source == source_
        and graph.clips[jump.target].group == group
    }


def test_from_every_picture_every_other_state_is_near() -> None:
    graph = built(IDLE, GESTURE)
    for number, clip in enumerate(graph.clips):
        (other,) = set(graph.groups) - {clip.group}
        exits = _exits(graph, number, other)
        for part in clip.parts:
            for picture in range(part.start, part.stop):
                near = range(picture, min(picture + SETTINGS.exit_spacing, part.stop))
                assert exits & set(near), (clip.name, picture)


def test_entries_are_keyframes_and_every_end_leads_on(graph: MotionGraph) -> None:
    for jump in graph.jumps:
        assert jump.entry in graph.clips[jump.target].keyframes
        assert jump.length >= 1
        assert len(jump.steps) == jump.length + 1
    for number, clip in enumerate(graph.clips):
        lasts = {part.last for part in clip.parts}
        for group in graph.groups:
            if group != clip.group:
                assert lasts <= _exits(graph, number, group)
        if not clip.is_action:
            loops = {j.exit for j in graph.jumps if j.kind is JumpKind.LOOP and j.source == number}
            assert lasts <= loops


def test_bridges_of_matching_clips_are_smooth(graph: MotionGraph) -> None:
    assert max(jump.largest_step for jump in graph.jumps) <= 1.3
    assert min(jump.sharpness for jump in graph.jumps) >= 0.8
    assert not any("can be seen" in warning for warning in graph.warnings)


def test_an_action_is_entered_at_its_beginning(graph: MotionGraph) -> None:
    entries = [j.entry for j in graph.jumps if graph.clips[j.target].group == "wave"]
    assert entries
    assert max(entries) <= 0.4 * FPS
    assert graph.clips[2].parts[0].stop == 30


def test_a_graph_survives_json(graph: MotionGraph) -> None:
    assert MotionGraph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


def test_pictures_are_numbered_without_gaps(graph: MotionGraph) -> None:
    numbering = graph.numbering()
    places = [numbering.place(clip, picture) for clip, picture in numbering.pictures()]
    bridges = [
        first + n
        for first, jump in zip(numbering.bridges, graph.jumps, strict=True)
        for n in range(jump.length)
    ]
    assert [*places, *bridges] == list(range(numbering.count))
    with pytest.raises(KeyError):
        numbering.place(0, 60)


def test_a_bridge_is_made_at_full_size() -> None:
    clips = prepared(IDLE, GESTURE)
    graph = link(clips, SETTINGS)
    jump = next(jump for jump in graph.jumps if jump.kind is JumpKind.TRANSITION)
    pictures = render(jump, clips, [IDLE, GESTURE])
    assert len(pictures) == jump.length
    assert {picture.shape for picture in pictures} == {IDLE.pictures[0].shape}


class _Counting:
    """Runs pairs and remembers which."""

    def __init__(self) -> None:
        self.pairs: set[tuple[int, int]] = set()

    def __call__(
        self, run: Callable[[PairTask], list[Jump]], tasks: list[PairTask]
    ) -> Iterable[list[Jump]]:
        self.pairs |= {(task.source, task.target) for task in tasks}
        return map(run, tasks)


def test_a_changed_clip_redoes_only_its_own_pairs() -> None:
    clips = prepared(IDLE, GESTURE, WAVE)
    cache: dict[str, list[Jump]] = {}
    counting = _Counting()
    first = link(clips, SETTINGS, mapper=counting, cache=cache)
    assert len(counting.pairs) == 9
    counting = _Counting()
    assert link(clips, SETTINGS, mapper=counting, cache=cache) == first
    assert counting.pairs == set()
    other = prepare(replace(WAVE, fingerprint="other"), FPS, SETTINGS)
    link([*clips[:2], other], SETTINGS, mapper=counting, cache=cache)
    assert counting.pairs == {(0, 2), (1, 2), (2, 0), (2, 1), (2, 2)}


def test_clips_of_one_state_lead_to_each_other() -> None:
    graph = built(IDLE, source("idle2", swaying(50, width=5.0), state="idle"))
    ways = {(jump.source, jump.target) for jump in graph.jumps if jump.kind is JumpKind.LOOP}
    assert {(0, 1), (1, 0)} <= ways


def test_a_passage_leads_over_a_gap_in_an_action() -> None:
    pictures = swaying(60)
    flash = drawn(0.0)
    flash[:128] = 250
    pictures[30:32] = [flash, flash]
    graph = built(IDLE, source("wave", pictures, action=True))
    (passage,) = [jump for jump in graph.jumps if jump.kind is JumpKind.PASSAGE]
    assert (passage.exit, passage.entry) == (29, 32)


def test_many_actions_begin_later_so_that_the_pack_stays_small() -> None:
    idle, wave = prepared(IDLE, WAVE)
    actions = [
        replace(wave, node=replace(wave.node, name=f"act{n}", action=f"act{n}")) for n in range(4)
    ]
    small = SETTINGS.model_copy(update={"max_bridge_share": 0.3})
    settings, spacings, warnings = fitted([idle, idle, *actions], small)
    assert settings.max_step > SETTINGS.max_step
    assert spacings["idle"] == SETTINGS.exit_spacing
    assert spacings["act0"] > SETTINGS.exit_spacing
    assert "act0" in warnings[0]
    assert "max_bridge_share" in warnings[0]
    assert fitted([idle, *actions[:1]], SETTINGS)[1] == {"idle": 3, "act0": 3}


def test_speech_waits_less_than_other_changes_as_far_as_there_is_room() -> None:
    idle, other = prepared(IDLE, WAVE)
    gesture = replace(other, node=replace(other.node, state="gesture", action=None))
    settings = SETTINGS.model_copy(update={"loops_per_clip": 4})
    assert fitted([idle, gesture], settings)[1] == {"idle": 3, "gesture": 2}
    small = settings.model_copy(update={"max_bridge_share": 1.2})
    assert fitted([idle, gesture], small)[1:] == ({"idle": 3, "gesture": 3}, [])


@pytest.mark.parametrize(
    "pictures",
    [[drawn(0.0)] * 40, swaying(6), swaying(2), [drawn(float(n)) for n in range(-20, 20)]],
    ids=["still", "few", "two", "through"],
)
def test_bad_clips_still_make_a_graph(pictures: list[object]) -> None:
    bad = source("idle", pictures)  # type: ignore[arg-type]  # a list of any length
    graph = built(bad, GESTURE)
    assert graph.warnings
    for part in graph.clips[0].parts:
        assert part.last in _exits(graph, 0, "gesture")


def test_different_pictures_are_bridged_shortly_and_reported() -> None:
    other = [255 - picture for picture in swaying(50)]
    graph = built(IDLE, source("gesture", other))
    assert any("Record both in one go" in warning for warning in graph.warnings)


def test_pictures_on_disk_come_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("pictures") / "clip"
    pictures = swaying(3)
    with path.open("w+b") as file:
        stored = PictureFile(file, (192, 128))
        for picture in pictures:
            stored.append(picture)
        assert len(stored) == 3
        assert (stored[1] == pictures[1]).all()
        assert (stored[0] == pictures[0]).all()
        with pytest.raises(IndexError):
            stored[3]
        with pytest.raises(ValueError, match="shape"):
            stored.append(pictures[0][:96])
