"""Opening and running models: real ones on the CPU, and a stand-in for what is not here."""

import hashlib
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships none
import pytest
from onnx import helper

from engine.errors import MissingDependency
from engine.pipeline.model_settings import RuntimeSettings
from processors.models.contracts import CONTRACTS, Contract, ModelMismatch, Slot
from processors.models.files import ModelDamaged, ModelNotFound
from processors.models.providers import ProviderUnavailable
from processors.models.runtime import Runtime
from processors.models.session import ModelFailed, OnnxSession, OutOfMemory, WrongFeed
from tests.model_graphs import save_graph, swapper

SHARED_MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"
CPU = RuntimeSettings(provider="cpu", threads=1)


@pytest.fixture(scope="module")
def yunet() -> Path:
    path = SHARED_MODELS / "yunet_n_dynamic.onnx"
    if not path.is_file():
        pytest.skip(f"no face detector: {path} does not exist")
    return path


@pytest.fixture(scope="module")
def swap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return swapper(tmp_path_factory.mktemp("graphs") / "swap.onnx", batch="N")


def feeds(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "target": random.random((count, 3, 128, 128), np.float32),
        "source": random.standard_normal((count, 512)).astype(np.float32),
    }


def test_a_real_model_runs(yunet: Path) -> None:
    session = Runtime(CPU).open(
        yunet,
        CONTRACTS["yunet"],
        hashlib.sha256(yunet.read_bytes()).hexdigest(),
        [{"input": (1, 3, 64, 96)}],
    )
    outputs = session.run({"input": np.zeros((2, 3, 64, 96), np.float32)})
    assert session.provider == "cpu"
    assert [output.shape[0] for output in outputs] == [2] * 12
    assert outputs[0].shape == (2, 8 * 12, 1)


def test_auto_says_what_it_took(swap: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert Runtime(RuntimeSettings()).open(swap).provider == "cpu"
    assert "swap.onnx runs on cpu (runtime.provider is auto)" in caplog.text


def test_threads_do_not_mix_up_their_results(swap: Path) -> None:
    session = Runtime(CPU).open(swap, CONTRACTS["inswapper"])
    expected = [session.run(feeds(2, seed))[0] for seed in range(4)]
    found: dict[int, list[np.ndarray]] = {}

    def work(seed: int) -> None:
        found[seed] = [session.run(feeds(2, seed))[0] for _ in range(5)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        for result in found[seed]:
            np.testing.assert_array_equal(result, expected[seed])


def test_binding_gives_the_same(swap: Path) -> None:
    """The code path of GPUs, on the device that is here."""
    plain = Runtime(CPU).open(swap)
    bound = OnnxSession(
        onnxruntime.InferenceSession(str(swap), providers=["CPUExecutionProvider"]),
        swap,
        "cpu",
        ("cpu", 0),
        onnxruntime.OrtValue.ortvalue_from_numpy,
    )
    turned = feeds(3)
    turned["target"] = np.asfortranarray(turned["target"])
    np.testing.assert_array_equal(bound.run(turned)[0], plain.run(feeds(3))[0])


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"target": np.zeros((1, 3, 128, 128), np.float32)},
        {**feeds(1), "more": np.zeros(1, np.float32)},
        {**feeds(1), "target": np.zeros((1, 3, 64, 64), np.float32)},
        {**feeds(1), "target": np.zeros((3, 128, 128), np.float32)},
        {**feeds(1), "source": np.zeros((1, 512), np.float64)},
    ],
)
def test_a_wrong_feed_says_what_the_model_takes(swap: Path, wrong: dict[str, np.ndarray]) -> None:
    with pytest.raises(WrongFeed) as caught:
        Runtime(CPU).open(swap).run(wrong)
    assert "target float32[N, 3, 128, 128], source float32[N, 512]" in caught.value.description


