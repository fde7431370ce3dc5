"""Clocks that tests turn, and an open queue on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.jobs.attempt import Lease
from engine.jobs.clocks import Clocks
from engine.jobs.leases import Leases
from engine.jobs.opening import Jobs, open_jobs
from engine.jobs.settings import JobSettings
from engine.jobs.spec import Job


class TestClocks:
    """Monotonic and wall time that only tests move."""

    __test__ = False

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.wall = 1_800_000_000.0

    def advance(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds

    def clocks(self, domain: str = "boot-1", offset: float = 0.0) -> Clocks:
        """Return clocks whose monotonic time counts from elsewhere, as after another boot."""
        return Clocks(lambda: self.monotonic + offset, lambda: self.wall, domain)


def settings(folder: Path, **values: Any) -> JobSettings:
    """Settings with short times, one worker and no random part in waits."""
    defaults: dict[str, Any] = {
        "folder": folder,
        "devices": ("cpu",),
        "threads": 1,
        "lease_s": 10.0,
        "poll_s": 0.02,
        "report_s": 0.02,
        "retry": {"attempts": 3, "first_s": 4.0, "factor": 2.0, "jitter": 0.0},
    }
    return JobSettings.model_validate(defaults | values)


class Bench:
    """An open queue on clocks that tests turn, and the workers' side of it."""

    def __init__(self, opened: Jobs, clocks: TestClocks) -> None:
        self.jobs = opened
        self.queue = opened.queue
        self.control = opened.control
        self.history = opened.history
        self.clocks = clocks
        self.leases = self.worker_side()

    def worker_side(self, clocks: Clocks | None = None) -> Leases:
        made = self.jobs.settings
        chosen = clocks or self.jobs.clocks
        return Leases(self.jobs.store, chosen, made.lease_s, made.max_crashes, lambda: 0.0)

    def claim(self, owner: str = "worker") -> tuple[Lease, Job]:
        claimed = self.leases.claim(owner)
        assert claimed is not None
        return claimed


@contextmanager
def bench(folder: Path, **values: Any) -> Iterator[Bench]:
    """Open a queue in a folder."""
    clocks = TestClocks()
    with open_jobs(settings(folder, **values), clocks.clocks()) as opened:
        yield Bench(opened, clocks)
