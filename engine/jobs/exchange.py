"""What passes between a generator and the thread that keeps its lease."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Any

from engine.jobs.attempt import Report
from engine.jobs.changes import MAX_LOG_LINES


class Interruption(StrEnum):
    """Why a generator has to stop or wait at its next step."""

    NONE = ""
    PAUSE = "pause"
    CANCEL = "cancel"
    STOP = "stop"
    LOST = "lost"


class Exchange:
    """What passes between a generator's threads and the heartbeat.

    Args:
        wake: Called when there is something to report.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._changed = threading.Condition()
        self._report = Report()
        self._lines: deque[tuple[float, str]] = deque(maxlen=MAX_LOG_LINES)
        self._interruption = Interruption.NONE

    def put(self, **values: Any) -> None:
        """Add fields of ``Report``; what was not taken yet is replaced."""
        with self._changed:
            self._report = replace(self._report, **values)
        self._wake()

    def add_line(self, at: float, line: str) -> None:
        """Add a line of the log; if too many wait, the oldest go."""
        with self._changed:
            self._lines.append((at, line))
        self._wake()

    def take(self) -> Report | None:
        """Return what is new, and forget it; None: nothing."""
        with self._changed:
            report = replace(self._report, lines=tuple(self._lines))
            self._report = Report()
            self._lines.clear()
        return None if report == Report() else report

    def give_back(self, report: Report) -> None:
        """Put back what was taken and could not be written, behind what came since."""
        with self._changed:
            new = {
                name: value
                for name in ("progress", "eta_s", "message", "preview")
                if (value := getattr(self._report, name)) is not None
            }
            self._report = replace(report, lines=(), **new)
            self._lines.extendleft(reversed(report.lines))

    @property
    def interruption(self) -> Interruption:
        """What the generator has to do."""
        return self._interruption

    def interrupt(self, interruption: Interruption) -> None:
        """Tell the generator what to do. Stopping and losing the job can't be taken back."""
        with self._changed:
            if self._interruption not in (Interruption.STOP, Interruption.LOST):
                self._interruption = interruption
                self._changed.notify_all()

    def wait(self, interruption: Interruption, timeout: float) -> bool:
        """Wait while the interruption is this one; return whether it still is."""
        with self._changed:
            self._changed.wait_for(lambda: self._interruption is not interruption, timeout)
            return self._interruption is interruption
