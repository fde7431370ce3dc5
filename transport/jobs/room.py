"""The parts of side jobs that one server has."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp.abc import AbstractResolver

from engine.clock import Clock
from engine.jobs.settings import JobSettings
from engine.jobs.spec import Json
from engine.pipeline.memory_settings import MemorySettings
from processors.generate.declaration import Generator, Services
from processors.models.memory_monitor import UsageHistory
from transport.jobs.catalogue import GeneratorCatalogue
from transport.jobs.desk import JobDesk
from transport.jobs.rendering import render_job
from transport.jobs.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class JobRoom:
    """The parts of side jobs.

    Attributes:
        desk: The queue.
        catalogue: The generators.
        webhooks: Calls when jobs have ended.
        memory: Budgets of the devices.
        reports: Folder in which processes say what they hold in memory.
        usage: How full the devices were lately.
    """

    desk: JobDesk
    catalogue: GeneratorCatalogue
    webhooks: Webhooks
    memory: MemorySettings
    reports: Path
    usage: UsageHistory

    async def close(self) -> None:
        """End all of it."""
        await self.webhooks.close()
        await self.desk.close()


def make_room(
    settings: JobSettings,
    memory: MemorySettings,
    services: Callable[[], Services],
    registry: str,
    options: Callable[[], Json],
    log_level: str = "INFO",
    known: Mapping[str, Generator[Any]] | None = None,
    clock: Clock = time.time,
    resolver: AbstractResolver | None = None,
) -> JobRoom:
    """Put the parts together; nothing is opened yet.

    Args:
        settings: The section ``jobs``, with an absolute folder.
        memory: The section ``memory``.
        services: Makes what generators get; called in a thread.
        registry: Import path of the workers' generators.
        options: Returns what the registry needs to know; called in a thread.
        log_level: Of the workers.
        known: Other generators than those of the registry, for tests.
        clock: Seconds since 1970.
        resolver: Resolves the names of webhooks; None: the system's.
    """
    catalogue = GeneratorCatalogue(settings, services, known)
    desk = JobDesk(settings, registry, options, log_level)
    webhooks = Webhooks(
        settings.webhooks,
        desk,
        lambda job: render_job(job, catalogue, None),
        clock,
        resolver,
    )
    desk.when_open(webhooks.start)
    return JobRoom(
        desk, catalogue, webhooks, memory, report_folder(settings.folder), UsageHistory(clock)
    )


def report_folder(jobs_folder: Path) -> Path:
    """Return the folder in which the processes of this machine say what they hold in memory."""
    return jobs_folder / "memory"
