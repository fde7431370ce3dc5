"""Declares ``text_to_image``: pictures from words, by Stable Diffusion XL and 1.5."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from processors.generate.declaration import (
    Generator,
    Inputs,
    Memory,
    Output,
    Run,
    Services,
    form,
)
from processors.generate.diffusion.parameters import DiffusionParameters, estimate, needed_models

_LEAST_SIDE = 64


def _is_side(value: int) -> int:
    if 0 < value < _LEAST_SIDE:
        raise ValueError(f"must be at least {_LEAST_SIDE}, or 0")
    return value


Side = Annotated[int, AfterValidator(_is_side)]


class TextToImageParameters(DiffusionParameters):
    """What to paint, and how."""

    model: str = Field(
        "sdxl_lightning",
        min_length=1,
        max_length=300,
        description="Model: its id, or a folder with one, e.g. sdxl_base or sd15.",
    )
    width: Side = Field(
        0,
        ge=0,
        le=2048,
        multiple_of=8,
        description="Of the picture; 0: the model's own.",
        json_schema_extra=form(unit="px", step=8),
    )
    height: Side = Field(
        0,
        ge=0,
        le=2048,
        multiple_of=8,
        description="Of the picture; 0: the model's own.",
        json_schema_extra=form(unit="px", step=8),
    )
    count: int = Field(1, ge=1, le=16, description="Pictures, of seeds that follow one another.")
    at_once: int = Field(
        1,
        ge=1,
        le=8,
        description="Pictures computed at the same time: faster on a large GPU, more memory, and"
        " slightly different pixels.",
    )
    magic_prompt: Literal["off", "rules", "model"] = Field(
        "off",
        description="Add details to the prompt: by rules, or by the settings' language model.",
    )


def _models(params: TextToImageParameters) -> tuple[str, ...]:
    return needed_models(params.model, params.base)


def _memory(params: TextToImageParameters, inputs: Inputs) -> Memory:
    pixels = params.width * params.height
    return estimate(params.model, params.precision, pixels, min(params.at_once, params.count))


def _load(services: Services) -> Run[TextToImageParameters]:
    from processors.generate.diffusion.libraries import import_libraries
    from processors.generate.diffusion.text_to_image import TextToImage

    return TextToImage(services, import_libraries()).run


TEXT_TO_IMAGE = Generator(
    name="text_to_image",
    title="Text to image",
    summary="Paint pictures from words.",
    parameters=TextToImageParameters,
    outputs=(Output("pictures", "image", "PNG, with all that made them.", several=True),),
    models=_models,
    memory=_memory,
    load=_load,
)
