"""The books of one process's memory: what is where, what is in use, and what may go. No threads."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from processors.models.memory_devices import CPU
from processors.models.memory_policy import GreedyDualSize

BUS_BYTES_PER_S = 8e9
"""Guess of how fast weights come to a GPU, until it was measured."""


@dataclass(slots=True, eq=False)
class Kept:
    """A model that is in memory, or on its way.

    Attributes:
        key: Names it.
        size: Bytes of its weights.
        place: The device where it is, or where it comes first while it is loaded.
        holds: Bytes that are held for it, by device; while it moves, on both.
        movable: It may wait in RAM; else it is dropped when it has to leave its device.
        move: Moves it: model, device.
        model: The model; None while it is being loaded, and of pinned ones.
        in_use: Callers that are using it.
        busy: Somebody loads, moves or drops it.
        pinned: A live stream's: it stays, and is not ours to move.
        load_s: Seconds that loading took.
        move_s: Seconds that moving took last; 0: not measured yet.
        last_used: Seconds since 1970.
    """

    key: str
    size: int
    place: str
    movable: bool
    move: Callable[[Any, str], Any]
    holds: Counter[str] = field(default_factory=Counter)
    model: Any = None
    in_use: int = 0
    busy: bool = False
    pinned: bool = False
    load_s: float = 0.0
    move_s: float = 0.0
    last_used: float = 0.0

    @property
    def idle(self) -> bool:
        """Whether it may be moved or dropped."""
        return not (self.in_use or self.busy or self.pinned)


class Accounts:
    """What one process holds on each device.

    Args:
        budget: The most bytes of a device, by its name.
    """

    def __init__(self, budget: Callable[[str], int]) -> None:
        self._budget = budget
        self._held: Counter[str] = Counter()
        self._peaks: Counter[str] = Counter()
        self._values: dict[str, GreedyDualSize] = {}
        self.models: dict[str, Kept] = {}

    @property
    def held(self) -> Mapping[str, int]:
        """Bytes that are held or reserved, by device."""
        return self._held

    @property
    def peaks(self) -> Mapping[str, int]:
        """The most that was ever held, by device."""
        return self._peaks

    def room(self, device: str, elsewhere: int = 0) -> int:
        """Return the bytes that are left of a budget; below 0 when others take more than that.

        Args:
            device: Which.
            elsewhere: Bytes that others hold there.
        """
        return self._budget(device) - elsewhere - self._held[device]

    def hold(self, device: str, count: int) -> None:
        """Count bytes as held."""
        self._held[device] += count
        self._peaks[device] = max(self._peaks[device], self._held[device])

    def release(self, device: str, count: int) -> None:
        """Count bytes as held no more."""
        assert 0 <= count <= self._held[device], (device, count, self._held[device])
        self._held[device] -= count

    def set_aside(self, kept: Kept, device: str, count: int) -> None:
        """Make what is held for a model on a device ``count`` bytes."""
        change = count - kept.holds[device]
        kept.holds[device] = count
        if change > 0:
            self.hold(device, change)
        else:
            self.release(device, -change)

    def used(self, kept: Kept) -> None:
        """Count a use of a model where it is now."""
        self._values_on(kept.place).used(kept.key, self._cost(kept), kept.size)

    def moved(self, kept: Kept, place: str, evicted: bool) -> None:
        """Write down that a model is somewhere else now, and holds nothing where it was.

        Args:
            kept: The model.
            place: Where it is now.
            evicted: It had to leave because room was needed.
        """
        self._left(kept, evicted)
        self.set_aside(kept, kept.place, 0)
        kept.place = place
        self.used(kept)

    def remove(self, kept: Kept, evicted: bool) -> None:
        """Write down that a model is in memory no more, and holds nothing."""
        self._left(kept, evicted)
        for device in kept.holds:
            self.set_aside(kept, device, 0)
        del self.models[kept.key]

    def victim(self, device: str, spared: str = "") -> Kept | None:
        """Return the model that should leave a device first; None if none may.

        Args:
            device: Which.
            spared: Key of a model that must stay.
        """
        idle = {
            kept.key: kept
            for kept in self.models.values()
            if kept.place == device and kept.idle and kept.key != spared
        }
        key = self._values_on(device).least(idle)
        return None if key is None else idle[key]

    def pinned(self, device: str) -> int:
        """Return the bytes of pinned models on a device."""
        return sum(k.size for k in self.models.values() if k.pinned and k.place == device)

    def _left(self, kept: Kept, evicted: bool) -> None:
        values = self._values_on(kept.place)
        if evicted:
            values.evicted(kept.key)
        else:
            values.forget(kept.key)

    def _values_on(self, device: str) -> GreedyDualSize:
        return self._values.setdefault(device, GreedyDualSize())

    @staticmethod
    def _cost(kept: Kept) -> float:
        if kept.place == CPU or not kept.movable:
            return kept.load_s
        return kept.move_s or kept.size / BUS_BYTES_PER_S
