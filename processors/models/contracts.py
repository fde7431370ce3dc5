"""What goes into the known models and what comes out, and whether a graph keeps to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

from engine.errors import InvalidInput

Dim = int | str | None
"""Of a graph: a number, or the name of a free dimension, or None for a free one without name."""

Expected = int | None
"""Of a contract: a number, or None for any."""


class ModelMismatch(InvalidInput):
    """A graph has other inputs or outputs than it should."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a graph.

    Attributes:
        name: Its name in the graph.
        shape: See ``Dim``.
        dtype: numpy's name of the type of its elements, e.g. ``float32``.
    """

    name: str
    shape: tuple[Dim, ...]
    dtype: str = "float32"

    def __str__(self) -> str:
        sizes = ", ".join("?" if dim is None else str(dim) for dim in self.shape)
        return f"{self.name or 'any name'} {self.dtype}[{sizes}]"


@dataclass(frozen=True, slots=True)
class Slot:
    """What an input or output must be.

    Attributes:
        shape: A free dimension of the graph fits any number; a leading ``...`` stands for any
            dimensions.
        name: The name that it must have; "" for any, at this place.
        dtype: See ``Tensor``.
    """

    shape: tuple[Expected | EllipsisType, ...]
    name: str = ""
    dtype: str = "float32"

    def fits(self, tensor: Tensor) -> bool:
        """Whether a tensor of a graph is what it must be."""
        wanted, shape = self.shape, tensor.shape
        if wanted[:1] == (...,):
            wanted = wanted[1:]
            shape = shape[len(shape) - len(wanted) :] if len(shape) >= len(wanted) else ()
        return (
            self.name in ("", tensor.name)
            and self.dtype == tensor.dtype
            and len(wanted) == len(shape)
            and all(
                want is None or not isinstance(dim, int) or want == dim
                for want, dim in zip(wanted, shape, strict=True)
            )
        )

    def __str__(self) -> str:
        sizes = ", ".join("?" if dim is None else str(dim) for dim in self.shape)
        return f"{self.name or 'any name'} {self.dtype}[{sizes.replace('Ellipsis', '...')}]"


@dataclass(frozen=True, slots=True)
class Contract:
    """Inputs and outputs of a kind of model.

    Attributes:
        inputs: In any order where they have names, else in this order; there are no others.
        outputs: In this order; the graph may have more behind them.
    """

    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]


def check_contract(
    contract: Contract, inputs: Sequence[Tensor], outputs: Sequence[Tensor], what: str
) -> None:
    """Raise unless a graph keeps to a contract.

    Args:
        contract: What it must have.
        inputs: What it has.
        outputs: What it has.
        what: The model, for the message.

    Raises:
        ModelMismatch: Says what was expected and what was found.
    """
    by_name = {tensor.name: tensor for tensor in inputs}
    taken = [by_name.get(slot.name) if slot.name else None for slot in contract.inputs]
    found = [one or other for one, other in zip(taken, inputs, strict=False)]
    fits = (
        len(inputs) == len(contract.inputs)
        and all(slot.fits(tensor) for slot, tensor in zip(contract.inputs, found, strict=True))
        and len(outputs) >= len(contract.outputs)
        and all(slot.fits(tensor) for slot, tensor in zip(contract.outputs, outputs, strict=False))
    )
    if not fits:
        raise ModelMismatch(
            f"{what} is another kind of model. It has the inputs {_listed(inputs)} and the outputs "
            f"{_listed(outputs)}; expected were {_listed(contract.inputs)} and "
            f"{_listed(contract.outputs)}.",
            "Name another file, or choose the setting that goes with this one.",
        )


def _listed(tensors: Sequence[Tensor | Slot]) -> str:
    return ", ".join(str(tensor) for tensor in tensors) or "none"


def _image(size: int, batch: Expected = None, name: str = "") -> Slot:
    return Slot((batch, 3, size, size), name)


CONTRACTS: dict[str, Contract] = {
    # Strides 8, 16, 32 each: class and object scores, boxes, landmarks.
    "yunet": Contract(
        (Slot((None, 3, None, None)),),
        tuple(Slot((..., width)) for width in (1, 1, 1, 1, 1, 1, 4, 4, 4, 10, 10, 10)),
    ),
    # Strides 8, 16, 32 each: scores, distances of the box's sides, landmarks.
    "scrfd": Contract(
        (Slot((None, 3, None, None)),),
        tuple(Slot((..., width)) for width in (1, 1, 1, 4, 4, 4, 10, 10, 10)),
    ),
    "landmarks_106": Contract((_image(192),), (Slot((None, 212)),)),
    "arcface": Contract((_image(112),), (Slot((None, 512)),)),
    "genderage": Contract((_image(96),), (Slot((None, 3)),)),
    "sface": Contract((_image(112),), (Slot((None, 128)),)),
    "inswapper": Contract(
        (_image(128, name="target"), Slot((None, 512), "source")), (_image(128),)
    ),
    "ghost": Contract((_image(256, name="target"), Slot((None, 512), "source")), (_image(256),)),
    "gfpgan": Contract((_image(512),), (_image(512),)),
    # Height and width before the colours.
    "xseg": Contract((Slot((None, 256, 256, 3)),), (Slot((None, 256, 256, 1)),)),
    "modnet": Contract((Slot((None, 3, None, None)),), (Slot((None, 1, None, None)),)),
}
"""The contracts that the catalogue names."""
