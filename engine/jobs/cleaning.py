"""Removes old jobs and their files: by age, by size, and what belongs to no job."""

import logging
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, delete, func, select

from engine.jobs.clocks import Clocks
from engine.jobs.files import JobFiles
from engine.jobs.queue import is_needed
from engine.jobs.schema import jobs
from engine.jobs.settings import JobSettings
from engine.jobs.spec import FINISHED
from engine.jobs.store import Store

_log = logging.getLogger(__name__)

_DAY_S: Final = 86_400.0
_ORPHAN_S: Final = 86_400.0
"""Files that belong to no job for so long are removed: uploads that were never enqueued."""
_STEADY_S: Final = 300.0
_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was removed.

    Attributes:
        old: Jobs that were too old.
        large: Jobs that had to make room.
        orphans: Folders that belonged to no job.
    """

    old: int = 0
    large: int = 0
    orphans: int = 0


class Cleaner:
    """Removes finished jobs. A job that an unfinished one depends on stays.

    Ages are told by the wall clock, which may be wrong. So it must have been steady since the last
    call (or since the start): after a step, only size counts until the next call.

    Args:
        store: Where jobs are kept.
        files: Where their files are.
        settings: The section ``jobs``.
        clocks: Where the time comes from.
    """

    def __init__(
        self, store: Store, files: JobFiles, settings: JobSettings, clocks: Clocks
    ) -> None:
        self._store = store
        self._files = files
        self._settings = settings
        self._clocks = clocks
        self._difference = clocks.wall() - clocks.monotonic()

    def clean(self) -> Cleaned:
        """Remove what is due.

        Raises:
            Unavailable: The store is locked, full or out of reach.
        """
        now = self._clocks.wall()
        difference = now - self._clocks.monotonic()
        steady = abs(difference - self._difference) < _STEADY_S
        self._difference = difference
        if not steady:
            _log.warning("The clock was set; nothing is removed for its age this time.")
        old = self._remove_old(now) if steady and self._settings.keep_days else 0
        large = self._remove_large() if self._settings.keep_gb else 0
        orphans = self._remove_orphans(now) if steady else 0
        return Cleaned(old, large, orphans)

    def _remove_old(self, now: float) -> int:
        before = now - self._settings.keep_days * _DAY_S
        removed = 0
        while found := self._oldest(jobs.c.finished_at < before):
            removed += len(self._removed([job_id for job_id, _ in found]))
        return removed

    def _remove_large(self) -> int:
        with self._store.read() as connection:
            total = connection.scalar(select(func.sum(jobs.c.bytes))) or 0
        excess = int(total) - self._settings.keep_gb * 1e9
        removed = 0
        while excess > 0 and (found := self._oldest(jobs.c.bytes > 0)):
            chosen = []
            for job_id, size in found:
                if excess <= 0:
                    break
                excess -= size
                chosen.append(job_id)
            removed += len(self._removed(chosen))
        return removed

    def _oldest(self, condition: ColumnElement[bool]) -> list[tuple[str, int]]:
        query = (
            select(jobs.c.id, jobs.c.bytes)
            .where(jobs.c.state.in_(FINISHED), condition, ~is_needed(jobs.c.id))
            .order_by(jobs.c.finished_at)
            .limit(_BATCH)
        )
        with self._store.read() as connection:
            return [(row.id, row.bytes) for row in connection.execute(query)]

    def _removed(self, job_ids: list[str]) -> list[str]:
        # Rows first: files without a row are found again, a row without its files is a wrong one.
        with self._store.write() as writing:
            query = delete(jobs).where(
                jobs.c.id.in_(job_ids), jobs.c.state.in_(FINISHED), ~is_needed(jobs.c.id)
            )
            gone = list(writing.connection.scalars(query.returning(jobs.c.id)))
        for job_id in gone:
            self._files.remove(job_id)
        return gone

    def _remove_orphans(self, now: float) -> int:
        stale = [job_id for job_id, at in self._files.stored() if now - at > _ORPHAN_S]
        removed = 0
        for first in range(0, len(stale), _BATCH):
            batch = stale[first : first + _BATCH]
            with self._store.read() as connection:
                query = select(jobs.c.id).where(jobs.c.id.in_(batch))
                known = set(connection.scalars(query))
            for job_id in set(batch) - known:
                self._files.remove(job_id)
                removed += 1
        return removed