def test_a_file_that_is_no_model(tmp_path: Path, yunet: Path) -> None:
    contents = {
        "text.onnx": b"This is no model.",
        "empty.onnx": b"",
        "cut.onnx": yunet.read_bytes()[:200_000],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelDamaged, match=name) as caught:
            Runtime(CPU).open(tmp_path / name)
        assert "ONNXRuntimeError" not in caught.value.description
    with pytest.raises(ModelNotFound):
        Runtime(CPU).open(tmp_path / "missing.onnx")


def test_a_wrong_hash_is_seen_before_loading(swap: Path) -> None:
    with pytest.raises(ModelDamaged, match="SHA-256"):
        Runtime(CPU).open(swap, sha256="0" * 64)


def test_another_model_says_what_was_found(swap: Path, yunet: Path) -> None:
    with pytest.raises(ModelMismatch) as caught:
        Runtime(CPU).open(yunet, CONTRACTS["inswapper"])
    text = caught.value.description
    assert "input float32[batch, 3, height, width]" in text
    assert "target float32[?, 3, 128, 128], source float32[?, 512]" in text
    with pytest.raises(ModelMismatch):
        Runtime(CPU).open(swap, CONTRACTS["ghost"])


def test_inputs_with_names_may_come_in_any_order(swap: Path) -> None:
    contract = Contract(
        (Slot((None, 512), "source"), Slot((None, 3, 128, 128), "target")), (Slot((..., 128)),)
    )
    Runtime(CPU).open(swap, contract)
    for slots in (contract.inputs[:1], (*contract.inputs, Slot((1,)))):
        with pytest.raises(ModelMismatch):
            Runtime(CPU).open(swap, Contract(slots, contract.outputs))
    with pytest.raises(ModelMismatch):
        Runtime(CPU).open(swap, Contract(contract.inputs, (*contract.outputs, Slot((...,)))))


def test_too_little_memory(tmp_path: Path) -> None:
    graph = save_graph(
        tmp_path / "outer.onnx",
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        {"a": ("n", 1), "b": (1, "m")},
        {"c": ("n", "m")},
    )
    many = np.zeros(1 << 23, np.float32)
    with pytest.raises(OutOfMemory, match=r"outer\.onnx on cpu") as caught:
        Runtime(CPU).open(graph).run({"a": many.reshape(-1, 1), "b": many.reshape(1, -1)})
    assert "batch_size" in caught.value.hint


def test_a_model_that_breaks_down(tmp_path: Path) -> None:
    graph = save_graph(
        tmp_path / "add.onnx",
        [helper.make_node("Add", ["a", "b"], ["c"])],
        {"a": ("n",), "b": ("m",)},
        {"c": ("k",)},
    )
    with pytest.raises(ModelFailed, match=r"add\.onnx failed on cpu: Non-zero") as caught:
        Runtime(CPU).open(graph).run({"a": np.zeros(2, np.float32), "b": np.zeros(3, np.float32)})
    assert "_src/" not in caught.value.description


class FakeSession:
    def __init__(self, providers: list[str]) -> None:
        self.providers = providers
        self.falls_back = True

    def get_providers(self) -> list[str]:
        return self.providers

    def get_inputs(self) -> list[Any]:
        return []

    get_outputs = get_inputs

    def disable_fallback(self) -> None:
        self.falls_back = False


class FakeOptions:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class FakeOnnxRuntime:
    """Some build of onnxruntime.

    Args:
        available: What it says it has.
        works: What sessions really get.
        error: What opening a session with more than the CPU raises.
    """

    SessionOptions = FakeOptions
    OrtValue = onnxruntime.OrtValue

    def __init__(
        self, available: list[str], works: list[str] | None = None, error: Exception | None = None
    ) -> None:
        self.available = available
        self.works = available if works is None else works
        self.error = error
        self.asked: list[dict[str, Any]] = []
        self.preloaded = 0

    def get_available_providers(self) -> list[str]:
        return self.available

    def preload_dlls(self) -> None:
        self.preloaded += 1
        sys.stdout.write("Failed to load libcudnn.so.9")

    def InferenceSession(self, path: str, **values: Any) -> FakeSession:
        self.asked.append(values)
        wanted = values["providers"]
        if self.error is not None and wanted != ["CPUExecutionProvider"]:
            raise self.error
        return FakeSession([name for name in wanted if name in self.works])


