"""Live first: the engine says that streams are late, and jobs wait between their steps.

Server and workers share eight bytes of memory: the monotonic time until which jobs should wait. If
the server dies, that time passes by itself.
"""

import mmap
import os
import stat
import struct
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from engine.clock import Clock
from engine.jobs.errors import LiveSignalRefused

_SHARED_MEMORY: Final = Path("/dev/shm")
_UNTIL: Final = struct.Struct("d")


def signal_path(folder: Path) -> Path:
    """Return the file of the signal for jobs in ``folder`` (``JobSettings.folder``).

    It is in memory where there is such a file system: writing to a page that is on its way to a
    disk can block, and the writer is the event loop.
    """
    if not _SHARED_MEMORY.is_dir():
        return folder / "live.signal"
    name = sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    return _SHARED_MEMORY / f"avatar-server-{os.getuid()}-{name}.live"


class LiveSignal:
    """Says to all processes of this machine that live streams are late.

    Args:
        path: From ``signal_path``; made if it does not exist.
        clock: Monotonic, the same in all processes.
        late_s: Delays from which a stream counts as late.
        hold_s: How long jobs wait after the last one.

    Raises:
        LiveSignalRefused: The file cannot be made, or belongs to somebody else.
    """

    def __init__(self, path: Path, clock: Clock, late_s: float, hold_s: float) -> None:
        self._clock = clock
        self._late_s = late_s
        self._hold_s = hold_s
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _refused(path, error.strerror) from error
        try:
            found = os.fstat(handle)
            if found.st_uid != os.getuid() or not stat.S_ISREG(found.st_mode):
                raise _refused(path, "it belongs to somebody else")
            if found.st_size < _UNTIL.size:
                os.ftruncate(handle, _UNTIL.size)
            self._memory = mmap.mmap(handle, _UNTIL.size)
        finally:
            os.close(handle)

    def report(self, lateness_s: float) -> None:
        """Say how late something live was just sent. Takes about a microsecond."""
        if lateness_s >= self._late_s:
            self.pause_jobs(self._hold_s)

    def pause_jobs(self, seconds: float) -> None:
        """Ask jobs to wait for so long from now."""
        until = self._clock() + seconds
        if until > self._until():
            _UNTIL.pack_into(self._memory, 0, until)

    def waits_s(self) -> float:
        """Return how long jobs should wait from now; 0: not at all."""
        # Monotonic times begin anew with each boot: one from before it may be far ahead.
        left = self._until() - self._clock()
        return left if 0 < left <= max(self._hold_s, 60.0) else 0.0

    def close(self) -> None:
        """Let go of the memory; the file stays, for others."""
        self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _until(self) -> float:
        return float(_UNTIL.unpack_from(self._memory, 0)[0])


def _refused(path: Path, reason: str | None) -> LiveSignalRefused:
    return LiveSignalRefused(f"'{path}' cannot be used: {reason}.", "Remove it.")
