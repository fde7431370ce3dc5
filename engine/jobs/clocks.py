"""The two kinds of time that jobs need, and how moments are kept in a store.

A moment in the store is a monotonic time with the name of the clock it was read from (``domain``).
Processes with the same domain compare such moments exactly, and setting the wall clock changes
nothing. Everybody else waits, on a clock of their own, for as long as the moment was away.
"""

import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path

from engine.clock import Clock


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where the time comes from.

    Attributes:
        monotonic: Seconds on a clock that never goes back.
        wall: Seconds since 1970 (UTC); may be set at any time, forward and back.
        domain: Names the monotonic clock. Processes with the same name may compare its times;
            empty: nobody may, not even the same process later.
    """

    monotonic: Clock
    wall: Clock
    domain: str


def system_clocks() -> Clocks:
    """Return the clocks of this system.

    On Linux all processes of one boot (and one time namespace) share the monotonic clock.
    """
    return Clocks(time.monotonic, time.time, _domain())


def _domain() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/time").stat().st_ino
    except OSError:
        return ""
    return f"{boot}/{namespace}"


@dataclass(slots=True)
class Watch:
    """Decides whether moments from a store have passed.

    Args:
        clocks: Where the time comes from.
    """

    clocks: Clocks
    _seen: dict[Hashable, float] = field(default_factory=dict)
    _current: set[Hashable] = field(default_factory=set)

    def passed(self, key: Hashable, domain: str, at: float, length: float) -> bool:
        """Return whether a moment has passed.

        Args:
            key: What the moment belongs to, with whatever changes when it is set anew.
            domain: The clock that ``at`` was read from.
            at: The moment, on that clock.
            length: Seconds between setting the moment and the moment itself: how long it is
                watched if the clock is not ours.
        """
        now = self.clocks.monotonic()
        if domain and domain == self.clocks.domain:
            return now >= at
        self._current.add(key)
        return now - self._seen.setdefault(key, now) >= length

    def forget_others(self) -> None:
        """Forget the moments that nobody asked for since the last call."""
        self._seen = {key: at for key, at in self._seen.items() if key in self._current}
        self._current = set()
