"""Declares ``render``: the live processors on a video or a picture."""

from pathlib import Path
from typing import Literal

from pydantic import Field, create_model, field_validator

from engine.pipeline.settings import AnonymiseSettings, BackgroundBlurSettings, ProcessorSettings
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.generate.declaration import (
    Generator,
    Input,
    Inputs,
    Memory,
    Output,
    Parameters,
    Run,
    Services,
)
from processors.generate.swap_faces import frame_size
from processors.generate.swap_memory import swap_memory
from processors.generate.swap_options import (
    SwapOptions,
    built_in_models,
    swap_models,
    with_settings,
)
from processors.generate.video_output import VideoOutput

ProcessorName = Literal["none", "mirror", "face_swap", "anonymise", "background_blur"]
"""Those that a file can go through: ``overlay`` draws the figures of a live pipeline."""

FACE_SWAP = "face_swap"

RenderSwap = with_settings(SwapOptions, "RenderSwap")


class _Steps(Parameters):
    """What frames go through."""

    processors: tuple[ProcessorName, ...] = Field(
        ...,
        min_length=1,
        max_length=16,
        description="The processors, in the order in which frames go through them.",
    )
    anonymise: AnonymiseSettings = Field(
        default_factory=AnonymiseSettings, description="How anonymise hides faces."
    )
    background_blur: BackgroundBlurSettings = Field(
        default_factory=BackgroundBlurSettings, description="How background_blur blurs."
    )
    face_swap: SwapOptions = Field(
        default_factory=SwapOptions, description="How face_swap puts faces in."
    )

    @field_validator("anonymise", "background_blur")
    @classmethod
    def _known_models(
        cls, section: AnonymiseSettings | BackgroundBlurSettings
    ) -> AnonymiseSettings | BackgroundBlurSettings:
        # Callers may not name files of the server, and the recipe holds the hash of known models.
        if _model_id(section.model) is None:
            raise ValueError(f"model: {section.model.name!r} is not one of the known models")
        return section


class RenderBase(VideoOutput, _Steps):
    """What frames go through, and how they are written."""

    def swap_settings(self) -> FaceSwapSettings | None:
        """Return the settings of the face swap; None where no faces are swapped."""
        return self.face_swap.settings() if FACE_SWAP in self.processors else None

    def settings(self) -> ProcessorSettings:
        """Return the settings of all processors."""
        return ProcessorSettings(
            anonymise=self.anonymise,
            background_blur=self.background_blur,
            face_swap=self.swap_settings() or FaceSwapSettings(),
        )


RenderParameters: type[RenderBase] = create_model(
    "RenderParameters",
    __base__=RenderBase,
    __doc__=RenderBase.__doc__,
    face_swap=(
        RenderSwap,
        Field(default_factory=RenderSwap, description="How face_swap puts faces in."),
    ),
)


def _model_id(name: Path) -> str | None:
    catalog = built_in_models()
    if len(name.parts) != 1:
        return None
    return str(name) if str(name) in catalog else catalog.by_file(str(name))


def _models(params: RenderBase) -> tuple[str, ...]:
    sections = {
        "anonymise": params.anonymise.model,
        "background_blur": params.background_blur.model,
    }
    found = [_model_id(sections[name]) for name in params.processors if name in sections]
    swap = params.swap_settings()
    names = (*(name for name in found if name), *(() if swap is None else swap_models(swap)))
    return tuple(dict.fromkeys(names))


def _memory(params: RenderBase, inputs: Inputs) -> Memory:
    size = frame_size(inputs["media"]) if "media" in inputs else None
    return swap_memory(params.swap_settings(), size, params.batch_size)


def _load(services: Services) -> Run[RenderBase]:
    from processors.generate.processing import FileRenderer

    return FileRenderer(services).run


RENDER = Generator(
    name="render",
    title="Render",
    summary="Put every frame of a video, or a picture, through the processors of live streams.",
    parameters=RenderParameters,
    inputs=(
        Input("media", ("video", "image"), "The video, or a picture."),
        Input("face", ("image",), "Whose face face_swap puts in.", required=False, several=True),
    ),
    outputs=(
        Output("video", "video", "The video with its sound, if a video is given."),
        Output("picture", "image", "The picture, as PNG, if a picture is given."),
    ),
    models=_models,
    memory=_memory,
    load=_load,
)
