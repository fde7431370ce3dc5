"""What a way of swapping faces takes and gives."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from engine.pipeline.frame import Image
from processors.faces.align import Transform
from processors.faces.face import Face, Points


@dataclass(frozen=True, slots=True, eq=False)
class SourceFace:
    """Whose face is put in. Make one and keep it: backends remember what they derive from it.

    Attributes:
        image: ``uint8[h, w, 3]``, BGR.
        face: The face in it; models need its embedding.
    """

    image: Image
    face: Face


@dataclass(frozen=True, slots=True, eq=False)
class SwapJob:
    """One face to be swapped.

    Attributes:
        image: ``uint8[h, w, 3]``, BGR; several jobs may name the same picture. Written into.
        face: The face that is replaced.
        source: The face that is put in.
        track: The number under which this face is followed; None where nobody follows it.
    """

    image: Image
    face: Face
    source: SourceFace
    track: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A new face, aligned, ready to be pasted.

    Attributes:
        crop: ``uint8[s, s, 3]``, BGR: the new face.
        target: ``uint8[t, t, 3]``, BGR: the same part of the picture as it was, in any size.
        transform: From the picture to the crop.
        outline: ``float32[n, 2]``: the outline of the face in the crop, where the backend knows
            it already.
        matched: The colours are those of the target already.
    """

    crop: Image
    target: Image
    transform: Transform
    outline: Points | None = None
    matched: bool = False


class SwapBackend(Protocol):
    """A way of swapping faces, in three steps.

    Each step is called from one thread at a time; while one batch is in one step, others may be in
    the other two.

    Attributes:
        name: As in the settings.
    """

    name: str

    def swap(self, jobs: Sequence[SwapJob]) -> list[Patch]:
        """One patch for each job, in the same order; no picture is changed: all three steps.

        Args:
            jobs: All faces of a batch of frames, their landmarks ``usable``.
        """
        return self.patches(self.run(self.prepare(jobs))) if jobs else []

    def prepare(self, jobs: Sequence[SwapJob]) -> Any:
        """What ``run`` needs of the pictures; at least one job."""

    def run(self, prepared: Any) -> Any:
        """The new faces: the costly step."""

    def patches(self, made: Any) -> list[Patch]:
        """The new faces as patches, in the order of the jobs."""

    def close(self) -> None:
        """Release models and memory."""


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """What was computed for the last few keys.

    Args:
        compute: Makes the value for a key.
        most: Values that are kept; the one not asked for the longest goes first.
    """

    def __init__(self, compute: Callable[[Key], Value], most: int = 16) -> None:
        self._compute = compute
        self._most = most
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def __call__(self, key: Key) -> Value:
        """The value, computed at the first call."""
        if key not in self._values:
            self._values[key] = self._compute(key)
            if len(self._values) > self._most:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
