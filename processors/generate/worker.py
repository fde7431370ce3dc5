"""Generators in worker processes: ``processors.generate.worker:make`` is their registry."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from engine.pipeline.generate_settings import GenerateSettings
from engine.pipeline.memory_settings import MemorySettings
from engine.pipeline.model_settings import RuntimeSettings
from engine.pipeline.settings import ProcessorSettings
from processors.generate.declaration import Place, Services
from processors.generate.registry import LoadedGenerators
from processors.models.library import ModelLibrary
from processors.models.memory import ModelMemory, open_memory

REGISTRY = "processors.generate.worker:make"


class WorkerOptions(BaseModel):
    """What a worker process has to know to make ``Services``; goes there as JSON.

    Attributes:
        folders: Of models.
        commercial: Refuse models whose licence forbids commercial use.
        runtime: What runs ONNX models.
        processors: The processors' settings.
        memory: Budgets of devices.
        generate: The section ``generate``.
        reports: Folder where processes say what they hold; None: this one is alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folders: tuple[Path, ...]
    commercial: bool = False
    runtime: RuntimeSettings = RuntimeSettings()
    processors: ProcessorSettings = ProcessorSettings()
    memory: MemorySettings = MemorySettings()
    generate: GenerateSettings = GenerateSettings()
    reports: Path | None = None


def worker_options(
    folders: Sequence[Path],
    commercial: bool,
    runtime: RuntimeSettings,
    processors: ProcessorSettings,
    memory: MemorySettings | None = None,
    reports: Path | None = None,
    generate: GenerateSettings | None = None,
) -> dict[str, Any]:
    """Return the options for ``make``, as JSON; relative folders become absolute."""
    return WorkerOptions(
        folders=tuple(folder.absolute() for folder in folders),
        commercial=commercial,
        runtime=runtime,
        processors=processors,
        memory=memory or MemorySettings(),
        generate=generate or GenerateSettings(),
        reports=None if reports is None else reports.absolute(),
    ).model_dump(mode="json")


def make(place: Place, options: Mapping[str, Any]) -> LoadedGenerators:
    """Make the generators of a worker process.

    Args:
        place: Where it works; a job's context has it, too.
        options: From ``worker_options``.
    """
    given = WorkerOptions.model_validate(dict(options))
    library = ModelLibrary(given.folders, given.commercial)
    if given.reports is None:
        memory = ModelMemory(given.memory)
    else:
        memory = open_memory(given.memory, given.reports, f"worker on {place.device}")
    return LoadedGenerators(
        Services(library, given.runtime, given.processors, memory=memory, generate=given.generate)
    )
