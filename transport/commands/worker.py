"""``worker``: works on side jobs on this machine, without a server."""

import argparse
import logging
import signal
import threading

from engine.errors import SettingsError
from engine.settings import Settings
from processors.generate.worker import REGISTRY
from transport.commands.configuration import load_settings, start_logging
from transport.commands.side_jobs import registry_options
from transport.commands.terminal import say


def work(options: argparse.Namespace) -> int:
    """Work on side jobs, without a server, until SIGTERM or Ctrl-C.

    Any number of workers, on this machine or on others that share the database and the folder of
    jobs, take jobs from one queue. Each job is done by one of them.
    """
    settings = chosen(load_settings(options), options.device, options.broker)
    start_logging(settings)
    # Only here, as the store's library is heavy.
    from engine.jobs.opening import open_jobs
    from engine.jobs.supervisor import Supervisor

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with open_jobs(settings.jobs) as jobs:
        level = settings.log.level.upper()
        supervisor = Supervisor(jobs, REGISTRY, registry_options(settings), level)
        supervisor.start()
        devices = ", ".join(settings.jobs.devices)
        say(f"Working on the jobs of {jobs.store.where}, on: {devices}. Ctrl-C ends it.")
        try:
            stop.wait()
            logging.getLogger("worker").info("stopping; jobs under way go back to the queue")
        finally:
            supervisor.stop()
    return 0


def chosen(settings: Settings, devices: list[str] | None, broker: bool = False) -> Settings:
    """Return settings with what the command line says.

    Args:
        settings: As loaded.
        devices: Where to work; None or none: as the settings say.
        broker: Keep the workers, told of jobs by the broker, instead of starting them when a look
            into the store finds one.

    Raises:
        SettingsError: Nobody would work, or there is no broker.
    """
    jobs = settings.jobs
    if devices:
        jobs = jobs.model_copy(update={"devices": tuple(devices)})
    if not jobs.devices:
        raise SettingsError("jobs.devices is empty.", "Name one: --device auto")
    if broker and not jobs.broker:
        raise SettingsError(
            "--broker needs the setting jobs.broker.",
            "Write e.g. redis://:password@host:6379/0, the same as the server has.",
        )
    if broker:
        jobs = jobs.model_copy(update={"worker_idle_s": 0.0})
    return settings.model_copy(update={"jobs": jobs})
