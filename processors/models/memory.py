"""The models of a process in memory: loaded once, kept, moved, and never more than the budget.

A model is in one place at a time. It comes to the RAM first and waits there for its next use; when
a device is full, idle models leave it: a GPU's to the RAM while there is room, those in RAM for
good. Room is reserved before anything is loaded or moved.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from engine.clock import Clock, monotonic
from engine.pipeline.memory_settings import MemorySettings
from processors.models.memory_accounts import Kept
from processors.models.memory_devices import (
    CPU,
    Probe,
    SystemProbe,
    canonical,
    move_to,
    settle,
    size_of,
)
from processors.models.memory_errors import NeverFits, is_out_of_memory
from processors.models.memory_eviction import Eviction
from processors.models.memory_report import MemoryReports, ModelReport
from processors.models.memory_reservations import Ask, Checking, Lease, Reservations, in_mb
from processors.models.memory_shares import Shares
from processors.models.memory_spec import ModelSpec
from processors.models.session import OutOfMemory

__all__ = [
    "ModelMemory",
    "ModelSpec",
    "NeverFits",
    "OutOfMemory",
    "Pin",
    "is_out_of_memory",
]

_log = logging.getLogger(__name__)

M = TypeVar("M")


class Pin:
    """A model of a live stream, counted until ``release``."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release

    def release(self) -> None:
        """Count it no more; may be called by any thread, at any time, and more than once."""
        self._release()


