"""What each process says about the memory that its models take: one small file for each.

A server, with the models of its live streams, and its workers share devices. Each writes whatever
it holds or has reserved, and subtracts from its budgets what the others hold. A file whose writer
is dead counts for nothing: it has the process's id and the time at which that process was started.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from processors.models.locking import locked

_log = logging.getLogger(__name__)

_PATTERN = "*.memory.json"
_LOCK = ".memory.lock"
_DEAD = ("Z", "X", "x")
"""States of processes that have ended and whose parents have not taken notice yet."""


class ModelReport(BaseModel):
    """A model in memory.

    Attributes:
        key: Names it.
        bytes: What its weights take.
        place: The device where they are.
        pinned: It belongs to a live stream and stays.
        in_use: By so many callers.
        last_used: Seconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    bytes: int
    place: str
    pinned: bool = False
    in_use: int = 0
    last_used: float = 0.0


class MemoryReport(BaseModel):
    """What one process says.

    Attributes:
        pid: Of the process.
        started: When it was started; only good for comparing.
        owner: What it is, e.g. ``server``.
        held: Bytes by device: models, and what is reserved for computing and loading.
        models: What is there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    started: int
    owner: str
    held: Mapping[str, int] = {}
    models: tuple[ModelReport, ...] = ()

    def pinned(self, device: str) -> int:
        """Return the bytes on a device that stay for as long as live streams run."""
        return sum(m.bytes for m in self.models if m.pinned and m.place == device)


class MemoryReports:
    """The report of this process, and those of the others.

    Args:
        folder: The same for all; is made.
        owner: What this process is, for people, e.g. ``server``.
        pid: Of this process.
        started: When a process was started, by its id; None: it is not alive.
    """

    def __init__(
        self,
        folder: Path,
        owner: str,
        pid: int | None = None,
        started: Callable[[int], int | None] | None = None,
    ) -> None:
        self._folder = folder
        self._pid = os.getpid() if pid is None else pid
        self._owner = owner
        self._started_of = started or process_started
        self._started = self._started_of(self._pid) or 0
        self._path = folder / f"{self._pid}.memory.json"
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep others from deciding meanwhile: who reads and then writes does both in here."""
        with locked(self._folder / _LOCK):
            yield

    def others(self) -> tuple[MemoryReport, ...]:
        """Return what the other living processes hold."""
        reports = read_reports(self._folder, self._started_of)
        return tuple(report for report in reports if report.pid != self._pid)

    def write(self, held: Mapping[str, int], models: Sequence[ModelReport]) -> None:
        """Say what this process holds now."""
        report = MemoryReport(
            pid=self._pid,
            started=self._started,
            owner=self._owner,
            held={device: count for device, count in held.items() if count},
            models=tuple(models),
        )
        part = self._path.with_suffix(".part")
        part.write_text(report.model_dump_json(), encoding="utf-8")
        part.replace(self._path)

    def close(self) -> None:
        """Say that this process holds nothing any more."""
        self._path.unlink(missing_ok=True)


def read_reports(
    folder: Path, started: Callable[[int], int | None] | None = None
) -> tuple[MemoryReport, ...]:
    """Return the reports of living processes, in the order of their ids; those of the dead go.

    Args:
        folder: Where they are; it need not exist.
        started: See ``MemoryReports``.
    """
    started = started or process_started
    found = []
    for path in folder.glob(_PATTERN):
        try:
            report = MemoryReport.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            continue
        except ValidationError as error:
            _log.debug("%s is no report of memory: %s", path, error)
            continue
        if started(report.pid) == report.started:
            found.append(report)
        else:
            path.unlink(missing_ok=True)
    return tuple(sorted(found, key=lambda report: report.pid))


def process_started(pid: int) -> int | None:
    """Return when a process was started, on a scale of its own; None if it has ended.

    On Linux in clock ticks since the boot, which no change of the clock alters.
    """
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        # The name, in parentheses, may hold anything.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in _DEAD else int(fields[19])
    if Path("/proc/self/stat").exists():
        return None
    try:
        return int(psutil.Process(pid).create_time() * 100)
    except psutil.Error:
        return None
