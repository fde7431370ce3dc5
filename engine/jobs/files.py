"""Where the files of jobs are: inputs, what an attempt writes, results, previews.

::

    <folder>/files/<job id>/inputs/     filled before the job is enqueued
                            attempt-2/  what the second attempt writes
                            previews/   the last previews

Nothing is moved when a job is done: its result is the folder of the attempt that the store says
was committed, so one transaction decides over the files, too.

``BucketFiles`` keeps the same layout in an object store as well.
"""

import mimetypes
import os
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InvalidInput
from engine.jobs.errors import JobFileNotFound
from engine.jobs.ids import is_id, known_id
from engine.jobs.plain_files import link_or_copy, oldest_first, remove_entry, size_of, sync
from engine.jobs.spec import Job, JobState, ResultFile

_NAME_LENGTH = 180
_KEPT_PREVIEWS = 3


class FileNameNotAllowed(InvalidInput):
    """A file name is a path, hidden, or has characters that file systems refuse."""


def safe_name(name: str) -> str:
    """Return a file name if it is nothing but that.

    Raises:
        FileNameNotAllowed: It has a separator or a control character, begins with a dot, is empty
            or too long.
    """
    wrong = (
        not name
        or name.startswith(".")
        or name != name.strip()
        or any(c in '/\\:*?"<>|' or unicodedata.category(c).startswith("C") for c in name)
        or len(name.encode(errors="replace")) > _NAME_LENGTH
    )
    if wrong:
        raise FileNameNotAllowed(
            f"{name[:80]!r} cannot be the name of a file.",
            "Take letters, digits, spaces, dashes and dots, at most 180 bytes.",
        )
    return name


@dataclass(frozen=True, slots=True)
class StoredJob:
    """What there is of a job.

    Attributes:
        id: Its id.
        changed: When that last changed or was used, in seconds since 1970.
        attempts: Its attempts that left something; only known where there is an object store.
    """

    id: str
    changed: float
    attempts: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class WorkingCopy:
    """What this machine holds of a job whose files are in an object store.

    Attributes:
        id: Its id.
        used: When it was last used, in seconds since 1970.
        bytes: Its size.
    """

    id: str
    used: float
    bytes: int


