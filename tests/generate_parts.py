"""A context without a queue, a small generator, and speech, for the tests of generators."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from engine.speech.captions import Cue
from engine.speech.sound import Word
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
from processors.models.library import ModelLibrary


class Stopped(BaseException):
    """What a context raises to end a job."""


@dataclass
class SomePlace:
    device: str = "cpu"
    threads: int = 1


@dataclass
class FakeContext:
    """Keeps what it is told; raises ``Stopped`` when ``stop`` says so.

    Attributes:
        folder: For files.
        stop: Asked at each progress, with the share that is done.
    """

    folder: Path
    stop: Callable[[float], bool] = lambda _: False
    place: SomePlace = field(default_factory=SomePlace)
    recipe: Mapping[str, Any] | None = None
    key: str | None = None
    reports: list[tuple[float, str | None]] = field(default_factory=list)
    previews: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def progress(self, fraction: float, message: str | None = None) -> None:
        self.reports.append((fraction, message))
        if self.stop(fraction):
            raise Stopped

    def check(self) -> None:
        if self.stop(self.reports[-1][0] if self.reports else 0.0):
            raise Stopped

    def yield_to_live(self) -> float:
        return 0.0

    def log(self, line: str) -> None:
        self.lines.append(line)

    def preview(self, picture: bytes | npt.NDArray[np.uint8]) -> bool:
        assert not isinstance(picture, bytes)
        self.previews.append(picture)
        return True

    def wants_preview(self) -> bool:
        return not self.previews

    def record(self, recipe: Mapping[str, Any], cache_key: str | None = None) -> None:
        self.recipe, self.key = recipe, cache_key


class Frame(Parameters):
    """Of a picture."""

    colour: str = Field("#000000", pattern=r"^#[0-9a-f]{6}$", description="Of the frame.")
    width: int = Field(
        2, ge=0, le=10, description="Of the frame.", json_schema_extra=form(unit="px")
    )


class PaintParameters(Parameters):
    """Of the generator ``paint``."""

    shade: int = Field(..., ge=0, le=255, description="How bright.")
    kind: Literal["plain", "striped"] = Field("plain", description="What is painted.")
    sizes: tuple[int, ...] = Field(
        (8,), description="Of each picture.", json_schema_extra=form(unit="px")
    )
    twice: bool = Field(False, description="Paint it twice.")
    note: str | None = Field(None, description="About 100 % anything.")
    frame: Frame = Field(default_factory=Frame, description="Around it.")


class PaintFailed(Exception):
    """Passes when it is tried again."""


def paint(
    fail: Exception | None = None, models: tuple[str, ...] = ()
) -> Generator[PaintParameters]:
    """A generator that paints PNG files of one shade of grey."""

    def memory(params: PaintParameters, inputs: Inputs) -> Memory:
        return {"cpu": sum(size * size for size in params.sizes)}

    def load(services: Services) -> Run[PaintParameters]:
        def run(params: PaintParameters, inputs: Inputs, context: Context) -> Result:
            import cv2

            if fail is not None:
                raise fail
            made = []
            for number, size in enumerate(params.sizes, 1):
                path = context.folder / f"picture-{number}.png"
                cv2.imwrite(str(path), np.full((size, size, 3), params.shade, np.uint8))
                context.progress(number / len(params.sizes), f"picture {number}")
                made.append(path)
            return Result({"pictures": tuple(made)}, {"count": len(made)})

        return run

    return Generator(
        name="paint",
        title="Paint",
        summary="Paint pictures.",
        parameters=PaintParameters,
        inputs=(
            Input("model_picture", ("image",), "Looked at, 100 %.", required=False),
            Input("palette", ("image", "mask"), required=False, several=True),
        ),
        outputs=(Output("pictures", "image", several=True),),
        memory=memory,
        models=lambda params: models,
        load=load,
        retryable=(PaintFailed,),
    )


def services(*folders: Path, any_folder: bool = False) -> Services:
    """Services with models in some folders."""
    return Services(ModelLibrary(folders), any_folder=any_folder)


def cue(start: float, end: float, text: str) -> Cue:
    """A cue of words of equal length."""
    words = text.split()
    step = (end - start) / len(words)
    return Cue(
        start,
        end,
        tuple(
            Word(word, start + number * step, start + (number + 1) * step)
            for number, word in enumerate(words)
        ),
    )
