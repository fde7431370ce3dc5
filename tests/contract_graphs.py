"""Tiny ONNX graphs with the inputs and outputs of real face models and RANDOM weights.

They know nothing of faces: they serve to test everything around a model, and to measure its cost.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Weights = npt.NDArray[np.float32]
Batch = int | str

_SEED = 20


class Graph:
    """A graph under construction; weights come from a seeded generator."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, values: npt.ArrayLike, dtype: Any = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def random(self, *shape: int, std: float | None = None) -> str:
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else shape[0]
        scale = std if std is not None else 1 / np.sqrt(fan_in)
        return self.constant(self._random.normal(0, scale, shape))

    def add(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        name = out or f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [name], f"{kind}_{name}", **attributes)
        )
        return name

    def conv(self, source: str, channels: tuple[int, int], size: int, bias: float = 0.0) -> str:
        """A convolution whose stride is its size."""
        into, out = channels
        weight = self.random(out, into, size, size)
        offset = self.constant(np.full(out, bias))
        return self.add("Conv", source, weight, offset, strides=[size, size])

    def save(
        self,
        path: Path,
        inputs: Mapping[str, Sequence[Batch | None]],
        outputs: Mapping[str, Sequence[Batch | None]],
    ) -> Path:
        def infos(shapes: Mapping[str, Sequence[Batch | None]]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
                for name, shape in shapes.items()
            ]

        graph = helper.make_graph(
            self.nodes, "random_weights", infos(inputs), infos(outputs), self.weights
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="random weights"
        )
        model.ir_version = 9
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path


def det_10g(path: Path, size: int | None = None, seed: int = _SEED) -> Path:
    """SCRFD: ``input.1`` [1, 3, h, w]; nine outputs without a batch dimension.

    Args:
        path: Where it is written.
        size: Side that the graph fixes; None leaves it open.
        seed: Of the weights.
    """
    graph = Graph(seed)
    made: dict[str, list[str]] = {"score": [], "bbox": [], "kps": []}
    outputs: dict[str, Sequence[Batch | None]] = {}
    for stride in (8, 16, 32):
        features = graph.add("Relu", graph.conv("input.1", (3, 8), stride))
        for kind, width, bias in (("score", 1, -1.5), ("bbox", 4, 2.0), ("kps", 10, 0.0)):
            weight = graph.random(2 * width, 8, 1, 1, std=1.0)
            offset = graph.constant(np.full(2 * width, bias))
            raw = graph.add("Conv", features, weight, offset)
            if kind == "bbox":
                raw = graph.add("Relu", raw)
            rows = graph.add("Transpose", raw, perm=[0, 2, 3, 1])
            name = f"{kind}_{stride}"
            shape = graph.constant([-1, width], np.int64)
            if kind == "score":
                graph.add("Sigmoid", graph.add("Reshape", rows, shape), out=name)
            else:
                graph.add("Reshape", rows, shape, out=name)
            made[kind].append(name)
    for kind, width in (("score", 1), ("bbox", 4), ("kps", 10)):
        for name in made[kind]:
            outputs[name] = (None if size is None else _rows(size, name), width)
    return graph.save(path, {"input.1": (1, 3, size or "h", size or "w")}, outputs)


def landmarks_2d106(path: Path, batch: Batch = "None", seed: int = _SEED + 1) -> Path:
    """2d106det: ``data`` [n, 3, 192, 192] -> ``fc1`` [n, 212]; normalises its input itself."""
    return _picture_model(path, 192, 212, batch, seed, normalises=True)


def genderage(path: Path, batch: Batch = "None", seed: int = _SEED + 2) -> Path:
    """Genderage: ``data`` [n, 3, 96, 96] -> ``fc1`` [n, 3]; normalises its input itself."""
    return _picture_model(path, 96, 3, batch, seed, normalises=True)


def w600k(path: Path, batch: Batch = "None", seed: int = _SEED + 3) -> Path:
    """ArcFace w600k: ``input.1`` [n, 3, 112, 112] -> ``683`` [n, 512]."""
    return _picture_model(path, 112, 512, batch, seed, normalises=False)


def inswapper_128(path: Path, batch: Batch = 1, size: int = 128, seed: int = _SEED + 4) -> Path:
    """inswapper: ``target`` [n, 3, 128, 128] and ``source`` [n, 512] -> ``output``, 0..1.

    The output depends on both. The last initializer is the matrix that maps an embedding to
    ``source``; as in the real model no node uses it.

    Args:
        path: Where it is written.
        batch: A number fixes it, a name leaves it open.
        size: Side of the pictures; other models of this shape have 256.
        seed: Of the weights.
    """
    graph = Graph(seed)
    style = graph.add(
        "Gemm", "source", graph.random(8, 512, std=0.5), graph.constant(np.zeros(8)), transB=1
    )
    style = graph.add("Unsqueeze", style, graph.constant([2, 3], np.int64))
    weight, bias = graph.random(8, 3, 3, 3), graph.constant(np.zeros(8))
    features = graph.add("Conv", "target", weight, bias, pads=[1, 1, 1, 1])
    mixed = graph.add("Relu", graph.add("Add", features, style))
    weight, bias = graph.random(3, 8, 3, 3), graph.constant(np.zeros(3))
    change = graph.add("Tanh", graph.add("Conv", mixed, weight, bias, pads=[1, 1, 1, 1]))
    change = graph.add("Mul", change, graph.constant(0.3))
    low, high = graph.constant(0.0), graph.constant(1.0)
    graph.add("Clip", graph.add("Add", "target", change), low, high, out="output")
    graph.random(512, 512, std=0.05)
    return graph.save(
        path,
        {"target": (batch, 3, size, size), "source": (batch, 512)},
        {"output": (batch, 3, size, size)},
    )


def _picture_model(
    path: Path, size: int, width: int, batch: Batch, seed: int, normalises: bool
) -> Path:
    """Crop in, row out, by two convolutions and one dense layer over what is left of the place."""
    graph = Graph(seed)
    name, output = ("data", "fc1") if normalises else ("input.1", "683")
    source = name
    if normalises:
        # insightface tells by these nodes' names that pictures are handed in as they are.
        source = "_minus0"
        graph.nodes.append(
            helper.make_node("Sub", [name, graph.constant(127.5)], [source], "_minus0")
        )
        graph.nodes.append(
            helper.make_node("Mul", [source, graph.constant(1 / 128)], ["_mul0"], "_mul0")
        )
        source = "_mul0"
    step = size // 16
    features = graph.add("Relu", graph.conv(source, (3, 16), step))
    features = graph.add("Relu", graph.conv(features, (16, 16), 2))
    flat = graph.add("Flatten", features)
    dense = graph.random(width, 16 * 64, std=0.05)
    graph.add("Gemm", flat, dense, graph.random(width, std=0.1), out=output, transB=1)
    return graph.save(path, {name: (batch, 3, size, size)}, {output: (batch, width)})


def _rows(size: int, name: str) -> int:
    return 2 * (size // int(name.rsplit("_", 1)[1])) ** 2
