"""Parameters of how a processed video is written."""

from typing import Literal

from pydantic import Field

from processors.generate.declaration import Parameters, form

_GROUP = "Video"


class VideoOutput(Parameters):
    """How frames are processed and encoded; pictures are written as PNG."""

    container: Literal["auto", "mp4", "mkv"] = Field(
        "auto",
        description="Of a video; auto: MP4 if that can hold its sound, else MKV.",
        json_schema_extra=form(group=_GROUP),
    )
    crf: int = Field(
        18,
        ge=0,
        le=51,
        description="Quality of a video: smaller is better and larger.",
        json_schema_extra=form(widget="slider", group=_GROUP),
    )
    preset: Literal["ultrafast", "veryfast", "fast", "medium", "slow"] = Field(
        "veryfast",
        description="How long x264 may take for a smaller video.",
        json_schema_extra=form(group=_GROUP),
    )
    batch_size: int = Field(
        1,
        ge=1,
        le=64,
        description="Frames processed at once; more is faster with models on a GPU.",
        json_schema_extra=form(group=_GROUP),
    )
