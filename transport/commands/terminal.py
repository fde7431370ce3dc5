"""What commands print, and which files they may write."""

import sys
from collections.abc import Callable
from pathlib import Path

from engine.errors import SettingsError


def check_target(path: Path, overwrite: bool, source: Path | None = None) -> None:
    """Refuse an output file that cannot be meant.

    Raises:
        SettingsError: Says what to change.
    """
    if path.suffix.lower() != ".mp4":
        raise SettingsError(f"{path}: the output is an MP4 file.", "Give it a name like x.mp4.")
    if not path.parent.is_dir():
        raise SettingsError(f"{path}: there is no folder {path.parent}.", "Make it first.")
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise SettingsError(f"{path}: is the input itself.", "Choose another name.")
    if path.exists() and not path.is_file():
        raise SettingsError(f"{path}: is no ordinary file.", "Choose another name.")
    if path.exists() and not overwrite:
        raise SettingsError(f"{path} exists.", "Choose another name, or add --overwrite.")


def say(text: str) -> None:
    """Print a line over a progress bar, if there is one."""
    bar = sys.stderr.isatty() and sys.stdout.isatty()
    print(f"\r{text}\033[K" if bar else text)


def progress_bar() -> Callable[[float], None]:
    """Return what draws a bar on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda done: None

    def show(done: float) -> None:
        filled = round(done * 30)
        print(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done:4.0%}", end="", file=sys.stderr)

    return show
