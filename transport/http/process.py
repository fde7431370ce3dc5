"""What this process uses of the machine."""

import os
import time

import psutil
from pydantic import BaseModel

from engine.clock import Clock, monotonic


class ProcessInfo(BaseModel):
    """What the process uses. ``cpu_percent`` is since the reading before, of one core."""

    pid: int
    uptime_seconds: float
    cpu_percent: float
    cpu_seconds: float
    memory_bytes: int
    threads: int


class Process:
    """Reads the process's figures.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._process = psutil.Process(os.getpid())
        self._last = (self._started, time.process_time())

    def read(self) -> ProcessInfo:
        """Return the present figures."""
        now, cpu = self._clock(), time.process_time()
        last_now, last_cpu = self._last
        self._last = (now, cpu)
        elapsed = now - last_now
        return ProcessInfo(
            pid=os.getpid(),
            uptime_seconds=round(now - self._started, 3),
            cpu_percent=round(100 * (cpu - last_cpu) / elapsed, 2) if elapsed > 0 else 0.0,
            cpu_seconds=round(cpu, 3),
            memory_bytes=self._process.memory_info().rss,
            threads=self._process.num_threads(),
        )
