"""Downloading models: resumed, from several addresses, checked, and put in place at once."""

import contextlib
import errno
import os
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from engine.errors import AvatarServerError, Unavailable
from engine.pipeline.model_settings import ModelSettings
from processors.models.catalog import Catalog, FileSpec
from processors.models.fetching import TransferFailed, discard, fetch, part_of
from processors.models.files import hash_file, record_hash
from processors.models.library import ModelLibrary
from processors.models.locking import locked

_MARGIN = 50_000_000
"""Bytes of disk that stay free."""

_LARGEST_MEMBER = 8 << 30
"""Most bytes that are taken out of an archive for a file of unknown size."""


class DownloadFailed(Unavailable):
    """No address gave the file."""


class ModelFolderUnusable(AvatarServerError):
    """The folder of models cannot be written to."""


class DiskFull(Unavailable):
    """There is no room for the file."""


class Report(Protocol):
    """Who is told how a download goes."""

    def begin(self, name: str, url: str) -> None:
        """A file is asked for at an address."""

    def progress(self, name: str, done: int, total: int | None) -> None:
        """So many bytes are here, of so many (None: nobody knows)."""

    def problem(self, name: str, text: str) -> None:
        """Something failed, and what is tried next."""

    def finished(self, name: str, path: Path, sha256: str, trusted: bool) -> None:
        """A file is in place. ``trusted``: its hash was not known and has been recorded."""

    def present(self, name: str, path: Path) -> None:
        """A file was there already."""


