"""Declares ``inpaint``: a part of a picture painted anew, by Stable Diffusion XL and 1.5."""

from typing import Literal

from pydantic import Field

from processors.generate.declaration import (
    Generator,
    Input,
    Inputs,
    Memory,
    Output,
    Run,
    Services,
    form,
)
from processors.generate.diffusion.parameters import DiffusionParameters, estimate, needed_models

_MASK = "Mask"


class InpaintParameters(DiffusionParameters):
    """What to paint, and how."""

    model: str = Field(
        "sdxl_inpaint",
        min_length=1,
        max_length=300,
        description="Model: its id, or a folder with one, e.g. sd15_inpaint.",
    )
    strength: float = Field(
        0.99,
        gt=0,
        le=1,
        description="How little of the old picture shows through: 1 is nothing.",
        json_schema_extra=form(widget="slider", step=0.01),
    )
    count: int = Field(1, ge=1, le=8, description="Pictures, of seeds that follow one another.")
    grow: int = Field(
        8,
        ge=0,
        le=256,
        description="How far the mask grows, so that no rim of the old stays.",
        json_schema_extra=form(unit="px", group=_MASK),
    )
    feather: int = Field(
        8,
        ge=0,
        le=256,
        description="Width of the soft edge, inside the grown mask.",
        json_schema_extra=form(unit="px", group=_MASK),
    )
    region: Literal["mask", "whole"] = Field(
        "mask",
        description="What the model works on: what is around the mask, finer in large pictures, or"
        " the whole picture.",
        json_schema_extra=form(group=_MASK),
    )
    margin: float = Field(
        0.5,
        ge=0,
        le=4,
        description="What it sees around the mask, in shares of the mask's longer side.",
        json_schema_extra=form(widget="slider", step=0.1, group=_MASK),
    )


def _models(params: InpaintParameters) -> tuple[str, ...]:
    return needed_models(params.model, params.base)


def _memory(params: InpaintParameters, inputs: Inputs) -> Memory:
    return estimate(params.model, params.precision, 0, 1)


def _load(services: Services) -> Run[InpaintParameters]:
    from processors.generate.diffusion.inpainting import Inpainting
    from processors.generate.diffusion.libraries import import_libraries

    return Inpainting(services, import_libraries()).run


INPAINT = Generator(
    name="inpaint",
    title="Inpaint",
    summary="Paint a part of a picture anew; what the mask leaves black stays as it is.",
    parameters=InpaintParameters,
    inputs=(
        Input("image", ("image",), "The picture; transparency is dropped."),
        Input("mask", ("mask",), "White where it is painted anew; of any size."),
    ),
    outputs=(Output("pictures", "image", "PNG, with all that made them.", several=True),),
    models=_models,
    memory=_memory,
    load=_load,
)
