"""Bridges: the pictures between two pictures."""

import itertools

import cv2
import numpy as np
import pytest

from engine.motion.bridges import bridge, luma, sharpness
from engine.motion.features import small_grey, step
from engine.motion.flow import aligning_flows, motion_between
from tests.motion_clips import Picture, drawn


def _between(first: Picture, second: Picture, count: int) -> list[Picture]:
    motion = motion_between(small_grey(first), small_grey(second))
    return bridge(first, second, motion, count)


def _left_edge(picture: Picture) -> float:
    """Where the disc begins along its middle row, in pixels."""
    row = luma(picture)[64:67].mean(axis=0)
    return float(np.flatnonzero(row > 187)[0])


def test_what_moves_is_halfway_in_the_middle() -> None:
    first, second = drawn(-6.0), drawn(6.0)
    (middle,) = _between(first, second, 1)
    edge = (_left_edge(first) + _left_edge(second)) / 2
    assert _left_edge(middle) == pytest.approx(edge, abs=1.0)
    true = step(small_grey(middle), small_grey(drawn(0.0)))
    blend = (first.astype(np.uint16) + second) // 2
    faded = step(small_grey(blend.astype(np.uint8)), small_grey(drawn(0.0)))
    assert true < 0.5 * faded


def test_steps_are_even_and_sharpness_stays() -> None:
    first, second = drawn(-6.0), drawn(6.0)
    row = [first, *_between(first, second, 3), second]
    steps = [step(small_grey(a), small_grey(b)) for a, b in itertools.pairwise(row)]
    assert max(steps) < 1.5 * min(steps)
    mean = (sharpness(first) + sharpness(second)) / 2
    assert min(sharpness(picture) for picture in row[1:-1]) >= 0.8 * mean


def test_exposure_and_colour_move_evenly() -> None:
    first = drawn(0.0)
    second = first.copy()
    second[:128] = np.clip(second[:128].astype(int) + 20, 0, 255)
    second[128:] = 148
    row = _between(first, second, 3)
    levels = [float(luma(p).mean() - luma(first).mean()) for p in row]
    assert levels == pytest.approx([5.0, 10.0, 15.0], abs=1.0)
    assert [int(p[128:].mean()) for p in row] == pytest.approx([133, 138, 143], abs=1)


def test_something_that_is_only_in_one_picture_does_not_stay_as_a_ghost() -> None:
    first = drawn(0.0)
    second = drawn(0.0)
    cv2.rectangle(second, (4, 90), (24, 120), 235, -1)
    early, late = _between(first, second, 5)[0], _between(first, second, 5)[-1]
    corner = (slice(95, 115), slice(8, 20))
    gap = float(np.abs(second[corner].astype(float) - first[corner]).mean())
    assert float(np.abs(early[corner].astype(float) - first[corner]).mean()) < 0.3 * gap
    assert float(np.abs(late[corner].astype(float) - second[corner]).mean()) < 0.3 * gap


def test_no_pictures_and_unchanged_ends() -> None:
    first, second = drawn(-3.0), drawn(3.0)
    before = first.copy(), second.copy()
    assert _between(first, second, 0) == []
    _between(first, second, 2)
    assert np.array_equal(first, before[0])
    assert np.array_equal(second, before[1])


def test_landmarks_start_the_search_for_motion() -> None:
    marks = np.array([[100, 90], [150, 90], [125, 120], [105, 150], [145, 150]], np.float32)
    flows = aligning_flows(marks, np.add(marks, (10, 4), dtype=np.float32), (256, 256))
    assert flows is not None
    assert flows[0][120, 125] == pytest.approx([10, 4], abs=0.5)
    assert flows[1][124, 135] == pytest.approx([-10, -4], abs=0.5)
    assert float(np.abs(flows[0][250, 5]).max()) < 1.0
    assert aligning_flows(np.full((5, 2), np.nan, np.float32), marks, (256, 256)) is None