class Downloader:
    """Gets the files of models into a folder.

    Args:
        library: Which models there are, where they may lie, and which may be used.
        settings: Mirrors, times and retries.
        folder: Where files go.
        report: Who is told.
        sleep: Waits so many seconds between two attempts.
    """

    def __init__(
        self,
        library: ModelLibrary,
        settings: ModelSettings,
        folder: Path,
        report: Report,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._library = library
        self._catalog: Catalog = library.catalog
        self._settings = settings
        self._folder = folder
        self._report = report
        self._sleep = sleep

    def pull(self, model_ids: list[str]) -> None:
        """Get the models that are not here yet.

        All are looked at first, so that an unknown or refused one stops the whole before anything
        is downloaded. Archives are kept until the last model is done.

        Raises:
            UnknownModel, ModelRefused: See ``ModelLibrary.allow``.
            DownloadFailed: No address gave a file; says what each answered.
            ModelFolderUnusable, DiskFull: The folder cannot take it.
        """
        for model_id in model_ids:
            self._library.allow(model_id)
        files = [file for model_id in model_ids for file in self._catalog[model_id].files]
        for file in files:
            self._pull(file)
        for name in {file.archive for file in files if file.archive}:
            with self._writing():
                (self._folder / name).unlink(missing_ok=True)

    def _pull(self, file: FileSpec) -> None:
        if self._is_here(file):
            return
        target = self._folder / file.name
        with self._writing():
            target.parent.mkdir(parents=True, exist_ok=True)
            lock = target.with_name(f".{target.name}.lock")
            with locked(lock, lambda: self._waiting(file.name)):
                if not self._is_here(file):
                    self._download(file, target)

    def _is_here(self, file: FileSpec) -> bool:
        path = self._library.where(file)
        target = self._folder / file.name
        if path is None and target.is_file():
            path = target
        if path is None:
            return False
        if file.sha256 is not None and hash_file(path) != file.sha256:
            self._report.problem(file.name, f"{path} has a wrong hash; it is downloaded again.")
            return False
        self._report.present(file.name, path)
        return True

    def _download(self, file: FileSpec, target: Path) -> None:
        urls = [*(f"{base.rstrip('/')}/{file.name}" for base in self._settings.mirrors), *file.urls]
        failures: list[str] = []
        found = self._from_urls(target, urls, file.sha256, file.size, failures)
        if found is None and file.archive:
            found = self._from_archive(file, target, failures)
        if found is None:
            raise DownloadFailed(
                f"{file.name} could not be downloaded: {'; '.join(failures) or 'no address'}.",
                f"Try again later (what has arrived is kept), name a mirror in models.mirrors, or "
                f"put the file into {self._folder} yourself.",
            )
        part_of(target).chmod(0o644)
        trusted = file.sha256 is None
        if trusted:
            record_hash(target, found)
        part_of(target).replace(target)
        discard(target)
        self._report.finished(file.name, target, found, trusted)

    def _from_urls(
        self,
        target: Path,
        urls: list[str],
        sha256: str | None,
        size: int | None,
        failures: list[str],
    ) -> str | None:
        """Fill the part of ``target`` and return its hash, or None if no address gave it."""
        for url in urls:
            self._report.begin(target.name, url)
            self._check_room(target, size)
            found = self._from_url(target, url, sha256, failures)
            if found is not None:
                return found
        return None

    def _from_url(
        self, target: Path, url: str, sha256: str | None, failures: list[str]
    ) -> str | None:
        # A part that turns out wrong may be made of two files: once more, from the start.
        for resumed in (True, False) if part_of(target).exists() else (False,):
            if not resumed:
                discard(target)
            if not self._transfer(url, target, sha256 is not None, failures):
                return None
            found = hash_file(part_of(target))
            if sha256 in (None, found):
                return found
            failures.append(f"{url}: has the SHA-256 {found}, expected {sha256}")
            self._report.problem(target.name, f"{url} gave another file (wrong hash).")
        discard(target)
        return None

    def _transfer(self, url: str, target: Path, any_origin: bool, failures: list[str]) -> bool:
        for attempt in range(self._settings.retries + 1):
            try:
                fetch(
                    url,
                    target,
                    self._settings.timeout_s,
                    lambda done, total: self._report.progress(target.name, done, total),
                    any_origin,
                )
            except TransferFailed as error:
                failures.append(error.description)
                last = error.lasting or attempt == self._settings.retries
                then = "next address" if last else "goes on"
                self._report.problem(target.name, f"{error.description}; {then}.")
                if last:
                    return False
                self._sleep(min(2.0**attempt, 15.0))
            else:
                return True
        return False

    def _from_archive(self, file: FileSpec, target: Path, failures: list[str]) -> str | None:
        spec = self._catalog.archive(file.archive)
        path = self._folder / file.archive
        with locked(self._folder / f".{path.name}.lock", lambda: self._waiting(path.name)):
            if not path.is_file():
                urls = [f"{base.rstrip('/')}/{path.name}" for base in self._settings.mirrors]
                found = self._from_urls(path, [*urls, *spec.urls], spec.sha256, spec.size, failures)
                if found is None:
                    return None
                part_of(path).replace(path)
                discard(path)
            self._check_room(target, file.size)
            problem = take_member(path, file, part_of(target))
        if problem is None:
            found = hash_file(part_of(target))
            if file.sha256 in (None, found):
                return found
            problem = f"has the SHA-256 {found}, expected {file.sha256}"
        discard(target)
        failures.append(f"{file.name} in {path.name}: {problem}")
        return None

    def _check_room(self, target: Path, size: int | None) -> None:
        part = part_of(target)
        missing = (size or 0) - (part.stat().st_size if part.exists() else 0)
        free = shutil.disk_usage(self._folder).free
        if missing > 0 and free < missing + _MARGIN:
            raise DiskFull(
                f"{target.name} needs {missing / 1e6:.0f} MB more, and {self._folder} has "
                f"{free / 1e6:.0f} MB free.",
                "Make room, or choose another folder with --folder.",
            )

    def _waiting(self, name: str) -> None:
        self._report.problem(name, "another download of it is running; waiting for it.")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(
                    f"The disk of {self._folder} is full.",
                    "Make room and call it again: it goes on where it stopped.",
                ) from error
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
                raise ModelFolderUnusable(
                    f"{self._folder} cannot be written to ({error.strerror}).",
                    "Choose another folder with --folder or models.folders, or change its owner.",
                ) from error
            raise


def take_member(archive: Path, file: FileSpec, part: Path) -> str | None:
    """Write one file of a zip archive to ``part``; return what is wrong, or None.

    Only the bytes are taken: paths, links and permissions in the archive have no effect.

    Args:
        archive: The zip file.
        file: Which member, by the last part of its name.
        part: Where the bytes go.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [
                info
                for info in opened.infolist()
                if info.filename.rpartition("/")[2] == file.name and not info.is_dir()
            ]
            if len(members) != 1:
                return f"is there {len(members)} times"
            if members[0].file_size > (file.size or _LARGEST_MEMBER):
                return f"has {members[0].file_size} bytes, too many"
            with opened.open(members[0]) as source, part.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
                sink.flush()
                os.fsync(sink.fileno())
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        return f"cannot be taken out ({error})"
    return None
