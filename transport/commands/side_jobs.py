"""Wires side jobs for a server and for ``worker``."""

from typing import Any

from engine.settings import Settings
from processors.generate.declaration import Services
from processors.generate.worker import REGISTRY, worker_options
from processors.models.live_pins import LivePins
from processors.models.memory import ModelMemory, open_memory
from transport.commands.configuration import library_of
from transport.jobs.room import JobRoom, make_room, report_folder


def job_room(settings: Settings) -> JobRoom:
    """Return the parts of side jobs of a server; nothing is opened yet."""
    return make_room(
        settings.jobs,
        settings.memory,
        lambda: services_of(settings),
        REGISTRY,
        lambda: registry_options(settings),
        settings.log.level.upper(),
    )


def registry_options(settings: Settings) -> dict[str, Any]:
    """Return what workers have to know of the settings."""
    return worker_options(
        library_of(settings).folders,
        settings.models.commercial,
        settings.runtime,
        settings.processors,
        settings.memory,
        report_folder(settings.jobs.folder),
        settings.generate,
    )


def live_pins(settings: Settings) -> LivePins:
    """Return what tells side jobs of the models of live streams."""
    folder = report_folder(settings.jobs.folder)
    return LivePins(lambda: open_memory(settings.memory, folder, "server"))


def services_of(settings: Settings, any_folder: bool = False) -> Services:
    """Return what generators get; ``any_folder`` lets them take models from everywhere."""
    return Services(
        library_of(settings),
        settings.runtime,
        settings.processors,
        any_folder,
        memory=ModelMemory(settings.memory),
        generate=settings.generate,
    )
