"""The open queue of a server, with all that runs beside it.

Importing this brings SQLAlchemy, so only ``desk`` does it, in a thread and after the start.
"""

import logging
from contextlib import ExitStack

from engine.jobs.announcing import Announcer
from engine.jobs.broker import BrokerLink
from engine.jobs.errors import LiveSignalRefused
from engine.jobs.feed import JobFeed
from engine.jobs.live import LiveSignal, signal_path
from engine.jobs.opening import Jobs, open_jobs
from engine.jobs.settings import JobSettings
from engine.jobs.spec import Json
from engine.jobs.submit import Submitter
from engine.jobs.supervisor import Supervisor

_log = logging.getLogger(__name__)


class Backend:
    """The open queue. Constructing it opens and starts everything; ``close`` ends it.

    Args:
        settings: The section ``jobs``.
        registry: Import path of the workers' generators.
        options: What the registry needs to know.
        log_level: Of the workers.

    Raises:
        AvatarServerError: The store cannot be opened; see ``open_jobs``.
    """

    def __init__(self, settings: JobSettings, registry: str, options: Json, log_level: str) -> None:
        with ExitStack() as stack:
            self.jobs: Jobs = stack.enter_context(open_jobs(settings))
            self.live = self._signal(stack)
            self.feed = JobFeed(self.jobs)
            self.feed.start()
            stack.callback(self.feed.close)
            chosen = self.jobs.settings
            if chosen.broker:
                link = BrokerLink(chosen.broker)
                stack.enter_context(Announcer(self.jobs.store, link, chosen.poll_s))
            self.submitter = stack.enter_context(Submitter(self.jobs.queue))
            self.supervisor = Supervisor(self.jobs, registry, options, log_level)
            self.supervisor.start()
            stack.callback(self.supervisor.stop)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Stop the workers and close the store; takes at most about ``stop_s``."""
        self._stack.close()

    def _signal(self, stack: ExitStack) -> LiveSignal | None:
        settings = self.jobs.settings
        try:
            return stack.enter_context(
                LiveSignal(
                    signal_path(settings.folder),
                    self.jobs.clocks.monotonic,
                    settings.live_late_ms / 1000,
                    settings.live_hold_s,
                )
            )
        except LiveSignalRefused as error:
            _log.warning("Jobs will not wait for live streams: %s", error)
            return None
