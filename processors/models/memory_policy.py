"""Which model goes first when room is needed: GreedyDual-Size.

P. Cao and S. Irani, "Cost-Aware WWW Proxy Caching Algorithms", USENIX USITS 1997: each object has
the value ``L + cost / size`` from its last use, the least valuable one goes, and ``L`` becomes its
value. So recent use counts, and beside it what an object costs to bring back for each byte that it
takes; with equal costs per byte this is least recent use.
"""

from collections.abc import Iterable


class GreedyDualSize:
    """The values of what is in one place."""

    def __init__(self) -> None:
        self._inflation = 0.0
        self._uses = 0
        self._values: dict[str, tuple[float, int]] = {}

    def used(self, key: str, cost: float, size: int) -> None:
        """Count a use.

        Args:
            key: What was used.
            cost: Seconds to bring it back.
            size: Bytes that it takes.
        """
        self._uses += 1
        self._values[key] = (self._inflation + cost / max(size, 1), self._uses)

    def least(self, keys: Iterable[str]) -> str | None:
        """Return the one of some that should go first; None if there are none."""
        return min(keys, key=self._value, default=None)

    def evicted(self, key: str) -> None:
        """It went because room was needed: what is used from now on counts for more."""
        self._inflation = max(self._inflation, self._value(key)[0])
        self.forget(key)

    def forget(self, key: str) -> None:
        """It is not there any more."""
        self._values.pop(key, None)

    def _value(self, key: str) -> tuple[float, int]:
        # The second part settles ties by least recent use.
        return self._values.get(key, (self._inflation, 0))
