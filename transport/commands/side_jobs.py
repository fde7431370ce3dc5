"""Wires side jobs for a server and for ``worker``."""

from typing import Any

from engine.settings import Settings
from processors.generate.declaration import Services
from processors.generate.worker import REGISTRY, worker_options
from transport.commands.configuration import library_of
from transport.jobs.room import JobRoom, make_room, report_folder


def job_room(settings: Settings) -> JobRoom:
    """Return the parts of side jobs of a server; nothing is opened yet."""
    return make_room(
        settings.jobs,
        settings.memory,
        lambda: Services(library_of(settings), settings.runtime, settings.processors),
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
    )
