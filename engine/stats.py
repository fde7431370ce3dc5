"""Counters that are cheap enough for every packet."""

from bisect import bisect_left
from typing import Final


class Lateness:
    """A histogram of delays against a schedule, with fixed buckets (Prometheus style).

    ``add`` takes seconds; early is counted as zero.
    """

    BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25)

    __slots__ = ("counts", "largest", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS) + 1)
        self.total = 0.0
        self.largest = 0.0

    def add(self, seconds: float) -> None:
        """Count one delay."""
        seconds = max(seconds, 0.0)
        self.counts[bisect_left(self.BOUNDS, seconds)] += 1
        self.total += seconds
        self.largest = max(self.largest, seconds)

    @property
    def count(self) -> int:
        """How many delays were counted."""
        return sum(self.counts)

    def later_than(self, seconds: float) -> int:
        """Return how many delays were above one of the bounds."""
        return sum(self.counts[self.BOUNDS.index(seconds) + 1 :])

    def merge(self, other: "Lateness") -> None:
        """Add everything that another histogram counted."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
        self.largest = max(self.largest, other.largest)
