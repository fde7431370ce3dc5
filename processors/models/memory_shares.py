"""What the models of a process may have of a device: its budget, less what others hold."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from engine.pipeline.memory_settings import MemorySettings, in_bytes
from processors.models.memory_devices import CPU, Probe, UnknownDevice, canonical
from processors.models.memory_report import MemoryReport, MemoryReports, ModelReport

_log = logging.getLogger(__name__)

_REST = "90 %"
"""Budget of GPUs that the settings do not name."""


class Shares:
    """Budgets, and what is left of them by other processes.

    Args:
        settings: The budgets.
        reports: What this process says and the others say; None: there are no others.
        probe: Asks for the sizes of devices.
    """

    def __init__(
        self, settings: MemorySettings, reports: MemoryReports | None, probe: Probe
    ) -> None:
        self._settings = settings
        self._reports = reports
        self._probe = probe
        self._budgets: dict[str, int] = {}
        self._silent = False

    def budget(self, device: str) -> int:
        """Return the most bytes that models may take on a device.

        Raises:
            UnknownDevice: There is none of this name.
        """
        device = canonical(device)
        if device not in self._budgets:
            total = self._probe.total(device)
            if total is None and device not in self._settings.budgets:
                raise UnknownDevice(
                    f"There is no device {device} here, or its memory cannot be measured.",
                    "Choose another device, or give it a budget in bytes (memory.budgets).",
                )
            self._budgets[device] = budget_of(device, self._settings, total or 0)
        return self._budgets[device]

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other processes from deciding meanwhile."""
        return nullcontext() if self._reports is None else self._reports.exclusive()

    def others(self) -> tuple[MemoryReport, ...]:
        """Return what the other processes say."""
        return () if self._reports is None else self._reports.others()

    def elsewhere(self, device: str, others: Sequence[MemoryReport], held: int) -> int:
        """Return the bytes of a budget that others have: processes that report, and any that eat
        into it.

        Args:
            device: Which.
            others: What the others say.
            held: Bytes that this process holds there.
        """
        reported = sum(report.held.get(device, 0) for report in others)
        if device == CPU:
            return reported
        used, total = self._probe.used(device), self._probe.total(device)
        if used is None or total is None:
            return reported
        unknown = max(0, used - reported - max(held, self._probe.own(device)))
        free_for_models = total - self._settings.headroom_mb * 10**6 - unknown
        return reported + max(0, self.budget(device) - free_for_models)

    def tell(self, held: Mapping[str, int], models: Sequence[ModelReport]) -> None:
        """Say to the others what this process holds. A full disk is only worth a warning."""
        if self._reports is None:
            return
        try:
            self._reports.write(held, models)
        except OSError as error:
            if not self._silent:
                _log.warning("Other processes cannot be told what memory is held: %s", error)
            self._silent = True
        else:
            self._silent = False

    def close(self) -> None:
        """Say that nothing is held any more."""
        if self._reports is not None:
            self._reports.close()


def budget_of(device: str, settings: MemorySettings, total: int) -> int:
    """Return the most bytes that models may take on a device that has ``total``."""
    if device == CPU:
        return in_bytes(settings.ram, total)
    amount = settings.budgets.get(device) or settings.budgets.get(device.partition(":")[0], _REST)
    most = in_bytes(amount, total)
    return min(most, max(0, total - settings.headroom_mb * 10**6)) if total else most
