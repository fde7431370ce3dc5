"""One worker process and its replacements."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from engine.clock import Clock
from engine.jobs import worker
from engine.jobs.priority import capped
from engine.jobs.worker import Order

_log = logging.getLogger(__name__)

_ROOT: Final = Path(__file__).resolve().parents[2]
_STABLE_S: Final = 5.0
"""A worker that lived for so long has started well: its replacement starts at once."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0


class SlotState(StrEnum):
    """Where a slot's worker stands."""

    STARTING = "starting"
    READY = "ready"
    BROKEN = "broken"
    """It ended soon after its start, and is started again after a pause."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """What is shown of a slot.

    Attributes:
        device: Where its worker works.
        state: Where the worker stands.
        pid: Its process; None: there is none at present.
        owner: Its name on leases.
        restarts: How often it was replaced.
        problem: Why it cannot work; empty: nothing is known.
    """

    device: str
    state: SlotState
    pid: int | None
    owner: str
    restarts: int
    problem: str


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a worker process.

    Attributes:
        owner: Its name on leases.
        how: For people.
        wanted: It was asked to end, so what it worked on is not to blame.
    """

    owner: str
    how: str
    wanted: bool


class Slot:
    """Keeps one worker process alive. Not thread-safe: the supervisor's thread calls it.

    Args:
        order: For the worker; each process gets an owner of its own.
        clock: Monotonic.
        terminate_s: Time between SIGTERM and SIGKILL.
    """

    def __init__(self, order: Order, clock: Clock, terminate_s: float) -> None:
        self._order = order
        self._clock = clock
        self._terminate_s = terminate_s
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = b""
        self._state = SlotState.STOPPED
        self._owner = ""
        self._problem = ""
        self._started = 0.0
        self._start_at = -float("inf")
        self._kill_at: float | None = None
        self._restarts = 0
        self._broken_starts = 0

    @property
    def owner(self) -> str:
        """The name of the present worker on leases."""
        return self._owner

    @property
    def alive(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def status(self) -> SlotStatus:
        """Return what is to be shown."""
        pid = self._process.pid if self._process is not None else None
        return SlotStatus(
            self._order.place.device, self._state, pid, self._owner, self._restarts, self._problem
        )

    def tick(self, start: bool) -> Death | None:
        """Look after the process.

        Args:
            start: Start one if there is none.

        Returns:
            The worker's end, if it has just ended.
        """
        now = self._clock()
        if self._process is None:
            if start and now >= self._start_at:
                self._start(now)
            return None
        self._listen(self._process)
        if self._kill_at is not None and now >= self._kill_at:
            self._signal(signal.SIGKILL)
            self._kill_at = None
        code = self._process.poll()
        if code is None:
            return None
        return self._ended(self._process, code, now)

    def stop(self) -> None:
        """Ask the worker to give back its job and end."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(worker.STOP)

    def kill(self) -> None:
        """End the worker now: SIGTERM, a little later SIGKILL."""
        if self._process is not None and self._kill_at is None:
            self._signal(signal.SIGTERM)
            self._kill_at = self._clock() + self._terminate_s

    def _start(self, now: float) -> None:
        self._owner = f"{socket.gethostname()[:40]}/{uuid.uuid4().hex[:12]}"
        place = self._order.place
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", worker.__name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                cwd=_ROOT,
                env=capped(os.environ, place.threads),
                # Ctrl-C in a terminal is for the server; its own group can be ended as a whole.
                start_new_session=True,
            )
        except OSError as error:
            # Too many processes or no memory, which may pass.
            self._problem = f"No process could be started: {error.strerror}."
            self._state = SlotState.BROKEN
            self._start_at = now + self._pause()
            _log.warning("%s", self._problem)
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._answers = b""
        self._kill_at = None
        self._state, self._started = SlotState.STARTING, now
        with suppress(BrokenPipeError):
            self._process.stdin.write(replace(self._order, owner=self._owner).to_line())

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._answers += process.stdout.read(65_536) or b""
        *lines, self._answers = self._answers.split(b"\n")
        for line in lines:
            values = json.loads(line)
            if "ready" in values:
                self._state, self._problem = SlotState.READY, ""
            self._problem = values.get("problem", self._problem)

    def _ended(self, process: subprocess.Popen[bytes], code: int, now: float) -> Death:
        self._listen(process)
        # What the worker itself had started.
        self._signal(signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        killed = self._kill_at is not None
        ready = self._state is SlotState.READY
        self._process = None
        self._kill_at = None
        self._state = SlotState.STOPPED
        how = f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
        death = Death(self._owner, f"its worker process {how}.", code == 0 or killed)
        if death.wanted:
            return death
        self._restarts += 1
        if ready and now - self._started >= _STABLE_S:
            self._broken_starts = 0
        pause = 0.0
        if not ready or self._broken_starts:
            pause = self._pause()
        self._start_at = now + pause
        if not ready:
            self._state = SlotState.BROKEN
            self._problem = self._problem or f"The worker {how} before it was ready."
        _log.warning("The worker for '%s' %s. %s", self._order.place.device, how, self._problem)
        return death

    def _pause(self) -> float:
        """Count a start that went wrong; return how long to wait before the next."""
        pause = min(_FIRST_PAUSE_S * 2.0**self._broken_starts, _LONGEST_PAUSE_S)
        self._broken_starts = min(self._broken_starts + 1, 10)
        return pause

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
