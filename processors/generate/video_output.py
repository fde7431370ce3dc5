"""Parameters of how a video is written: one declaration for all generators that write one."""

from typing import Annotated, Literal

from pydantic import Field

from engine.media.container_names import ContainerName
from processors.generate.declaration import Parameters, form

_GROUP = "Video"

Container = Annotated[
    ContainerName,
    Field(
        description="Of a video; auto: MP4 if that can hold its tracks, else MKV.",
        json_schema_extra=form(group=_GROUP),
    ),
]
Crf = Annotated[
    int,
    Field(
        ge=0,
        le=51,
        description="Quality of a video: smaller is better and larger.",
        json_schema_extra=form(widget="slider", group=_GROUP),
    ),
]
Preset = Annotated[
    Literal["ultrafast", "veryfast", "fast", "medium", "slow"],
    Field(
        description="How long x264 may take for a smaller video.",
        json_schema_extra=form(group=_GROUP),
    ),
]


class VideoOutput(Parameters):
    """How frames are processed and encoded; pictures are written as PNG."""

    container: Container = "auto"
    crf: Crf = 18
    preset: Preset = "veryfast"
    batch_size: int = Field(
        1,
        ge=1,
        le=64,
        description="Frames processed at once; more is faster with models on a GPU.",
        json_schema_extra=form(group=_GROUP),
    )
