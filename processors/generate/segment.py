"""Declares ``segment``: the objects of a picture that are clicked on, as masks."""

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
from processors.generate.segmenting.prompts import MOST_PROMPTS, Boxes, Points, prompts_of
from processors.generate.segmenting.sizes import segmenting_bytes


class SegmentParameters(Parameters):
    """Which objects, and what is made of them."""

    model: str = Field(
        "sam2_tiny",
        min_length=1,
        max_length=300,
        description="SAM 2 or Segment Anything: a model's id, or a folder with one.",
    )
    points: Points = Field(
        (),
        max_length=MOST_PROMPTS,
        description="Clicks as x,y,label,object; label 1: part of the object, 0: not part of it.",
        json_schema_extra=form(unit="px"),
    )
    boxes: Boxes = Field(
        (),
        max_length=MOST_PROMPTS,
        description="Boxes around objects, as left,top,right,bottom,object.",
        json_schema_extra=form(unit="px"),
    )
    masks: int = Field(
        3,
        ge=1,
        le=3,
        description="Masks for each object, the surest one first: a click may mean a part, too.",
    )
    cutout: Literal["none", "full", "cropped"] = Field(
        "none",
        description="Also cut out each object: in the picture's full size, or cropped to it.",
    )

    @model_validator(mode="after")
    def _says_what(self) -> "SegmentParameters":
        if not prompts_of(self.points, self.boxes):
            raise ValueError(
                "nothing says which object is meant: give points (x,y) or boxes"
                " (left,top,right,bottom)"
            )
        return self


def _models(params: SegmentParameters) -> tuple[str, ...]:
    return (params.model,)


def _memory(params: SegmentParameters, inputs: Inputs) -> Memory:
    needed = segmenting_bytes(params.model)
    return {"cpu": needed, "cuda": needed}


def _load(services: Services) -> Run[SegmentParameters]:
    from processors.generate.segmenting.running import SegmentRunner

    return SegmentRunner(services).run


SEGMENT = Generator(
    name="segment",
    title="Select objects",
    summary="Find the objects of a picture that are clicked on or boxed in, as masks.",
    parameters=SegmentParameters,
    inputs=(Input("image", ("image",), "The picture."),),
    outputs=(
        Output("masks", "mask", "White on black, in the picture's size.", several=True),
        Output("cutouts", "image", "The objects on a transparent ground.", several=True),
    ),
    models=_models,
    memory=_memory,
    load=_load,
)
