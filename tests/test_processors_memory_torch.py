"""Memory of real tensors: one copy while loading, and all of it back at the end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.pipeline.memory_settings import MemorySettings
from processors.models.memory import ModelMemory, ModelSpec
from processors.models.memory_devices import resolve, settle, size_of
from processors.models.memory_errors import forget
from tests.memory_fakes import Cancelled

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

MB = 10**6
SIZE = 80 * MB


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in network().state_dict().items()}
    weights = {name: torch.full(shape, 0.01) for name, shape in shapes.items()}
    safetensors.save_file(weights, path)
    return path


def network() -> Any:
    layer = SIZE // 4 // 4
    side = int(layer**0.5)
    return torch.nn.Sequential(*(torch.nn.Linear(side, side, bias=False) for _ in range(4)))


def loader(checkpoint: Path) -> Callable[[], Any]:
    def load() -> Any:
        with torch.device("meta"):
            model = network()
        model.load_state_dict(safetensors.load_file(checkpoint), assign=True)
        return model

    return load


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def test_memory_comes_back_after_a_cancelled_job(checkpoint: Path) -> None:
    memory = ModelMemory(MemorySettings.model_validate({"ram": "2 GB"}))
    spec = ModelSpec("network", SIZE, loader(checkpoint))
    settle()
    before = resident()

    def job() -> None:
        with memory.use(spec, working=SIZE) as model:
            latents = [torch.ones(SIZE // 4)]
            model(latents[0][: model[0].in_features])
            assert resident() - before > 1.5 * SIZE
            raise Cancelled

    cancelled: Exception | None = None
    try:
        job()
    except Cancelled as error:
        cancelled = error
    assert cancelled is not None
    # The error is kept, as a worker does that has to report it.
    forget(cancelled)
    memory.free()
    assert memory.held() == {}
    assert abs(resident() - before) < 50 * MB


def test_the_size_of_a_network_is_measured(checkpoint: Path) -> None:
    memory = ModelMemory(MemorySettings.model_validate({"ram": "2 GB"}))
    with memory.use(ModelSpec("network", 1, loader(checkpoint))) as model:
        assert memory.held() == {"cpu": size_of(model)}
        assert abs(memory.held()["cpu"] - SIZE) < MB
    model = None
    memory.free()
    assert memory.held() == {}


def test_auto_is_the_gpu_if_torch_can_use_one() -> None:
    assert resolve("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")
    assert resolve("cuda") == "cuda:0"
