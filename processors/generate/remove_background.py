"""Declares ``remove_background``: cuts out what stands in front, in pictures and videos."""

from typing import Literal

from pydantic import Field

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
from processors.generate.subtitles import Colour
from processors.generate.video_output import Crf

Session = Literal[
    "",
    "u2net",
    "u2netp",
    "u2net_human_seg",
    "silueta",
    "isnet-general-use",
    "isnet-anime",
    "birefnet-general",
    "birefnet-general-lite",
    "birefnet-portrait",
    "birefnet-dis",
    "birefnet-hrsod",
    "birefnet-cod",
    "birefnet-massive",
    "bria-rmbg",
]
"""Names that rembg knows its models by, which say how a picture is handed to them."""

_EDGES = "Edges"
_VIDEO = "Video"
_SMALL_BYTES = 700_000_000
_LARGE_BYTES = 5_000_000_000
"""Weights and working memory of networks for 320 px, and of BiRefNet's for 1024 px."""


class RemoveBackgroundParameters(Parameters):
    """What to cut out, and what to put behind it."""

    model: str = Field(
        "isnet-general-use",
        min_length=1,
        max_length=300,
        description="Model: its id, or a folder with one ONNX file.",
    )
    session: Session = Field(
        "",
        description="For a folder: the rembg model that it is like; empty: it has that one's name.",
    )
    output: Literal["transparent", "colour", "picture", "mask"] = Field(
        "transparent",
        description="What is behind: nothing, a colour, the picture given as background; or only"
        " the mask, white on black.",
    )
    colour: Colour = Field("#00b140", description="Behind it, with output: colour.")
    alpha_matting: bool = Field(
        False,
        description="Take the edge from the picture's own detail: better for hair and fur.",
        json_schema_extra=form(group=_EDGES),
    )
    foreground_threshold: int = Field(
        240,
        ge=1,
        le=255,
        description="Mask value from which alpha_matting leaves a pixel inside.",
        json_schema_extra=form(widget="slider", group=_EDGES),
    )
    background_threshold: int = Field(
        10,
        ge=0,
        le=254,
        description="Mask value up to which alpha_matting leaves a pixel outside.",
        json_schema_extra=form(widget="slider", group=_EDGES),
    )
    erode: int = Field(
        10,
        ge=0,
        le=100,
        description="How far alpha_matting looks to both sides of the edge.",
        json_schema_extra=form(unit="px", widget="slider", group=_EDGES),
    )
    clean_colours: bool = Field(
        True,
        description="Take the old background's colour out of soft edges.",
        json_schema_extra=form(group=_EDGES),
    )
    smoothing: float = Field(
        0.5,
        ge=0,
        le=0.95,
        description="Keeps the edge from flickering where the video stands still; 0: off.",
        json_schema_extra=form(widget="slider", step=0.05, group=_VIDEO),
    )
    transparent_video: Literal["webm", "mov"] = Field(
        "webm",
        description="File of a transparent video: WebM (VP9, for browsers), or MOV (ProRes 4444,"
        " for editing, large).",
        json_schema_extra=form(group=_VIDEO),
    )
    crf: Crf = 18


def _models(params: RemoveBackgroundParameters) -> tuple[str, ...]:
    return (params.model,)


def _memory(params: RemoveBackgroundParameters, inputs: Inputs) -> Memory:
    name = params.session or params.model
    small = name.startswith(("u2net", "silueta"))
    need = _SMALL_BYTES if small else _LARGE_BYTES
    return {"cpu": need, "cuda": need}


def _load(services: Services) -> Run[RemoveBackgroundParameters]:
    from processors.generate.matting import BackgroundRemover

    return BackgroundRemover(services).run


REMOVE_BACKGROUND = Generator(
    name="remove_background",
    title="Remove background",
    summary="Cut out what stands in front, in a picture or video: on nothing, a colour, a picture.",
    parameters=RemoveBackgroundParameters,
    inputs=(
        Input("source", ("image", "video"), "The picture or video."),
        Input("background", ("image",), "Goes behind it, with output: picture.", required=False),
    ),
    outputs=(
        Output("picture", "image", "PNG of the picture's size, of a picture."),
        Output("video", "video", "With its sound, of a video."),
        Output("mask", "mask", "PNG in grey, of a picture with output: mask."),
    ),
    models=_models,
    memory=_memory,
    load=_load,
)
