"""What a face swap does at present, exchanged as a whole between two batches."""

from dataclasses import dataclass

from processors.swap.backend import SourceFace
from processors.swap.casting import Rules
from processors.swap.marking import Mark
from processors.swap.masks import Look


@dataclass(frozen=True, slots=True, eq=False)
class SwapPlan:
    """Who is put in, and how it looks.

    Attributes:
        sources: The faces that are put in, in order; with embeddings where the model needs them.
        rules: Who is swapped, and who gets which face.
        look: How they are put in.
        mark: Drawn into every picture; None for no mark.
        enhance_strength: How much of the enhancement is shown, 0..1.
    """

    sources: tuple[SourceFace, ...]
    rules: Rules
    look: Look
    mark: Mark | None
    enhance_strength: float
