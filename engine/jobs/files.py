"""Where the files of jobs are: inputs, what an attempt writes, results, previews.

::

    <folder>/files/<job id>/inputs/     filled before the job is enqueued
                            attempt-2/  what the second attempt writes
                            previews/   the last previews

Nothing is moved when a job is done: its result is the folder of the attempt that the store says
was committed, so one transaction decides over the files, too.
"""

import mimetypes
import os
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from engine.errors import InvalidInput
from engine.jobs.errors import JobFileNotFound
from engine.jobs.ids import is_id, known_id
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


class JobFiles:
    """The files of all jobs, in one folder (which several machines may share).

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
        """Return an input of a job.

        Raises:
            JobFileNotFound: There is none of this name.
        """
        return _existing(self.folder(job_id) / "inputs", name)

    def result(self, job: Job, name: str) -> Path:
        """Return a file that a job made.

        Raises:
            JobFileNotFound: It made none of this name, or is not done.
        """
        if job.state is not JobState.DONE or name not in {file.name for file in job.files}:
            raise JobFileNotFound(f"Job '{job.id}' has made no file '{name}'.")
        return _existing(self._attempt(job.id, job.attempt), name)

    def preview(self, job_id: str, name: str) -> Path:
        """Return a preview picture: ``Job.preview`` names the present one.

        Raises:
            JobFileNotFound: There is none of this name; older ones are removed.
        """
        return _existing(self.folder(job_id) / "previews", name)

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
        """
        found = []
        for path in sorted(attempt.iterdir()):
            if path.is_symlink() or path.name.startswith(".") or not path.is_file():
                _remove(path)
                continue
            _sync(path)
            found.append(ResultFile(path.name, path.stat().st_size))
        if found:
            for folder in (attempt, attempt.parent, self._root):
                _sync(folder)
        return tuple(found)

    def discard(self, job_id: str, attempt: int) -> None:
        """Remove what an attempt wrote."""
        shutil.rmtree(self._attempt(job_id, attempt), ignore_errors=True)

    def write_preview(self, job_id: str, name: str, data: bytes) -> None:
        """Store a preview picture under a name; the oldest ones go."""
        folder = self.folder(job_id) / "previews"
        folder.mkdir(exist_ok=True)
        temporary = folder / f".{name}"
        temporary.write_bytes(data)
        temporary.replace(folder / safe_name(name))
        kept = sorted(folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime_ns)
        for old in kept[:-_KEPT_PREVIEWS]:
            old.unlink(missing_ok=True)

    def drop_previews(self, job_id: str) -> None:
        """Remove the previews of a job."""
        shutil.rmtree(self.folder(job_id) / "previews", ignore_errors=True)

    def remove(self, job_id: str) -> None:
        """Remove everything of a job."""
        shutil.rmtree(self.folder(job_id), ignore_errors=True)

    def stored(self) -> Iterator[tuple[str, float]]:
        """Yield the id of each job that has a folder, with the time the folder last changed
        (seconds since 1970).
        """
        if not self._root.is_dir():
            return
        with os.scandir(self._root) as entries:
            for entry in entries:
                if is_id(entry.name) and entry.is_dir(follow_symlinks=False):
                    yield entry.name, entry.stat().st_mtime

    def _attempt(self, job_id: str, attempt: int) -> Path:
        return self.folder(job_id) / f"attempt-{attempt}"


def media_type(name: str) -> str:
    """Return the media type of a file by its name, e.g. ``image/png``."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _existing(folder: Path, name: str) -> Path:
    path = folder / safe_name(name)
    if path.is_symlink() or not path.is_file():
        raise JobFileNotFound(f"This job has no file '{name}'.")
    return path


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
