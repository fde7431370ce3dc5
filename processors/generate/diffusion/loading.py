"""Makes a pipeline of a checkpoint. Nothing is fetched: all comes from local files."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.errors import MissingDependency
from processors.generate.diffusion.checkpoint import Checkpoint, ModelUnusable, WrongModel
from processors.generate.diffusion.configs import write_configs
from processors.generate.diffusion.libraries import Libraries

Task = Literal["text_to_image", "inpaint"]
Storage = Literal["", "fp8", "int8"]

_CLASSES: Mapping[tuple[str, Task], str] = {
    ("sdxl", "text_to_image"): "StableDiffusionXLPipeline",
    ("sdxl", "inpaint"): "StableDiffusionXLInpaintPipeline",
    ("sd15", "text_to_image"): "StableDiffusionPipeline",
    ("sd15", "inpaint"): "StableDiffusionInpaintPipeline",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A pipeline as it is wanted.

    Attributes:
        task: What it is for.
        checkpoint: Of the model.
        base: Of the model that all but the UNet comes from; None: the model is whole.
        dtype: Name of the type of its numbers in torch, e.g. ``float16``.
        storage: How the UNet's weights are kept; empty: as ``dtype``.
    """

    task: Task
    checkpoint: Checkpoint
    base: Checkpoint | None
    dtype: str
    storage: Storage = ""

    @property
    def key(self) -> str:
        """Equal for pipelines that are the same."""
        files = [self.checkpoint, *([self.base] if self.base else [])]
        names = "+".join(f"{item.model}:{item.path.stat().st_mtime_ns}" for item in files)
        return f"{names}/{self.task}/{self.dtype}{'+' + self.storage if self.storage else ''}"

    @property
    def bytes(self) -> int:
        """Of the weights in memory, at most."""
        whole = self.checkpoint.parameters + (self.base.parameters if self.base else 0)
        return whole * (4 if self.dtype == "float32" else 2)


def check_fits(wanted: Wanted) -> None:
    """Raise unless model and base go together, and the model can do the task.

    Raises:
        WrongModel: Says why not.
    """
    model, base = wanted.checkpoint, wanted.base
    if base is None:
        if model.layout == "unet":
            raise WrongModel(
                f"The model '{model.model}' is only a UNet ({model.path.name}).",
                "Name the model that the rest is taken from as base, e.g. sdxl_base.",
            )
    elif base.layout == "unet":
        raise WrongModel(f"The base '{base.model}' is only a UNet.", "Name a whole model.")
    elif base.family != model.family:
        raise WrongModel(
            f"The base '{base.model}' is of the family {base.family}, but '{model.model}' of"
            f" {model.family}.",
            "Name a base of the same family.",
        )
    if wanted.task == "text_to_image" and model.channels != 4:
        raise WrongModel(
            f"The model '{model.model}' is made for inpainting.", "Use it with inpaint."
        )


def load_pipeline(libraries: Libraries, wanted: Wanted) -> Any:
    """Load a diffusers pipeline on the CPU, in ``wanted.dtype``.

    Raises:
        ModelUnusable: Files are damaged, or do not fit together.
        MissingDependency: ``int8`` without torchao.
    """
    source = wanted.base or wanted.checkpoint
    try:
        pipeline = _load(libraries, wanted, source)
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        if _is_memory(libraries, error):
            raise
        raise ModelUnusable(
            f"The model in {source.path} cannot be loaded: {_first_line(error)}.",
            "Get its files again; see 'python server.py models verify'.",
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    _store(libraries, pipeline.unet, wanted)
    return pipeline


def _load(libraries: Libraries, wanted: Wanted, source: Checkpoint) -> Any:
    kind = getattr(libraries.diffusers, _CLASSES[source.family, wanted.task])
    how: dict[str, Any] = {
        "dtype": getattr(libraries.torch, wanted.dtype),
        "local_files_only": True,
    }
    if source.family == "sd15":
        # A blurry "not safe" classifier that would blacken pictures; what prompts may say is
        # decided before.
        how |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if source.layout == "folder":
        if wanted.base is not None:
            config = libraries.diffusers.UNet2DConditionModel.load_config(
                str(source.path / "unet"), local_files_only=True
            )
            how["unet"] = _load_unet(libraries, wanted, config)
        return kind.from_pretrained(
            str(source.path), use_safetensors=True, variant=source.variant or None, **how
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_configs(folder, source.family, source.channels, source.path.parent)
        if wanted.base is not None:
            config = libraries.diffusers.UNet2DConditionModel.load_config(str(folder / "unet"))
            how["unet"] = _load_unet(libraries, wanted, config)
        return kind.from_single_file(str(source.path), config=name, **how)


def _load_unet(libraries: Libraries, wanted: Wanted, config: Any) -> Any:
    """Make a UNet like that of the base, with the weights of the model."""
    from accelerate import init_empty_weights
    from safetensors.torch import load_file

    changed = {**dict(config), "in_channels": wanted.checkpoint.channels}
    with init_empty_weights():
        unet = libraries.diffusers.UNet2DConditionModel.from_config(changed)
    unet.load_state_dict(load_file(wanted.checkpoint.path), assign=True)
    return unet.to(getattr(libraries.torch, wanted.dtype)).eval()


def _store(libraries: Libraries, unet: Any, wanted: Wanted) -> None:
    torch = libraries.torch
    if wanted.storage == "fp8":
        unet.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn, compute_dtype=getattr(torch, wanted.dtype)
        )
    elif wanted.storage == "int8":
        try:
            from torchao.quantization import Int8WeightOnlyConfig, quantize_
        except ImportError as error:
            raise MissingDependency(
                f"Weights in int8 need torchao: {error}.",
                "Run: pip install torchao; or set memory.weights to fp8.",
            ) from error
        quantize_(unet, Int8WeightOnlyConfig())


def _is_memory(libraries: Libraries, error: Exception) -> bool:
    from processors.models.memory import is_out_of_memory

    return isinstance(error, libraries.torch.OutOfMemoryError) or is_out_of_memory(error)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".")[:300] if lines else type(error).__name__