class JobFiles:
    """The files of all jobs, in one folder (which several machines may share).

    What cannot be reached of an object store is ``Unavailable``; a folder needs nobody.

    Args:
        folder: ``JobSettings.folder``.
    """

    def __init__(self, folder: Path) -> None:
        self._root = folder.absolute() / "files"

    def folder(self, job_id: str) -> Path:
        """Return the folder of a job, whether it exists or not.

        Raises:
            JobNotFound: This cannot be the id of a job.
        """
        return self._root / known_id(job_id)

    def inputs(self, job_id: str) -> Path:
        """Return the folder for the inputs of a job that will be enqueued; it is made.

        A job that is never enqueued leaves its folder to clean-up.
        """
        folder = self.folder(job_id) / "inputs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def input(self, job_id: str, name: str) -> Path:
        """Return an input of a job. Where there is an object store, this is what uploads it.

        Raises:
            JobFileNotFound: There is none of this name.
        """
        return self._brought(self.folder(job_id) / "inputs" / safe_name(name))

    def result(self, job: Job, name: str) -> Path:
        """Return a file that a job made.

        Raises:
            JobFileNotFound: It made none of this name, or is not done.
        """
        made = next((file for file in job.files if file.name == name), None)
        if job.state is not JobState.DONE or made is None:
            raise JobFileNotFound(f"Job '{job.id}' has made no file '{name}'.")
        return self._brought(self._attempt(job.id, job.attempt) / safe_name(name), made.bytes)

    def is_whole(self, job: Job) -> bool:
        """Return whether everything that a job made is still there, in its full size."""
        return job.state is JobState.DONE and all(
            size_of(self._attempt(job.id, job.attempt) / safe_name(file.name)) == file.bytes
            for file in job.files
        )

    def reuse(self, earlier: Job, job_id: str) -> None:
        """Give a new job, as those of its first attempt, the files that an earlier one made.

        Raises:
            JobFileNotFound: The earlier one was removed.
            OSError: The disk is full.
        """
        folder = self.begin(job_id, 1)
        for file in earlier.files:
            link_or_copy(self.result(earlier, file.name), folder / file.name)

    def preview(self, job_id: str, name: str) -> Path:
        """Return a preview picture: ``Job.preview`` names the present one.

        Raises:
            JobFileNotFound: There is none of this name; older ones are removed.
        """
        return self._brought(self.folder(job_id) / "previews" / safe_name(name))

    def begin(self, job_id: str, attempt: int) -> Path:
        """Return a new, empty folder for an attempt; those of other attempts are removed."""
        folder = self.folder(job_id)
        for old in folder.glob("attempt-*"):
            shutil.rmtree(old, ignore_errors=True)
        mine = self._attempt(job_id, attempt)
        mine.mkdir(parents=True)
        return mine

    def seal(self, attempt: Path) -> tuple[ResultFile, ...]:
        """Bring what an attempt wrote to the disk; return its files in the order of their names.

        Files in folders below, links and hidden files are not part of a result and are removed.

        Raises:
            OSError: The disk is full or broken.
            Unavailable: The object store does not take them.
        """
        found = []
        for path in sorted(attempt.iterdir()):
            if path.is_symlink() or path.name.startswith(".") or not path.is_file():
                remove_entry(path)
                continue
            sync(path)
            found.append(ResultFile(path.name, path.stat().st_size))
        if found:
            for folder in (attempt, attempt.parent, self._root):
                sync(folder)
        return tuple(found)

    def discard(self, job_id: str, attempt: int) -> None:
        """Remove what an attempt wrote."""
        shutil.rmtree(self._attempt(job_id, attempt), ignore_errors=True)

    def write_preview(self, job_id: str, name: str, data: bytes) -> None:
        """Store a preview picture under a name; the oldest ones go.

        Raises:
            OSError: It cannot be stored.
        """
        folder = self.folder(job_id) / "previews"
        folder.mkdir(exist_ok=True)
        temporary = folder / f".{name}"
        temporary.write_bytes(data)
        temporary.replace(folder / safe_name(name))
        self._keep_last_previews(folder)

    def drop_previews(self, job_id: str) -> None:
        """Remove the previews of a job."""
        shutil.rmtree(self.folder(job_id) / "previews", ignore_errors=True)

    def remove(self, job_id: str) -> None:
        """Remove everything of a job; what cannot be removed now is left to clean-up."""
        shutil.rmtree(self.folder(job_id), ignore_errors=True)

    def purge(self, job_id: str) -> None:
        """Remove everything of a job, or say why that is impossible now: for clean-up.

        Raises:
            Unavailable: The object store is away.
        """
        self.remove(job_id)

    def copies(self) -> list[WorkingCopy]:
        """Return what could go from this machine, as it is in an object store; of unfinished jobs,
        too.
        """
        return []

    def drop_copy(self, job_id: str) -> None:
        """Remove what is here of a job, one of ``copies``; it comes back when it is needed.

        Raises:
            Unavailable: The object store is away.
        """

    def stored(self) -> Iterator[StoredJob]:
        """Yield what there is of each job; one that is in several places may come twice."""
        if not self._root.is_dir():
            return
        with os.scandir(self._root) as entries:
            for entry in entries:
                if is_id(entry.name) and entry.is_dir(follow_symlinks=False):
                    yield StoredJob(entry.name, entry.stat().st_mtime)

    def _brought(self, path: Path, size: int | None = None) -> Path:
        """Return a file that should exist, here when this returns.

        Args:
            path: Where it is.
            size: Its size in bytes, if that is known.

        Raises:
            JobFileNotFound: There is none.
        """
        if size_of(path) is None:
            raise JobFileNotFound(f"This job has no file '{path.name}'.")
        return path

    def _keep_last_previews(self, folder: Path) -> None:
        for old in oldest_first(folder)[:-_KEPT_PREVIEWS]:
            old.unlink(missing_ok=True)

    def _attempt(self, job_id: str, attempt: int) -> Path:
        return self.folder(job_id) / f"attempt-{attempt}"


def media_type(name: str) -> str:
    """Return the media type of a file by its name, e.g. ``image/png``."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
