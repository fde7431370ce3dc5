"""What processes say to each other about memory, and what people see of it."""

import gc
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.pipeline.memory_settings import MemorySettings
from engine.pipeline.model_settings import RuntimeSettings
from engine.pipeline.settings import ProcessorSettings
from processors.generate.declaration import Services
from processors.generate.worker import make, worker_options
from processors.models.library import ModelLibrary
from processors.models.memory import NeverFits, OutOfMemory
from processors.models.memory_monitor import DeviceView, UsageHistory, view_devices
from processors.models.memory_report import MemoryReports, process_started, read_reports
from processors.models.runtime import Runtime
from tests.memory_fakes import GPU, FakeMachine, Waiting

ALIVE = {1: 100, 2: 200}
SETTINGS = MemorySettings.model_validate(
    {"ram": "50 %", "budgets": {"cuda": "90 %"}, "headroom_mb": 0}
)


def reports(folder: Path, pid: int, owner: str = "worker") -> MemoryReports:
    return MemoryReports(folder, owner, pid, ALIVE.get)


class FakeProbe(FakeMachine):
    def gpus(self) -> tuple[str, ...]:
        return tuple(name for name in self.totals if name != "cpu")


def test_the_memory_of_live_streams_is_not_for_jobs(tmp_path: Path) -> None:
    machine = FakeMachine(cpu=1000, cuda_0=1000)
    server = machine.memory(reports(tmp_path, 1, "server"))
    jobs = machine.memory(reports(tmp_path, 2))
    pin = server.pin("inswapper", 600, GPU)
    sdxl = machine.spec("sdxl", 500)
    with pytest.raises(NeverFits, match="inswapper") as refused, jobs.use(sdxl, GPU):
        pass
    assert refused.value.retryable
    with jobs.use(machine.spec("small", 400), GPU):
        pass
    pin.release()
    with jobs.use(sdxl, GPU, working=500):
        pass


def test_who_needs_what_another_process_holds_waits_for_some_time(tmp_path: Path) -> None:
    machine = FakeMachine(cpu=1000, cuda_0=1000)
    times = iter(range(100))
    first = machine.memory(reports(tmp_path, 1))
    second = machine.memory(reports(tmp_path, 2), clock=lambda: float(next(times)), wait_s=1)
    with first.use(machine.spec("a", 400), GPU, working=200):
        b = machine.spec("b", 500)
        with pytest.raises(OutOfMemory, match="other processes") as refused, second.use(b, GPU):
            pass
        assert not isinstance(refused.value, NeverFits)
    with second.use(b, GPU):
        assert machine.peaks[GPU] == 900


def test_a_waiting_process_goes_on_when_another_gives_memory_back(tmp_path: Path) -> None:
    machine = FakeMachine(cpu=2000, cuda_0=1000)
    first = machine.memory(reports(tmp_path, 1))
    second = machine.memory(reports(tmp_path, 2))
    context, used = Waiting(), threading.Event()

    def use() -> None:
        with second.use(machine.spec("b", 500), GPU, context=context):
            used.set()

    with ThreadPoolExecutor(1) as pool:
        with first.use(machine.spec("a", 600), GPU):
            future = pool.submit(use)
            assert context.waits.wait(10)
            assert not used.is_set()
        first.free(ram=False)
        future.result(10)


def test_reports_of_the_dead_count_for_nothing(tmp_path: Path) -> None:
    machine = FakeMachine(cpu=1000, cuda_0=1000)
    alive = dict(ALIVE)
    machine.memory(MemoryReports(tmp_path, "gone", 1, alive.get)).pin("a", 900, GPU)
    memory = machine.memory(MemoryReports(tmp_path, "worker", 2, alive.get))
    assert [report.owner for report in read_reports(tmp_path, alive.get)] == ["gone"]
    alive[1] = 101
    with memory.use(machine.spec("b", 500), GPU):
        assert [report.owner for report in read_reports(tmp_path, alive.get)] == ["worker"]
    memory.close()
    assert read_reports(tmp_path, alive.get) == ()
    assert list(tmp_path.iterdir()) == []


def test_damaged_reports_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "7.memory.json").write_text('{"pid": 7')
    (tmp_path / "x.memory.json").write_text("[]")
    assert read_reports(tmp_path) == ()
    assert read_reports(tmp_path / "nowhere") == ()


