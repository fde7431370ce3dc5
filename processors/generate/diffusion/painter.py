"""Runs pipelines: chooses how, makes room, reports steps, decodes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.generate.declaration import Context, Services
from processors.generate.diffusion.checkpoint import NEEDED, Checkpoint, read_checkpoint
from processors.generate.diffusion.decoding import Picture, check_latents, decode
from processors.generate.diffusion.libraries import Libraries, resolve_device
from processors.generate.diffusion.loading import (
    Storage,
    Task,
    Wanted,
    check_fits,
    load_pipeline,
)
from processors.generate.diffusion.parameters import (
    DiffusionParameters,
    needed_models,
    working_bytes,
)
from processors.generate.diffusion.previews import preview
from processors.generate.diffusion.rungs import Way
from processors.generate.diffusion.schedulers import make_scheduler, scheduler_name
from processors.generate.model_folders import model_folder
from processors.models.memory import ModelMemory, ModelSpec

_STEPS, _GUIDANCE = {"sdxl": 30, "sd15": 30}, {"sdxl": 5.0, "sd15": 7.5}
_SLICED_SHARE, _TILED_SHARE = 0.6, 0.25
_DTYPES = {"fp16": "float16", "bf16": "bfloat16"}
_STORAGE: Mapping[str, Storage] = {"fp8": "fp8", "int8": "int8"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run, with all that was left to the model decided.

    Attributes:
        wanted: The pipeline.
        device: ``cpu`` or ``cuda:N``.
        steps: Of the whole schedule.
        guidance: Weight of the prompt; at most 1: none.
        scheduler: Name of the sampler.
    """

    wanted: Wanted
    device: str
    steps: int
    guidance: float
    scheduler: str

    def values(self) -> dict[str, Any]:
        """Return what to tell of it with the result."""
        return {
            "model": self.wanted.checkpoint.model,
            "steps": self.steps,
            "guidance": self.guidance,
            "scheduler": self.scheduler,
            "dtype": self.wanted.dtype,
            "weights": self.wanted.storage or self.wanted.dtype,
            "device": self.device,
        }


class Progress:
    """Shares of a job, counted in steps; decoding a picture counts as one.

    Args:
        context: Of the job.
        total: Steps, as far as they are known.
        pictures: That will be decoded.
    """

    def __init__(self, context: Context, total: int, pictures: int) -> None:
        self._context = context
        self._total = max(1, total) + pictures
        self._done = 0

    def step(self, message: str) -> None:
        """One step is done; raises if the job has to end."""
        self._done = min(self._done + 1, self._total)
        self._context.progress(self._done / self._total * 0.98, message)


