"""Making graphs batched where it is exact, and saying so where it is not."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from engine.pipeline.model_settings import RuntimeSettings
from processors.models.rewrite import Rewriter, Rewritten
from processors.models.runtime import Runtime
from processors.models.session import OnnxSession
from tests.model_graphs import save_graph, swapper, weights

RUNTIME = Runtime(RuntimeSettings(provider="cpu", threads=1))


class Opener:
    """Opens graphs and counts them."""

    def __init__(self) -> None:
        self.opened: list[Path] = []

    def __call__(self, path: Path) -> OnnxSession:
        self.opened.append(path)
        return RUNTIME.open(path)


def rewrite(path: Path, folder: Path, **free: int) -> Rewritten:
    return Rewriter(folder, Opener()).batched(path, free)


def test_a_swapper_for_one_face_takes_many(tmp_path: Path) -> None:
    path = swapper(tmp_path / "swap.onnx")
    result = rewrite(path, tmp_path / "made")
    assert result.batched
    assert result.difference < 1e-5
    random = np.random.default_rng(2)
    targets = random.random((5, 3, 128, 128), np.float32)
    sources = random.standard_normal((5, 512)).astype(np.float32)
    (together,) = RUNTIME.open(result.path).run({"target": targets, "source": sources})
    one = RUNTIME.open(path)
    for index in range(5):
        part = slice(index, index + 1)
        (alone,) = one.run({"target": targets[part], "source": sources[part]})
        np.testing.assert_allclose(together[part], alone, atol=1e-5)


def test_the_last_initializer_stays_the_last(tmp_path: Path) -> None:
    path = swapper(tmp_path / "swap.onnx")
    result = rewrite(path, tmp_path / "made")
    before = numpy_helper.to_array(onnx.load(str(path)).graph.initializer[-1])
    after = numpy_helper.to_array(onnx.load(str(result.path)).graph.initializer[-1])
    np.testing.assert_array_equal(before, after)


def test_what_is_batched_already_stays_as_it_is(tmp_path: Path) -> None:
    path = swapper(tmp_path / "swap.onnx", batch="N")
    assert rewrite(path, tmp_path / "made") == Rewritten(path, True)
    assert not (tmp_path / "made").exists()


def test_the_result_is_kept_by_the_files_hash(tmp_path: Path) -> None:
    path, opener = swapper(tmp_path / "swap.onnx"), Opener()
    rewriter = Rewriter(tmp_path / "made", opener)
    first = rewriter.batched(path)
    opener.opened.clear()
    assert rewriter.batched(path) == first
    assert opener.opened == [path]
    # Another graph under the same name is another one.
    swapper(path, size=64)
    assert rewriter.batched(path).path != first.path
    # A result whose graph was deleted is made again.
    first.path.unlink()
    swapper(path)
    assert rewriter.batched(path).path.is_file()


def detector(path: Path) -> Path:
    """As SCRFD: the batch ends up inside the rows."""
    nodes = [
        helper.make_node("Conv", ["input.1", "kernel"], ["map"], strides=[8, 8]),
        helper.make_node("Transpose", ["map"], ["turned"], perm=[2, 3, 0, 1]),
        helper.make_node("Reshape", ["turned", "rows"], ["scores"]),
    ]
    constants = {"kernel": weights(2, 3, 8, 8), "rows": np.array([-1, 1], np.int64)}
    return save_graph(path, nodes, {"input.1": (1, 3, 64, 64)}, {"scores": (128, 1)}, constants)


def mixing(path: Path) -> Path:
    """Each item has the mean of all taken off: shapes fit, values do not."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["mean", "half"], ["part"]),
        helper.make_node("Sub", ["input", "part"], ["output"]),
    ]
    constants = {"half": np.array([0.5], np.float32)}
    return save_graph(path, nodes, {"input": (1, 6)}, {"output": (1, 6)}, constants)


def blind(path: Path) -> Path:
    """The same for every input."""
    nodes = [
        helper.make_node("Mul", ["input", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "one"], ["output"]),
    ]
    constants = {"zero": np.array([0.0], np.float32), "one": np.array([1.0], np.float32)}
    return save_graph(path, nodes, {"input": (1, 6)}, {"output": (1, 6)}, constants)


def stuck(path: Path) -> Path:
    """A size that was baked for one item, in a node other than Reshape."""
    nodes = [
        helper.make_node("Resize", ["input", "", "", "sizes"], ["output"], mode="nearest"),
    ]
    constants = {"sizes": np.array([1, 3, 16, 16], np.int64)}
    return save_graph(path, nodes, {"input": (1, 3, 8, 8)}, {"output": (1, 3, 16, 16)}, constants)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (detector, "scores differs by"),
        (mixing, "output differs by"),
        (blind, "output hardly differs between items"),
        (stuck, ""),
    ],
)
def test_what_cannot_be_batched_is_left_alone(tmp_path: Path, make: object, reason: str) -> None:
    assert callable(make)
    path, opener = make(tmp_path / "graph.onnx"), Opener()
    rewriter = Rewriter(tmp_path / "made", opener)
    result = rewriter.batched(path)
    assert not result.batched
    assert result.path == path
    assert result.reason
    assert reason in result.reason
    assert [made.suffix for made in (tmp_path / "made").iterdir()] == [".json"]
    # That it is so is remembered too.
    opener.opened.clear()
    assert rewriter.batched(path) == result
    assert len(opener.opened) == 1


def test_free_sizes_are_named_for_the_check(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["input", "kernel"], ["output"], strides=[2, 2])]
    path = save_graph(
        tmp_path / "free.onnx",
        nodes,
        {"input": (1, 3, "height", "width")},
        {"output": (1, 4, "h", "w")},
        {"kernel": weights(4, 3, 2, 2)},
    )
    assert rewrite(path, tmp_path / "made", height=32, width=48).batched


def test_a_reshape_that_is_a_node_of_its_own(tmp_path: Path) -> None:
    """Older exporters put constants into nodes instead of initializers."""
    shape = numpy_helper.from_array(np.array([1, -1], np.int64))
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("Reshape", ["input", "shape"], ["output"]),
    ]
    path = save_graph(tmp_path / "flat.onnx", nodes, {"input": (1, 3, 4, 4)}, {"output": (1, 48)})
    assert rewrite(path, tmp_path / "made").batched
