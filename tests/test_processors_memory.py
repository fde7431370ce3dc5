"""Models in memory: loaded once, kept, moved, dropped, and never over the budget."""

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from engine.pipeline.memory_settings import MemorySettings, in_bytes
from processors.models.memory import ModelMemory, NeverFits, OutOfMemory, is_out_of_memory
from processors.models.memory_devices import UnknownDevice, canonical, size_of
from processors.models.memory_errors import ran_out_on_gpu
from processors.models.memory_policy import GreedyDualSize
from processors.models.memory_shares import budget_of
from tests.memory_fakes import GPU, FakeMachine


def places(memory: ModelMemory) -> dict[str, str]:
    return {model.key: model.place for model in memory.models()}


def test_a_model_is_loaded_once_moved_when_needed_and_kept() -> None:
    machine = FakeMachine(cpu=1000, cuda_0=1000)
    memory = machine.memory()
    spec = machine.spec("a", 300)
    with memory.use(spec, GPU, working=100) as model:
        assert model.place == GPU
        assert memory.held() == {GPU: 400}
    with memory.use(spec, GPU), memory.use(spec, GPU):
        assert [m.in_use for m in memory.models()] == [2]
        assert memory.held()[GPU] == 300
    with memory.use(spec) as model:
        assert model.place == "cpu"
    assert machine.loads == {"a": 1}
    assert machine.moves == [("a", GPU), ("a", "cpu")]
    assert memory.held() == {"cpu": 300}


def test_the_model_used_least_recently_leaves_the_gpu_for_the_ram() -> None:
    machine = FakeMachine(cpu=1000, cuda_0=600)
    memory = machine.memory()
    for key in ("a", "b", "a"):
        with memory.use(machine.spec(key, 250), GPU):
            pass
    with memory.use(machine.spec("c", 250), GPU):
        assert places(memory) == {"a": GPU, "b": "cpu", "c": GPU}
    assert machine.peaks[GPU] <= 600
    assert machine.loads == {"a": 1, "b": 1, "c": 1}


def test_models_are_dropped_when_the_ram_is_full() -> None:
    machine = FakeMachine(cpu=600, cuda_0=300)
    memory = machine.memory()
    for key in ("a", "b", "c", "d", "a"):
        with memory.use(machine.spec(key, 250), GPU):
            pass
    assert machine.peaks["cpu"] <= 600
    assert machine.peaks[GPU] <= 300
    assert machine.loads == {"a": 2, "b": 1, "c": 1, "d": 1}
    assert +machine.real == memory.held()


def test_loading_takes_one_copy_or_what_it_says_and_no_more() -> None:
    machine = FakeMachine(cpu=600)
    memory = machine.memory()
    with memory.use(machine.spec("a", 500)):
        assert memory.peaks() == {"cpu": 500}
    with memory.use(machine.spec("b", 200, load_bytes=400)):
        assert memory.held() == {"cpu": 200}
    assert memory.peaks() == {"cpu": 500}
    assert machine.peaks == {"cpu": 500}
    with pytest.raises(NeverFits), memory.use(machine.spec("c", 400, load_bytes=700)):
        pass


def test_what_can_never_fit_is_refused_at_once_with_numbers() -> None:
    machine = FakeMachine(cpu=10**9, cuda_0=600 * 10**6)
    memory = machine.memory()
    pin = memory.pin("inswapper", 200 * 10**6, GPU)
    with memory.use(machine.spec("kept", 100 * 10**6), GPU):
        pass
    large = machine.spec("sdxl", 300 * 10**6)
    with (
        pytest.raises(NeverFits, match=r"sdxl needs 500 MB more on cuda:0, .* 600 MB") as refused,
        memory.use(large, GPU, working=200 * 10**6),
    ):
        pass
    assert "inswapper 200 MB" in str(refused.value)
    assert refused.value.retryable, "it fits when the live stream has ended"
    assert places(memory)["kept"] == GPU, "nothing goes for what cannot come"
    assert machine.loads == {"kept": 1}
    pin.release()
    pin.release()
    with memory.use(large, GPU, working=200 * 10**6):
        assert places(memory) == {"kept": GPU, "sdxl": GPU}
    with pytest.raises(NeverFits) as hopeless, memory.use(large, GPU, working=301 * 10**6):
        pass
    assert not hopeless.value.retryable


