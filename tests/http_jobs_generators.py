"""Small generators for the tests of side jobs over HTTP, and their registry for workers."""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from engine.jobs.context import Place
from engine.jobs.errors import JobFailed
from engine.jobs.spec import Json
from processors.generate.declaration import (
    Context,
    Generator,
    Input,
    Inputs,
    Memory,
    Output,
    Parameters,
    Result,
    Run,
    Services,
    form,
)
from processors.generate.recipe import tags
from processors.generate.registry import LoadedGenerators
from processors.models.library import ModelLibrary

REGISTRY = "tests.http_jobs_generators:make"


class DotParameters(Parameters):
    """Of ``dots``."""

    prompt: str = Field(..., max_length=200, description="What is painted.")
    size: int = Field(8, ge=1, le=64, description="Side.", json_schema_extra=form(unit="px"))
    seed: int | None = Field(
        None, ge=0, le=2**32 - 1, description="Of chance.", json_schema_extra=form(widget="seed")
    )
    strength: float = Field(0.5, ge=0, le=1, description="How much.")


class StepParameters(Parameters):
    """Of ``steps``."""

    steps: int = Field(3, ge=1, le=100_000, description="How many.")
    seconds: float = Field(0.0, ge=0, le=60, description="Of each.")
    gate: str = Field("", description="A file that is waited for before the last step.")
    deaf: bool = Field(False, description="Never look whether it shall stop.")
    die: int = Field(0, ge=0, description="Attempts that end the worker.")


class ModelParameters(Parameters):
    """Of ``modelled``."""

    model: str = Field("weights", description="A folder of models.")


def _memory(params: Parameters, inputs: Inputs) -> Memory:
    return {"cpu": 1_000_000}


def _dots(_: Services) -> Run[DotParameters]:
    def run(params: DotParameters, inputs: Inputs, context: Context) -> Result:
        import cv2
        import numpy as np

        chance = np.random.default_rng(params.seed)
        picture = chance.integers(0, 256, (params.size, params.size, 3), np.uint8)
        if "image" in inputs:
            given = cv2.imread(str(inputs["image"]))
            assert given is not None
            picture[0, 0] = given[0, 0]
        context.preview(picture)
        context.log(f"painting {params.prompt}")
        path = context.folder / "dots.png"
        cv2.imwrite(str(path), picture)
        context.progress(1.0, "painted")
        return Result({"image": (path,)}, {"rung": "full", "mean": float(picture.mean())})

    return run


def _steps(_: Services) -> Run[StepParameters]:
    def run(params: StepParameters, inputs: Inputs, context: Context) -> Result:
        if params.die and context.attempt <= params.die:  # type: ignore[attr-defined]  # the queue's
            context.log("about to die")
            os._exit(9)
        pause = threading.Event()
        for step in range(params.steps):
            if params.gate and step == params.steps - 1:
                while not Path(params.gate).exists():
                    if not params.deaf:
                        context.check()
                    pause.wait(0.01)
            pause.wait(params.seconds)
            # The time of the step, on the clock that all processes share.
            context.progress((step + 1) / params.steps, f"{time.monotonic()}")
        path = context.folder / "steps.json"
        path.write_text(f'{{"steps": {params.steps}}}')
        return Result({"data": (path,)})

    return run


def _fail(_: Services) -> Run[Parameters]:
    def run(params: Parameters, inputs: Inputs, context: Context) -> Result:
        raise JobFailed("It does not work.", "Try another one.")

    return run


def _film(_: Services) -> Run[Parameters]:
    def run(params: Parameters, inputs: Inputs, context: Context) -> Result:
        import av
        import numpy as np

        path = context.folder / "film.mp4"
        with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
            container.metadata.update(tags(context.recipe))
            stream = container.add_stream("libx264", rate=10)
            stream.width = stream.height = 64
            for shade in range(3):
                pixels = np.full((64, 64, 3), shade * 80, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            container.mux(stream.encode())
        return Result({"video": (path,)})

    return run


def generators() -> Mapping[str, Generator[Any]]:
    """All of them by name."""
    image = Input("image", ("image",), "Its first pixel is kept.", required=False)
    more = Input("more", ("image", "mask"), "Not looked at.", required=False, several=True)
    made: tuple[Generator[Any], ...] = (
        Generator(
            name="dots",
            title="Dots",
            summary="Paint dots.",
            parameters=DotParameters,
            inputs=(image, more),
            outputs=(Output("image", "image"),),
            memory=_memory,
            load=_dots,
        ),
        Generator(
            name="steps",
            title="Steps",
            summary="Take steps.",
            parameters=StepParameters,
            outputs=(Output("data", "data"),),
            memory=_memory,
            load=_steps,
        ),
        Generator(
            name="fail",
            title="Fail",
            summary="Fail.",
            parameters=Parameters,
            outputs=(),
            memory=_memory,
            load=_fail,
        ),
        Generator(
            name="film",
            title="Film",
            summary="Make a film.",
            parameters=Parameters,
            outputs=(Output("video", "video"),),
            memory=_memory,
            load=_film,
        ),
        Generator(
            name="modelled",
            title="Modelled",
            summary="Use a model.",
            parameters=ModelParameters,
            inputs=(Input("video", ("video",), "Watched."),),
            outputs=(),
            memory=_memory,
            models=lambda params: (params.model,),
            load=_fail,
        ),
    )
    return {generator.name: generator for generator in made}


def services(folder: Path) -> Services:
    """Services with models in a folder."""
    return Services(ModelLibrary((folder / "models",)))


def make(_place: Place, options: Json) -> LoadedGenerators:
    """The registry of a worker process."""
    return LoadedGenerators(services(Path(options["folder"])), generators())
