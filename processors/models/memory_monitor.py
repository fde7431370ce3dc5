"""Devices and what is on them, for people: now, and lately."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.clock import Clock
from engine.pipeline.memory_settings import MemorySettings
from processors.models.memory_devices import CPU, Probe, SystemProbe
from processors.models.memory_report import MemoryReport, ModelReport, read_reports
from processors.models.memory_shares import budget_of


@dataclass(frozen=True, slots=True)
class HeldModel:
    """A model, and who holds it.

    Attributes:
        model: As reported.
        owner: The process.
        pid: Its id.
    """

    model: ModelReport
    owner: str
    pid: int


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device, for people; sizes in bytes.

    Attributes:
        device: ``cpu``, ``cuda:0``, ...
        kind: ``ram`` or ``gpu``.
        total: What it has; 0 if nobody can say.
        used: By anybody.
        budget: What models may take.
        held: What the models of all our processes take, their reservations included.
        reserved: The part of it that is for computing and loading.
        models: What is there.
    """

    device: str
    kind: str
    total: int
    used: int
    budget: int
    held: int
    reserved: int
    models: tuple[HeldModel, ...]


def view_devices(
    folder: Path, settings: MemorySettings, probe: SystemProbe | None = None
) -> tuple[DeviceView, ...]:
    """Return all devices with what is on them: the RAM first, then the GPUs. Reads files.

    Args:
        folder: Of the reports.
        settings: Has the budgets.
        probe: Asks for totals; torch is not imported.
    """
    probe = probe or SystemProbe()
    reports = read_reports(folder)
    named = {device for report in reports for device in report.held}
    devices = dict.fromkeys((CPU, *probe.gpus(), *sorted(named)))
    return tuple(_view(device, reports, settings, probe) for device in devices)


def _view(
    device: str, reports: Sequence[MemoryReport], settings: MemorySettings, probe: Probe
) -> DeviceView:
    models = tuple(
        HeldModel(model, report.owner, report.pid)
        for report in reports
        for model in report.models
        if model.place == device
    )
    held = sum(report.held.get(device, 0) for report in reports)
    total = probe.total(device) or 0
    return DeviceView(
        device=device,
        kind="ram" if device == CPU else "gpu",
        total=total,
        used=probe.used(device) or 0,
        budget=budget_of(device, settings, total),
        held=held,
        reserved=max(0, held - sum(item.model.bytes for item in models)),
        models=models,
    )


@dataclass(frozen=True, slots=True)
class UsageSample:
    """How full a device was.

    Attributes:
        time: Seconds since 1970.
        device: Which.
        used: Bytes.
    """

    time: float
    device: str
    used: int


class UsageHistory:
    """How full devices were lately. Whoever asks for the views hands them in.

    Args:
        clock: Seconds since 1970.
        every_s: Least time between two samples of a device; more are not kept.
        keep: Samples of each device; the oldest go.
    """

    def __init__(self, clock: Clock = time.time, every_s: float = 1.0, keep: int = 900) -> None:
        self._clock = clock
        self._every_s = every_s
        self._keep = keep
        self._samples: dict[str, deque[UsageSample]] = {}

    def add(self, views: Sequence[DeviceView]) -> None:
        """Keep what the devices use now, unless that was done just before."""
        now = self._clock()
        for view in views:
            samples = self._samples.setdefault(view.device, deque(maxlen=self._keep))
            # A clock that was set back must not end the history.
            if not samples or not 0 <= now - samples[-1].time < self._every_s:
                samples.append(UsageSample(now, view.device, view.used))

    def samples(self) -> tuple[UsageSample, ...]:
        """Return all that is kept, in the order of time."""
        found = [sample for samples in self._samples.values() for sample in samples]
        return tuple(sorted(found, key=lambda sample: sample.time))
