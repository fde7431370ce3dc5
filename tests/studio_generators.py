"""Small generators for the tests of the studio: ``tests.studio_generators:make``."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from engine.errors import InvalidInput
from processors.generate.declaration import (
    Context,
    Generator,
    Input,
    Inputs,
    Memory,
    Output,
    Parameters,
    Place,
    Result,
    Services,
    form,
)
from processors.generate.registry import LoadedGenerators
from processors.generate.segmenting.prompts import Boxes, Points, check_within, prompts_of
from processors.generate.worker import WorkerOptions
from processors.models.library import ModelLibrary

REGISTRY = "tests.studio_generators:make"

RADIUS = 40
"""Of the disc that the segmenter finds around a point, in pixels; of a box it finds all."""

_PATIENCE_S = 60.0


class NothingThere(InvalidInput):
    """What the painter was asked for cannot be painted."""


class Style(Parameters):
    """How it looks."""

    colour: str = Field(
        "#3366cc",
        pattern=r"^#[0-9a-fA-F]{6}$",
        description="Of the ground.",
        json_schema_extra=form(widget="colour", group="Style"),
    )
    border: int = Field(
        4, ge=0, le=40, description="Around it.", json_schema_extra=form(unit="px", group="Style")
    )


class PaintParameters(Parameters):
    """One of each kind."""

    prompt: str = Field(
        min_length=1, description="What to paint.", json_schema_extra=form(widget="area")
    )
    steps: int = Field(4, ge=1, le=50, description="More are slower.")
    guidance: float = Field(
        7.5, ge=0, le=20, description="Weight of the prompt.", json_schema_extra=form(step=0.5)
    )
    size: Literal["256x256", "512x256"] = Field("256x256", description="Width and height.")
    tiled: bool = Field(False, description="Edges fit together.")
    formats: tuple[Literal["png", "json"], ...] = Field(("png",), description="Files to write.")
    scheduler: Literal["euler", "ddim"] | None = Field(None, description="None: the model's own.")
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = Field(
        None, description="Same seed, same picture.", json_schema_extra=form(widget="seed")
    )
    style: Style = Field(default_factory=Style, description="How it looks.")
    gate: str = Field(
        "",
        description="Folder in which a file for each step lets it go on.",
        json_schema_extra=form(group="Test"),
    )


class SegmentParameters(Parameters):
    """Where to look."""

    points: Points = Field((), description="Clicks; label 0 is left out.")
    boxes: Boxes = Field((), description="Around objects.")
    grow: int = Field(0, ge=0, le=40, description="Of the mask.", json_schema_extra=form(unit="px"))


class FillParameters(Parameters):
    """What to fill with."""

    colour: str = Field(
        "#ff0000",
        pattern=r"^#[0-9a-fA-F]{6}$",
        description="Of what is filled.",
        json_schema_extra=form(widget="colour"),
    )


def _memory(_params: Any, _inputs: Inputs) -> Memory:
    return {"cpu": 10_000_000}


def _bgr(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return blue, green, red


def _paint(params: PaintParameters, _inputs: Inputs, context: Context) -> Result:
    width, height = (int(part) for part in params.size.split("x"))
    if "nothing" in params.prompt:
        raise NothingThere("There is nothing to paint.", "Ask for something.")
    picture: npt.NDArray[np.uint8] = np.zeros((height, width, 3), np.uint8)
    for step in range(params.steps):
        _wait(params.gate, step, context)
        picture[: height * (step + 1) // params.steps] = _bgr(params.style.colour)
        context.log(f"step {step + 1} of {params.steps}: {params.prompt}")
        context.progress((step + 1) / params.steps, f"step {step + 1}")
        context.preview(picture)
    cv2.imwrite(str(context.folder / "picture.png"), picture)
    return Result({"image": (context.folder / "picture.png",)}, {"prompt": params.prompt})


def _wait(gate: str, step: int, context: Context) -> None:
    """Wait for a file, so that tests decide when a step is over."""
    if not gate:
        return
    pause = threading.Event()
    for _ in range(int(_PATIENCE_S / 0.02)):
        if (Path(gate) / str(step)).exists():
            return
        context.check()
        pause.wait(0.02)


def _segment(params: SegmentParameters, inputs: Inputs, context: Context) -> Result:
    picture = cv2.imread(str(inputs["image"]))
    assert picture is not None
    height, width = picture.shape[:2]
    prompts = prompts_of(params.points, params.boxes)
    check_within(prompts, width, height)
    files, described = [], []
    for prompt in prompts:
        mask = np.zeros((height, width), np.uint8)
        if (box := prompt.box) is not None:
            mask[int(box.top) : int(box.bottom), int(box.left) : int(box.right)] = 255
        # What is left out goes last.
        for point in sorted(prompt.points, key=lambda point: -point.label):
            at = (int(point.x), int(point.y))
            cv2.circle(mask, at, RADIUS + params.grow, 255 * point.label, -1)
        for score, candidate in ((0.2, 255 - mask), (0.9, mask)):
            path = context.folder / f"mask-{prompt.number}-{score:g}.png"
            cv2.imwrite(str(path), candidate)
            files.append(path)
            described.append({"file": path.name, "object": prompt.number, "score": score})
    return Result({"masks": tuple(files)}, {"masks": described})


def _fill(params: FillParameters, inputs: Inputs, context: Context) -> Result:
    picture = cv2.imread(str(inputs["image"]))
    mask = cv2.imread(str(inputs["mask"]), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    assert mask is not None
    if mask.shape != picture.shape[:2]:
        raise NothingThere("The mask has another size.")
    picture[mask > 127] = _bgr(params.colour)
    cv2.imwrite(str(context.folder / "filled.png"), picture)
    return Result({"image": (context.folder / "filled.png",)}, {"masked": int((mask > 127).sum())})


_IMAGE = Input("image", ("image",), "Any picture.")

PAINT: Generator[PaintParameters] = Generator(
    name="paint",
    title="Paint",
    summary="A picture of one colour, with a control of each kind.",
    parameters=PaintParameters,
    outputs=(Output("image", "image"),),
    memory=_memory,
    load=lambda _: _paint,
)
SEGMENT: Generator[SegmentParameters] = Generator(
    name="segment",
    title="Segment",
    summary="A disc around each point, and what is in boxes.",
    parameters=SegmentParameters,
    inputs=(_IMAGE,),
    outputs=(Output("masks", "mask", several=True),),
    memory=_memory,
    load=lambda _: _segment,
)
FILL: Generator[FillParameters] = Generator(
    name="fill",
    title="Fill",
    summary="One colour where the mask is white.",
    parameters=FillParameters,
    inputs=(_IMAGE, Input("mask", ("mask",), "White is filled.")),
    outputs=(Output("image", "image"),),
    memory=_memory,
    load=lambda _: _fill,
)

GENERATORS: Mapping[str, Generator[Any]] = {one.name: one for one in (PAINT, SEGMENT, FILL)}


def make(_place: Place, options: Mapping[str, Any]) -> LoadedGenerators:
    """The generators of a worker process."""
    folders = WorkerOptions.model_validate(dict(options)).folders
    return LoadedGenerators(Services(ModelLibrary(folders)), GENERATORS)