TRT, CUDA = "TensorrtExecutionProvider", "CUDAExecutionProvider"
ONLY_CPU = "CPUExecutionProvider"


def open_with(fake: FakeOnnxRuntime, path: Path, **settings: object) -> OnnxSession:
    return Runtime(RuntimeSettings.model_validate(settings), fake).open(path)


@pytest.mark.parametrize("name", ["cuda", "tensorrt", "openvino", "coreml"])
def test_what_is_not_there_is_an_error_with_its_fix(swap: Path, name: str) -> None:
    fake = FakeOnnxRuntime([ONLY_CPU])
    with pytest.raises(ProviderUnavailable) as caught:
        open_with(fake, swap, provider=name)
    assert "it has CPUExecutionProvider" in caught.value.description
    assert "runtime.provider to auto" in caught.value.hint
    if name == "cuda":
        assert "onnxruntime has no CUDAExecutionProvider" in caught.value.description
        assert "pip install 'onnxruntime-gpu[cuda,cudnn]'" in caught.value.hint
    assert fake.asked == []


def test_the_real_build_here_has_no_cuda(swap: Path) -> None:
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(ProviderUnavailable):
        Runtime(RuntimeSettings(provider="cuda")).open(swap)


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_a_provider_that_is_dropped_in_silence_is_an_error(
    swap: Path, tmp_path: Path, name: str
) -> None:
    fake = FakeOnnxRuntime([TRT, CUDA, ONLY_CPU], works=[ONLY_CPU])
    with pytest.raises(ProviderUnavailable, match="would run it on CPUExecutionProvider") as caught:
        open_with(fake, swap, provider=name, engines=tmp_path)
    assert "doctor" in caught.value.hint


def test_auto_goes_on_to_the_cpu_but_not_in_silence(
    swap: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class EPFail(Exception):
        pass

    for fake in (
        FakeOnnxRuntime([CUDA, ONLY_CPU], works=[ONLY_CPU]),
        FakeOnnxRuntime([CUDA, ONLY_CPU], error=EPFail("CUDA failure 35")),
    ):
        caplog.clear()
        assert open_with(fake, swap).provider == "cpu"
        (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
        assert CUDA in warning.getMessage()
        assert len(fake.asked) == 2


def test_auto_takes_the_gpu(swap: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = FakeOnnxRuntime([TRT, CUDA, ONLY_CPU])
    runtime = Runtime(RuntimeSettings(device=1, gpu_memory_mb=2048), fake)
    assert runtime.open(swap).provider == "cuda"
    runtime.open(swap)
    asked = fake.asked[0]
    assert asked["providers"] == [CUDA, ONLY_CPU]
    assert asked["provider_options"][0] == {
        "device_id": 1,
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "gpu_mem_limit": 2048 << 20,
    }
    assert asked["enable_fallback"] == 0
    assert fake.preloaded == 1
    assert capsys.readouterr().out == ""


def test_tensorrt_keeps_its_engines(swap: Path, tmp_path: Path) -> None:
    fake = FakeOnnxRuntime([TRT, CUDA, ONLY_CPU])
    open_with(fake, swap, provider="tensorrt", engines=tmp_path / "engines", half=False)
    asked = fake.asked[0]
    assert asked["providers"] == [TRT, CUDA, ONLY_CPU]
    assert asked["provider_options"][0] == {
        "device_id": 0,
        "trt_fp16_enable": False,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(tmp_path / "engines"),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(tmp_path / "engines"),
    }
    assert (tmp_path / "engines").is_dir()


def test_too_little_memory_to_load(swap: Path) -> None:
    error = RuntimeError("CUDA failure 2: out of memory ; GPU=0")
    with pytest.raises(OutOfMemory, match=r"load swap\.onnx on cuda"):
        open_with(FakeOnnxRuntime([CUDA, ONLY_CPU], error=error), swap, provider="cuda")


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependency, match="requirements-ai.txt"):
        Runtime(RuntimeSettings())
