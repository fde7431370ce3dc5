"""Runs ``text_to_image``."""

import os
from typing import Any

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
    Size,
    named,
    read_answer,
    scaled,
    within,
    write_pictures,
)
from processors.generate.diffusion.rungs import Way, ladder
from processors.generate.external import ExternalImages, nearest_size
from processors.generate.ladder import Rung, climb
from processors.generate.resizing import covering, resized
from processors.generate.text_to_image import TextToImageParameters


class TextToImage:
    """Implements ``text_to_image``.

    Args:
        services: Where models, memory and settings are.
        libraries: torch and the others.
    """

    def __init__(self, services: Services, libraries: Libraries) -> None:
        self._settings = services.generate
        self._libraries = libraries
        self._painter = Painter(services, libraries, "text_to_image")
        self._writer = PromptWriter(services, libraries)

    def run(self, params: TextToImageParameters, inputs: Inputs, context: Context) -> Result:
        """Paint; see ``text_to_image.TEXT_TO_IMAGE``.

        Raises:
            PromptRejected: The settings forbid the prompt.
            ModelNotFound, ModelUnusable, WrongModel: The model cannot be used.
            OutOfMemory, NotANumber, ExternalFailed: It cannot be painted.
        """
        with reproducible(self._libraries.torch, context.place.threads):
            prompt = self._writer.write(params.prompt, params.magic_prompt, context)
            plan = self._painter.plan(params, params.model, params.base, context)
            tell_slow(plan, context)
            job = _Job(params, prompt, plan)
            rungs = ladder(
                self._painter.memory.settings,
                plan.device != "cpu",
                self._painter.has(self._settings.smaller_text_to_image),
                bool(self._settings.external.url),
            )

            def attempt(rung: Rung[Way]) -> tuple[list[Picture], dict[str, Any]]:
                return self._paint(job, rung.settings, context)

            (pictures, values), rung = climb(rungs, attempt, self._painter.memory, context)
        files = write_pictures(pictures, context.folder)
        context.progress(1.0, "Done")
        values |= {"rung": rung.name, "prompt": prompt, "seeds": list(job.seeds)}
        return Result({"pictures": files}, values)

    def _paint(
        self, job: "_Job", way: Way, context: Context
    ) -> tuple[list[Picture], dict[str, Any]]:
        if way.model == "external":
            return self._ask(job, context)
        plan, size = job.plan, job.size
        if way.model == "smaller":
            plan = self._painter.plan(job.params, self._settings.smaller_text_to_image, "", context)
            size = within(size, plan.wanted.checkpoint.side)
        if way.half:
            size = scaled(size, 0.5)
        pictures = self._diffuse(job, plan, way, size, context)
        if size != job.size:
            context.log(f"Painted at {named(size)} and enlarged to {named(job.size)}.")
            pictures = [resized(picture, job.size) for picture in pictures]
        return pictures, {**plan.values(), "size": named(job.size), "made_at": named(size)}

    def _diffuse(
        self, job: "_Job", plan: Plan, way: Way, size: Size, context: Context
    ) -> list[Picture]:
        at_once = min(job.params.at_once, len(job.seeds))
        at_once = min(at_once, self._painter.memory.settings.batch or at_once)
        batches = [
            job.seeds[first : first + at_once] for first in range(0, len(job.seeds), at_once)
        ]
        pictures: list[Picture] = []
        with self._painter.pipeline(plan, way, size[0] * size[1], at_once, context) as pipe:
            log_cut_prompt(pipe, job.prompt, context)
            progress = Progress(context, plan.steps * len(batches), len(job.seeds))
            for seeds in batches:
                title = f"Picture {len(pictures) + 1}, " if len(batches) > 1 else ""
                call = {
                    "prompt": [job.prompt] * len(seeds),
                    "negative_prompt": [job.params.negative_prompt] * len(seeds),
                    "width": size[0],
                    "height": size[1],
                }
                latents = self._painter.denoise(pipe, plan, seeds, progress, context, call, title)
                pictures += self._painter.decode(pipe, latents, progress, context)
        return pictures

    def _ask(self, job: "_Job", context: Context) -> tuple[list[Picture], dict[str, Any]]:
        asked = ExternalImages(self._settings.external, os.environ)
        size = nearest_size(*job.size)
        pictures = []
        for number in range(len(job.seeds)):
            context.progress(number / len(job.seeds), "Waiting for the external server")
            picture = read_answer(asked.generate(job.prompt, size, context.check))
            pictures.append(covering(picture, job.size))
        values = {"model": self._settings.external.model, "size": named(job.size)}
        return pictures, {**values, "made_at": named(size)}


class _Job:
    """What does not change from rung to rung."""

    def __init__(self, params: TextToImageParameters, prompt: str, plan: Plan) -> None:
        self.params = params
        self.prompt = prompt
        self.plan = plan
        base = plan.wanted.base or plan.wanted.checkpoint
        self.size = (params.width or base.side, params.height or base.side)
        first = params.seed
        assert first is not None
        self.seeds = tuple((first + number) % 2**32 for number in range(params.count))
