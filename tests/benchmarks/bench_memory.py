"""Models in memory: the budget in real bytes, copies while loading, swapping two models."""

import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from engine.pipeline.memory_settings import MemorySettings
from processors.models.memory import ModelMemory, ModelSpec
from processors.models.memory_devices import settle
from tests.benchmarks.table import Row, percentile

MB = 10**6
SIZES = {"small": 300 * MB, "middle": 400 * MB, "large": 500 * MB}
BUDGET = 600 * MB
WORKING = 60 * MB
_PAGE = 4096
_SLACK = 20 * MB
"""Of what Python, torch and the allocator take beside the tensors."""


def run(quick: bool = False) -> list[Row]:
    """Measure all of it."""
    try:
        import torch
    except ImportError:
        return [Row("torch is not installed", "not measured")]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        specs = {key: _checkpoint(folder / f"{key}.safetensors", SIZES[key]) for key in SIZES}
        # Libraries take their own memory at the first use.
        _use(_memory(BUDGET), specs["small"])
        settle()
        rows = [*_random_use(specs, 10 if quick else 30), *_loading(specs["large"])]
        rows += _swaps(specs, "cpu", 4 if quick else 12)
        if torch.cuda.is_available():
            rows += _swaps(specs, "cuda:0", 4 if quick else 20)
    return rows


def _checkpoint(path: Path, size: int) -> ModelSpec[Any]:
    """Write weights in the real format; return how to load them with one copy in memory."""
    import torch
    from safetensors.torch import load_file, save_file

    layers = 20
    side = int((size / layers / 2) ** 0.5)

    def network() -> torch.nn.Module:
        return torch.nn.Sequential(
            *(torch.nn.Linear(side, side, bias=False, dtype=torch.float16) for _ in range(layers))
        )

    weight = torch.full((side, side), 0.01, dtype=torch.float16)
    save_file({f"{layer}.weight": weight.clone() for layer in range(layers)}, path)

    def load() -> torch.nn.Module:
        with torch.device("meta"):
            model = network()
        model.load_state_dict(load_file(path), assign=True)
        # The file is mapped: its pages come to memory when they are touched, so that happens here.
        for tensor in model.parameters():
            tensor.view(torch.int16).flatten()[:: _PAGE // 2].max()
        return model

    return ModelSpec(path.stem, side * side * 2 * layers, load)


def _memory(budget: int) -> ModelMemory:
    return ModelMemory(MemorySettings.model_validate({"ram": f"{budget / MB} MB"}))


def _use(memory: ModelMemory, spec: ModelSpec[Any], device: str = "cpu") -> float:
    """Use a model, with tensors of its working memory; return the seconds until it was there."""
    import torch

    began = time.perf_counter()
    with memory.use(spec, device, WORKING):
        waited = time.perf_counter() - began
        torch.ones(WORKING // 4, device=device).sum().item()
    return waited


def _random_use(specs: dict[str, ModelSpec[Any]], turns: int) -> list[Row]:
    memory = _memory(BUDGET)

    def work(seed: int) -> None:
        choice = random.Random(seed)
        for _ in range(turns):
            _use(memory, specs[choice.choice(list(specs))])

    with _peak() as grown, ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(work, seed) for seed in (1, 2)]:
            future.result()
    books = memory.peaks()["cpu"]
    memory.free()
    left = grown.now()
    sizes = ", ".join(f"{size / MB:.0f}" for size in SIZES.values())
    return [
        Row(f"models of {sizes} MB, two threads, {2 * turns} random uses: most held at once",
            f"{books / MB:.0f} MB", f"<= {BUDGET / MB:.0f} MB", books <= BUDGET),
        Row("  memory of the process, growth at its peak", f"{grown.peak / MB:.0f} MB",
            f"<= {BUDGET / MB:.0f} MB", grown.peak <= BUDGET + _SLACK),
        Row("  left when all was freed", f"{left / MB:.0f} MB", "<= 50 MB", left <= 50 * MB),
    ]  # fmt: skip


def _loading(spec: ModelSpec[Any]) -> list[Row]:
    memory = _memory(BUDGET)
    with _peak() as grown:
        _use(memory, spec)
    memory.free()
    copies = grown.peak / spec.bytes
    return [
        Row(f"loading {spec.bytes / MB:.0f} MB: peak of the process", f"{copies:.2f} copies",
            "< 2 copies", copies < 2),
    ]  # fmt: skip


def _swaps(specs: dict[str, ModelSpec[Any]], device: str, turns: int) -> list[Row]:
    """Two models that do not fit together, in turns: on the CPU they are loaded again each time."""
    pair = specs["small"], specs["middle"]
    budgets = {"ram": "600 MB" if device == "cpu" else "4 GB", "budgets": {"cuda": "600 MB"}}
    memory = ModelMemory(MemorySettings.model_validate(budgets))
    waits = [_use(memory, pair[turn % 2], device) for turn in range(2 * turns)][2:]
    kept = [_use(memory, pair[1], device) for _ in range(50)]
    memory.free()
    way = "from disk to RAM" if device == "cpu" else "from RAM to the GPU"
    return [
        Row(f"swap of two models of 300 and 400 MB, {way}, on {device}: median, p90",
            f"{statistics.median(waits) * 1000:.0f} ms, {percentile(waits, 90) * 1000:.0f} ms"),
        Row("  use of the one that is there", f"{statistics.median(kept) * 1e6:.0f} us"),
    ]  # fmt: skip


class _Growth:
    """How much more memory the process has than at the start; sampled by a thread."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        settle()
        self._start = self._process.memory_info().rss
        self.peak = 0

    def now(self) -> int:
        return int(self._process.memory_info().rss - self._start)

    def watch(self, ended: Callable[[], bool]) -> None:
        while not ended():
            self.peak = max(self.peak, self.now())
            time.sleep(0.002)


@contextmanager
def _peak() -> Iterator[_Growth]:
    growth = _Growth()
    end = threading.Event()
    watcher = threading.Thread(target=growth.watch, args=(end.is_set,), name="watch-memory")
    watcher.start()
    try:
        yield growth
    finally:
        end.set()
        watcher.join()
