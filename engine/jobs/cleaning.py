"""Removes old jobs and their files: by age, by size, and what belongs to no job.

Where the files are in an object store, it also keeps this machine's working copy small.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import ColumnElement, delete, func, select

from engine.jobs.clocks import Clocks
from engine.jobs.files import JobFiles
from engine.jobs.queue import is_needed
from engine.jobs.schema import jobs
from engine.jobs.settings import JobSettings
from engine.jobs.spec import FINISHED, JobState
from engine.jobs.store import Store

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_DAY_S: Final = 86_400.0
_ORPHAN_S: Final = 86_400.0
"""Files that belong to no job for so long are removed: uploads that were never enqueued."""
_IN_USE_S: Final = 600.0
"""What was asked for so lately may be being read, and stays on this machine."""
_STEADY_S: Final = 300.0
_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was removed.

    Attributes:
        old: Jobs that were too old.
        large: Jobs that had to make room.
        orphans: Folders that belonged to no job.
        copies: Jobs whose files went from this machine, and are still in the object store.
    """

    old: int = 0
    large: int = 0
    orphans: int = 0
    copies: int = 0


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
            Unavailable: The store is locked, full or out of reach, or the object store is.
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
        copies = self._drop_copies(now) if steady and self._settings.files_cache_gb else 0
        return Cleaned(old, large, orphans, copies)

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
            self._files.purge(job_id)
        return gone

    def _remove_orphans(self, now: float) -> int:
        stale: dict[str, set[int]] = {}
        for stored in self._files.stored():
            if now - stored.changed > _ORPHAN_S:
                stale.setdefault(stored.id, set()).update(stored.attempts)
        removed = 0
        for batch in _batches(list(stale)):
            with self._store.read() as connection:
                query = select(jobs.c.id, jobs.c.state, jobs.c.attempt).where(jobs.c.id.in_(batch))
                known = {row.id: row for row in connection.execute(query)}
            for job_id in batch:
                row = known.get(job_id)
                if row is None:
                    self._files.purge(job_id)
                    removed += 1
                elif row.state in FINISHED:
                    # Of workers that lost the job, and ended before they heard of it.
                    kept = {row.attempt} if row.state == JobState.DONE else set()
                    for attempt in stale[job_id] - kept:
                        self._files.discard(job_id, attempt)
        return removed

    def _drop_copies(self, now: float) -> int:
        copies = sorted(self._files.copies(), key=lambda copy: copy.used)
        excess = sum(copy.bytes for copy in copies) - self._settings.files_cache_gb * 1e9
        unused = [copy for copy in copies if now - copy.used > _IN_USE_S and copy.bytes]
        dropped = 0
        for batch in _batches(unused):
            if excess <= 0:
                break
            with self._store.read() as connection:
                query = select(jobs.c.id).where(
                    jobs.c.id.in_([copy.id for copy in batch]),
                    jobs.c.state.in_(FINISHED),
                    ~is_needed(jobs.c.id),
                )
                free = set(connection.scalars(query))
            for copy in batch:
                if excess > 0 and copy.id in free:
                    self._files.drop_copy(copy.id)
                    excess -= copy.bytes
                    dropped += 1
        return dropped


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for first in range(0, len(items), _BATCH):
        yield items[first : first + _BATCH]
