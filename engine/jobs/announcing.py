"""The thread that tells the broker which jobs came into the queue, in whichever way they did.

It follows the store's order of changes: enqueued, retried, woken, resumed and given back jobs, of
this process or of any other, are found alike, and only once they are committed. While the broker is
away, the thread does not go on, so what came meanwhile is announced when it is back.
"""

import logging
import threading
from types import TracebackType
from typing import Final, Self

from sqlalchemy import select

from engine.errors import Unavailable
from engine.jobs.broker import MAX_PENDING, BrokerLink
from engine.jobs.schema import jobs
from engine.jobs.spec import JobState
from engine.jobs.store import Store

_log = logging.getLogger(__name__)

_AGAIN_S: Final = 1.0


class Announcer:
    """Announces jobs. Several on one store only send more messages than are needed.

    Args:
        store: Where jobs are kept; it must outlive the announcer.
        link: To the broker; the announcer closes it.
        poll_s: How often to look for news.
        again_s: How long to wait after a failure.
    """

    def __init__(
        self, store: Store, link: BrokerLink, poll_s: float, again_s: float = _AGAIN_S
    ) -> None:
        self._store = store
        self._link = link
        self._poll_s = poll_s
        self._again_s = again_s
        self._seen = -1
        self._silent = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs-announcer")

    def start(self) -> None:
        """Start announcing; what is in the queue already comes first."""
        self._thread.start()

    def close(self) -> None:
        """Stop; takes a few seconds if the broker does not answer."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def tick(self) -> int:
        """Announce the jobs that came into the queue since the last call, or changed there.

        Returns:
            How many messages were sent.

        Raises:
            Unavailable: The store or the broker is out of reach; the next call starts over.
        """
        change = self._store.changes()
        if change == self._seen:
            return 0
        query = (
            select(jobs.c.id)
            .where(jobs.c.state == JobState.QUEUED.value, jobs.c.changed > self._seen)
            .order_by(jobs.c.changed, jobs.c.number)
            .limit(MAX_PENDING)
        )
        with self._store.read() as connection:
            found = list(connection.scalars(query))
        sent = self._link.send(found) if found else 0
        self._seen = change
        return sent

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            pause = self._again_s
            try:
                self.tick()
                pause = self._poll_s
                if self._silent:
                    _log.info("Jobs are announced again.")
                self._silent = False
            except Unavailable as error:
                if not self._silent:
                    _log.warning("Jobs are not announced at present: %s", error)
                self._silent = True
            except Exception:  # noqa: BLE001  # a mistake in the program; workers look by themselves
                if not self._silent:
                    _log.exception("Announcing jobs has met an error.")
                self._silent = True
        self._link.close()
