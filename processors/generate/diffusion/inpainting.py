"""Runs ``inpaint``."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import InvalidInput
from processors.generate.declaration import Context, Inputs, Result, Services
from processors.generate.diffusion.decoding import Picture
from processors.generate.diffusion.libraries import Libraries, reproducible
from processors.generate.diffusion.magic import PromptWriter
from processors.generate.diffusion.painter import (
    Painter,
    Plan,
    Progress,
    log_cut_prompt,
    tell_slow,
)
from processors.generate.diffusion.pictures import (
    Canvas,
    Mask,
    Region,
    canvas_for,
    canvas_within,
    named,
    paste,
    png,
    read_answer,
    read_mask,
    read_picture,
    region_around,
    write_pictures,
)
from processors.generate.diffusion.rungs import Way, ladder
from processors.generate.external import ExternalImages, nearest_size
from processors.generate.inpaint import InpaintParameters
from processors.generate.ladder import Rung, climb
from processors.generate.resizing import covering

_TRAINED_CHANNELS = 9


class TooFewSteps(InvalidInput):
    """At this strength, no step of denoising is left."""


@dataclass(frozen=True, slots=True)
class _Job:
    """What does not change from rung to rung."""

    params: InpaintParameters
    prompt: str
    plan: Plan
    picture: Picture
    mask: Mask
    seeds: tuple[int, ...]

    def region(self, least: int) -> Region:
        """Return what a model works on that was trained with pictures of this side."""
        if self.params.region == "mask":
            return region_around(self.mask, self.params.margin, least)
        height, width = self.mask.shape
        return Region(0, 0, width, height)

    def pasted(self, painted: Picture, canvas: Canvas, region: Region) -> Picture:
        """Return the whole picture with what was painted on a canvas."""
        part = canvas.take(painted, region)
        return paste(self.picture, part, self.mask, region, self.params.feather)


class Inpainting:
    """Implements ``inpaint``.

    Args:
        services: Where models, memory and settings are.
        libraries: torch and the others.
    """

    def __init__(self, services: Services, libraries: Libraries) -> None:
        self._settings = services.generate
        self._libraries = libraries
        self._painter = Painter(services, libraries, "inpaint")
        self._writer = PromptWriter(services, libraries)

    def run(self, params: InpaintParameters, inputs: Inputs, context: Context) -> Result:
        """Paint; see ``inpaint.INPAINT``.

        Raises:
            PromptRejected: The settings forbid the prompt.
            EmptyMask, PictureError: The pictures cannot be used.
            TooFewSteps: The strength leaves nothing to do.
            ModelNotFound, ModelUnusable, WrongModel: The model cannot be used.
            OutOfMemory, NotANumber, ExternalFailed: It cannot be painted.
        """
        with reproducible(self._libraries.torch, context.place.threads):
            job = self._job(params, inputs, context)
            rungs = ladder(
                self._painter.memory.settings,
                job.plan.device != "cpu",
                self._painter.has(self._settings.smaller_inpaint),
                bool(self._settings.external.url),
            )

            def attempt(rung: Rung[Way]) -> tuple[list[Picture], dict[str, Any]]:
                return self._paint(job, rung.settings, context)

            (pictures, values), rung = climb(rungs, attempt, self._painter.memory, context)
        files = write_pictures(pictures, context.folder)
        context.progress(1.0, "Done")
        values |= {"rung": rung.name, "seeds": list(job.seeds)}
        return Result({"pictures": files}, values)

    def _job(self, params: InpaintParameters, inputs: Inputs, context: Context) -> _Job:
        prompt = self._writer.write(params.prompt, "off", context)
        picture = read_picture(inputs["image"])
        size = (picture.shape[1], picture.shape[0])
        mask = read_mask(inputs["mask"], size, params.grow)
        plan = self._painter.plan(params, params.model, params.base, context)
        if _steps(plan, params) < 1:
            raise TooFewSteps(
                f"With {plan.steps} steps, a strength of {params.strength:g} leaves none.",
                f"Take a strength of at least {1 / plan.steps:.2g}, or more steps.",
            )
        if plan.wanted.checkpoint.channels != _TRAINED_CHANNELS:
            context.log(f"The model '{params.model}' was not made for inpainting: edges may show.")
        tell_slow(plan, context)
        first = params.seed
        assert first is not None
        seeds = tuple((first + number) % 2**32 for number in range(params.count))
        return _Job(params, prompt, plan, picture, mask, seeds)

    def _paint(self, job: _Job, way: Way, context: Context) -> tuple[list[Picture], dict[str, Any]]:
        if way.model == "external":
            return self._ask(job, context)
        plan = job.plan
        if way.model == "smaller":
            plan = self._painter.plan(job.params, self._settings.smaller_inpaint, "", context)
        side = (plan.wanted.base or plan.wanted.checkpoint).side
        region = job.region(side)
        canvas = canvas_for(region, side * side // (4 if way.half else 1))
        if way.half:
            context.log(f"Painted at {named((canvas.width, canvas.height))} and enlarged.")
        painted = self._diffuse(job, plan, way, region, canvas, context)
        values = {**plan.values(), "made_at": named((canvas.width, canvas.height))}
        return [job.pasted(part, canvas, region) for part in painted], values

    def _diffuse(
        self, job: _Job, plan: Plan, way: Way, region: Region, canvas: Canvas, context: Context
    ) -> list[Picture]:
        torch = self._libraries.torch
        # uint8[h, w, 3] and uint8[h, w] to float32[1, channels, h, w] in 0 to 1.
        image = torch.from_numpy(canvas.put(job.picture[region.slices]))
        white = torch.from_numpy(canvas.put_mask(job.mask[region.slices]))
        call = {
            "prompt": job.prompt,
            "negative_prompt": job.params.negative_prompt,
            "image": image.permute(2, 0, 1)[None].float() / 255,
            "mask_image": white[None, None].float() / 255,
            "strength": job.params.strength,
            "width": canvas.width,
            "height": canvas.height,
        }
        pictures: list[Picture] = []
        with self._painter.pipeline(plan, way, canvas.width * canvas.height, 1, context) as pipe:
            log_cut_prompt(pipe, job.prompt, context)
            total = _steps(plan, job.params) * len(job.seeds)
            progress = Progress(context, total, len(job.seeds))
            for number, seed in enumerate(job.seeds, 1):
                title = f"Picture {number}, " if len(job.seeds) > 1 else ""
                latents = self._painter.denoise(pipe, plan, (seed,), progress, context, call, title)
                pictures += self._painter.decode(pipe, latents, progress, context)
        return pictures

    def _ask(self, job: _Job, context: Context) -> tuple[list[Picture], dict[str, Any]]:
        settings = self._settings.external
        asked = ExternalImages(settings, os.environ)
        region = job.region(job.plan.wanted.checkpoint.side)
        size = nearest_size(region.width, region.height)
        canvas = canvas_within(region, size)
        image = canvas.put(job.picture[region.slices])
        opaque = 255 - canvas.put_mask(job.mask[region.slices])
        mask = np.dstack([image, opaque])
        pictures = []
        for number in range(len(job.seeds)):
            context.progress(number / len(job.seeds), "Waiting for the external server")
            answer = asked.edit(job.prompt, png(image), png(mask), size, context.check)
            painted = covering(read_answer(answer), size)
            pictures.append(job.pasted(painted, canvas, region))
        return pictures, {"model": settings.model, "made_at": named(size)}


def _steps(plan: Plan, params: InpaintParameters) -> int:
    """Return the steps that are run: fewer where the old picture shows through."""
    return min(plan.steps, int(plan.steps * params.strength))
