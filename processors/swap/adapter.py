"""Swap models: an aligned crop and an embedding in, an aligned crop out.

They differ in size, alignment, scaling and what they want of the embedding; ``SwapSpec`` says so.
The names and the batch size are read from the model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from engine.errors import InvalidInput
from engine.pipeline.frame import Image
from processors.faces.align import Transform, arcface_template
from processors.faces.face import Embedding
from processors.faces.model import Model
from processors.models.contracts import ModelMismatch
from processors.swap.backend import Patch, Remembered, SourceFace, SwapBackend, SwapJob
from processors.swap.geometry import cut, fitted
from processors.swap.tiles import Floats, from_tiles, to_tiles

Latent = npt.NDArray[np.float32]
"""What a model takes for who is put in: ``float32[n]``."""


class NoEmbedding(InvalidInput):
    """A source face that nobody recognised yet."""


@dataclass(frozen=True, slots=True)
class SwapSpec:
    """What a swap model expects and gives.

    Attributes:
        name: As in the settings.
        size: Side of its crops.
        template: ``arcface_112``: cut as ArcFace's crops are; ``arcface_128``: with
            insightface's margins at both sides.
        mean: Of red, green and blue in units of 255; the input is ``(rgb / 255 - mean) / std``.
        std: See ``mean``.
        output_mean: The output is ``(rgb / 255 - output_mean) / output_std``.
        output_std: See ``output_mean``.
        unit: The latent is brought to length 1.
    """

    name: str
    size: int
    template: Literal["arcface_112", "arcface_128"]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    output_mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    output_std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    unit: bool = True

    def landmarks(self, boost: int = 1) -> npt.NDArray[np.float64]:
        """Where the five landmarks are in a crop ``boost`` times the model's: ``[5, 2]``."""
        base = 112 if self.template == "arcface_112" else 128
        return arcface_template(base) * (self.size * boost / base)


GHOST_256 = SwapSpec(
    name="ghost_256",
    size=256,
    template="arcface_112",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    output_mean=(0.5, 0.5, 0.5),
    output_std=(0.5, 0.5, 0.5),
    unit=False,
)
"""The GHOST generators (Groshev et al., "GHOST - A New Face Swap Approach for Image and Video
Domains", IEEE Access 2022): -1..1 in and out. They were trained on the embeddings of an ArcFace
network of their own, so ``convert`` must bring other embeddings there."""


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """All faces of a batch, cut out for the model.

    Attributes:
        transforms: From the picture to the crop, one for each face.
        targets: ``uint8[size * boost, size * boost, 3]``, BGR.
        tiles: ``float32[faces * boost * boost, 3, size, size]``: the model's input.
        latents: ``float32[faces, length]``: who is put in.
    """

    transforms: list[Transform]
    targets: list[Image]
    tiles: Floats
    latents: Latent


