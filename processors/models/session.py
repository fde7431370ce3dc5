"""A model that runs."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from engine.errors import AvatarServerError, InvalidInput, Unavailable
from processors.models.contracts import Contract, Tensor, check_contract

Array = npt.NDArray[Any]

_MEMORY_WORDS = (
    "out of memory",
    "failed to allocate memory",
    "bad allocation",
    "bad_alloc",
    "alloc_failed",
    "memory limit",
)

_NOISE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : |/\S+\.(?:cc|cpp|h):\d+ ")
"""Codes, and places in onnxruntime's own source, in its messages."""

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
}


class OutOfMemory(Unavailable):
    """A model needs more memory than there is."""


class ModelFailed(AvatarServerError):
    """A model broke down while it ran."""


class WrongFeed(InvalidInput):
    """A model was given something of another shape or type than it takes."""


class Session(Protocol):
    """A model that runs; may be called from several threads at once."""

    @property
    def path(self) -> Path:
        """Its file."""

    @property
    def provider(self) -> str:
        """What it runs on: ``cpu``, ``cuda``, ..."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes."""

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it gives."""

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """All outputs, in the graph's order, for all inputs by name."""


class OnnxSession:
    """A graph in onnxruntime.

    Args:
        session: ``onnxruntime.InferenceSession``; it must not fall back by itself.
        path: The model's file, for messages.
        provider: As in the settings.
        device: (``cuda``, number) to keep inputs and outputs there during a call; None: not.
        make_value: ``onnxruntime.OrtValue.ortvalue_from_numpy``; needed with ``device``.
    """

    def __init__(
        self,
        session: Any,
        path: Path,
        provider: str,
        device: tuple[str, int] | None = None,
        make_value: Any = None,
    ) -> None:
        self._session = session
        self._device = device
        self._make_value = make_value
        self.path = path
        self.provider = provider
        self.inputs = tuple(_tensor(node) for node in session.get_inputs())
        self.outputs = tuple(_tensor(node) for node in session.get_outputs())

    def expect(self, contract: Contract) -> None:
        """Raise unless the graph keeps to a contract.

        Raises:
            ModelMismatch: Says what was expected and what was found.
        """
        check_contract(contract, self.inputs, self.outputs, str(self.path))

    def warm_up(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Run once on zeros, so that the first real call is as fast as the others.

        Args:
            shapes: The shape of each input by name. Each new shape is new work for a GPU, so warm
                up with each one that will come.

        Raises:
            WrongFeed, OutOfMemory, ModelFailed: See ``run``.
        """
        dtypes = {tensor.name: tensor.dtype for tensor in self.inputs}
        self.run(
            {
                name: np.zeros(tuple(shape), np.dtype(dtypes.get(name, "float32")))
                for name, shape in shapes.items()
            }
        )

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """All outputs, in the graph's order.

        Args:
            feeds: All inputs by name.

        Raises:
            WrongFeed: An input is missing, unknown, or has another shape or type.
            OutOfMemory: There is not enough memory, of the GPU or of the machine.
            ModelFailed: onnxruntime gave up; says with which words.
        """
        try:
            if self._device is not None:
                return self._run_on_device(feeds, self._device)
            return list(self._session.run(None, dict(feeds)))
        except Exception as error:
            raise self._explained(error, feeds) from error

    def _run_on_device(self, feeds: Mapping[str, Array], device: tuple[str, int]) -> list[Array]:
        # A binding belongs to one call: shared ones would mix up the threads.
        binding = self._session.io_binding()
        for name, array in feeds.items():
            value = self._make_value(np.ascontiguousarray(array), *device)
            binding.bind_ortvalue_input(name, value)
        for tensor in self.outputs:
            binding.bind_output(tensor.name, *device)
        self._session.run_with_iobinding(binding)
        return list(binding.copy_outputs_to_cpu())

    def _explained(self, error: Exception, feeds: Mapping[str, Array]) -> AvatarServerError:
        if is_out_of_memory(error):
            return OutOfMemory(
                f"There is not enough memory to run {self.path.name} on {self.provider}: "
                f"{first_line(error)}.",
                "Lower pipeline.batch_size, or the size of the faces, or stop what else uses it.",
                retry_after=5.0,
            )
        if not _fits(self.inputs, feeds):
            given = ", ".join(
                f"{name} {array.dtype}{list(array.shape)}" for name, array in feeds.items()
            )
            takes = ", ".join(str(tensor) for tensor in self.inputs)
            return WrongFeed(f"{self.path.name} takes {takes}; it was given {given or 'nothing'}.")
        return ModelFailed(f"{self.path.name} failed on {self.provider}: {first_line(error)}.")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of onnxruntime means that memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(word in text for word in _MEMORY_WORDS)


def first_line(error: BaseException) -> str:
    """The part of an error's text that a person may want to read."""
    lines = str(error).strip().splitlines()
    text = _NOISE.sub("", lines[0]) if lines else type(error).__name__
    return text[:400].rstrip(". ")


def _fits(inputs: Sequence[Tensor], feeds: Mapping[str, Array]) -> bool:
    return set(feeds) == {tensor.name for tensor in inputs} and all(
        str(feeds[tensor.name].dtype) == tensor.dtype
        and len(tensor.shape) == feeds[tensor.name].ndim
        and all(
            not isinstance(dim, int) or dim == size
            for dim, size in zip(tensor.shape, feeds[tensor.name].shape, strict=True)
        )
        for tensor in inputs
    )


def _tensor(node: Any) -> Tensor:
    dtype = _DTYPES.get(node.type) or node.type.removeprefix("tensor(").removesuffix(")")
    return Tensor(node.name, tuple(node.shape), dtype)
