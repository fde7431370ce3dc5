"""Results that are there already: a job whose recipe ran before is done at once.

The new job is one of its own, with its own id and history; its files are hard links to those of the
earlier one (copies where the file system has none), so either may be removed.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import insert, select

from engine.jobs.checking import check, new_row
from engine.jobs.clocks import Clocks
from engine.jobs.errors import JobFileNotFound
from engine.jobs.files import JobFiles
from engine.jobs.machine import bound
from engine.jobs.notices import new_notice
from engine.jobs.rows import to_job
from engine.jobs.schema import jobs, notices
from engine.jobs.settings import JobSettings
from engine.jobs.spec import CACHED, Job, JobSpec, JobState
from engine.jobs.store import Store

_CANDIDATES = 5


class ResultCache:
    """Finds results by cache keys.

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

    def find(self, cache_keys: Sequence[str]) -> Job | None:
        """Return the newest job that is done, has one of these keys, was made on a machine like
        this one, and still has its files, whole.

        Args:
            cache_keys: As generators record them.
        """
        keys = [bound(key) for key in cache_keys if key and key.isprintable()]
        query = (
            select(jobs)
            .where(jobs.c.cache_key.in_(keys), jobs.c.state == JobState.DONE.value)
            .order_by(jobs.c.number.desc())
            .limit(_CANDIDATES)
        )
        with self._store.read() as connection:
            rows = connection.execute(query).mappings().all()
        return next((job for row in rows if self._is_whole(job := to_job(row))), None)

    def enqueue(self, spec: JobSpec, earlier: Job) -> Job:
        """Accept a job as done, with the result of another one.

        Raises:
            JobFileNotFound: The other one was removed meanwhile.
            InvalidInput: It cannot be accepted as it is described.
            OSError: The disk is full.
        """
        check(spec, self._files)
        folder = self._files.begin(spec.id, 1)
        for file in earlier.files:
            _link(self._files.result(earlier, file.name), folder / file.name)
        now = self._clocks.wall()
        with self._store.write() as writing:
            row = new_row(spec, writing.change, False, self._settings.retry, self._clocks)
            row |= {
                "state": JobState.DONE.value,
                "attempt": 1,
                "progress": 1.0,
                "message": "",
                "preview": "",
                "result": dict(earlier.result or {}),
                "files": [asdict(file) for file in earlier.files],
                "bytes": sum(file.bytes for file in earlier.files),
                "recipe": dict(earlier.recipe),
                "cache_key": earlier.cache_key,
                "extra": {**spec.extra, CACHED: earlier.id},
                "started_at": now,
                "finished_at": now,
                "run_s": 0.0,
            }
            writing.connection.execute(insert(jobs), row)
            if spec.webhook:
                notice = new_notice(spec.id, spec.webhook)
                writing.connection.execute(insert(notices), notice)
            query = select(jobs).where(jobs.c.id == spec.id)
            return to_job(writing.connection.execute(query).mappings().one())

    def _is_whole(self, job: Job) -> bool:
        with suppress(JobFileNotFound):
            return all(
                self._files.result(job, file.name).stat().st_size == file.bytes
                for file in job.files
            )
        return False


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # No hard links here, or too many of them.
        shutil.copyfile(source, target)
