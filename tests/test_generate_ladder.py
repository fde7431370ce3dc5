"""The ladder: every rung is reached by failures that are injected."""

import gc
import logging
import weakref

import pytest

from engine.errors import InvalidInput
from processors.generate.ladder import Rung, climb
from processors.models.memory import NeverFits, OutOfMemory
from tests.memory_fakes import GPU, Cancelled, FakeMachine, Waiting

RUNGS = tuple(
    Rung(name, scale)
    for scale, name in enumerate(
        ("full", "sliced", "tiled", "sequential", "half resolution", "smaller model", "external")
    )
)


class Memory:
    """Counts what is freed."""

    def __init__(self) -> None:
        self.freed: list[bool] = []

    def free(self, ram: bool = True) -> int:
        self.freed.append(ram)
        return 0


def gpu_full() -> Exception:
    return RuntimeError("CUDA out of memory. Tried to allocate 2.50 GiB.")


@pytest.mark.parametrize("depth", range(len(RUNGS)))
def test_each_rung_is_reached_when_those_above_fail(depth: int) -> None:
    tried: list[str] = []

    def attempt(rung: Rung[int]) -> str:
        tried.append(rung.name)
        if rung.settings < depth:
            raise gpu_full()
        return f"made with {rung.name}"

    memory, context = Memory(), Waiting()
    result, rung = climb(RUNGS, attempt, memory, context)
    assert result == f"made with {RUNGS[depth].name}"
    assert rung is RUNGS[depth]
    above = [rung.name for rung in RUNGS[:depth]]
    assert tried == [name for name in above for _ in range(2)] + [RUNGS[depth].name]
    assert memory.freed == [False] * (2 * depth)
    falls = [line for line in context.lines if "going on with" in line]
    assert [line.rpartition("going on with ")[2] for line in falls] == [
        f"{rung.name}." for rung in RUNGS[1 : depth + 1]
    ]


def test_freeing_may_be_enough() -> None:
    failures = [MemoryError()]

    def attempt(rung: Rung[int]) -> str:
        if failures:
            raise failures.pop()
        return rung.name

    memory = Memory()
    assert climb(RUNGS, attempt, memory, Waiting()) == ("full", RUNGS[0])
    assert memory.freed == [True], "it was the RAM that was full"


def test_what_never_fits_is_not_tried_twice() -> None:
    tried: list[str] = []

    def attempt(rung: Rung[int]) -> str:
        tried.append(rung.name)
        if rung.settings == 0:
            raise NeverFits("sdxl needs 9,000 MB more")
        return rung.name

    assert climb(RUNGS, attempt, Memory(), Waiting())[0] == "sliced"
    assert tried == ["full", "sliced"]


def test_the_last_failure_is_raised() -> None:
    def attempt(rung: Rung[int]) -> str:
        raise OutOfMemory(f"no room for {rung.name}")

    with pytest.raises(OutOfMemory, match="no room for external"):
        climb(RUNGS, attempt, Memory(), Waiting())


def test_other_errors_end_it_at_once() -> None:
    memory = Memory()

    def attempt(_: Rung[int]) -> str:
        raise InvalidInput("the mask is empty")

    with pytest.raises(InvalidInput):
        climb(RUNGS, attempt, memory, Waiting())
    assert memory.freed == []


def test_a_cancelled_job_does_not_try_again() -> None:
    tried: list[str] = []

    def attempt(rung: Rung[int]) -> str:
        tried.append(rung.name)
        raise gpu_full()

    context = Waiting()
    context.cancelled = True
    with pytest.raises(Cancelled):
        climb(RUNGS, attempt, Memory(), context)
    assert tried == ["full"]


def test_what_the_failed_attempt_had_in_work_is_gone_before_the_next() -> None:
    class Tensor:
        pass

    alive: list[weakref.ref[Tensor]] = []

    def attempt(rung: Rung[int]) -> str:
        gc.collect()
        assert [ref() for ref in alive] == [None] * len(alive)
        latents = Tensor()
        alive.append(weakref.ref(latents))
        if rung.settings < 2:
            raise gpu_full()
        return rung.name

    assert climb(RUNGS, attempt, Memory(), Waiting())[0] == "tiled"
    assert len(alive) == 5


def test_a_ladder_over_a_real_memory(caplog: pytest.LogCaptureFixture) -> None:
    machine = FakeMachine(cpu=2000, cuda_0=1000)
    memory = machine.memory()
    sizes = {"full": 1200, "sliced": 900, "tiled": 500}

    def attempt(rung: Rung[int]) -> str:
        with memory.use(machine.spec("sdxl", 400), GPU, working=sizes[rung.name] - 400) as model:
            if rung.name == "sliced":
                raise gpu_full()
            return f"{rung.name} on {model.place}"

    with caplog.at_level(logging.INFO):
        result, rung = climb(RUNGS[:3], attempt, memory, Waiting())
    assert (result, rung.name) == ("tiled on cuda:0", "tiled")
    assert machine.loads == {"sdxl": 1}, "it waited in RAM between the attempts"
    assert machine.moves == [("sdxl", GPU), ("sdxl", "cpu")] * 2 + [("sdxl", GPU)]
    falls = [r.getMessage() for r in caplog.records if r.name.endswith("ladder")]
    assert falls == [
        "Not enough memory for full, going on with sliced.",
        "Not enough memory for sliced, going on with tiled.",
    ]


def test_a_ladder_needs_a_rung() -> None:
    with pytest.raises(ValueError, match="rung"):
        climb((), lambda rung: rung, Memory(), Waiting())