class ModelMemory:
    """The models of this process.

    Args:
        settings: Budgets; generators read from it how models should be loaded.
        reports: Says to other processes what is held here, and what they hold; None: no others.
        probe: Asks for the sizes of devices.
        clock: Monotonic.
        wall: Seconds since 1970, for reports.
        settle: Gives memory back to the system; see ``memory_devices.settle``.
    """

    def __init__(
        self,
        settings: MemorySettings | None = None,
        reports: MemoryReports | None = None,
        probe: Probe | None = None,
        clock: Clock = monotonic,
        wall: Clock = time.time,
        settle: Callable[[bool], None] = settle,
    ) -> None:
        self.settings = settings or MemorySettings()
        self._clock = clock
        self._wall = wall
        self._settle = settle
        self._shares = Shares(self.settings, reports, probe or SystemProbe())
        self._eviction = Eviction(settle)
        self._reservations = Reservations(
            self._shares, self._eviction.evict, clock, self.settings.wait_s
        )

    def budget(self, device: str) -> int:
        """Return the most bytes that models may take on a device.

        Raises:
            UnknownDevice: There is none of this name.
        """
        return self._shares.budget(device)

    @contextmanager
    def use(
        self,
        spec: ModelSpec[M],
        device: str = CPU,
        working: int = 0,
        context: Checking | None = None,
    ) -> Iterator[M]:
        """Have a model on a device; it stays there at least until the block ends.

        Keep no reference to the model after that: it could not be freed.

        Args:
            spec: The model.
            device: ``cpu``, ``cuda:0``, ...
            working: Bytes that computing with it takes at its peak, besides the weights.
            context: The job's: asked while waiting whether to go on.

        Raises:
            NeverFits: It needs more than the budget leaves; says the numbers.
            OutOfMemory: Other processes hold the memory, or jobs wait for each other.
        """
        device = canonical(device)
        if spec.home is not None and canonical(spec.home) != device:
            raise ValueError(f"{spec.key} is for {spec.home} and cannot be used on {device}")
        lease = self._lease(spec, device, working, context)
        try:
            if lease.kept.busy:
                self._bring(lease, spec, context)
            yield lease.kept.model
        finally:
            self._give_back(lease)

    def pin(self, key: str, size: int, device: str = CPU) -> Pin:
        """Count a model of a live stream, which is there already, whatever the budget says.

        Args:
            key: Names it, for people.
            size: Bytes.
            device: Where it is.
        """
        device = canonical(device)
        with self._reservations.locked() as accounts:
            name, number = key, 1
            while name in accounts.models:
                number += 1
                name = f"{key} ({number})"
            kept = Kept(name, size, device, False, move_to, pinned=True, last_used=self._wall())
            accounts.models[name] = kept
            self._reservations.take_anyway(kept, device, size)
            while accounts.room(device) < 0 and (idle := accounts.victim(device)):
                self._eviction.evict(self._reservations, idle)
        return Pin(lambda: self._reservations.unpin(name))

    def free(self, ram: bool = True) -> int:
        """Give back all that is not in use; return its bytes.

        Args:
            ram: Drop models from the RAM, too; else those on GPUs go there while there is room.
        """
        freed = 0
        with self._reservations.locked() as accounts:
            for kept in list(accounts.models.values()):
                if kept.idle and (ram or kept.place != CPU):
                    freed += kept.size
                    if ram:
                        self._eviction.drop(self._reservations, kept)
                    else:
                        self._eviction.evict(self._reservations, kept)
        self._settle(True)
        return freed

    def models(self) -> tuple[ModelReport, ...]:
        """Return what is in memory."""
        with self._reservations.locked():
            return self._reservations.reported()

    def held(self) -> Mapping[str, int]:
        """Return the bytes that are held or reserved by this process, by device."""
        with self._reservations.locked() as accounts:
            return {device: count for device, count in accounts.held.items() if count}

    def peaks(self) -> Mapping[str, int]:
        """Return the most that was ever held or reserved by this process, by device."""
        with self._reservations.locked() as accounts:
            return dict(accounts.peaks)

    def close(self) -> None:
        """Drop all models that are not in use, and say that nothing is held."""
        self.free()
        self._shares.close()

    def _lease(
        self, spec: ModelSpec[Any], device: str, working: int, context: Checking | None
    ) -> Lease:
        """Reserve all that a use needs; whoever gets a busy model has to bring it."""
        accounts = self._reservations.accounts
        found: list[Lease] = []

        def weights() -> dict[str, int] | None:
            return spec.weights(device, accounts.models.get(spec.key))

        def needs() -> dict[str, int] | None:
            parts = weights()
            return None if parts is None else parts | {device: parts.get(device, 0) + working}

        def take() -> None:
            parts = weights()
            assert parts is not None
            kept = accounts.models.setdefault(spec.key, spec.kept())
            kept.busy = kept.model is None or kept.place != device
            kept.last_used = self._wall()
            for where, count in parts.items():
                accounts.set_aside(kept, where, count)
            lease = Lease(kept, device, working, threading.get_ident())
            self._reservations.begin(lease)
            found.append(lease)

        self._reservations.reserve(Ask(spec.key, device, needs, take), context)
        return found[0]

    def _bring(self, lease: Lease, spec: ModelSpec[Any], context: Checking | None) -> None:
        """Load a model or move it, or both; all that takes is reserved."""
        kept, device = lease.kept, lease.device
        try:
            if kept.model is None:
                began = self._clock()
                kept.model = spec.load()
                kept.load_s = self._clock() - began
                self._correct(kept, device, context)
            if kept.place != device:
                self._move(kept, device)
        except BaseException:
            self._lose(kept)
            raise
        with self._reservations.locked() as accounts:
            kept.busy = False
            accounts.used(kept)
            self._reservations.publish()

    def _correct(self, kept: Kept, device: str, context: Checking | None) -> None:
        """Count what a model that was just loaded really takes."""
        size = size_of(kept.model) if kept.movable else None
        if size is None:
            size = kept.size
        if size > kept.size:
            _log.info("%s takes %s, expected were %s.", kept.key, in_mb(size), in_mb(kept.size))
        accounts = self._reservations.accounts
        places = {CPU, device} if kept.movable else {device}

        def needs() -> dict[str, int]:
            return {place: max(0, size - kept.holds[place]) for place in places}

        def take() -> None:
            for place in {*kept.holds, *places}:
                accounts.set_aside(kept, place, size if place in places else 0)
            kept.size = size

        self._reservations.reserve(Ask(kept.key, device, needs, take), context)

    def _move(self, kept: Kept, device: str) -> None:
        began = self._clock()
        kept.model = kept.move(kept.model, device)
        self._settle(False)
        with self._reservations.locked() as accounts:
            kept.move_s = self._clock() - began
            accounts.moved(kept, device, evicted=False)
            self._reservations.publish()

    def _lose(self, kept: Kept) -> None:
        """A model could not be brought: what is left of it goes."""
        kept.model = None
        self._settle(True)
        with self._reservations.locked() as accounts:
            accounts.remove(kept, evicted=False)
            self._reservations.publish()

    def _give_back(self, lease: Lease) -> None:
        kept = lease.kept
        with self._reservations.locked() as accounts:
            self._reservations.end(lease)
            kept.last_used = self._wall()
            if accounts.models.get(kept.key) is kept:
                accounts.used(kept)
            self._reservations.publish()
        if lease.working and lease.device != CPU:
            # What torch keeps for its next tensors, other processes cannot have.
            self._settle(False)


def open_memory(settings: MemorySettings, folder: Path, owner: str) -> ModelMemory:
    """Return the memory of a process that shares devices with others.

    Args:
        settings: Budgets.
        folder: Of the reports, the same for all.
        owner: What this process is, for people.
    """
    return ModelMemory(settings, MemoryReports(folder, owner))
