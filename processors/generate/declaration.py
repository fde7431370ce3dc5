"""What a generator is: one declaration, from which everything else about it is made.

Its parameters are a pydantic model, so HTTP validation, ``/openapi.json``, the command line and the
form on the page need nothing beside it. Declaring is cheap: whatever is heavy is imported by
``Generator.load``, which is called in the process that does the work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import InvalidInput
from engine.pipeline.generate_settings import GenerateSettings
from engine.pipeline.model_settings import RuntimeSettings
from engine.pipeline.settings import ProcessorSettings
from processors.models.library import ModelLibrary
from processors.models.memory import ModelMemory

Json = Mapping[str, Any]
"""A JSON object: text keys, and values that ``json.dumps`` accepts."""

MediaKind = Literal["image", "video", "audio", "mask"]
"""A mask is an image whose white pixels are meant."""

OutputKind = Literal["image", "video", "audio", "mask", "subtitles", "data"]
DeviceKind = Literal["cpu", "cuda"]
Memory = Mapping[DeviceKind, int]
"""Bytes that a job needs at its peak, on each kind of device that it can run on."""

Inputs = Mapping[str, Path]
"""The files of a job by the name of the input; see ``several`` for inputs of many files."""

RESERVED = frozenset({"config", "force", "help", "out", "overwrite", "set"})
"""Names that the command line needs itself."""


class Parameters(BaseModel):
    """Base of the parameters of generators: frozen, and unknown ones are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


P = TypeVar("P", bound=Parameters)


class BadParameters(InvalidInput):
    """Parameters that a generator does not take.

    Args:
        generator: Its name.
        problems: For each wrong parameter its path (``style.size``) and what is wrong.
    """

    def __init__(self, generator: str, problems: Mapping[str, str]) -> None:
        text = "; ".join(f"{path}: {problem}" for path, problem in problems.items())
        super().__init__(f"{generator}: {text}.")
        self.problems = dict(problems)


class Place(Protocol):
    """Where a job runs."""

    @property
    def device(self) -> str:
        """E.g. ``cuda:0``, ``cpu`` or ``auto``."""

    @property
    def threads(self) -> int:
        """CPU threads that it may use."""


