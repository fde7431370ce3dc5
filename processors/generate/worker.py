"""Generators in worker processes: ``processors.generate.worker:make`` is their registry."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from engine.pipeline.model_settings import RuntimeSettings
from engine.pipeline.settings import ProcessorSettings
from processors.generate.declaration import Place, Services
from processors.generate.registry import LoadedGenerators
from processors.models.library import ModelLibrary

REGISTRY = "processors.generate.worker:make"


class WorkerOptions(BaseModel):
    """What a worker process has to know to make ``Services``; goes there as JSON.

    Attributes:
        folders: Of models.
        commercial: Refuse models whose licence forbids commercial use.
        runtime: What runs ONNX models.
        processors: The processors' settings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folders: tuple[Path, ...]
    commercial: bool = False
    runtime: RuntimeSettings = RuntimeSettings()
    processors: ProcessorSettings = ProcessorSettings()


def worker_options(
    folders: Sequence[Path],
    commercial: bool,
    runtime: RuntimeSettings,
    processors: ProcessorSettings,
) -> dict[str, Any]:
    """Return the options for ``make``, as JSON; relative folders become absolute."""
    return WorkerOptions(
        folders=tuple(folder.absolute() for folder in folders),
        commercial=commercial,
        runtime=runtime,
        processors=processors,
    ).model_dump(mode="json")


def make(place: Place, options: Mapping[str, Any]) -> LoadedGenerators:
    """Make the generators of a worker process.

    Args:
        place: Where it works; a job's context has it, too.
        options: From ``worker_options``.
    """
    given = WorkerOptions.model_validate(dict(options))
    library = ModelLibrary(given.folders, given.commercial)
    return LoadedGenerators(Services(library, given.runtime, given.processors))
