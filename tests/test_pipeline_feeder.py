"""The feeder: what conforms, what is refused, and the order of what leaves."""

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from engine.pipeline.feeder import BadFrame, Feeder, conform
from engine.pipeline.frame import FED, Frame
from engine.pipeline.ring import DropPolicy, Ring
from tests.pipeline_fakes import FakeClock, make_frame, picture


def make_feeder(
    policy: DropPolicy = DropPolicy.WAIT,
) -> tuple[Feeder, Ring[Frame], Ring[Frame], FakeClock]:
    clock = FakeClock(5.0)
    ring: Ring[Frame] = Ring(64, policy, clock)
    queue: Ring[Frame] = Ring(64, DropPolicy.WAIT, clock)
    return Feeder(ring, queue, clock), ring, queue, clock


def test_a_fitting_picture_is_not_copied() -> None:
    image = picture()
    assert conform(image) is image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.full((3, 5), 7, np.uint8), [7, 7, 7]),
        (np.full((3, 5, 1), 7, np.uint8), [7, 7, 7]),
        (np.full((3, 5, 4), (1, 2, 3, 99), np.uint8), [1, 2, 3]),
        (np.full((3, 5, 3), (0x1234, 0xFFFF, 0x00FF), np.uint16), [0x12, 0xFF, 0]),
        (np.full((3, 5, 3), (0.0, 0.5, 2.0), np.float32), [0, 128, 255]),
    ],
)
def test_other_pictures_are_made_to_fit(image: Any, expected: list[int]) -> None:
    fitting = conform(image)
    assert (fitting.dtype, fitting.shape) == (np.uint8, (3, 5, 3))
    assert fitting.flags.c_contiguous
    assert fitting[1, 2].tolist() == expected


def test_a_view_is_made_contiguous() -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    flipped = image[:, ::-1]
    fitting = conform(flipped)
    assert fitting.flags.c_contiguous
    assert np.array_equal(fitting, flipped)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((4,), np.uint8),
        np.full((4, 4, 3), np.nan, np.float32),
        np.zeros((4, 4, 3), np.int32),
        np.zeros((4, 4, 3), np.complex64),
    ],
)
def test_pictures_that_cannot_be_used_are_refused(image: Any) -> None:
    with pytest.raises(BadFrame):
        conform(image)


@given(
    npst.arrays(
        dtype=st.sampled_from([np.uint8, np.uint16, np.float32, np.float64, np.int16, np.bool_]),
        shape=npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
    )
)
@settings(max_examples=200, deadline=None)
def test_anything_conforms_or_is_refused(image: Any) -> None:
    try:
        fitting = conform(image)
    except BadFrame:
        return
    assert fitting.dtype == np.uint8
    assert fitting.shape == (*image.shape[:2], 3)
    assert fitting.flags.c_contiguous


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=40))
@settings(max_examples=100, deadline=None)
def test_what_leaves_is_in_rising_order_and_everything_is_accounted_for(
    arrivals: list[tuple[int, bool]],
) -> None:
    feeder, ring, queue, _ = make_feeder()
    for sequence, good in arrivals:
        image = picture() if good else np.zeros((4, 4, 2), np.uint8)
        ring.put(make_frame(sequence, image=image))
    for _ in arrivals:
        assert feeder.step(timeout=0.0)
    assert not feeder.step(timeout=0.0)
    sequences = [frame.sequence for frame in queue.take(64, timeout=0.0)]
    assert sequences == sorted(set(sequences))
    assert len(sequences) == feeder.counts.fed
    assert feeder.counts.fed + feeder.counts.refused == len(arrivals)


def test_frames_are_stamped() -> None:
    feeder, ring, queue, _ = make_feeder()
    ring.put(make_frame(0))
    feeder.step()
    frame = queue.get(timeout=0.0)
    assert frame is not None
    assert frame.stamp(FED) == 5.0


def test_a_refusal_says_why() -> None:
    feeder, ring, _, _ = make_feeder()
    ring.put(make_frame(0, image=np.zeros((4, 4, 2), np.uint8)))
    feeder.step()
    assert feeder.counts.refused == 1
    assert "shape (4, 4, 2)" in (feeder.counts.last_refusal or "")


def test_while_paused_live_frames_are_discarded() -> None:
    feeder, ring, queue, _ = make_feeder(DropPolicy.DROP_OLDEST)
    feeder.running.clear()
    ring.put(make_frame(0))
    assert feeder.step(timeout=0.0)
    assert len(queue) == 0
    assert feeder.counts.discarded_paused == 1


def test_while_paused_the_frames_of_a_file_wait() -> None:
    feeder, ring, queue, _ = make_feeder(DropPolicy.WAIT)
    feeder.running.clear()
    ring.put(make_frame(0))
    assert not feeder.step(timeout=0.0)
    assert len(ring) == 1
    thread = threading.Thread(target=feeder.step)
    thread.start()
    feeder.running.set()
    thread.join(5.0)
    assert not thread.is_alive()
    assert len(queue) == 1