class Painter:
    """What the generators by diffusion models share.

    Args:
        services: Where models and memory are.
        libraries: torch and the others.
        task: What pipelines are for.
    """

    def __init__(self, services: Services, libraries: Libraries, task: Task) -> None:
        self.services = services
        self.libraries = libraries
        self.task: Task = task

    @property
    def memory(self) -> ModelMemory:
        """Where models are kept."""
        return self.services.memory

    def plan(self, params: DiffusionParameters, model: str, base: str, context: Context) -> Plan:
        """Look at a model and decide what was left open.

        Raises:
            ModelNotFound, ModelUnusable, WrongModel, FolderNotAllowed: It cannot be used.
            DeviceMissing: There is no such device.
        """
        names = needed_models(model, base)
        checkpoint = self._checkpoint(names[0])
        # A whole model needs none, also under the name of one that is known as a UNet.
        needs = checkpoint.layout == "unet" and len(names) > 1
        behind = self._checkpoint(names[1]) if needs else None
        device = resolve_device(self.libraries.torch, context.place.device)
        how = self.memory.settings.weights
        dtype = "float32" if device == "cpu" else "float16"
        if params.precision != "auto":
            dtype = params.precision
        elif how in _DTYPES:
            dtype = _DTYPES[how]
        wanted = Wanted(self.task, checkpoint, behind, dtype, _STORAGE.get(how, ""))
        check_fits(wanted)
        distilled = checkpoint.lightning_steps
        return Plan(
            wanted,
            device,
            params.steps or distilled or _STEPS[checkpoint.family],
            _guidance(params.guidance, checkpoint),
            scheduler_name(params.scheduler, checkpoint),
        )

    def has(self, model: str) -> bool:
        """Whether a model and its base are there, whole or not."""
        library = self.services.library
        for name in needed_models(model, "") if model else ():
            if name in library.catalog:
                files = library.catalog[name].files
                if any(library.where(file) is None for file in files):
                    return False
            elif not any((folder / name).is_dir() for folder in library.folders):
                return False
        return bool(model)

    @contextmanager
    def pipeline(
        self, plan: Plan, way: Way, pixels: int, at_once: int, context: Context
    ) -> Iterator[Any]:
        """Have a pipeline on its device, made to take as little memory as ``way`` says.

        Args:
            plan: What is run.
            way: How.
            pixels: Of one picture.
            at_once: Pictures in one batch.
            context: Of the job.
        """
        wanted = plan.wanted
        torch = self.libraries.torch
        working = working_bytes(
            wanted.checkpoint.family, pixels, at_once, 4 if wanted.dtype == "float32" else 2
        )
        if way.sliced:
            working = int(working * _SLICED_SHARE)
        if way.tiled:
            working = int(working * _TILED_SHARE)
        spec = ModelSpec(wanted.key, wanted.bytes, lambda: self._load(wanted))
        device = "cpu" if way.offload != "none" else plan.device
        context.progress(0.0, "Loading the model")
        with self.memory.use(spec, device, working, context) as pipe:
            own = pipe.scheduler
            pipe.scheduler = make_scheduler(self.libraries.diffusers, plan.scheduler, own.config)
            try:
                _save_memory(pipe, way, plan.device)
                with torch.no_grad():
                    yield pipe
            finally:
                pipe.scheduler = own
                _restore(pipe, way)

    def denoise(
        self,
        pipe: Any,
        plan: Plan,
        seeds: tuple[int, ...],
        progress: Progress,
        context: Context,
        call: Mapping[str, Any],
        title: str = "",
    ) -> Any:
        """Run a pipeline up to its latents.

        Args:
            pipe: The pipeline.
            plan: What it runs.
            seeds: Of each picture.
            progress: Told of each step.
            context: Shown previews.
            call: What the pipeline takes besides.
            title: Put before the number of the step.

        Returns:
            ``[len(seeds), 4, h, w]``.

        Raises:
            NotANumber: It went wrong.
        """
        torch = self.libraries.torch

        def stepped(_pipe: Any, step: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            # With a strength below 1 there are fewer than ``plan.steps``.
            progress.step(f"{title}Step {step + 1} of {pipe.num_timesteps}")
            if context.wants_preview():
                context.preview(preview(tensors["latents"], plan.wanted.checkpoint.family))
            return {}

        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        latents = pipe(
            num_inference_steps=plan.steps,
            guidance_scale=plan.guidance,
            generator=generators,
            output_type="latent",
            callback_on_step_end=stepped,
            callback_on_step_end_tensor_inputs=["latents"],
            **call,
        ).images
        check_latents(torch, latents, plan.wanted.dtype)
        return latents

    def decode(
        self, pipe: Any, latents: Any, progress: Progress, context: Context
    ) -> list[Picture]:
        """Decode pictures one by one."""
        pictures = []
        for number in range(len(latents)):
            picture, again = decode(self.libraries.torch, pipe, latents[number : number + 1])
            if again:
                context.log("The VAE overflowed; the picture was decoded in float32.")
            pictures.append(picture)
            progress.step("Decoding")
        return pictures

    def _checkpoint(self, model: str) -> Checkpoint:
        return read_checkpoint(self._folder(model), model)

    def _folder(self, model: str) -> Path:
        """Return a model's folder; the hashes of known ones are only checked when it is loaded."""
        library = self.services.library
        if model in library.catalog:
            first = library.where(library.catalog[model].files[0])
            if first is not None:
                return first.parent
        return model_folder(model, self.services, NEEDED)

    def _load(self, wanted: Wanted) -> Any:
        for checkpoint in (wanted.checkpoint, wanted.base):
            if checkpoint is not None and checkpoint.model in self.services.library.catalog:
                self.services.library.paths(checkpoint.model)
        return load_pipeline(self.libraries, wanted)


def tell_slow(plan: Plan, context: Context) -> None:
    """Say in the log that there is no GPU."""
    if plan.device == "cpu":
        context.log("There is no GPU here: it runs on the CPU, which takes minutes for a picture.")


def log_cut_prompt(pipe: Any, prompt: str, context: Context) -> None:
    """Say in the log where a prompt is longer than the model reads."""
    tokenizer = pipe.tokenizer
    longest = tokenizer.model_max_length
    ids = tokenizer(prompt, truncation=False, verbose=False).input_ids
    if len(ids) > longest:
        unseen = tokenizer.decode(ids[longest - 1 : -1])
        context.log(f"The prompt is too long; the model does not see: {unseen.strip()}")


def _guidance(wanted: float | None, checkpoint: Checkpoint) -> float:
    if wanted is not None:
        return wanted
    return 0.0 if checkpoint.lightning_steps else _GUIDANCE[checkpoint.family]


def _save_memory(pipe: Any, way: Way, device: str) -> None:
    if way.sliced:
        pipe.enable_attention_slicing()
    if way.tiled:
        pipe.vae.enable_tiling()
    if way.offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif way.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)


def _restore(pipe: Any, way: Way) -> None:
    if way.offload != "none":
        pipe.remove_all_hooks()
        pipe.to("cpu")
    if way.tiled:
        pipe.vae.disable_tiling()
    if way.sliced:
        pipe.disable_attention_slicing()
