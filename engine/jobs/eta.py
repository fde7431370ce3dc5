"""How long a job will still take."""

from collections import deque
from typing import Final


class Eta:
    """Estimates the time left from the pace of the last steps.

    Loading a model takes long and says nothing about the steps after it. So the pace is taken over
    the last reports only, and, once there are enough, not from those without any progress.
    """

    REPORTS: Final = 12

    def __init__(self) -> None:
        self._reports: deque[tuple[float, float]] = deque(maxlen=self.REPORTS)

    def add(self, now: float, progress: float) -> float | None:
        """Count a report.

        Args:
            now: Monotonic seconds.
            progress: 0 to 1; a fall starts the estimate anew.

        Returns:
            Seconds left; None while it can't be told.
        """
        if self._reports and progress < self._reports[-1][1]:
            self._reports.clear()
        self._reports.append((now, progress))
        if len(self._reports) > 2 and self._reports[0][1] == 0:
            self._reports.popleft()
        began, first = self._reports[0]
        if progress >= 1:
            return 0.0
        if progress <= first or now <= began:
            return None
        return (1 - progress) * (now - began) / (progress - first)
