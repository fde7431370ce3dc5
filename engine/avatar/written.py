"""Files that appear under their name only when they are whole."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av.error

from engine.errors import InvalidInput


class OutputNotWritten(InvalidInput):
    """A file that was asked for cannot be written where it should go."""


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield a path beside the target that becomes the target if nothing goes wrong.

    Args:
        target: The file to write; what was there before stays until the new one is whole.

    Raises:
        OutputNotWritten: The folder is missing or not writable, or the disk is full.
    """
    if target.is_dir():
        raise OutputNotWritten(f"'{target}' is a folder.", "Name a file in it.")
    if not target.parent.is_dir():
        raise OutputNotWritten(
            f"There is no folder '{target.parent}'.", f"Make it: mkdir -p '{target.parent}'"
        )
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(target.suffix, f".{target.stem}-", target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(target)
    except (OSError, av.error.FFmpegError) as error:
        raise OutputNotWritten(
            f"'{target}' cannot be written: {error.strerror}.",
            "Free some space, or choose another disk."
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "Choose a folder that you may write to.",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
