"""Runs ``remove_object``: select, grow, fill, write."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import MissingDependency
from engine.pipeline.frame import Image
from processors.generate.declaration import Context, Inputs, Result, Services, several
from processors.generate.diffusion.libraries import reproducible, resolve_device
from processors.generate.ladder import FIRST_RUNG, Rung, climb
from processors.generate.lama.filling import filled
from processors.generate.lama.loading import LamaFile, LamaModel, find_lama, load_lama
from processors.generate.lama.masks import Mask, MaskUnusable, grown, read_mask
from processors.generate.picture_files import Picture, read_picture, write_grey, write_png
from processors.generate.remove_object import RemoveParameters, removing_bytes
from processors.generate.segmenting.loading import load_segment_model
from processors.generate.segmenting.prompts import Prompt, prompts_of
from processors.generate.segmenting.segmenter import Load, Segmenter
from processors.models.memory import ModelSpec

_LEAST_SIDE = 256


@dataclass(frozen=True, slots=True)
class _Way:
    device: str
    longest: int


@dataclass(frozen=True, slots=True)
class _Filled:
    """A picture without what a mask shows.

    Attributes:
        colour: ``uint8[h, w, 3]``, BGR.
        regions: How many parts of the picture were computed.
    """

    colour: Image
    regions: int


class RemoveRunner:
    """Implements ``remove_object``.

    Args:
        services: Where models and memory are.
        load: Makes LaMa of its file.
        load_segmenter: Makes what finds objects.
    """

    def __init__(
        self,
        services: Services,
        load: Callable[[LamaFile, Services], LamaModel] = load_lama,
        load_segmenter: Load = load_segment_model,
    ) -> None:
        self._services = services
        self._load = load
        self._load_segmenter = load_segmenter
        self._segmenter: Segmenter | None = None

    def run(self, params: RemoveParameters, inputs: Inputs, context: Context) -> Result:
        """Remove and write; see ``remove_object.REMOVE_OBJECT``.

        Raises:
            MaskUnusable: Nothing says what is to be removed, or a mask does not fit.
            InvalidInput, NotFound: See ``find_lama``, ``load_lama`` and ``Segmenter.segment``.
        """
        context.progress(0.0, "Reading the picture")
        file = find_lama(params.model, self._services)
        picture = read_picture(inputs["image"])
        height, width = picture.colour.shape[:2]
        masks = [read_mask(path, height, width) for path in several(inputs, "mask")]
        prompts = prompts_of(params.points, params.boxes)
        if not masks and not prompts:
            raise MaskUnusable(
                "Nothing says what is to be removed.", "Give a mask, points (x,y) or boxes."
            )
        if file.runs_code:
            context.log(f"{file.path.name} is TorchScript, which is code; its hash is not known.")
        values: dict[str, Any] = {}
        began = 0.05
        if prompts:
            found, scores = self._selected(params, inputs["image"], prompts, context)
            masks += found
            values["scores"] = scores
            began = 0.4
        if params.combine:
            masks = [np.logical_or.reduce(masks)]
        masks = [_ready(mask, params.grow) for mask in masks]
        made, rung = self._fill(params, file, picture, masks, context, began)
        context.progress(0.97, "Writing the files")
        files = _write(picture, made, masks, context)
        values |= {
            "removed": [int(np.count_nonzero(mask)) for mask in masks],
            "regions": [one.regions for one in made],
            "rung": rung,
        }
        context.progress(1.0, "Done")
        return Result(files, values)

    def _selected(
        self, params: RemoveParameters, path: Path, prompts: Sequence[Prompt], context: Context
    ) -> tuple[list[Mask], list[float]]:
        if self._segmenter is None:
            self._segmenter = Segmenter(self._services, self._load_segmenter)
        found = self._segmenter.segment(
            params.segment_model,
            path,
            prompts,
            1,
            context,
            lambda share, message: context.progress(0.05 + share * 0.35, message),
        )
        for one in found.objects:
            if not one.masks[0].any():
                raise MaskUnusable(
                    f"Nothing was found where object {one.number} should be.",
                    "Click in its middle, or draw a box around it.",
                )
        masks = [one.masks[0] for one in found.objects]
        return masks, [round(one.scores[0], 4) for one in found.objects]

    def _fill(
        self,
        params: RemoveParameters,
        file: LamaFile,
        picture: Picture,
        masks: Sequence[Mask],
        context: Context,
        began: float,
    ) -> tuple[list[_Filled], str]:
        torch = _torch()
        device = resolve_device(torch, context.place.device)
        feather = min(params.feather, params.grow)
        wanted = ModelSpec(
            f"remove_object/{file.model}|{file.state}",
            file.bytes,
            lambda: self._load(file, self._services),
        )

        def attempt(rung: Rung[_Way]) -> list[_Filled]:
            way = rung.settings
            context.progress(began, "Loading the model")
            made = []
            with (
                reproducible(torch, context.place.threads),
                self._services.memory.use(
                    wanted, way.device, removing_bytes(way.longest), context
                ) as model,
            ):
                for number, mask in enumerate(masks):

                    def step(share: float, so_far: Image, number: int = number) -> None:
                        done = (number + share) / len(masks)
                        context.progress(began + done * (0.97 - began), "Filling")
                        if context.wants_preview():
                            context.preview(so_far)

                    made.append(
                        _Filled(*filled(picture.colour, mask, feather, way.longest, model, step))
                    )
            return made

        made, rung = climb(_rungs(device, params.longest), attempt, self._services.memory, context)
        return made, rung.name


def _rungs(device: str, longest: int) -> list[Rung[_Way]]:
    rungs = [Rung(FIRST_RUNG, _Way(device, longest))]
    if longest // 2 >= _LEAST_SIDE:
        rungs.append(Rung("half_resolution", _Way(device, longest // 2)))
    if device != "cpu":
        rungs.append(Rung("cpu", _Way("cpu", longest)))
    return rungs


def _ready(mask: Mask, grow: int) -> Mask:
    found = grown(mask, grow)
    if found.all():
        raise MaskUnusable(
            "The mask covers the whole picture: nothing is left to fill it from.",
            "Make it smaller, or set grow to less.",
        )
    return found


def _write(
    picture: Picture, made: Sequence[_Filled], masks: Sequence[Mask], context: Context
) -> dict[str, tuple[Path, ...]]:
    pictures, shown = [], []
    for number, (one, mask) in enumerate(zip(made, masks, strict=True), 1):
        end = "" if number == 1 else f"-{number}"
        path, mask_path = context.folder / f"picture{end}.png", context.folder / f"mask{end}.png"
        write_png(path, Picture(one.colour, picture.alpha, picture.profile))
        write_grey(mask_path, mask.astype(np.uint8) * 255)
        context.check()
        pictures.append(path)
        shown.append(mask_path)
    return {"pictures": tuple(pictures), "masks": tuple(shown)}


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingDependency(
            "Removing objects needs torch.", "Run: pip install -r requirements-ai.txt"
        ) from error
    return torch