class ModelSwap(SwapBackend):
    """Runs a swap model on all faces of a batch in one call, where the model leaves its batch open.

    A model with a fixed batch is called as often as that takes; ``calls`` counts.

    Args:
        model: What runs it: one input ``[n, 3, size, size]``, one ``[n, length]``.
        spec: What it expects.
        boost: The crop is this many times as large, see ``processors.swap.tiles``.
        convert: Brings an embedding to the space that the model was trained with.
        most_tiles: Largest batch for one call, to bound the memory; None: everything at once.

    Raises:
        ModelMismatch: The model has other inputs or outputs.
    """

    def __init__(
        self,
        model: Model,
        spec: SwapSpec,
        boost: int = 1,
        convert: Callable[[Embedding], Latent] | None = None,
        most_tiles: int | None = None,
    ) -> None:
        self.name = spec.name
        self.calls = 0
        self._model = model
        self._spec = spec
        self._boost = boost
        self._convert = convert
        self._picture, self._latent = _inputs(model, spec)
        self._fixed, self._most = _batch(model), most_tiles
        self._template = spec.landmarks(boost)
        self._latents: Remembered[SourceFace, Latent] = Remembered(self._latent_of)

    def prepare(self, jobs: Sequence[SwapJob]) -> Crops:
        """The crops of all faces.

        Raises:
            NoEmbedding: A source face has none.
        """
        side = self._spec.size * self._boost
        transforms = [fitted(job.face.landmarks, self._template) for job in jobs]
        targets = [
            cut(job.image, transform, side) for job, transform in zip(jobs, transforms, strict=True)
        ]
        latents = np.stack([self._latents(job.source) for job in jobs])
        tiles = to_tiles(targets, self._boost, self._spec.mean, self._spec.std)
        return Crops(transforms, targets, tiles, latents)

    def run(self, prepared: Crops) -> tuple[Crops, Floats]:
        """The model itself: the crops, and what it made of their tiles."""
        latents = np.repeat(prepared.latents, self._boost**2, axis=0)
        return prepared, self._run_tiles(prepared.tiles, latents)

    def patches(self, made: tuple[Crops, Floats]) -> list[Patch]:
        """See ``SwapBackend``."""
        crops, tiles = made
        new = from_tiles(tiles, self._boost, self._spec.output_mean, self._spec.output_std)
        return [
            Patch(crop, target, transform)
            for crop, target, transform in zip(new, crops.targets, crops.transforms, strict=True)
        ]

    def close(self) -> None:
        """Forget the sources; the model belongs to whoever made it."""
        self._latents.clear()

    def _run_tiles(self, tiles: Floats, latents: Latent) -> npt.NDArray[Any]:
        step = self._fixed or self._most or len(tiles)
        parts = []
        for start in range(0, len(tiles), step):
            feeds = {
                self._picture: tiles[start : start + step],
                self._latent: latents[start : start + step],
            }
            count = len(feeds[self._picture])
            if self._fixed and count < step:
                feeds = {
                    name: np.concatenate([part, np.repeat(part[-1:], step - count, axis=0)])
                    for name, part in feeds.items()
                }
            self.calls += 1
            parts.append(self._model.run(feeds)[0][:count])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _latent_of(self, source: SourceFace) -> Latent:
        embedding = source.face.embedding
        if embedding is None:
            raise NoEmbedding(
                f"The source face has no embedding, which {self.name} needs.",
                "Load a recognition model (models list), or use the backend warp.",
            )
        latent = embedding if self._convert is None else self._convert(embedding)
        latent = np.asarray(latent, np.float32).reshape(-1)
        if self._spec.unit:
            latent = latent / max(float(np.linalg.norm(latent)), 1e-12)
        return latent.astype(np.float32)


def _inputs(model: Model, spec: SwapSpec) -> tuple[str, str]:
    """The names of the picture's and the latent's input."""
    pictures = [tensor for tensor in model.inputs if len(tensor.shape) == 4]
    latents = [tensor for tensor in model.inputs if len(tensor.shape) == 2]
    outputs = [tensor for tensor in model.outputs if len(tensor.shape) == 4]
    sides = {side for one in pictures for side in one.shape[2:] if isinstance(side, int)}
    if (
        len(model.inputs) != 2
        or len(pictures) != 1
        or len(latents) != 1
        or not outputs
        or model.outputs[0] is not outputs[0]
        or sides - {spec.size}
    ):
        found = ", ".join(f"{one.name} {list(one.shape)}" for one in model.inputs)
        raise ModelMismatch(
            f"The model given as {spec.name} takes {found or 'nothing'}; a picture "
            f"[n, 3, {spec.size}, {spec.size}] and an embedding [n, length] were expected.",
            f"Give the file of a model of the kind {spec.name}.",
        )
    return pictures[0].name, latents[0].name


def _batch(model: Model) -> int | None:
    """The batch that the graph fixes; None where it is open."""
    sizes = {one.shape[0] for one in model.inputs if isinstance(one.shape[0], int)}
    return min(sizes) if sizes and min(sizes) > 0 else None
