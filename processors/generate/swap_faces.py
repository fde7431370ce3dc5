"""Declares ``swap_faces``: the live face swap on a picture or a video."""

from pathlib import Path
from typing import Annotated

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
from processors.generate.inputs import picture_size_of
from processors.generate.swap_memory import swap_memory
from processors.generate.swap_options import SwapOptions, swap_models, with_settings
from processors.generate.video_output import VideoOutput

_FACES = "Faces"
Count = Annotated[int, Field(ge=0, le=1000)]


class SwapFacesBase(SwapOptions, VideoOutput):
    """Whose faces go where, and how they look."""

    source_faces: tuple[Count, ...] = Field(
        (),
        max_length=16,
        description="For each source picture which of its faces, from the left, from 1; 0: the"
        " largest.",
        json_schema_extra=form(group=_FACES),
    )
    persons: tuple[Count, ...] = Field(
        (),
        max_length=16,
        description="For each source picture for which person of the target it is: in a picture"
        " from the left, in a video as they appear, from 1; 0: for whoever is selected.",
        json_schema_extra=form(group=_FACES),
    )


SwapFacesParameters = with_settings(SwapFacesBase, "SwapFacesParameters")


def frame_size(path: Path) -> tuple[int, int] | None:
    """Return width and height of a picture or video as it is seen; None: it has none."""
    from engine.media.tracks import display_size

    return picture_size_of(path) or display_size(path)


def _models(params: SwapFacesBase) -> tuple[str, ...]:
    return swap_models(params.settings())


def _memory(params: SwapFacesBase, inputs: Inputs) -> Memory:
    size = frame_size(inputs["target"]) if "target" in inputs else None
    return swap_memory(params.settings(), size, params.batch_size)


def _load(services: Services) -> Run[SwapFacesBase]:
    from processors.generate.swapping import FaceSwapper

    return FaceSwapper(services).run


SWAP_FACES = Generator(
    name="swap_faces",
    title="Swap faces",
    summary="Put the faces of pictures into another picture or a video.",
    parameters=SwapFacesParameters,
    inputs=(
        Input("target", ("image", "video"), "The picture or video whose faces are swapped."),
        Input("source", ("image",), "Whose face is put in.", several=True),
    ),
    outputs=(
        Output("picture", "image", "The picture, as PNG, if the target is one."),
        Output("video", "video", "The video with its sound, if the target is one."),
    ),
    models=_models,
    memory=_memory,
    load=_load,
)