def test_pinned_models_count_and_make_idle_ones_go() -> None:
    machine = FakeMachine(cpu=1000, cuda_0=600)
    memory = machine.memory()
    with memory.use(machine.spec("a", 400), GPU):
        pass
    first, second = memory.pin("live", 300, GPU), memory.pin("live", 100, GPU)
    assert places(memory) == {"a": "cpu", "live": GPU, "live (2)": GPU}
    assert memory.held() == {"cpu": 400, GPU: 400}
    assert memory.free() == 400
    assert places(memory) == {"live": GPU, "live (2)": GPU}
    first.release()
    second.release()
    assert memory.models() == ()
    assert memory.held() == {}


@pytest.mark.parametrize("step", ["load", "move"])
def test_a_failure_leaves_nothing_behind(step: str) -> None:
    machine = FakeMachine(cpu=600, cuda_0=600)
    memory = machine.memory()

    def fail(*_: Any) -> Any:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with (
        pytest.raises(RuntimeError),
        memory.use(machine.spec("a", 500, **{step: fail}), GPU, working=100),
    ):
        pass
    assert memory.held() == {}
    assert machine.real["cpu"] == machine.real[GPU] == 0
    with memory.use(machine.spec("a", 500), GPU, working=100) as model:
        assert model.place == GPU


def test_a_failure_of_the_caller_keeps_the_model() -> None:
    machine = FakeMachine(cpu=600)
    memory = machine.memory()
    with pytest.raises(KeyError), memory.use(machine.spec("a", 500), working=100):
        raise KeyError
    assert memory.held() == {"cpu": 500}
    assert [m.in_use for m in memory.models()] == [0]


def test_a_model_that_cannot_be_brought_to_the_ram_is_dropped() -> None:
    machine = FakeMachine(cpu=1000, cuda_0=600)
    memory = machine.memory()

    def one_way(model: Any, device: str) -> Any:
        if device == "cpu":
            raise RuntimeError("cannot be moved back")
        return model.moved(device)

    with memory.use(machine.spec("a", 400, move=one_way), GPU):
        pass
    with memory.use(machine.spec("b", 400), GPU):
        assert places(memory) == {"b": GPU}
    assert memory.held() == {GPU: 400}


def test_a_model_at_home_on_a_gpu_is_loaded_there_and_dropped() -> None:
    machine = FakeMachine(cpu=100, cuda_0=600)
    memory = machine.memory()
    loads: list[str] = []
    home = machine.spec("whisper", 400, home="cuda", load=lambda: loads.append("x") or "session")
    with memory.use(home, GPU) as model:
        assert model == "session"
        assert memory.held() == {GPU: 400}
    with pytest.raises(ValueError, match="whisper"), memory.use(home):
        pass
    memory.pin("live", 300, GPU)
    assert places(memory) == {"live": GPU}


class Module:
    """As much of a ``torch.nn.Module`` as is measured."""

    def __init__(self, *sizes: int) -> None:
        self.tensors = [
            SimpleNamespace(
                device="cpu",
                untyped_storage=lambda n=n, i=i: SimpleNamespace(
                    nbytes=lambda: n, data_ptr=lambda: 1000 + i
                ),
            )
            for i, n in enumerate(sizes)
        ]

    def parameters(self) -> list[Any]:
        return self.tensors

    def buffers(self) -> list[Any]:
        return self.tensors[:1]

    def to(self, _: str) -> "Module":
        return self


def test_the_weights_that_are_there_correct_the_estimate() -> None:
    machine = FakeMachine(cpu=600, cuda_0=600)
    memory = machine.memory()
    with memory.use(machine.spec("small", 500, load=lambda: Module(100, 50), move=None), GPU):
        assert memory.held() == {GPU: 150}
    memory.free()
    with memory.use(machine.spec("large", 100, load=lambda: Module(300, 200), move=None), GPU):
        assert memory.held() == {GPU: 500}
    memory.free()
    huge = machine.spec("huge", 100, load=lambda: Module(700), move=None)
    with pytest.raises(NeverFits, match="huge"), memory.use(huge, GPU):
        pass
    assert memory.held() == {}


def test_a_pipeline_is_as_large_as_its_parts_together() -> None:
    shared = Module(100, 20)
    pipeline = SimpleNamespace(components={"unet": shared, "again": shared, "scheduler": object()})
    assert size_of(pipeline) == 120
    assert size_of("session") is None


