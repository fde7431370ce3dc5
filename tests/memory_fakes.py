"""Devices whose memory is only counted, and models that say where they are."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from engine.pipeline.memory_settings import MemorySettings
from processors.models.memory import ModelMemory, ModelSpec
from processors.models.memory_report import MemoryReports

GPU = "cuda:0"


class FakeMachine:
    """Knows what is really there at each moment, unlike the books that are tested.

    Args:
        totals: Bytes of its devices.
    """

    def __init__(self, **totals: int) -> None:
        self.totals = {name.replace("_", ":"): total for name, total in totals.items()}
        self.unreported: Counter[str] = Counter()
        self.real: Counter[str] = Counter()
        self.peaks: Counter[str] = Counter()
        self.loads: Counter[str] = Counter()
        self.moves: list[tuple[str, str]] = []
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def total(self, device: str) -> int | None:
        return self.totals.get(device)

    def used(self, device: str) -> int | None:
        if device not in self.totals:
            return None
        return self.unreported[device] + self.real[device]

    def own(self, device: str) -> int:
        return 0

    def change(self, device: str, count: int) -> None:
        with self._lock:
            self.real[device] += count
            self.peaks[device] = max(self.peaks[device], self.real[device])

    def spec(self, key: str, size: int, **more: Any) -> ModelSpec["FakeModel"]:
        """A model of this machine."""

        def load() -> FakeModel:
            self.loads[key] += 1
            return FakeModel(self, key, size)

        values = {"load": load, "move": FakeModel.moved} | more
        return ModelSpec(key, size, **values)

    def memory(
        self,
        reports: MemoryReports | None = None,
        clock: Callable[[], float] = lambda: 0.0,
        **settings: Any,
    ) -> ModelMemory:
        """A memory whose budgets are all that this machine has, unless settings say otherwise."""
        chosen: Mapping[str, Any] = {
            "ram": "100 %",
            "budgets": {"cuda": "100 %"},
            "headroom_mb": 0,
        }
        return ModelMemory(
            MemorySettings.model_validate({**chosen, **settings}),
            reports,
            self,
            clock,
            wall=lambda: 1000.0,
            settle=lambda _: None,
        )


class FakeModel:
    """A model that takes memory of a machine for as long as it lives."""

    def __init__(self, machine: FakeMachine, key: str, size: int) -> None:
        self.machine = machine
        self.key = key
        self.size = size
        self.place = "cpu"
        self.users = 0
        machine.change("cpu", size)

    def moved(self, device: str) -> "FakeModel":
        if self.users:
            self.machine.wrong.append(f"{self.key} was moved while it was in use")
        self.machine.moves.append((self.key, device))
        self.machine.change(device, self.size)
        self.machine.change(self.place, -self.size)
        self.place = device
        return self

    def __del__(self) -> None:
        if self.users:
            self.machine.wrong.append(f"{self.key} was dropped while it was in use")
        self.machine.change(self.place, -self.size)


class Waiting:
    """A job's context that says when its job waits, and can cancel it."""

    def __init__(self) -> None:
        self.waits = threading.Event()
        self.cancelled = False
        self.lines: list[str] = []

    def check(self) -> None:
        self.waits.set()
        if self.cancelled:
            raise Cancelled

    def log(self, line: str) -> None:
        self.lines.append(line)


class Cancelled(Exception):
    """The job was cancelled."""
