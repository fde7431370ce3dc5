"""Small ONNX graphs with random weights: their shapes are real, what they compute means nothing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Sizes = Sequence[int | str]


def save_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Sizes],
    outputs: dict[str, Sizes],
    constants: dict[str, np.ndarray] | None = None,
) -> Path:
    """Write a graph of float32 inputs and outputs."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, list(v)) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, list(v)) for k, v in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def weights(*shape: int) -> np.ndarray:
    """Random weights, small enough that values stay near 1."""
    random = np.random.default_rng(sum(shape))
    values = random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return np.asarray(values, np.float32)


def swapper(path: Path, batch: int | str = 1, size: int = 128) -> Path:
    """A graph with inswapper's inputs, output and last initializer, and a cost of nothing.

    The face is coloured by the source, through a Reshape whose shape was baked for one face.
    """
    nodes = [
        helper.make_node("Conv", ["target", "kernel"], ["inner"], pads=[1, 1, 1, 1]),
        helper.make_node("MatMul", ["source", "emap"], ["moved"]),
        helper.make_node("Gemm", ["moved", "mix"], ["colour"]),
        helper.make_node("Reshape", ["colour", "one"], ["broad"]),
        helper.make_node("Mul", ["inner", "broad"], ["coloured"]),
        helper.make_node("Sigmoid", ["coloured"], ["output"]),
    ]
    constants = {
        "kernel": weights(3, 3, 3, 3),
        "mix": weights(512, 3) * 20,
        "one": np.array([1 if batch == 1 else 0, 3, 1, 1], np.int64),
        "emap": weights(512, 512),
    }
    inputs: dict[str, Sizes] = {"target": (batch, 3, size, size), "source": (batch, 512)}
    return save_graph(path, nodes, inputs, {"output": (batch, 3, size, size)}, constants)
