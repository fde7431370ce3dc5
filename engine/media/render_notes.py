"""What a rendering run leaves beside its output, so that a stopped one can be resumed."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import av

from engine.errors import Conflict


class OutputExists(Conflict):
    """The output file is already there."""


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How a file is rendered.

    Attributes:
        processors: The chain's names; part of what a run must share to be resumed.
        batch_size: Frames processed at once.
        crf: H.264 quality, less is better.
        preset: x264's speed.
        overwrite: Replace a finished output.
        details: What else the pictures depend on, e.g. the processors' settings; a run is
            resumed only where it is the same.
        source_type: The digital source type that the output declares; None: nothing.
    """

    processors: tuple[str, ...]
    batch_size: int = 1
    crf: int = 18
    preset: str = "veryfast"
    overwrite: bool = False
    details: str = ""
    source_type: str | None = None


class Notes:
    """The files of a run beside its output: the part in work, and what it was made of.

    Args:
        source: The input.
        target: The output.
        options: What must be the same for a run to be resumed.
    """

    def __init__(self, source: Path, target: Path, options: RenderOptions) -> None:
        self.part = target.with_name(f".{target.name}.part")
        self._earlier = target.with_name(f".{target.name}.earlier")
        self._note = target.with_name(f".{target.name}.json")
        self._target = target
        self._options = options
        self._source = source

    def begin(self, overwrite: bool) -> Path | None:
        """Make room for the run; the file of an earlier one that can be resumed, if any."""
        mark = self._mark()
        resumable = self._note.is_file() and self._note.read_text("utf-8") == mark
        if not resumable:
            if self._target.exists() and not overwrite and not self._note.is_file():
                raise OutputExists(
                    f"{self._target} exists.", "Choose another name, or add --overwrite."
                )
            for left in (self.part, self._earlier):
                left.unlink(missing_ok=True)
        else:
            for left in (self.part, self._target):
                if left.is_file() and not self._earlier.is_file():
                    left.replace(self._earlier)
        self._note.write_text(mark, "utf-8")
        return self._earlier if self._earlier.is_file() else None

    def end(self, stopped: bool) -> None:
        """Put the part in the output's place; a finished run needs no notes."""
        self.part.replace(self._target)
        self._earlier.unlink(missing_ok=True)
        if not stopped:
            self._note.unlink()

    def _mark(self) -> str:
        status = self._source.stat()
        made_of = {
            "source": [str(self._source.resolve()), status.st_size, status.st_mtime_ns],
            "processors": [self._options.processors, self._options.details],
            "quality": [self._options.crf, self._options.preset, av.__version__],
        }
        text = json.dumps(made_of, sort_keys=True)
        return json.dumps({"run": hashlib.sha256(text.encode()).hexdigest()})
