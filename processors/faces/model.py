"""What the parts here ask of a neural network, whoever runs it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from processors.models.contracts import ModelMismatch

Array = npt.NDArray[Any]


class Tensor(Protocol):
    """An input or output of a model; onnxruntime's ``NodeArg`` is one."""

    @property
    def name(self) -> str:
        """As the graph names it."""

    @property
    def shape(self) -> Sequence[int | str | None]:
        """A number where the graph fixes the size, else a name or None."""


class Model(Protocol):
    """A loaded network."""

    @property
    def inputs(self) -> Sequence[Tensor]:
        """In the order of the graph."""

    @property
    def outputs(self) -> Sequence[Tensor]:
        """In the order of the graph."""

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """All outputs, in the order of ``outputs``."""


def image_size(model: Model, contract: str) -> tuple[int, int] | None:
    """(width, height) that the first input asks for; None where the graph leaves it open.

    Raises:
        ModelMismatch: The first input is not ``[n, 3, height, width]``.
    """
    shape = model.inputs[0].shape if model.inputs else ()
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        raise _mismatch(model, contract, "an input of shape [n, 3, height, width]")
    height, width = shape[2], shape[3]
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        return width, height
    return None


def require(model: Model, contract: str, size: int, width: int | None) -> None:
    """Refuse a model that does not take square pictures and give one row for each.

    Args:
        model: What was loaded.
        contract: What it should be, for the message.
        size: Side of the pictures.
        width: Length of a row of the one output; None takes any.

    Raises:
        ModelMismatch: It does not fit.
    """
    if image_size(model, contract) != (size, size):
        raise _mismatch(model, contract, f"an input of shape [n, 3, {size}, {size}]")
    shape = model.outputs[0].shape if len(model.outputs) == 1 else ()
    if len(shape) != 2 or (width is not None and isinstance(shape[1], int) and shape[1] != width):
        raise _mismatch(model, contract, f"one output of shape [n, {width or 'any'}]")


def run_rows(model: Model, blob: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The model's one output for any number of pictures.

    One call where the graph leaves the batch open; else as many as its fixed batch needs, the last
    one filled up with zeros.

    Args:
        model: One input, one output.
        blob: ``float32[n, ...]``.

    Returns:
        ``float32[n, ...]``.
    """
    name, fixed = model.inputs[0].name, model.inputs[0].shape[0]
    if not isinstance(fixed, int) or fixed <= 0:
        return np.asarray(model.run({name: blob})[0], np.float32)
    rows = []
    for start in range(0, len(blob), fixed):
        part = blob[start : start + fixed]
        missing = fixed - len(part)
        if missing:
            part = np.concatenate([part, np.zeros((missing, *blob.shape[1:]), np.float32)])
        rows.append(np.asarray(model.run({name: part})[0], np.float32)[: fixed - missing])
    return np.concatenate(rows)


def blob_of(
    crops: Sequence[npt.NDArray[np.uint8]], mean: float, std: float
) -> npt.NDArray[np.float32]:
    """``(rgb - mean) / std`` of pictures of one size: ``float32[n, 3, height, width]``.

    Args:
        crops: ``uint8[height, width, 3]``, BGR.
        mean: Of all channels.
        std: Of all channels.
    """
    import cv2

    size = (crops[0].shape[1], crops[0].shape[0])
    blob = cv2.dnn.blobFromImages(
        list(crops), 1.0 / std, size, (mean, mean, mean), swapRB=True, crop=False
    )
    return np.asarray(blob, np.float32)


def _mismatch(model: Model, contract: str, wanted: str) -> ModelMismatch:
    def shapes(tensors: Sequence[Tensor]) -> str:
        return ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in tensors)

    return ModelMismatch(
        f"The model given for {contract} has inputs {shapes(model.inputs)} and outputs "
        f"{shapes(model.outputs)}; {wanted} was expected.",
        f"Give the file of a model made for {contract}.",
    )
