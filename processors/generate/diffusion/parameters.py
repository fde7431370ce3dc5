"""What generators by diffusion models have in common. Cheap to import."""

import secrets
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from processors.generate.declaration import DeviceKind, Memory, Parameters, form

Family = Literal["sdxl", "sd15"]
SchedulerName = Literal[
    "auto", "euler", "euler_trailing", "euler_a", "ddim", "dpmpp_2m", "dpmpp_2m_karras", "unipc"
]
Precision = Literal["auto", "float32", "float16", "bfloat16"]

_SAMPLING = "Sampling"
_MOST_SEED = 2**32 - 1

BASES = {"sdxl_lightning": "sdxl_base", "sdxl_inpaint": "sdxl_base", "sd15_inpaint": "sd15"}
"""Known models that are only a UNet, and the one that the rest is taken from."""

FAMILIES: dict[str, Family] = {
    "sdxl_lightning": "sdxl",
    "sdxl_base": "sdxl",
    "sdxl_inpaint": "sdxl",
    "sd15": "sd15",
    "sd15_inpaint": "sd15",
}
"""What known models must turn out to be."""

OWN_SIDE: dict[Family, int] = {"sdxl": 1024, "sd15": 512}
"""Of the square pictures that a family was trained with, in pixels."""

_WEIGHTS: dict[Family, int] = {"sdxl": 3_470_000_000, "sd15": 1_070_000_000}
"""Numbers in all weights."""


def _drawn(seed: int | None) -> int:
    return secrets.randbelow(_MOST_SEED + 1) if seed is None else seed


Seed = Annotated[int | None, AfterValidator(_drawn)]
"""An integer after validation: where none is given, one is drawn, and recorded with the rest."""


class DiffusionParameters(Parameters):
    """What is painted, and how a model is sampled."""

    prompt: str = Field(
        ...,
        min_length=1,
        max_length=4000,
        pattern=r"\S",
        description="What the picture shows.",
        json_schema_extra=form(widget="area"),
    )
    negative_prompt: str = Field(
        "",
        max_length=4000,
        description="What it must not show; without effect where guidance is at most 1.",
        json_schema_extra=form(widget="area"),
    )
    seed: Seed = Field(
        None,
        ge=0,
        le=_MOST_SEED,
        validate_default=True,
        description="Equal seeds give equal pictures; none: drawn.",
        json_schema_extra=form(widget="seed"),
    )
    base: str = Field(
        "",
        max_length=300,
        description="Model that the rest is taken from where the model is only a UNet; empty: the"
        " one it belongs to, if it is a known one.",
        json_schema_extra=form(group=_SAMPLING),
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=150,
        description="Steps of denoising; none: the model's own number.",
        json_schema_extra=form(group=_SAMPLING),
    )
    guidance: float | None = Field(
        None,
        ge=0,
        le=30,
        description="How closely the prompt is followed; none: the model's own.",
        json_schema_extra=form(group=_SAMPLING, step=0.5),
    )
    scheduler: SchedulerName = Field(
        "auto",
        description="Sampler; auto: the model's own.",
        json_schema_extra=form(group=_SAMPLING),
    )
    precision: Precision = Field(
        "auto",
        description="Numbers it computes with; auto: float16 on a GPU, float32 on a CPU.",
        json_schema_extra=form(group=_SAMPLING),
    )


def needed_models(model: str, base: str) -> tuple[str, ...]:
    """Return the models that a job needs: the one named, and the one behind it."""
    behind = base or BASES.get(model, "")
    return (model, behind) if behind else (model,)


def family_by_name(model: str) -> Family:
    """Guess the family of a model before its files are there; the larger one if it is unknown."""
    known = FAMILIES.get(model)
    if known is not None:
        return known
    return "sd15" if any(mark in model.lower() for mark in ("sd15", "sd-1", "v1-5")) else "sdxl"


def estimate(model: str, precision: Precision, pixels: int, at_once: int) -> Memory:
    """Estimate the memory of a job before its model is looked at.

    Args:
        model: Its name.
        precision: Of the numbers.
        pixels: Of one picture; 0: the family's own size.
        at_once: Pictures in one batch.
    """
    family = family_by_name(model)

    def on(device: DeviceKind) -> int:
        wide = precision == "float32" or (precision == "auto" and device == "cpu")
        each = 4 if wide else 2
        return _WEIGHTS[family] * each + working_bytes(family, pixels, at_once, each)

    return {"cpu": on("cpu"), "cuda": on("cuda")}


def working_bytes(family: Family, pixels: int, at_once: int, bytes_each: int) -> int:
    """Estimate what activations take at their peak.

    Args:
        family: Of the model.
        pixels: Of one picture; 0: the family's own size.
        at_once: Pictures in one batch; they are decoded one by one.
        bytes_each: Of one number.
    """
    pixels = pixels or OWN_SIDE[family] ** 2
    # Decoding has two feature maps of 256 channels in full size at the same time.
    decoding = pixels * 512 * bytes_each
    denoising = at_once * pixels * 256 * bytes_each
    return max(decoding, denoising)
