"""Making a graph that takes one item take many, where that changes nothing.

Many models were exported with a fixed batch of 1, which onnxruntime then insists on. Freeing the
first dimension is right for most of them, and wrong for those that mix items (a layout with the
batch inside, a shape that was computed while exporting). No rule tells the two apart for sure, so
each result is measured: items run together must give what they give alone.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import AvatarServerError, MissingDependency
from processors.models.contracts import Tensor
from processors.models.files import hash_file
from processors.models.session import Array, Session

_log = logging.getLogger(__name__)

VERSION = 1
"""Of the method: results of another one are made anew."""

BATCH = "batch"
SIZES = (2, 3)
"""Numbers of items that are run together for the check."""

RELATIVE = 1e-3
ABSOLUTE = 1e-4
"""Largest difference, the second as a part of the largest value: what the order of additions
changes in 32 bits, with room; mixed-up items differ by far more."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Whether a graph takes many items.

    Attributes:
        path: The graph to open: the new one, or the original.
        batched: It takes any number of items at once; else call it once for each.
        reason: Why it does not, or "".
        difference: Largest difference that was measured, as a part of the largest value.
    """

    path: Path
    batched: bool
    reason: str = ""
    difference: float = 0.0


class Rewriter:
    """Makes graphs batched, and remembers the results by the file's hash.

    Args:
        folder: Where new graphs and results are kept.
        open_session: Opens a graph for the check; on the CPU, where it costs least.
    """

    def __init__(self, folder: Path, open_session: Callable[[Path], Session]) -> None:
        self._folder = folder
        self._open = open_session

    def batched(self, path: Path, free: Mapping[str, int] | None = None) -> Rewritten:
        """A graph that takes many items, if there is one that gives the same.

        Args:
            path: The graph.
            free: Numbers for the free dimensions other than the first, by their names, for the
                check; 64 for those without.

        Raises:
            MissingDependency: The package ``onnx`` is not installed.
            ModelDamaged: The file cannot be read.
            OSError: The folder cannot be written to.
        """
        original = self._open(path)
        if all(tensor.shape and not isinstance(tensor.shape[0], int) for tensor in original.inputs):
            return Rewritten(path, True)
        key = f"{path.stem}-{hash_file(path)[:32]}-{VERSION}"
        target, record = self._folder / f"{key}.onnx", self._folder / f"{key}.json"
        known = _read_record(record, target, path)
        if known is not None:
            return known
        self._folder.mkdir(parents=True, exist_ok=True)
        result = self._make(path, target, original, free or {})
        _write_record(record, result)
        _log.info(
            "%s: %s",
            path.name,
            "takes many faces at once"
            if result.batched
            else f"takes one at a time ({result.reason})",
        )
        return result

    def _make(
        self, path: Path, target: Path, original: Session, free: Mapping[str, int]
    ) -> Rewritten:
        new = target.with_suffix(f".{os.getpid()}.onnx")
        try:
            free_batch(path, new)
            difference, reason = self._compare(original, self._open(new), free)
            if reason:
                return Rewritten(path, False, reason, difference)
            new.replace(target)
            return Rewritten(target, True, "", difference)
        except AvatarServerError as error:
            if isinstance(error, MissingDependency):
                raise
            return Rewritten(path, False, error.description)
        finally:
            new.unlink(missing_ok=True)

    def _compare(
        self, original: Session, changed: Session, free: Mapping[str, int]
    ) -> tuple[float, str]:
        random = np.random.default_rng(0)
        items = [_random_feeds(original.inputs, free, random) for _ in range(max(SIZES))]
        alone = [original.run(item) for item in items]
        worst = 0.0
        for size in SIZES:
            together = changed.run(
                {name: np.concatenate([item[name] for item in items[:size]]) for name in items[0]}
            )
            for index, tensor in enumerate(original.outputs):
                expected = [outputs[index] for outputs in alone[:size]]
                found, reason = _difference(expected, together[index], tensor.name)
                worst = max(worst, found)
                if reason:
                    return worst, reason
        return worst, ""


def free_batch(source: Path, target: Path) -> None:
    """Write a graph whose first dimension is free wherever it was 1.

    Inputs and outputs get a name instead of the 1; shapes that were worked out for a batch of 1
    are dropped; constants of Reshape that begin with 1 begin with 0 instead ("as in the input").
    New constants go before the others: the last initializer means something to inswapper.

    Args:
        source: The ONNX file.
        target: The new one.

    Raises:
        MissingDependency: The package ``onnx`` is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingDependency(
            "Making a model batched needs the package onnx, which is not installed.",
            "pip install -r requirements-ai.txt",
        ) from error
    model = onnx.load(str(source))
    graph = model.graph
    constants = {initializer.name for initializer in graph.initializer}
    for value in (*graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.name not in constants and dims and dims[0].dim_value == 1:
            dims[0].dim_param = BATCH
    del graph.value_info[:]
    _free_reshapes(onnx, graph)
    onnx.save(model, str(target))


def _free_reshapes(onnx: Any, graph: Any) -> None:
    initializers = {initializer.name: initializer for initializer in graph.initializer}
    nodes = {
        node.output[0]: node.attribute[0].t
        for node in graph.node
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value"
    }
    for number, node in enumerate(graph.node):
        if node.op_type != "Reshape" or _keeps_zeros(node):
            continue
        constant = initializers.get(node.input[1], nodes.get(node.input[1]))
        if constant is None:
            continue
        shape = onnx.numpy_helper.to_array(constant).copy()
        if shape.ndim == 1 and shape.size > 1 and shape[0] == 1:
            shape[0] = 0
            name = f"batched_shape_{number}"
            graph.initializer.insert(0, onnx.numpy_helper.from_array(shape, name))
            node.input[1] = name


def _keeps_zeros(node: Any) -> bool:
    """Whether a 0 in the shape of a Reshape means an empty dimension."""
    return any(item.name == "allowzero" and item.i for item in node.attribute)


def _random_feeds(
    inputs: Sequence[Tensor], free: Mapping[str, int], random: np.random.Generator
) -> dict[str, Array]:
    feeds: dict[str, Array] = {}
    for tensor in inputs:
        sizes = [
            dim if isinstance(dim, int) else free.get(dim or "", 64) for dim in tensor.shape[1:]
        ]
        values = random.uniform(-1.0, 1.0, (1, *sizes))
        feeds[tensor.name] = values.astype(np.dtype(tensor.dtype))
    return feeds


def _difference(expected: Sequence[Array], found: Array, name: str) -> tuple[float, str]:
    """Return the largest difference as a part of the largest value, and what is wrong, or ""."""
    wanted = np.concatenate(expected) if expected[0].ndim else np.stack(expected)
    if found.shape != wanted.shape:
        return 0.0, f"{name} has the shape {list(found.shape)}, expected {list(wanted.shape)}"
    if not np.isfinite(wanted).all():
        return 0.0, f"{name} has values that are not numbers"
    scale = float(np.abs(wanted).max(initial=0.0)) or 1.0
    apart = min(float(np.abs(one - expected[0]).max(initial=0.0)) for one in expected[1:])
    if apart < 10 * ABSOLUTE * scale:
        return 0.0, f"{name} hardly differs between items, so mixed-up ones would not be noticed"
    worst = float(np.abs(found - wanted).max(initial=0.0)) / scale
    if not np.allclose(found, wanted, rtol=RELATIVE, atol=ABSOLUTE * scale):
        return worst, f"{name} differs by {worst:.2g} of its largest value when items run together"
    return worst, ""


def _read_record(record: Path, target: Path, original: Path) -> Rewritten | None:
    try:
        values = json.loads(record.read_text(encoding="utf-8"))
        batched = bool(values["batched"])
        reason, difference = str(values["reason"]), float(values["difference"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if batched and not target.is_file():
        return None
    return Rewritten(target if batched else original, batched, reason, difference)


def _write_record(record: Path, result: Rewritten) -> None:
    values = asdict(result) | {"path": result.path.name}
    new = record.with_suffix(f".{os.getpid()}.json")
    new.write_text(json.dumps(values, indent=2), encoding="utf-8")
    new.replace(record)