def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    own = reports(tmp_path, 1)
    monkeypatch.setattr(own, "write", full)
    machine = FakeMachine(cpu=1000)
    memory = machine.memory(own)
    with caplog.at_level(logging.WARNING), memory.use(machine.spec("a", 500)):
        pass
    assert len([r for r in caplog.records if "cannot be told" in r.getMessage()]) == 1


def test_processes_are_known_by_their_start(tmp_path: Path) -> None:
    mine = process_started(os.getpid())
    assert mine is not None
    assert process_started(os.getpid()) == mine
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_started(child.pid) is None, "ended, but not waited for"
    assert process_started(child.pid) is None
    MemoryReports(tmp_path, "me").write({"cpu": 5, GPU: 0}, ())
    (report,) = read_reports(tmp_path)
    assert (report.pid, report.started, report.owner) == (os.getpid(), mine, "me")
    assert report.held == {"cpu": 5}


def test_people_see_devices_with_what_is_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.models.memory_report.process_started", ALIVE.get)
    machine = FakeProbe(cpu=2000, cuda_0=1000)
    machine.memory(reports(tmp_path, 1, "server")).pin("inswapper", 300, GPU)
    jobs = machine.memory(reports(tmp_path, 2))
    with jobs.use(machine.spec("sdxl", 400), GPU, working=150):
        ram, gpu = view_devices(tmp_path, SETTINGS, machine)
    assert (ram.device, ram.kind, ram.total, ram.budget, ram.models) == (
        "cpu",
        "ram",
        2000,
        1000,
        (),
    )
    assert (gpu.device, gpu.kind, gpu.total, gpu.budget) == (GPU, "gpu", 1000, 900)
    assert (gpu.held, gpu.reserved, gpu.used) == (850, 150, 400)
    seen = [(m.model.key, m.owner, m.model.pinned, m.model.in_use) for m in gpu.models]
    assert seen == [("inswapper", "server", True, 0), ("sdxl", "worker", False, 1)]
    assert gpu.models[1].model.last_used == 1000.0


def test_the_history_is_bounded_and_not_sampled_too_often() -> None:
    now = [100.0]
    history = UsageHistory(lambda: now[0], every_s=2, keep=3)

    def view(used: int) -> DeviceView:
        return DeviceView(GPU, "gpu", 1000, used, 900, 0, 0, ())

    for step in range(6):
        history.add([view(step)])
        now[0] += 1
    assert [(s.time, s.used) for s in history.samples()] == [(100, 0), (102, 2), (104, 4)]
    now[0] = 50.0
    history.add([view(9)])
    assert [(s.time, s.used) for s in history.samples()] == [(50, 9), (102, 2), (104, 4)]


def test_sessions_of_live_streams_are_pinned_while_they_live(
    tmp_path: Path, small_graph: Path
) -> None:
    machine = FakeMachine(cpu=10**9)
    memory = machine.memory(reports(tmp_path, 1, "server"))
    settings = RuntimeSettings(provider="cpu", threads=1)
    session = Runtime(settings, pins=memory).open(small_graph)
    (report,) = read_reports(tmp_path, ALIVE.get)
    size = small_graph.stat().st_size
    assert [(m.key, m.bytes, m.place, m.pinned) for m in report.models] == [
        (small_graph.stem, size, "cpu", True)
    ]
    del session
    gc.collect()
    assert memory.models() == ()
    assert read_reports(tmp_path, ALIVE.get)[0].held == {}


@pytest.fixture
def small_graph(tmp_path: Path) -> Path:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    kind = onnx.TensorProto.FLOAT
    value = [onnx.helper.make_tensor_value_info(name, kind, [1]) for name in ("x", "y")]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:]
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path / "small.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def test_workers_get_budgets_and_say_what_they_hold(tmp_path: Path) -> None:
    class Here:
        device = "cpu"
        threads = 1

    assert Services(ModelLibrary((tmp_path,))).memory.held() == {}
    options = worker_options(
        [tmp_path], False, RuntimeSettings(), ProcessorSettings(), SETTINGS, tmp_path / "reports"
    )
    generators = make(Here(), options)
    memory = generators._services.memory  # what a generator would get
    assert memory.settings == SETTINGS
    with memory.use(FakeMachine().spec("a", 5)):
        (report,) = read_reports(tmp_path / "reports")
    assert (report.owner, report.held) == ("worker on cpu", {"cpu": 5})
    memory.close()
    alone = make(Here(), worker_options([tmp_path], False, RuntimeSettings(), ProcessorSettings()))
    assert alone._services.memory.settings == MemorySettings()
