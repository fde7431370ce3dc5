"""The real server as a process, for tests and benchmarks."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60


class ServerProcess:
    """A server that can be started, stopped, killed and started again.

    Args:
        arguments: Of the command line, after ``server.py``.
        environ: Added to the environment.
    """

    def __init__(self, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        self._arguments = arguments
        self._environ = dict(environ or {})
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.address = ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> "ServerProcess":
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-u", str(ROOT / "server.py"), *self._arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | self._environ,
        )
        assert self._process.stdout is not None
        lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=_forward, args=(self._process.stdout, lines))
        self._reader.start()
        seen: list[str] = []
        while True:
            seen.append(lines.get(timeout=PATIENCE))
            match = re.search(r"open (http://\S+)/", seen[-1])
            if match is not None:
                self.address = match[1]
                return self
            assert seen[-1], f"the server ended before it listened: {''.join(seen)}"

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; return the exit code and the seconds it took."""
        assert self._process is not None
        assert self._reader is not None
        began = time.monotonic()
        self._process.send_signal(number)
        code = self._process.wait(15)
        seconds = time.monotonic() - began
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return code, seconds

    def stop_if_running(self) -> None:
        """Kill it if a test left it running."""
        if self._process is not None:
            self.stop(signal.SIGKILL)


def _forward(source: Iterable[str], lines: "queue.Queue[str]") -> None:
    for line in source:
        lines.put(line)
    lines.put("")
