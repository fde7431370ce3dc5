"""Declares ``subtitles``: what is said in a video or a sound file, written down with its times."""

from typing import Annotated, Literal

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

Colour = Annotated[
    str, Field(pattern=r"^#[0-9a-fA-F]{6}$", json_schema_extra=form(widget="colour"))
]
"""Red, green, blue as ``#rrggbb``."""

_STYLE = "Style"
_MODEL_BYTES = {
    "tiny": 80_000_000,
    "base": 150_000_000,
    "small": 490_000_000,
    "medium": 1_530_000_000,
    "large": 3_100_000_000,
}
_WORKING_BYTES = 700_000_000
"""Sound and features of one window, and what the libraries take."""


class SubtitleStyle(Parameters):
    """How subtitles look where they are drawn into the picture, and in ASS files."""

    font: str = Field(
        "",
        max_length=80,
        pattern=r"^[\w ]*$",
        description="Family of an installed font; empty: one that has the text's letters.",
        json_schema_extra=form(group=_STYLE),
    )
    size: float = Field(
        5.5,
        ge=1,
        le=30,
        description="Height of the letters' line.",
        json_schema_extra=form(unit="% of the shorter side", widget="slider", group=_STYLE),
    )
    bold: bool = Field(False, description="Bold letters.", json_schema_extra=form(group=_STYLE))
    colour: Colour = Field(
        "#ffffff", description="Of the letters.", json_schema_extra=form(group=_STYLE)
    )
    outline: float = Field(
        8,
        ge=0,
        le=30,
        description="Width of the line around the letters.",
        json_schema_extra=form(unit="% of the size", widget="slider", group=_STYLE),
    )
    outline_colour: Colour = Field(
        "#000000", description="Of that line.", json_schema_extra=form(group=_STYLE)
    )
    box: float = Field(
        0,
        ge=0,
        le=1,
        description="How opaque the box behind the letters is; 0: no box.",
        json_schema_extra=form(widget="slider", step=0.05, group=_STYLE),
    )
    box_colour: Colour = Field(
        "#000000", description="Of that box.", json_schema_extra=form(group=_STYLE)
    )
    position: Literal["bottom", "middle", "top"] = Field(
        "bottom", description="Where they stand.", json_schema_extra=form(group=_STYLE)
    )
    margin: float = Field(
        5,
        ge=0,
        le=40,
        description="Distance from the picture's edge.",
        json_schema_extra=form(unit="% of the height", widget="slider", group=_STYLE),
    )


class SubtitleParameters(Parameters):
    """What to write down, and how."""

    model: str = Field(
        "whisper_small",
        min_length=1,
        max_length=300,
        description="Whisper model: its id, or a folder with one in CTranslate2 form.",
    )
    task: Literal["transcribe", "translate"] = Field(
        "transcribe", description="Write down what is said, or translate it to English."
    )
    language: str = Field(
        "",
        pattern=r"^([a-z]{2,3})?$",
        description="Of the speech, e.g. es; empty: found out.",
    )
    formats: tuple[Literal["srt", "vtt", "ass", "json"], ...] = Field(
        ("srt", "vtt", "json"),
        description="Subtitle files to write; json has the words with their times.",
    )
    embed: Literal["none", "soft", "burnt"] = Field(
        "none",
        description="Make a video, too: soft adds a track that players can show, burnt draws them.",
    )
    container: Container = "auto"
    crf: Crf = 18
    preset: Preset = "fast"
    voice_filter: bool = Field(
        True, description="Leave out what is no speech; Whisper invents words for noise."
    )
    beam_size: int = Field(
        5, ge=1, le=10, description="Wordings that are weighed against each other; 1 is fastest."
    )
    prompt: str = Field(
        "",
        max_length=1000,
        description="Names and terms as they are spelt, e.g. 'Avatar Server, WebRTC'.",
        json_schema_extra=form(widget="area"),
    )
    style: SubtitleStyle = Field(
        default_factory=SubtitleStyle, description="How burnt subtitles look."
    )

    @model_validator(mode="after")
    def _makes_something(self) -> "SubtitleParameters":
        if not self.formats and self.embed == "none":
            raise ValueError(
                "there is nothing to make: name one of formats, or embed: soft or burnt"
            )
        return self


def _models(params: SubtitleParameters) -> tuple[str, ...]:
    return (params.model,)


def _memory(params: SubtitleParameters, inputs: Inputs) -> Memory:
    known = (size for name, size in _MODEL_BYTES.items() if name in params.model.lower())
    weights = max(known, default=_MODEL_BYTES["large"])
    # 8 bit on the CPU, 16 bit (as stored) on a GPU; while it is loaded, both forms are in memory.
    return {"cpu": weights + _WORKING_BYTES, "cuda": weights + _WORKING_BYTES}


def _load(services: Services) -> Run[SubtitleParameters]:
    from processors.generate.subtitling import Subtitler

    return Subtitler(services).run


SUBTITLES = Generator(
    name="subtitles",
    title="Subtitles",
    summary="Write down what is said in a video or sound file, as subtitles in files or the video.",
    parameters=SubtitleParameters,
    inputs=(Input("video", ("video", "audio"), "The video, or a sound file."),),
    outputs=(
        Output("subtitles", "subtitles", "SRT, WebVTT and ASS files.", several=True),
        Output("words", "data", "All words with their times, as JSON."),
        Output("video", "video", "The video with subtitles, if it is wanted."),
    ),
    models=_models,
    memory=_memory,
    load=_load,
)
