"""Batches that are in different steps of one processor at the same time: order, bounds, ends."""

import random
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from engine.pipeline.frame import Frame, Image
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.protocols import Step, Stepped, Traits
from engine.pipeline.settings import DisplaySettings, PipelineSettings
from engine.pipeline.slot import Slot
from engine.pipeline.turn import Turn
from processors.chain import Chain
from tests.pipeline_fakes import (
    CollectingSink,
    FunctionProcessor,
    QueueSource,
    ScriptedSource,
    eventually,
    make_frame,
    picture,
)

AT_ONCE = DisplaySettings(pace=False)
WAIT_S = 20.0


class InSteps:
    """A processor in steps that are handed in, or that change nothing.

    Args:
        middle: The second of its three steps.
        last: The third.
        fails_closed: See ``Traits``.
    """

    name = "in_steps"

    def __init__(
        self,
        middle: Callable[[Sequence[Frame]], Any] = list,
        last: Callable[[Any], Sequence[Image]] = lambda frames: [frame.image for frame in frames],
        fails_closed: bool = False,
    ) -> None:
        self.traits = Traits(fails_closed=fails_closed)
        self.begun: list[int] = []
        self._middle, self._last = middle, last
        self.closed = False

    @property
    def steps(self) -> Sequence[Step]:
        return (self._begin, self._middle, self._last)

    def process(self, frames: Sequence[Frame]) -> Sequence[Image]:
        return self._last(self._middle(self._begin(frames)))

    def close(self) -> None:
        self.closed = True

    def _begin(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        self.begun += [frame.sequence for frame in frames]
        return frames


class Held:
    """A step that holds each batch until it is let go."""

    def __init__(self) -> None:
        self.entered: list[int] = []
        self._go = threading.Semaphore(0)

    def __call__(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        self.entered.append(frames[0].sequence)
        assert self._go.acquire(timeout=WAIT_S)
        return frames

    def let_go(self, count: int = 1) -> None:
        self._go.release(count)


def started(
    chain: Chain, source: ScriptedSource, workers: int = 3, batch_size: int = 1
) -> tuple[Pipeline, CollectingSink]:
    sink = CollectingSink()
    settings = PipelineSettings(workers=workers, batch_size=batch_size, display=AT_ONCE)
    pipeline = Pipeline(source, chain, [sink], settings)
    pipeline.start()
    return pipeline, sink


def frames(count: int) -> list[Frame]:
    return [make_frame(n) for n in range(count)]


def test_a_processor_in_steps_is_told_from_others() -> None:
    assert isinstance(InSteps(), Stepped)
    assert not isinstance(FunctionProcessor(lambda frames: []), Stepped)


def test_the_next_batch_begins_while_the_one_before_is_in_the_second_step() -> None:
    model = Held()
    processor = InSteps(model)
    pipeline, sink = started(Chain([processor]), ScriptedSource(frames(3)))
    eventually(lambda: processor.begun == [0, 1])
    assert model.entered == [0]
    model.let_go()
    eventually(lambda: model.entered == [0, 1] and processor.begun == [0, 1, 2])
    assert [frame.sequence for frame in sink.wait_for(1)] == [0]
    model.let_go(2)
    assert pipeline.wait(WAIT_S)
    assert [frame.sequence for frame in sink.frames] == [0, 1, 2]


def test_no_more_batches_are_taken_than_there_are_steps() -> None:
    """However many workers there are, a live source's next frame is not taken before its time."""
    model = Held()
    processor = InSteps(model)
    source = QueueSource()
    pipeline, _ = started(Chain([processor]), source, workers=8)
    for n in range(2):
        source.push(make_frame(n))
        eventually(lambda n=n: processor.begun == list(range(n + 1)))  # type: ignore[misc] # n is bound
    for n in range(2, 12):
        source.push(make_frame(n))
    eventually(lambda: pipeline._feeder.counts.fed == 12)
    assert (processor.begun, model.entered) == ([0, 1], [0])
    model.let_go()
    eventually(lambda: len(processor.begun) == 3)
    assert processor.begun == [0, 1, 11]
    model.let_go(2)
    source.push(None)
    assert pipeline.wait(WAIT_S)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_each_step_has_one_batch_at_a_time_in_order(batch_size: int) -> None:
    rng = random.Random(4)
    inside = [threading.Lock() for _ in range(4)]
    seen: list[list[int]] = [[], [], [], []]

    def visit(place: int, batch: Sequence[Frame]) -> Sequence[Frame]:
        assert inside[place].acquire(blocking=False)
        seen[place] += [frame.sequence for frame in batch]
        sum(range(rng.randrange(2000)))
        inside[place].release()
        return batch

    def images(place: int) -> Callable[[Sequence[Frame]], list[Image]]:
        return lambda batch: [frame.image for frame in visit(place, batch)]

    processors = [
        FunctionProcessor(images(0)),
        InSteps(lambda batch: visit(1, batch), images(2)),
        FunctionProcessor(images(3)),
    ]
    pipeline, sink = started(
        Chain(processors), ScriptedSource(frames(400)), workers=6, batch_size=batch_size
    )
    assert pipeline.wait(WAIT_S)
    assert seen == [list(range(400))] * 4
    assert [frame.sequence for frame in sink.frames] == list(range(400))


@pytest.mark.parametrize("fails_closed", [True, False])
@pytest.mark.parametrize("place", ["middle", "last"])
def test_a_step_that_fails_costs_its_batch_only(place: str, fails_closed: bool) -> None:
    def fail(batch: Sequence[Frame]) -> Any:
        if batch[0].sequence == 2:
            raise RuntimeError("out of memory")
        return [frame.image for frame in batch] if place == "last" else batch

    step: dict[str, Any] = {place: fail}
    chain = Chain([InSteps(**step, fails_closed=fails_closed)])
    pipeline, sink = started(chain, ScriptedSource(frames(6)))
    assert pipeline.wait(WAIT_S)
    withheld = {2} if fails_closed else set()
    assert [f.sequence for f in sink.frames] == [n for n in range(6) if n not in withheld]
    assert chain.faults == {"in_steps": 1}


def test_frames_of_several_sizes_stay_in_one_batch() -> None:
    seen: list[int] = []

    def note(batch: Sequence[Frame]) -> Sequence[Frame]:
        seen.append(len(batch))
        if batch[0].size == (6, 2):
            raise RuntimeError("too flat")
        return batch

    sizes = [(4, 4), (4, 4), (6, 2), (4, 4)]
    batch = [make_frame(n, image=picture(*size)) for n, size in enumerate(sizes)]
    done = Chain([InSteps(note, fails_closed=True)]).apply(batch)
    assert seen == [2, 1, 1]
    assert [frame.sequence for frame in done] == [0, 1, 3]


def test_a_processor_that_is_left_out_keeps_the_order_of_those_behind_it() -> None:
    inside = threading.Lock()

    def alone(batch: Sequence[Frame]) -> list[Image]:
        assert inside.acquire(blocking=False)
        sum(range(1000))
        inside.release()
        return [frame.image for frame in batch]

    def fail(batch: Sequence[Frame]) -> Any:
        raise RuntimeError("out of memory")

    chain = Chain([InSteps(fail), FunctionProcessor(alone)], bypass_after=3)
    pipeline, sink = started(chain, ScriptedSource(frames(300)), workers=6)
    assert pipeline.wait(WAIT_S)
    assert chain.bypassed == ("in_steps",)
    assert dict(chain.faults) == {"in_steps": chain.faults["in_steps"]}
    assert [frame.sequence for frame in sink.frames] == list(range(300))


def test_stopping_ends_batches_in_every_step() -> None:
    model = Held()
    processor = InSteps(model)
    pipeline, _ = started(Chain([processor]), ScriptedSource(frames(9), block_at_end=True))
    eventually(lambda: processor.begun == [0, 1])
    model.let_go(9)
    pipeline.stop()
    assert pipeline.ended
    assert processor.closed


def test_another_chain_begins_when_the_old_one_is_through() -> None:
    """What both chains share, such as who is who, is never in use by the two together."""
    model = Held()
    old, new = InSteps(model), InSteps()
    source = QueueSource(live=False)
    pipeline, sink = started(Chain([old]), source)
    source.push(make_frame(0))
    eventually(lambda: model.entered == [0])
    pipeline.set_transform(Chain([new]))
    source.push(make_frame(1))
    eventually(lambda: pipeline._feeder.counts.fed == 2 and not len(pipeline._queue))
    assert new.begun == []
    model.let_go()
    assert [frame.sequence for frame in sink.wait_for(2)] == [0, 1]
    assert (old.begun, new.begun) == ([0], [1])
    eventually(lambda: old.closed)
    pipeline.stop()


def test_a_slot_gives_the_new_object_once_the_old_one_is_released() -> None:
    released: list[str] = []
    slot = Slot("old", released.append)
    got = threading.Event()

    def take() -> None:
        with slot.use() as item:
            released.append(f"using {item}")
            got.set()

    thread = threading.Thread(target=take)
    with slot.use():
        slot.replace("new")
        thread.start()
        assert not got.is_set()
    assert got.wait(WAIT_S)
    thread.join(WAIT_S)
    assert sorted(released) == ["old", "using new"]


def test_a_turn_leaves_its_gate_however_it_ends() -> None:
    first, second = threading.Lock(), threading.Lock()
    turn = Turn(first)
    with turn:
        assert first.locked()
        turn.move(second)
        assert (first.locked(), second.locked()) == (False, True)
    assert not second.locked()

    def fail() -> None:
        with Turn(first):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    assert not first.locked()
