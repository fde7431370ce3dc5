"""Walks through motion graphs, on graphs written down by hand."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from engine.errors import StateNotFound
from engine.motion.graph import ClipNode, Jump, JumpKind, MotionGraph, Part
from engine.motion.routes import Routes
from engine.motion.walk import GraphWalk

FPS = 25.0
COUNT = 150


def _clip(name: str, action: bool = False, count: int = COUNT) -> ClipNode:
    return ClipNode(
        name=name,
        state=None if action else name,
        action=name if action else None,
        count=count,
        parts=(Part(0, count),),
        keyframes=tuple(range(0, count - 1, 10)),
        natural_step=5.0,
        steps=(1.0,) * count,
    )


def _jump(kind: JumpKind, source: int, exit_: int, target: int, entry: int, cost: float) -> Jump:
    return Jump(kind, source, exit_, target, entry, 2, cost, (1.0, 1.0, 1.0), 5.0, 1.0, 1.0)


def _graph() -> MotionGraph:
    """Two states and an action: exits every third picture and at keyframes, some thirty loops."""
    clips = (_clip("idle"), _clip("gesture"), _clip("wave", action=True, count=40))
    chance = random.Random(4)
    jumps = []
    for source, clip in enumerate(clips):
        last = clip.count - 1
        for target in range(3):
            if target != source:
                jumps += [
                    _jump(JumpKind.TRANSITION, source, exit_, target, 0, chance.random())
                    for exit_ in sorted({*range(2, last, 3), *clip.keyframes, last})
                ]
        if not clip.is_action:
            jumps += [
                _jump(JumpKind.LOOP, source, exit_, source, entry, chance.random())
                for exit_ in [*range(4, last, 5), last]
                for entry in [chance.choice(range(0, 120, 10))]
                if abs(entry - exit_) > 10
            ]
    return MotionGraph(clips, tuple(jumps))


@pytest.fixture(scope="module")
def routes() -> Routes:
    return Routes(_graph(), FPS, 3, frozenset(range(0, 340, 10)))


def _played(walk: GraphWalk, count: int) -> list[int]:
    return [walk.next().index for _ in range(count)]


def test_the_same_seed_gives_the_same_walk(routes: Routes) -> None:
    assert _played(GraphWalk(routes, 7), 3000) == _played(GraphWalk(routes, 7), 3000)
    assert _played(GraphWalk(routes, 7), 3000) != _played(GraphWalk(routes, 8), 3000)


def test_only_neighbours_and_jumps_are_played(routes: Routes) -> None:
    graph = _graph()
    numbering = graph.numbering()
    allowed = {(index, index + 1) for index in range(numbering.count)}
    for first, jump in zip(numbering.bridges, graph.jumps, strict=True):
        allowed.add((numbering.place(jump.source, jump.exit), first))
        allowed.add((first + jump.length - 1, numbering.place(jump.target, jump.entry)))
    # The last picture of a clip is followed by a bridge only.
    for _, part, first in numbering.parts:
        allowed.discard((first + len(part) - 1, first + len(part)))
    walk = GraphWalk(routes, 1)
    chance = random.Random(1)
    played = []
    for _ in range(400):
        walk.request(chance.choice(walk.names))
        played += _played(walk, chance.randrange(1, 120))
    assert set(pairwise(played)) <= allowed


def test_a_request_is_served_within_three_pictures(routes: Routes) -> None:
    walk = GraphWalk(routes, 2)
    chance = random.Random(2)
    for _ in range(500):
        _played(walk, chance.randrange(5, 90))
        walk.request("gesture" if walk.state == "idle" else "idle")
        states = [walk.next().state for _ in range(3)]
        assert walk.state in states


def test_an_action_returns_to_the_state_before_and_is_reported(routes: Routes) -> None:
    walk = GraphWalk(routes, 3)
    walk.request("gesture")
    _played(walk, 40)
    walk.request("wave")
    steps = [walk.next() for _ in range(60)]
    assert [step.finished for step in steps if step.finished] == ["wave"]
    shown = [step.state for step in steps]
    assert set(shown[3 : shown.index("gesture", 4)]) == {"wave"}
    assert shown[-1] == walk.state == "gesture"


def test_an_action_can_be_left(routes: Routes) -> None:
    walk = GraphWalk(routes, 3)
    walk.request("wave")
    _played(walk, 10)
    walk.request("gesture")
    steps = [walk.next() for _ in range(60)]
    assert {step.finished for step in steps} == {None}
    assert steps[-1].state == "gesture"


def test_a_request_that_is_taken_back_changes_nothing(routes: Routes) -> None:
    walk = GraphWalk(routes, 5)
    _played(walk, 7)
    walk.request("gesture")
    walk.request("idle")
    assert {walk.next().state for _ in range(200)} == {"idle"}


def _checked_plan(walk: GraphWalk, name: str, earliest: int) -> int | None:
    """Plan, and see the state begin just when the plan says."""
    before = walk.plan(name, earliest)
    if before is None:
        assert walk.state != name
        walk.request(name)
        _played(walk, 10)
        return None
    shown = [walk.next().state for _ in range(before + 1)]
    if before:
        assert name not in shown[:before]
    assert shown[before] == name
    return before


@pytest.mark.parametrize("seed", range(5))
def test_a_planned_change_comes_when_it_was_said_to(routes: Routes, seed: int) -> None:
    walk, chance = GraphWalk(routes, seed), random.Random(seed)
    waits = []
    for number in range(400):
        _played(walk, chance.randrange(12))
        earliest = chance.randrange(10)
        before = _checked_plan(walk, ("gesture", "idle")[number % 2], earliest)
        if before is not None:
            waits.append(before - earliest)
    assert len(waits) > 320
    assert min(waits) >= 0
    assert max(waits) <= 2 + 3 + 2  # a bridge, its entry, then the next exit


def test_a_plan_is_given_up_for_another_request(routes: Routes) -> None:
    walk = GraphWalk(routes, 3)
    _played(walk, 20)
    walk.plan("gesture", 9)
    walk.request("idle")
    assert {walk.next().state for _ in range(200)} == {"idle"}
    assert walk.plan("idle", 5) == 0


def test_unknown_names_are_refused(routes: Routes) -> None:
    with pytest.raises(StateNotFound, match=r"'dance'.*idle, gesture, wave"):
        GraphWalk(routes, 0).request("dance")


def test_no_order_of_pictures_comes_often(routes: Routes) -> None:
    for seed in range(3):
        played = _played(GraphWalk(routes, seed), round(600 * FPS))
        window = round(3 * FPS)
        orders = Counter(tuple(played[n : n + window]) for n in range(len(played) - window))
        assert max(orders.values()) <= 3


def test_every_picture_is_shown_at_some_time(routes: Routes) -> None:
    assert set(range(130)) <= set(_played(GraphWalk(routes, 0), 20_000))


def test_keyframes_are_marked_and_come_soon(routes: Routes) -> None:
    walk = GraphWalk(routes, 6)
    gaps, gap = [], 0
    for _ in range(5000):
        step = walk.next()
        assert step.keyframe == (step.index in routes.keyframes)
        gap = 0 if step.keyframe else gap + 1
        gaps.append(gap)
    assert max(gaps) <= 10 + 2
