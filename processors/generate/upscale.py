"""Declares ``upscale``: pictures and videos made larger, with detail that a network adds."""

from typing import Literal

from pydantic import Field, model_validator

from processors.generate.declaration import (
    Generator,
    Input,
    Inputs,
    Memory,
    Output,
    Parameters,
    Run,
    Services,
    form,
)
from processors.generate.video_output import Container, Crf, Preset

WITH_DENOISE = "realesr_general_x4v3"
WITHOUT_DENOISE = "realesr_general_wdn_x4v3"
"""The model that ``denoise`` mixes in."""

_MODEL_BYTES = 70_000_000
_TILE_BYTES = {"cpu": 1_100_000_000, "cuda": 4_300_000_000}
_LIBRARY_BYTES = 600_000_000
_MEMORY = "Memory"


class UpscaleParameters(Parameters):
    """How large, and by what."""

    model: str = Field(
        "realesrgan_x4plus",
        min_length=1,
        max_length=300,
        description="Model: its id, or a folder with one .pth or .safetensors file (Real-ESRGAN"
        " and its relatives).",
    )
    scale: float = Field(
        4.0,
        ge=1.5,
        le=8,
        description="How many times larger; what the model cannot do by itself is resized.",
        json_schema_extra=form(widget="slider", step=0.5),
    )
    denoise: float = Field(
        1.0,
        ge=0,
        le=1,
        description="How much noise goes; below 1 only with model realesr_general_x4v3, which"
        " then needs realesr_general_wdn_x4v3, too.",
        json_schema_extra=form(widget="slider", step=0.05),
    )
    tile: int = Field(
        0,
        ge=0,
        le=4096,
        description="Side of the tiles that are enlarged one at a time; 0: as memory allows.",
        json_schema_extra=form(unit="px", group=_MEMORY),
    )
    overlap: int = Field(
        32,
        ge=0,
        le=256,
        description="How far tiles overlap: less is faster, and shows seams.",
        json_schema_extra=form(unit="px", group=_MEMORY),
    )
    precision: Literal["full", "half"] = Field(
        "full",
        description="Half takes half the memory and is faster on GPUs; colours may differ by a"
        " shade. On a CPU it is full.",
        json_schema_extra=form(group=_MEMORY),
    )
    container: Container = "auto"
    crf: Crf = 18
    preset: Preset = "fast"

    @model_validator(mode="after")
    def _denoise_is_possible(self) -> "UpscaleParameters":
        if self.denoise < 1 and self.model != WITH_DENOISE:
            raise ValueError(f"denoise below 1 needs model: {WITH_DENOISE}")
        return self


def _models(params: UpscaleParameters) -> tuple[str, ...]:
    return (params.model,) if params.denoise == 1 else (params.model, WITHOUT_DENOISE)


def _memory(params: UpscaleParameters, inputs: Inputs) -> Memory:
    # Of a picture, the result is in memory as well.
    from processors.generate.inputs import picture_size_of

    size = picture_size_of(inputs["source"]) if "source" in inputs else None
    whole = 0 if size is None else round(size[0] * size[1] * 4 * params.scale**2)
    ram = _MODEL_BYTES + _LIBRARY_BYTES + whole
    return {"cpu": ram + _TILE_BYTES["cpu"], "cuda": _MODEL_BYTES + _TILE_BYTES["cuda"]}


def _load(services: Services) -> Run[UpscaleParameters]:
    from processors.generate.upscaling import Upscaler

    return Upscaler(services).run


UPSCALE = Generator(
    name="upscale",
    title="Upscale",
    summary="Make a picture or video 1.5 to 8 times larger, with detail that a network adds.",
    parameters=UpscaleParameters,
    inputs=(Input("source", ("image", "video"), "The picture or video."),),
    outputs=(
        Output("picture", "image", "PNG, of a picture; transparency is kept."),
        Output("video", "video", "H.264 with its sound, of a video."),
    ),
    models=_models,
    memory=_memory,
    load=_load,
)
