"""Files and folders on the disk."""

import os
import shutil
import stat
from pathlib import Path


def size_of(path: Path) -> int | None:
    """Return the size of a plain file in bytes; None if there is none, or a link."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def oldest_first(folder: Path) -> list[Path]:
    """Return what is in a folder and not hidden, by the time of its last change."""
    return sorted(folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime_ns)


def link_or_copy(source: Path, target: Path) -> None:
    """Make a file a second time, by a hard link if that can be."""
    try:
        os.link(source, target)
    except OSError:
        # No hard links here, or too many of them.
        shutil.copyfile(source, target)


def remove_entry(path: Path) -> None:
    """Remove a file, a link or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def sync(path: Path) -> None:
    """Wait until a file or the entries of a folder are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
