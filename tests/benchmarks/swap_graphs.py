"""Swap models with the contract of inswapper_128, random weights and a cost that can be chosen."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.pipeline.model_settings import ProviderName, RuntimeSettings
from processors.models.library import ModelLibrary
from processors.swap.models import SwapModels
from tests.contract_graphs import Graph, inswapper_128, w600k
from tests.swap_material import MODELS

CHANNELS = 32


def costly_swapper(path: Path, layers: int) -> Path:
    """A graph that runs so many convolutions of 32 channels over the whole crop, one by one.

    A batch costs as many times as much as it has faces: nothing is gained by running them together.
    """
    graph = Graph(40)
    style = graph.add("Gemm", "source", graph.random(3, 512), graph.constant(np.zeros(3)), transB=1)
    style = graph.add("Unsqueeze", style, graph.constant([2, 3], np.int64))
    inner = graph.add("Add", "target", style)
    into = 3
    for _ in range(layers):
        weight = graph.random(CHANNELS, into, 3, 3)
        bias = graph.constant(np.zeros(CHANNELS))
        inner = graph.add("Relu", graph.add("Conv", inner, weight, bias, pads=[1, 1, 1, 1]))
        into = CHANNELS
    weight, bias = graph.random(3, into, 3, 3), graph.constant(np.zeros(3))
    graph.add("Sigmoid", graph.add("Conv", inner, weight, bias, pads=[1, 1, 1, 1]), out="output")
    graph.random(512, 512, std=0.05)
    return graph.save(
        path,
        {"target": ("n", 3, 128, 128), "source": ("n", 512)},
        {"output": ("n", 3, 128, 128)},
    )


def random_models(
    folder: Path,
    make: Callable[[Path], Path] = inswapper_128,
    provider: ProviderName = "cpu",
    io_binding: bool = True,
) -> SwapModels:
    """``random_swap`` and ``random_faces``, beside the real models; on one thread of a CPU.

    Args:
        folder: Where they are written.
        make: Writes the swap model.
        provider: What runs them.
        io_binding: See the settings.
    """
    make(folder / "swap.onnx")
    w600k(folder / "arcface.onnx")
    entry = "  {}: {{files: [{{name: {}}}], vendor: tests, licence: none, commercial: true, "
    entry += "purpose: random weights, contract: {}}}\n"
    swap = entry.format("random_swap", "swap.onnx", "inswapper")
    faces = entry.format("random_faces", "arcface.onnx", "arcface")
    (folder / "models.yaml").write_text(f"models:\n{swap}{faces}")
    runtime = RuntimeSettings(
        provider=provider, threads=1, io_binding=io_binding, engines=folder / "engines"
    )
    return SwapModels(ModelLibrary([MODELS, folder]), runtime)
