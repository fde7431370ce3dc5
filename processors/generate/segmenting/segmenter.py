"""Segments pictures for jobs: memory, ladder, cached embeddings, progress."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image
from processors.generate.declaration import Context, Services
from processors.generate.diffusion.libraries import reproducible, resolve_device
from processors.generate.ladder import FIRST_RUNG, Rung, climb
from processors.generate.picture_files import read_picture
from processors.generate.segmenting.checkpoints import Checkpoint, find_checkpoint
from processors.generate.segmenting.embeddings import Embedding, EmbeddingCache
from processors.generate.segmenting.loading import import_libraries, load_segment_model
from processors.generate.segmenting.model import SegmentModel
from processors.generate.segmenting.prompts import Prompt, check_within
from processors.generate.segmenting.sizes import working_bytes
from processors.models.files import hash_file
from processors.models.memory import ModelSpec

Load = Callable[[Checkpoint, Services], SegmentModel]
Progress = Callable[[float, str | None], None]
"""Takes the share that is done and what is done now; may raise to end the job."""

_EMBEDDING_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Candidates:
    """What one object may be.

    Attributes:
        number: Of the object.
        masks: Each ``bool[h, w]`` in the picture's size, the surest first.
        scores: How sure each is, 0 to 1.
    """

    number: int
    masks: tuple[npt.NDArray[np.bool_], ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Segmented:
    """The objects of a picture.

    Attributes:
        objects: In the order of their numbers.
        height: Of the picture.
        width: Likewise.
        rung: Name of the ladder's rung that it was computed on.
        cached: Whether the picture had been embedded before.
    """

    objects: tuple[Candidates, ...]
    height: int
    width: int
    rung: str
    cached: bool


@dataclass(frozen=True, slots=True)
class _Way:
    device: str
    half: bool = False


class Segmenter:
    """Finds the objects that prompts mean. For one thread.

    Args:
        services: Where models and memory are.
        load: Makes a model of its files.
        cache: Of embedded pictures; None: one of its own.
    """

    def __init__(
        self,
        services: Services,
        load: Load = load_segment_model,
        cache: EmbeddingCache | None = None,
    ) -> None:
        import_libraries()
        self._services = services
        self._load = load
        self._cache = EmbeddingCache() if cache is None else cache

    def segment(
        self,
        model: str,
        path: Path,
        prompts: Sequence[Prompt],
        most: int,
        context: Context,
        progress: Progress,
    ) -> Segmented:
        """Find objects.

        Args:
            model: Id of a known model, or its folder.
            path: Of the picture.
            prompts: The objects.
            most: Masks for each of them, 1 to 3.
            context: The job's.
            progress: Told how far it is.

        Raises:
            ModelNotFound, ModelDamaged, ModelMismatch, ModelRefused, FolderNotAllowed: The model
                cannot be used.
            BadPicture, OutsidePicture: The picture cannot be read, or a prompt is not within it.
            OutOfMemory: Not even the last rung fits.
        """
        import torch

        checkpoint = find_checkpoint(model, self._services)
        device = resolve_device(torch, context.place.device)
        picture = hash_file(path)

        def attempt(rung: Rung[_Way]) -> tuple[tuple[Candidates, ...], Embedding, bool]:
            way = rung.settings
            key = (picture, checkpoint.state, way.device, rung.name, str(context.place.threads))
            known = self._cache.get(key)
            image = None if known is not None else read_picture(path).colour
            height, width = _size(known, image)
            check_within(prompts, width, height)
            progress(0.0, "Loading the model")
            with (
                reproducible(torch, context.place.threads),
                self._services.memory.use(
                    self._wanted(checkpoint), way.device, working_bytes(model), context
                ) as loaded,
            ):
                embedding = known
                if embedding is None:
                    assert image is not None
                    embedding = _embed(loaded, image, way, progress)
                    self._cache.put(key, embedding)
                found = _answer(loaded, embedding, prompts, most, way, progress)
            return found, embedding, known is not None

        (objects, embedding, cached), rung = climb(
            _rungs(device), attempt, self._services.memory, context
        )
        return Segmented(objects, embedding.height, embedding.width, rung.name, cached)

    def _wanted(self, checkpoint: Checkpoint) -> ModelSpec[SegmentModel]:
        return ModelSpec(
            f"segment/{checkpoint.model}|{checkpoint.state}",
            checkpoint.bytes,
            lambda: self._load(checkpoint, self._services),
        )


def _rungs(device: str) -> list[Rung[_Way]]:
    rungs = [Rung(FIRST_RUNG, _Way(device))]
    if device != "cpu":
        rungs += [Rung("half_precision", _Way(device, half=True)), Rung("cpu", _Way("cpu"))]
    return rungs


def _size(known: Embedding | None, image: Image | None) -> tuple[int, int]:
    if known is not None:
        return known.height, known.width
    assert image is not None
    return image.shape[0], image.shape[1]


def _embed(model: SegmentModel, image: Image, way: _Way, progress: Progress) -> Embedding:
    def step(share: float) -> None:
        progress(share * _EMBEDDING_SHARE, "Looking at the picture")

    return model.embed(image, way.half, step)


def _answer(
    model: SegmentModel,
    embedding: Embedding,
    prompts: Sequence[Prompt],
    most: int,
    way: _Way,
    progress: Progress,
) -> tuple[Candidates, ...]:
    found = []
    for number, prompt in enumerate(prompts):
        share = number / len(prompts)
        progress(_EMBEDDING_SHARE + share * (1 - _EMBEDDING_SHARE), "Selecting")
        several = most > 1 or prompt.ambiguous
        masks, scores = model.masks(embedding, prompt, several, way.half)
        found.append(Candidates(prompt.number, tuple(masks[:most]), tuple(scores[:most])))
    return tuple(found)
