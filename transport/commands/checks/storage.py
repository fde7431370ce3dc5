"""Folders that are written to, and the room on their disks."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from transport.commands.checks.finding import Finding, fault, ok, warning

LITTLE = 1_000_000_000
"""Bytes free below which it soon gets tight: an avatar takes some 50 MB, models hundreds."""

NOTHING = 100_000_000
"""Bytes free below which things fail."""


def try_to_write(folder: Path) -> None:
    """Make a file in a folder and remove it.

    Raises:
        OSError: It is not possible.
    """
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".avatar-server-"):
        pass


def free_bytes(folder: Path) -> int:
    """Room on a folder's disk."""
    return shutil.disk_usage(folder).free


def check_folder(
    topic: str,
    folder: Path,
    needed: bool = True,
    write: Callable[[Path], None] = try_to_write,
    free: Callable[[Path], int] = free_bytes,
) -> Finding:
    """Whether a folder can be written to, or made.

    Args:
        topic: What lies there.
        folder: The folder; it need not exist.
        needed: Nothing goes without it.
        write: See ``try_to_write``.
        free: See ``free_bytes``.
    """
    say = fault if needed else warning
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return say(topic, f"{there} is a file, not a folder.", "Move it out of the way.")
    try:
        write(there)
    except OSError as error:
        return say(
            topic,
            f"{there} cannot be written to ({error.strerror or error}).",
            f"sudo chown {_user()} {there}, or name another folder in the settings.",
        )
    left = free(there)
    room = f"{left / 1e9:.1f} GB free"
    if left < NOTHING:
        return say(topic, f"{folder}: the disk is full ({room}).", "Make room.")
    if left < LITTLE:
        return warning(topic, f"{folder}: {room}.", "Make room soon.")
    return ok(topic, f"{folder} ({room})")


def _user() -> str:
    return os.environ.get("USER") or str(os.getuid())