def test_freeing_spares_the_ram_if_only_a_gpu_is_full() -> None:
    machine = FakeMachine(cpu=1000, cuda_0=600)
    memory = machine.memory()
    with memory.use(machine.spec("used", 100), GPU):
        with memory.use(machine.spec("idle", 200), GPU):
            pass
        assert memory.free(ram=False) == 200
        assert places(memory) == {"used": GPU, "idle": "cpu"}
        assert memory.free() == 200
        assert places(memory) == {"used": GPU}
    memory.close()
    assert machine.real["cpu"] == machine.real[GPU] == 0


def test_one_thread_cannot_have_a_model_in_two_places() -> None:
    machine = FakeMachine(cpu=1000, cuda_0=1000)
    memory = machine.memory()
    spec = machine.spec("a", 100)
    with memory.use(spec), pytest.raises(OutOfMemory, match="wait"), memory.use(spec, GPU):
        pass
    assert memory.held() == {"cpu": 100}


def test_programs_that_report_nothing_are_seen_by_what_is_used() -> None:
    machine = FakeMachine(cpu=1000, cuda_0=1000)
    machine.unreported[GPU] = 300
    times = iter(range(100))
    memory = machine.memory(clock=lambda: float(next(times)), wait_s=1, budgets={"cuda": "80 %"})
    with memory.use(machine.spec("a", 500), GPU, working=200):
        pass
    with (
        pytest.raises(OutOfMemory, match="other") as error,
        memory.use(machine.spec("b", 500), GPU, working=201),
    ):
        pass
    assert not isinstance(error.value, NeverFits)
    machine.unreported[GPU] = 0
    with memory.use(machine.spec("b", 500), GPU, working=300):
        pass


def test_what_goes_first_is_old_or_cheap_to_bring_back() -> None:
    policy = GreedyDualSize()
    policy.used("dear", cost=10, size=100)
    policy.used("cheap", cost=1, size=100)
    policy.used("large", cost=10, size=2000)
    order = []
    keys = {"dear", "cheap", "large"}
    while (key := policy.least(keys)) is not None:
        order.append(key)
        policy.evicted(key)
        keys.remove(key)
    assert order == ["large", "cheap", "dear"]
    policy.used("first", 1, 100)
    policy.used("second", 1, 100)
    assert policy.least(["second", "first"]) == "first"
    policy.used("first", 1, 100)
    assert policy.least(["second", "first"]) == "second"


def test_even_what_is_dear_goes_if_it_is_never_used() -> None:
    policy = GreedyDualSize()
    policy.used("dear", cost=3.5, size=1)
    for number in range(10):
        policy.used(str(number), cost=1, size=1)
        if policy.least(["dear", str(number)]) == "dear":
            break
        policy.evicted(str(number))
    assert number == 3


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemory("x"),
        NeverFits("x"),
        RuntimeError("CUDA out of memory. Tried to allocate 20 MiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        type("OutOfMemoryError", (RuntimeError,), {})("anything"),
    ],
)
def test_errors_of_memory_are_known(error: Exception) -> None:
    assert is_out_of_memory(error)
    wrapped = ValueError("the picture could not be made")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)


def test_other_errors_are_not_taken_for_memory() -> None:
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(UnknownDevice("a picture called 'out of memory'"))
    assert ran_out_on_gpu(RuntimeError("CUDA out of memory"))
    assert not ran_out_on_gpu(MemoryError("bad allocation"))


def test_amounts_and_devices_in_settings() -> None:
    settings = MemorySettings.model_validate(
        {"budgets": {"cuda:1": 12, "cuda": "50%"}, "ram": "600 MB", "headroom_mb": 1000}
    )
    assert budget_of("cuda:1", settings, 24 * 10**9) == 12 * 10**9
    assert budget_of("cuda:0", settings, 24 * 10**9) == 12 * 10**9
    assert budget_of("cuda:0", settings, 15 * 10**8) == 5 * 10**8
    assert budget_of("cpu", settings, 10**9) == 600 * 10**6
    assert in_bytes("1.5 GB", 0) == 1_500_000_000
    for wrong in ({"ram": "much"}, {"ram": "0 %"}, {"budgets": {"gpu": 1}}, {"ram": "101 %"}):
        with pytest.raises(ValidationError):
            MemorySettings.model_validate(wrong)


def test_devices_have_one_name_each() -> None:
    assert [canonical(name) for name in ("cuda", "cpu:0", "cuda:1")] == ["cuda:0", "cpu", "cuda:1"]
    for wrong in ("auto", "gpu", "cuda:x"):
        with pytest.raises(UnknownDevice):
            canonical(wrong)
    machine = FakeMachine(cpu=1)
    with pytest.raises(UnknownDevice, match="cuda:7"):
        machine.memory().budget("cuda:7")
