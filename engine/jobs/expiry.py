"""What any process may do for all: take back leases that ended, wake jobs whose delay is over."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from engine.jobs.attempt import Lease
from engine.jobs.clocks import Clocks, Watch
from engine.jobs.leases import Leases
from engine.jobs.schema import jobs
from engine.jobs.spec import JobState
from engine.jobs.store import Store


class Expiry:
    """Looks for moments that have passed. Any number may work on one store.

    Args:
        store: Where jobs are kept.
        leases: Takes jobs back.
        clocks: Where the time comes from.
    """

    def __init__(self, store: Store, leases: Leases, clocks: Clocks) -> None:
        self._store = store
        self._leases = leases
        self._clocks = clocks
        self._watch = Watch(clocks)
        self._idle_since: int | None = None
        """The last change, if nothing was leased or delayed after it."""

    def tick(self) -> int:
        """Do what is due; return how many jobs changed. To be called about four times a second.

        Raises:
            Unavailable: The store is locked, full or out of reach; the next call goes on.
        """
        change = self._store.changes()
        if change == self._idle_since:
            return 0
        leased, delayed = self._leased(), self._delayed()
        self._idle_since = None if leased or delayed else change
        ended, due = self._ended(leased), self._due(delayed)
        self._watch.forget_others()
        changed = 0
        for lease, beat in ended:
            why = f"nothing was heard of worker '{lease.owner}' any more."
            changed += self._leases.take_back(lease, why, beat) is not None
        return changed + (self._wake(due) if due else 0)

    def _leased(self) -> Sequence[Any]:
        query = select(
            jobs.c.id,
            jobs.c.owner,
            jobs.c.attempt,
            jobs.c.beat,
            jobs.c.lease_domain,
            jobs.c.lease_at,
            jobs.c.lease_s,
        ).where(jobs.c.owner != "")
        with self._store.read() as connection:
            return connection.execute(query).all()

    def _ended(self, rows: Sequence[Any]) -> list[tuple[Lease, int]]:
        return [
            (Lease(row.id, row.owner, row.attempt), row.beat)
            for row in rows
            if self._watch.passed(
                (row.id, row.attempt, row.beat), row.lease_domain, row.lease_at, row.lease_s
            )
        ]

    def _delayed(self) -> Sequence[Any]:
        query = select(
            jobs.c.id, jobs.c.due_domain, jobs.c.due_at, jobs.c.due_s, jobs.c.not_before
        ).where(jobs.c.state == JobState.DELAYED.value)
        with self._store.read() as connection:
            return connection.execute(query).all()

    def _due(self, rows: Sequence[Any]) -> list[str]:
        now = self._clocks.wall()
        return [
            row.id
            for row in rows
            # Asked first, so that the watch knows the job from its first sight on.
            if self._watch.passed((row.id, row.not_before), row.due_domain, row.due_at, row.due_s)
            or (row.due_domain != self._clocks.domain and now >= (row.not_before or 0.0))
        ]

    def _wake(self, due: list[str]) -> int:
        with self._store.write() as writing:
            woken = writing.connection.execute(
                update(jobs)
                .where(jobs.c.id.in_(due), jobs.c.state == JobState.DELAYED.value)
                .values(
                    state=JobState.QUEUED.value,
                    not_before=None,
                    changed=writing.change,
                )
            )
            return woken.rowcount