class Context(Protocol):
    """What a generator sees of its job; ``engine.jobs.context.Context`` is the one of the queue.

    Methods that check raise to end the job: the generator cleans up (``finally``) and lets the
    exception pass.
    """

    @property
    def folder(self) -> Path:
        """Where result files go; nothing else is there."""

    @property
    def place(self) -> Place:
        """Device and threads."""

    @property
    def recipe(self) -> Json | None:
        """What determines the result; for ``recipe.tags``."""

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Say how far it is (0 to 1) and what it does now, then ``check``."""

    def check(self) -> None:
        """To be called between steps; raises if the job has to end."""

    def yield_to_live(self) -> float:
        """Wait while live streams are late; return the seconds waited."""

    def log(self, line: str) -> None:
        """Add a line to the job's log."""

    def preview(self, picture: bytes | npt.NDArray[np.uint8]) -> bool:
        """Show a picture of what will come: a file's bytes, or ``uint8[h, w, 3]``, BGR."""

    def wants_preview(self) -> bool:
        """Whether a preview would be kept now."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file that a generator reads.

    Attributes:
        name: As in ``inputs``.
        kinds: What it may be.
        help: One line for people.
        required: Whether a job needs it.
        several: Many files may be given; see ``several``.
    """

    name: str
    kinds: tuple[MediaKind, ...]
    help: str = ""
    required: bool = True
    several: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """Files that a generator makes.

    Attributes:
        name: As in ``Result.files``.
        kind: What it is.
        help: One line for people; says when it is made, if not always.
        several: There may be many.
    """

    name: str
    kind: OutputKind
    help: str = ""
    several: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What a generator made.

    Attributes:
        files: For each output its files, all in ``Context.folder``.
        values: A JSON object of what else was found.
    """

    files: Mapping[str, tuple[Path, ...]]
    values: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Services:
    """What generators get from the settings.

    Attributes:
        library: Where models are, and which may be used.
        runtime: What runs ONNX models.
        processors: The processors' settings.
        any_folder: Parameters may name folders of models anywhere; else only within the library.
        memory: The models of this process that are in memory.
        generate: The settings of generators of pictures.
    """

    library: ModelLibrary
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    processors: ProcessorSettings = field(default_factory=ProcessorSettings)
    any_folder: bool = False
    memory: ModelMemory = field(default_factory=ModelMemory)
    generate: GenerateSettings = field(default_factory=GenerateSettings)

    def determining(self) -> dict[str, Any]:
        """Return the settings that change results, as JSON, for recipes."""
        how = {"weights", "attention", "vae", "offload", "batch"}
        prompts = self.generate.prompts
        return {
            "memory": self.memory.settings.model_dump(mode="json", include=how),
            "magic": [prompts.magic_model, prompts.magic_tokens],
            "provider": self.runtime.provider,
            "processors": self.processors.model_dump(mode="json"),
        }


Run = Callable[[P, Inputs, Context], Result]


def no_models(_: Parameters) -> tuple[str, ...]:
    """For generators without models."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator(Generic[P]):
    """A generator.

    Attributes:
        name: Its id: small letters, digits and underscores.
        title: For people.
        summary: What it does, in one line.
        parameters: The model of its parameters; each field has a description, ranges, and what
            ``form`` gives.
        inputs: Files it reads.
        outputs: Files it makes.
        models: Ids of the models that it needs for parameters, or folders.
        memory: Estimates what it needs.
        retryable: Errors after which the same job may succeed, besides those that
            ``engine.jobs.retrying`` knows.
        load: Makes what runs it; called once in a process, imports what is heavy.
    """

    name: str
    title: str
    summary: str
    parameters: type[P]
    outputs: tuple[Output, ...]
    memory: Callable[[P, Inputs], Memory]
    load: Callable[[Services], Run[P]]
    inputs: tuple[Input, ...] = ()
    models: Callable[[P], tuple[str, ...]] = no_models
    retryable: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        names = [*self.parameters.model_fields, *(item.name for item in self.inputs)]
        taken = RESERVED.intersection(names)
        if taken or len(set(names)) != len(names):
            raise ValueError(f"{self.name}: names are used twice: {sorted(taken) or names}")

    def validate(self, values: Json) -> P:
        """Return the parameters.

        Raises:
            BadParameters: One is unknown, missing or out of its range; names all that are.
        """
        try:
            return self.parameters.model_validate(dict(values))
        except ValidationError as error:
            problems = {
                ".".join(str(part) for part in item["loc"]) or "parameters": item["msg"]
                .removeprefix("Value error, ")
                .rstrip(".")
                for item in error.errors()
            }
            raise BadParameters(self.name, problems) from None


def form(
    *,
    unit: str = "",
    widget: Literal["", "text", "area", "slider", "colour", "seed"] = "",
    group: str = "",
    step: float | None = None,
) -> dict[str, Any]:
    """Return what a parameter's schema says to forms, for ``Field(json_schema_extra=...)``.

    Args:
        unit: E.g. ``s``, ``px``, ``% of the height``.
        widget: How it is entered, where its type does not tell.
        group: Heading under which it is shown; empty: with the main ones.
        step: Of a slider.
    """
    values = {"x-unit": unit, "x-widget": widget, "x-group": group, "x-step": step}
    return {key: value for key, value in values.items() if value not in ("", None)}


def several(inputs: Inputs, name: str) -> tuple[Path, ...]:
    """Return the files of an input that takes many: ``NAME``, ``NAME-2``, ``NAME-3`` and so on."""
    found = [inputs[name]] if name in inputs else []
    number = 2
    while (path := inputs.get(f"{name}-{number}")) is not None:
        found.append(path)
        number += 1
    return tuple(found)
