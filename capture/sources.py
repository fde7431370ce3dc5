"""From what the user writes (``camera:0``) to a source."""

from collections.abc import Sequence
from pathlib import Path

from capture.camera import CameraSource
from capture.file import FileSource
from capture.pattern import PatternSource
from engine.clock import Clock, monotonic
from engine.errors import InvalidInput, PathNotAllowed
from engine.pipeline.protocols import Source
from engine.pipeline.settings import CaptureSettings


class UnknownSource(InvalidInput):
    """A source was named in a way that is not known."""


def parse_source(
    spec: str,
    settings: CaptureSettings,
    clock: Clock = monotonic,
    folders: Sequence[Path] | None = None,
) -> Source:
    """The source that ``spec`` names, not opened yet.

    Args:
        spec: ``camera:N``, ``file:PATH`` or ``pattern:``.
        settings: Size, rate, pacing.
        clock: Seconds.
        folders: Where a file must lie, links followed; None allows any place (the user of the
            command line may read what he may read; a caller from the network may not).

    Raises:
        UnknownSource: Not one of these.
        PathNotAllowed: The file lies elsewhere.
    """
    kind, _, rest = spec.partition(":")
    if kind == "camera" and rest.isdecimal():
        return CameraSource(int(rest), settings, clock)
    if kind == "file" and rest:
        path = Path(rest).expanduser()
        if folders is not None and not _inside(path, folders):
            raise PathNotAllowed(f"The file {rest} is outside the folders that are allowed.")
        return FileSource(path, settings.paced, settings.loop, clock)
    if kind == "pattern" and not rest:
        return PatternSource(settings.width, settings.height, settings.fps, None, clock)
    raise UnknownSource(
        f"{spec!r} is not a source.", "Use camera:0, file:clip.mp4 or pattern: (a test chart)."
    )


def _inside(path: Path, folders: Sequence[Path]) -> bool:
    resolved = path.resolve()
    return any(resolved.is_relative_to(folder.resolve()) for folder in folders)
