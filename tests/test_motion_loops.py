"""Where clips are entered and left."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.motion.features import describe
from engine.motion.graph import Part
from engine.motion.loops import choose_exits, choose_keyframes, choose_loops, future_costs, trimmed
from tests.motion_clips import FPS, drawn, swaying


@given(
    length=st.integers(1, 60),
    spacing=st.integers(1, 7),
    forced=st.sets(st.integers(0, 59), max_size=8),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_from_every_picture_an_exit_is_near(
    length: int, spacing: int, forced: set[int], seed: int
) -> None:
    part = Part(5, 5 + length)
    must = [picture + 5 for picture in forced if picture < length]
    costs = np.random.default_rng(seed).uniform(0, 3, length).astype(np.float32)
    exits = choose_exits(part, costs, spacing, must, price=0.3)
    assert exits == sorted(set(exits))
    assert exits[-1] == part.last
    assert set(must) <= set(exits)
    for picture in range(part.start, part.stop):
        assert any(picture <= exit_ < picture + spacing for exit_ in exits)


def test_cheap_exits_are_preferred() -> None:
    costs = np.full(12, 5.0, np.float32)
    costs[[1, 3, 6, 8, 11]] = 0.0
    assert choose_exits(Part(0, 12), costs, 3, [], price=0.3) == [1, 3, 6, 8, 11]


def test_keyframes_are_near_enough_and_never_neighbours() -> None:
    parts = (Part(3, 40), Part(44, 75))
    keyframes = choose_keyframes(describe(swaying(75)), parts, 10, FPS)
    assert {3, 44} <= set(keyframes)
    for part in parts:
        inside = [k for k in keyframes if k in part]
        gaps = np.diff([*inside, part.stop])
        assert gaps.max() <= 10
        assert gaps.min() >= 2
        assert part.last not in inside


def test_future_cost_sees_what_a_jump_leads_to() -> None:
    # Entry 0 leads to an end that costs 9 to leave; entry 6 leads to one that costs nothing.
    parts = (Part(0, 5), Part(6, 10))
    exits = [0, 1, 2, 3, 4, 6, 7, 8, 9]
    costs = np.full((9, 2), 9.0, np.float32)
    costs[8, 1] = 0.0
    future = future_costs(parts, exits, [0, 6], costs)
    assert future[exits.index(6)] < 0.1
    assert future[exits.index(0)] > 8.0


def test_a_clip_ends_where_it_loops_best() -> None:
    wandering = [drawn(30.0 + n, 10.0) for n in range(12)]
    features = describe([*swaying(63), *wandering])
    parts, worst = trimmed(features, [Part(0, 75)], 4.0, 0.8, FPS)
    assert parts[0].start == 0
    assert 38 <= parts[0].stop <= 64
    assert worst < 1.0


def test_loops_are_spread_over_exits() -> None:
    costs = np.full((30, 2), 0.5, np.float32)
    costs[10:13] = 0.1
    chosen = choose_loops(range(30), [0, 20], costs, np.zeros(2, np.float32), 5, spacing=3)
    exits = sorted(exit_ for exit_, _ in chosen)
    assert len(exits) == 5
    assert np.diff(exits).min() >= 3
    assert chosen[0][0] in (10, 11, 12)
