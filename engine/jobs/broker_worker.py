"""How a worker waits for its next job where a broker says when there is one."""

import logging
import threading
from typing import Final, Protocol

from engine.clock import Clock
from engine.errors import Unavailable

_log = logging.getLogger(__name__)

_SLICE_S: Final = 0.2
"""How long it may take until a waiting worker hears that it has to stop."""
_AGAIN_S: Final = 5.0


class Link(Protocol):
    """What tells of jobs: ``broker.BrokerLink``."""

    def hear(self, timeout_s: float) -> str | None:
        """Return the id of a job, or None if none came in time.

        Raises:
            Unavailable: Nothing can be heard.
        """
        ...

    def close(self) -> None:
        """Give up the connection."""
        ...


class Listener:
    """Waits until a look into the store is worth it: on a message, or after a while anyway.

    While the broker is away, the worker looks as often as without one.

    Args:
        link: To the broker.
        stop: Ends a wait when it is set.
        clock: Monotonic.
        look_s: How long to wait for a message, at most.
        poll_s: How long to wait while the broker is away.
        again_s: How long to leave the broker alone after a failure.
    """

    def __init__(
        self,
        link: Link,
        stop: threading.Event,
        clock: Clock,
        look_s: float,
        poll_s: float,
        again_s: float = _AGAIN_S,
    ) -> None:
        self._link = link
        self._stop = stop
        self._clock = clock
        self._look_s = look_s
        self._poll_s = poll_s
        self._again_s = again_s
        self._again_at = -float("inf")
        self._silent = False

    def wait(self) -> None:
        """Return when the store has to be looked at, or when ``stop`` is set."""
        now = self._clock()
        if now < self._again_at:
            self._stop.wait(self._poll_s)
            return
        end = now + self._look_s
        try:
            while not self._stop.is_set() and (left := end - self._clock()) > 0:
                job_id = self._link.hear(min(left, _SLICE_S))
                if self._silent:
                    _log.info("The broker of jobs is back.")
                    self._silent = False
                if job_id is not None:
                    _log.debug("Told of job '%s'.", job_id)
                    return
        except Unavailable as error:
            self._again_at = self._clock() + self._again_s
            if not self._silent:
                _log.warning("Jobs are looked for without the broker: %s", error)
            self._silent = True

    def close(self) -> None:
        """Give up the connection."""
        self._link.close()
