"""Results that are there already: a job whose recipe ran before is done at once.

The new job is one of its own, with its own id and history; its files are hard links to those of the
earlier one (copies where the file system has none, and in an object store), so either may be
removed.
"""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import insert, select

from engine.jobs.checking import check, new_row
from engine.jobs.clocks import Clocks
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
            for row in connection.execute(query).mappings():
                if self._files.is_whole(job := to_job(row)):
                    return job
        return None

    def enqueue(self, spec: JobSpec, earlier: Job) -> Job:
        """Accept a job as done, with the result of another one.

        Raises:
            JobFileNotFound: The other one was removed meanwhile.
            InvalidInput: It cannot be accepted as it is described.
            Unavailable: The store, or the object store, is away.
            OSError: The disk is full.
        """
        check(spec, self._files)
        self._files.reuse(earlier, spec.id)
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
