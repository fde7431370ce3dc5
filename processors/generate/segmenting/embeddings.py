"""Embedded pictures of the last jobs, so that a further click on one of them is quick."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MOST_BYTES = 256_000_000
"""Some 15 pictures of SAM 2 (17 MB each), or 60 of Segment Anything."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """What a model makes of a picture, whatever is asked of it.

    Attributes:
        features: Tensors on the CPU.
        height: Of the picture.
        width: Likewise.
    """

    features: "tuple[torch.Tensor, ...]"
    height: int
    width: int

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        return sum(feature.nbytes for feature in self.features)


Key = tuple[str, ...]
"""Hash of the picture, and whatever tells the model and the way that it ran from others."""


class EmbeddingCache:
    """Keeps embeddings, the one that was used longest ago goes first. For one thread.

    Args:
        most_bytes: Of all together; one that is larger is not kept.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Key, Embedding] = OrderedDict()

    def get(self, key: Key) -> Embedding | None:
        """Return an embedding if it is there."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Key, embedding: Embedding) -> None:
        """Keep an embedding."""
        self._kept[key] = embedding
        self._kept.move_to_end(key)
        while self.bytes > self._most_bytes:
            self._kept.popitem(last=False)

    @property
    def bytes(self) -> int:
        """What all of them take in memory."""
        return sum(embedding.bytes for embedding in self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)
