"""The files of jobs in an object store, so that machines need no folder in common.

::

    <job id>/inputs/<name>       before the job is enqueued
             attempt-2/<name>    before the attempt is committed
             previews/<name>

The folder has the same layout and is this machine's working copy: what is in it was made here, or
was fetched when somebody asked. Objects never change; a file that exists here under its own name is
whole, as it is fetched under another one.
"""

import errno
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine.errors import Unavailable
from engine.jobs.errors import JobFileNotFound
from engine.jobs.files import JobFiles, StoredJob, WorkingCopy
from engine.jobs.ids import is_id
from engine.jobs.object_store import ObjectNotFound, ObjectStore, save
from engine.jobs.plain_files import link_or_copy, oldest_first, size_of
from engine.jobs.s3 import S3ObjectStore
from engine.jobs.settings import JobSettings
from engine.jobs.spec import Job, JobState, ResultFile

_log = logging.getLogger(__name__)

_PATIENCE_S: Final = 10.0
_BRIEF_S: Final = 4.0
_MOST_COPIED: Final = 500_000_000
"""Size of files that are copied within the store; that is one request, which has to answer."""


class BucketFiles(JobFiles):
    """The files of all jobs, in an object store and, as far as they are used here, in a folder.

    Every method but those that remove something raises ``Unavailable`` while the store is away.

    Args:
        folder: ``JobSettings.folder``.
        store: Where the files are.
        brief: The same, with little patience: for what may also be left undone.
    """

    def __init__(self, folder: Path, store: ObjectStore, brief: ObjectStore) -> None:
        super().__init__(folder)
        self._store = store
        self._brief = brief
        self._without_previews = ""
        """The job whose previews were not taken: it must not wait for each one."""

    def input(self, job_id: str, name: str) -> Path:
        """Return an input of a job, which is here and in the store when this returns."""
        path = super().input(job_id, name)
        mark = path.with_name(f".{path.name}.stored")
        if not mark.exists():
            self._store.put(self._key(path), path)
            mark.touch()
        return path

    def is_whole(self, job: Job) -> bool:
        """Return whether everything that a job made is still there, in its full size."""
        if job.state is not JobState.DONE or super().is_whole(job):
            return job.state is JobState.DONE
        attempt = self._key(self._attempt(job.id, job.attempt))
        sizes = {item.key: item.bytes for item in self._store.find(attempt)}
        return all(sizes.get(f"{attempt}/{file.name}") == file.bytes for file in job.files)

    def reuse(self, earlier: Job, job_id: str) -> None:
        """Give a new job the files that an earlier one made; they stay where they are."""
        folder = self.begin(job_id, 1)
        for file in earlier.files:
            source = self._attempt(earlier.id, earlier.attempt) / file.name
            target = folder / file.name
            small = file.bytes <= _MOST_COPIED
            if not small:
                source = self.result(earlier, file.name)
            here = size_of(source) == file.bytes
            if here:
                link_or_copy(source, target)
            if small and self._copied(source, target):
                continue
            if not here:
                raise JobFileNotFound(f"This job has no file '{file.name}' any more.")
            self._store.put(self._key(target), target)

    def preview(self, job_id: str, name: str) -> Path:
        """Return a preview picture."""
        path = super().preview(job_id, name)
        self._keep_last_previews(path.parent)
        return path

    def begin(self, job_id: str, attempt: int) -> Path:
        """Return a new, empty folder for an attempt; what other attempts left is removed."""
        mine = super().begin(job_id, attempt)
        self._without_previews = ""
        if attempt > 1:
            with _left_to_clean_up():
                self._delete_attempts(job_id, mine.name)
        return mine

    def seal(self, attempt: Path) -> tuple[ResultFile, ...]:
        """Bring what an attempt wrote into the store."""
        found = super().seal(attempt)
        for file in found:
            path = attempt / file.name
            self._store.put(self._key(path), path)
        return found

    def discard(self, job_id: str, attempt: int) -> None:
        """Remove what an attempt wrote; if the store is away, clean-up does it."""
        super().discard(job_id, attempt)
        with _left_to_clean_up():
            self._delete(self._attempt(job_id, attempt))

    def write_preview(self, job_id: str, name: str, data: bytes) -> None:
        """Store a preview picture. After the first that fails, those of its job fail at once."""
        if job_id == self._without_previews:
            raise OSError(errno.EIO, "The object store did not take an earlier one.")
        folder = self.folder(job_id) / "previews"
        earlier = oldest_first(folder)
        super().write_preview(job_id, name, data)
        try:
            self._brief.put(self._key(folder / name), folder / name)
            if gone := [self._key(path) for path in earlier if not path.exists()]:
                self._brief.delete(gone)
        except Unavailable as error:
            self._without_previews = job_id
            raise OSError(errno.EIO, error.description) from error

    def drop_previews(self, job_id: str) -> None:
        """Remove the previews of a job."""
        super().drop_previews(job_id)
        with _left_to_clean_up():
            self._delete(self.folder(job_id) / "previews")

    def remove(self, job_id: str) -> None:
        """Remove everything of a job; if the store is away, clean-up does it."""
        super().remove(job_id)
        with _left_to_clean_up():
            self._delete(self.folder(job_id))

    def purge(self, job_id: str) -> None:
        """Remove everything of a job."""
        super().remove(job_id)
        self._delete(self.folder(job_id))

    def copies(self) -> list[WorkingCopy]:
        """Return what is here of each job."""
        return [WorkingCopy(job.id, job.changed, self._here(job.id)) for job in super().stored()]

    def drop_copy(self, job_id: str) -> None:
        """Remove what is here of a job, as far as the store has it."""
        folder = self.folder(job_id)
        sizes = {item.key: item.bytes for item in self._brief.find(self._key(folder))}
        kept = False
        for path in folder.glob("[!.]*/[!.]*"):
            size = size_of(path)
            if size is None or sizes.get(self._key(path)) != size:
                kept = kept or path.parent.name != "previews"
            else:
                path.unlink(missing_ok=True)
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)

    def stored(self) -> Iterator[StoredJob]:
        """Yield what is here, then what is in the store."""
        for job in super().stored():
            left = [path.name for path in self.folder(job.id).glob("attempt-*")]
            yield StoredJob(job.id, job.changed, frozenset(map(_attempt_number, left)) - {0})
        changed: dict[str, float] = {}
        attempts: dict[str, set[int]] = {}
        for item in self._brief.find(""):
            job_id, _, rest = item.key.partition("/")
            if not is_id(job_id):
                continue
            changed[job_id] = max(item.changed, changed.get(job_id, 0.0))
            attempts.setdefault(job_id, set()).add(_attempt_number(rest.partition("/")[0]))
        for job_id, at in changed.items():
            yield StoredJob(job_id, at, frozenset(attempts[job_id]) - {0})

    def _brought(self, path: Path, size: int | None = None) -> Path:
        here = size_of(path)
        if here is None or (size is not None and here != size):
            self._fetch(path, size)
        # Its time says when the working copy was last used.
        os.utime(path.parent.parent)
        return path

    def _fetch(self, path: Path, size: int | None) -> None:
        """Bring a file here. Several may do so at a time; each brings all of it.

        Raises:
            JobFileNotFound: There is none, or not of this size.
        """
        try:
            found = self._store.get(self._key(path))
        except ObjectNotFound as error:
            raise JobFileNotFound(f"This job has no file '{path.name}'.") from error
        if size is not None and found.size != size:
            raise JobFileNotFound(
                f"The file '{path.name}' is damaged: the object store has {found.size} bytes of"
                f" it, it had {size}.",
                "Run the job again.",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        arriving = path.with_name(f".{uuid.uuid4().hex}")
        try:
            save(found, arriving)
            if path.parent.name == "inputs":
                path.with_name(f".{path.name}.stored").touch()
            arriving.replace(path)
        finally:
            arriving.unlink(missing_ok=True)

    def _copied(self, source: Path, target: Path) -> bool:
        try:
            self._store.copy(self._key(source), self._key(target))
        except ObjectNotFound:
            return False
        return True

    def _here(self, job_id: str) -> int:
        return sum(size_of(path) or 0 for path in self.folder(job_id).glob("*/*"))

    def _delete_attempts(self, job_id: str, keep: str) -> None:
        job = self._key(self.folder(job_id))
        keys = [item.key for item in self._brief.find(job)]
        wrong = [
            key
            for key in keys
            if key.startswith(f"{job}/attempt-") and not key.startswith(f"{job}/{keep}/")
        ]
        if wrong:
            self._brief.delete(wrong)

    def _delete(self, folder: Path) -> None:
        keys = [item.key for item in self._brief.find(self._key(folder))]
        if keys:
            self._brief.delete(keys)

    def _key(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()


def open_files(settings: JobSettings) -> JobFiles:
    """Return the files of jobs where the settings say that they are.

    Raises:
        MissingDependency: An object store is set, and its library is not installed.
    """
    if not settings.files:
        return JobFiles(settings.folder)
    where = (settings.files, settings.files_endpoint, settings.files_region)
    brief = S3ObjectStore(*where, patience_s=_BRIEF_S)
    return BucketFiles(settings.folder, S3ObjectStore(*where, patience_s=_PATIENCE_S), brief)


@contextmanager
def _left_to_clean_up() -> Iterator[None]:
    """Leave undone what the store does not do now."""
    try:
        yield
    except Unavailable as error:
        _log.warning("Left to clean-up: %s", error)


def _attempt_number(folder: str) -> int:
    """Return the number of an attempt's folder; 0 for another folder."""
    kind, _, number = folder.partition("-")
    return int(number) if kind == "attempt" and number.isdecimal() else 0
