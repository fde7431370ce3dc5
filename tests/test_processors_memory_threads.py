"""Several threads and one memory: fair, never stuck, and never over the budget."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.models.memory import ModelMemory, OutOfMemory
from tests.memory_fakes import GPU, Cancelled, FakeMachine, FakeModel, Waiting


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


class Holder:
    """Uses models in a thread of its own until it is released."""

    def __init__(
        self, pool: ThreadPoolExecutor, memory: ModelMemory, machine: FakeMachine, **sizes: int
    ) -> None:
        self.waiting = Waiting()
        self.has = threading.Event()
        self.release = threading.Event()
        self._specs = [machine.spec(key, size) for key, size in sizes.items()]
        self._memory = memory
        self.done: Future[None] = pool.submit(self._run)

    def _run(self) -> None:
        with ExitStack() as stack:
            for spec in self._specs:
                stack.enter_context(self._memory.use(spec, GPU, context=self.waiting))
            self.has.set()
            assert self.release.wait(10)

    def end(self) -> None:
        self.release.set()
        self.done.result(10)


def test_two_threads_that_want_one_model_load_it_once(pool: ThreadPoolExecutor) -> None:
    machine = FakeMachine(cpu=1000)
    memory = machine.memory()
    loading, go = threading.Event(), threading.Event()

    def load() -> FakeModel:
        machine.loads["a"] += 1
        loading.set()
        assert go.wait(10)
        return FakeModel(machine, "a", 600)

    spec = machine.spec("a", 600, load=load)
    second = Waiting()

    def use(context: Waiting) -> int:
        with memory.use(spec, context=context) as model:
            return id(model)

    first_use = pool.submit(use, Waiting())
    assert loading.wait(10)
    second_use = pool.submit(use, second)
    assert second.waits.wait(10)
    go.set()
    assert first_use.result(10) == second_use.result(10)
    assert machine.loads == {"a": 1}


def test_a_load_waits_until_there_is_room(pool: ThreadPoolExecutor) -> None:
    machine = FakeMachine(cpu=2000, cuda_0=1000)
    memory = machine.memory()
    first = Holder(pool, memory, machine, a=600)
    assert first.has.wait(10)
    second = Holder(pool, memory, machine, b=600)
    assert second.waiting.waits.wait(10)
    assert not second.has.is_set()
    assert machine.loads == {"a": 1}, "room comes before loading"
    first.end()
    assert second.has.wait(10)
    second.end()
    assert machine.peaks[GPU] <= 1000


def test_a_large_reservation_does_not_starve_behind_small_ones(pool: ThreadPoolExecutor) -> None:
    machine = FakeMachine(cpu=2000, cuda_0=1000)
    memory = machine.memory()
    first = Holder(pool, memory, machine, a=300)
    assert first.has.wait(10)
    large = Holder(pool, memory, machine, large=900)
    assert large.waiting.waits.wait(10)
    small = Holder(pool, memory, machine, small=200)
    assert small.waiting.waits.wait(10)
    assert not small.has.is_set(), "it would fit, but came later"
    first.end()
    assert large.has.wait(10)
    assert not small.has.is_set()
    large.end()
    assert small.has.wait(10)
    small.end()


def test_who_holds_memory_goes_before_who_does_not(pool: ThreadPoolExecutor) -> None:
    machine = FakeMachine(cpu=3000, cuda_0=1000)
    memory = machine.memory()
    outsider = Waiting()
    with memory.use(machine.spec("a", 300), GPU):
        other = Holder(pool, memory, machine, large=900)
        assert other.waiting.waits.wait(10)
        with memory.use(machine.spec("b", 300), GPU, context=outsider):
            assert not other.has.is_set()
    assert other.has.wait(10)
    other.end()
    assert not outsider.waits.is_set()


def test_jobs_that_wait_for_each_other_do_not_wait_for_ever(pool: ThreadPoolExecutor) -> None:
    machine = FakeMachine(cpu=4000, cuda_0=1000)
    memory = machine.memory()
    both = threading.Barrier(2)

    def grow(first: str, second: str) -> str:
        with memory.use(machine.spec(first, 400), GPU):
            both.wait(10)
            with memory.use(machine.spec(second, 400), GPU):
                return "has both"

    futures = [pool.submit(grow, "a", "b2"), pool.submit(grow, "b", "a2")]
    errors = [future.exception(10) for future in futures]
    assert sorted(error is None for error in errors) == [False, True]
    (refused,) = (error for error in errors if error is not None)
    assert isinstance(refused, OutOfMemory)
    assert getattr(refused, "retryable", True)
    assert all(model.in_use == 0 for model in memory.models())


def test_a_job_can_be_cancelled_while_it_waits(pool: ThreadPoolExecutor) -> None:
    machine = FakeMachine(cpu=2000, cuda_0=1000)
    memory = machine.memory()
    first = Holder(pool, memory, machine, a=600)
    assert first.has.wait(10)
    second = Holder(pool, memory, machine, b=600)
    second.waiting.cancelled = True
    assert isinstance(second.done.exception(10), Cancelled)
    assert memory.held() == {GPU: 600}
    first.end()


KEYS = ("a", "b", "c", "d", "e")
SIZES = dict(zip(KEYS, (100, 150, 200, 250, 300), strict=True))

uses = st.tuples(
    st.sampled_from(KEYS), st.sampled_from(["cpu", GPU]), st.sampled_from([0, 50, 120])
)
jobs = st.lists(st.lists(uses, min_size=1, max_size=3), min_size=1, max_size=6)


def work(memory: ModelMemory, machine: FakeMachine, wanted: list[tuple[str, str, int]]) -> None:
    """Use some models at once, one inside the other; what they compute takes memory, too."""
    with ExitStack() as stack:
        for key, device, working in wanted:
            try:
                model = stack.enter_context(
                    memory.use(machine.spec(key, SIZES[key]), device, working)
                )
            except OutOfMemory:
                return
            if model.place != device or model.key != key:
                machine.wrong.append(f"{key} is {model.key} on {model.place}, not {device}")
            model.users += 1
            stack.callback(leave, model)
            machine.change(device, working)
            stack.callback(machine.change, device, -working)


def leave(model: FakeModel) -> None:
    model.users -= 1


@settings(max_examples=30, deadline=None)
@given(jobs=jobs, pinned=st.sampled_from([0, 80]), data=st.integers(0, 2**16))
def test_whatever_is_used_the_budget_holds(
    jobs: list[list[tuple[str, str, int]]], pinned: int, data: int
) -> None:
    machine = FakeMachine(cpu=700, cuda_0=500)
    memory = machine.memory()
    pin = memory.pin("live", pinned, GPU)
    for wanted in jobs:
        work(memory, machine, wanted)
        if random.Random(data).random() < 0.2:
            memory.free(ram=False)
    check_and_settle(memory, machine, pinned)
    pin.release()
    assert memory.models() == ()


@settings(max_examples=12, deadline=None)
@given(programs=st.lists(jobs, min_size=2, max_size=4))
def test_whatever_several_threads_use_the_budget_holds(
    programs: list[list[list[tuple[str, str, int]]]],
) -> None:
    machine = FakeMachine(cpu=700, cuda_0=500)
    memory = machine.memory()
    memory.pin("live", 80, GPU)

    def run(program: list[list[tuple[str, str, int]]]) -> None:
        for wanted in program:
            work(memory, machine, wanted)

    with ThreadPoolExecutor(len(programs)) as pool:
        for future in [pool.submit(run, program) for program in programs]:
            future.result(20)
    check_and_settle(memory, machine, 80)


def check_and_settle(memory: ModelMemory, machine: FakeMachine, pinned: int) -> None:
    peaks = memory.peaks()
    assert machine.wrong == []
    assert peaks.get("cpu", 0) <= 700
    assert peaks.get(GPU, 0) <= 500
    # What is really there never was more than the books say.
    assert machine.peaks["cpu"] <= peaks.get("cpu", 0)
    assert machine.peaks[GPU] + pinned <= peaks.get(GPU, 0) or machine.peaks[GPU] == 0
    assert all(model.in_use == 0 for model in memory.models())
    memory.free()
    assert memory.held() == ({GPU: pinned} if pinned else {})
    assert +machine.real == {}
