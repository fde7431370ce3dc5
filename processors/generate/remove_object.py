"""Declares ``remove_object``: takes things out of a picture and fills the place."""

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
from processors.generate.segmenting.prompts import MOST_PROMPTS, Boxes, Points, prompts_of
from processors.generate.segmenting.sizes import segmenting_bytes

_SELECTING = "Selecting"
_WEIGHTS_BYTES = 210_000_000
_BYTES_PER_PIXEL = 1_500
"""Of what is computed at once: activations of the first and last layers."""


class RemoveParameters(Parameters):
    """What to remove, and how."""

    model: str = Field(
        "big_lama",
        min_length=1,
        max_length=300,
        description="LaMa: a model's id, or a folder with one. TorchScript (.pt) is code: take only"
        " files that you trust.",
    )
    points: Points = Field(
        (),
        max_length=MOST_PROMPTS,
        description="Clicks on what is to go, as x,y,label,object; label 0: not part of it. Or give"
        " a mask.",
        json_schema_extra=form(unit="px", group=_SELECTING),
    )
    boxes: Boxes = Field(
        (),
        max_length=MOST_PROMPTS,
        description="Boxes around what is to go, as left,top,right,bottom,object.",
        json_schema_extra=form(unit="px", group=_SELECTING),
    )
    segment_model: str = Field(
        "sam2_tiny",
        min_length=1,
        max_length=300,
        description="What finds the objects that points and boxes mean, as for segment.",
        json_schema_extra=form(group=_SELECTING),
    )
    combine: bool = Field(
        True,
        description="Remove what all masks and objects show from one picture; else make a picture"
        " for each.",
    )
    grow: int = Field(
        8,
        ge=0,
        le=500,
        description="How far around the mask is removed, too: edges, shadows.",
        json_schema_extra=form(unit="px", widget="slider"),
    )
    feather: int = Field(
        4,
        ge=0,
        le=500,
        description="Width of the soft edge within what was grown, at most as wide as that.",
        json_schema_extra=form(unit="px", widget="slider"),
    )
    longest: int = Field(
        1024,
        ge=256,
        le=4096,
        description="Longest side that is computed; larger parts of a picture are scaled down.",
        json_schema_extra=form(unit="px"),
    )

    @model_validator(mode="after")
    def _objects_are_clear(self) -> "RemoveParameters":
        prompts_of(self.points, self.boxes)
        return self


def removing_bytes(longest: int) -> int:
    """Return the bytes of activations while a square of this side is filled."""
    return longest * longest * _BYTES_PER_PIXEL


def _models(params: RemoveParameters) -> tuple[str, ...]:
    if params.points or params.boxes:
        return (params.model, params.segment_model)
    return (params.model,)


def _memory(params: RemoveParameters, inputs: Inputs) -> Memory:
    needed = _WEIGHTS_BYTES + removing_bytes(params.longest)
    if params.points or params.boxes:
        needed = max(needed, segmenting_bytes(params.segment_model))
    return {"cpu": needed, "cuda": needed}


def _load(services: Services) -> Run[RemoveParameters]:
    from processors.generate.lama.running import RemoveRunner

    return RemoveRunner(services).run


REMOVE_OBJECT = Generator(
    name="remove_object",
    title="Remove objects",
    summary="Remove what a mask, clicks or boxes show from a picture, and fill the place.",
    parameters=RemoveParameters,
    inputs=(
        Input("image", ("image",), "The picture."),
        Input(
            "mask",
            ("mask",),
            "White: to be removed. Of the picture's size, or at least its proportions.",
            required=False,
            several=True,
        ),
    ),
    outputs=(
        Output("pictures", "image", "The picture without them.", several=True),
        Output("masks", "mask", "What was filled, white on black.", several=True),
    ),
    models=_models,
    memory=_memory,
    load=_load,
)
