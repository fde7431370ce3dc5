"""The chain: order, what processors do wrong, reports, bypass, failing closed."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.pipeline.frame import Frame, Image
from engine.pipeline.protocols import Traits
from processors.chain import Chain
from tests.pipeline_fakes import FakeClock, FunctionProcessor, make_frame, picture


def add(amount: int) -> FunctionProcessor:
    return FunctionProcessor(
        lambda frames: [frame.image + np.uint8(amount) for frame in frames], name=f"add{amount}"
    )


def returning(images: Any, **traits: bool) -> FunctionProcessor:
    return FunctionProcessor(lambda frames: images, name="wrong", traits=Traits(**traits))


def failing(**traits: bool) -> FunctionProcessor:
    def fail(frames: Sequence[Frame]) -> Sequence[Image]:
        raise RuntimeError("out of memory")

    return FunctionProcessor(fail, name="failing", traits=Traits(**traits))


def values(frames: Sequence[Frame]) -> list[int]:
    return [int(frame.image[0, 0, 0]) for frame in frames]


def test_processors_are_applied_in_order_and_metadata_is_kept() -> None:
    double = FunctionProcessor(lambda frames: [frame.image * np.uint8(2) for frame in frames])
    result = Chain([add(3), double]).apply([make_frame(4), make_frame(5)])
    assert values(result) == [6, 6]
    assert [frame.sequence for frame in result] == [4, 5]


def test_an_empty_chain_passes_frames_as_they_are() -> None:
    frames = [make_frame(0)]
    assert Chain([]).apply(frames) == frames
    assert Chain([]).parallel


def test_a_chain_is_parallel_only_if_all_of_it_is() -> None:
    parallel = FunctionProcessor(lambda frames: [], traits=Traits(parallel=True))
    assert Chain([parallel, parallel]).parallel
    assert not Chain([parallel, add(1)]).parallel


@pytest.mark.parametrize(
    "images",
    [
        [],
        [picture()],
        [picture()] * 3,
        [picture(), picture(9, 9)],
        [picture(), np.full((8, 16, 3), np.nan, np.float32)],
        [picture(), np.zeros((8, 16, 2), np.uint8)],
        [picture(), None],
        None,
    ],
)
def test_wrong_results_are_a_failure_and_the_frames_pass(images: Any) -> None:
    chain = Chain([returning(images), add(1)])
    result = chain.apply([make_frame(0), make_frame(1)])
    assert values(result) == [1, 1]
    assert chain.faults == {"wrong": 1}


def test_float_grey_and_alpha_results_are_made_to_fit() -> None:
    for image in (
        np.full((8, 16, 3), 1.0, np.float32),
        np.full((8, 16), 255, np.uint8),
        np.full((8, 16, 4), 255, np.uint8),
    ):
        chain = Chain([returning([image])])
        result = chain.apply([make_frame(0)])
        assert result[0].image.shape == (8, 16, 3)
        assert values(result) == [255]
        assert chain.faults == {}


def test_a_processor_that_resizes_may() -> None:
    chain = Chain([returning([picture(32, 16)], resizes=True)])
    assert chain.apply([make_frame(0)])[0].size == (32, 16)


@pytest.mark.parametrize("wrong", [failing(fails_closed=True), returning([], fails_closed=True)])
def test_failing_closed_withholds_frames_for_ever(wrong: FunctionProcessor) -> None:
    chain = Chain([wrong], bypass_after=3, clock=FakeClock())
    for _ in range(20):
        assert chain.apply([make_frame(0)]) == []
    assert chain.bypassed == ()
    assert sum(chain.faults.values()) == 20


def test_after_failures_in_a_row_a_processor_is_left_out() -> None:
    chain = Chain([failing(), add(1)], bypass_after=3, clock=FakeClock())
    for _ in range(5):
        assert values(chain.apply([make_frame(0)])) == [1]
    assert chain.bypassed == ("failing",)
    assert chain.faults == {"failing": 3}


def test_a_success_starts_the_count_again() -> None:
    outcomes = iter([False, False, True] * 5)

    def sometimes(frames: Sequence[Frame]) -> Sequence[Image]:
        if not next(outcomes):
            raise RuntimeError("now and then")
        return [frame.image for frame in frames]

    chain = Chain([FunctionProcessor(sometimes)], bypass_after=3, clock=FakeClock())
    for _ in range(15):
        chain.apply([make_frame(0)])
    assert chain.bypassed == ()
    assert chain.faults == {"function": 10}


def test_failures_are_reported_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    chain = Chain([failing(fails_closed=True)], clock=clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(30):
            chain.apply([make_frame(0)])
            clock.advance(0.125)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 4
    assert "failed 8 times since the last report; the last: out of memory" in messages[1]


def test_a_processor_is_given_frames_of_one_size_at_a_time() -> None:
    seen: list[list[tuple[int, int]]] = []

    def note(frames: Sequence[Frame]) -> Sequence[Image]:
        seen.append([frame.size for frame in frames])
        return [frame.image for frame in frames]

    sizes = [(4, 4), (4, 4), (6, 2), (4, 4)]
    frames = [make_frame(n, image=picture(*size)) for n, size in enumerate(sizes)]
    assert Chain([FunctionProcessor(note)]).apply(frames) == frames
    assert seen == [[(4, 4), (4, 4)], [(6, 2)], [(4, 4)]]


def test_closing_closes_every_processor() -> None:
    processors = [add(1), add(2)]
    Chain(processors).close()
    assert all(processor.closed for processor in processors)
