"""Waiting for a moment, so that it can be interrupted and tested without time passing."""

import threading
from collections.abc import Callable

from engine.clock import Clock


class Metronome:
    """Waits until moments of a clock.

    Args:
        clock: Seconds.
        wait: Waits so many seconds or until interrupted, and says whether it was interrupted;
            None waits on this object's own event.
    """

    def __init__(self, clock: Clock, wait: Callable[[float], bool] | None = None) -> None:
        self._clock = clock
        self._event = threading.Event()
        self._wait = wait or self._event.wait

    @property
    def interrupted(self) -> bool:
        """``interrupt`` has been called."""
        return self._event.is_set()

    def until(self, at: float) -> bool:
        """Wait until ``at``; False when interrupted before."""
        remaining = at - self._clock()
        if remaining > 0.0 and self._wait(remaining):
            return False
        return not self._event.is_set()

    def interrupt(self) -> None:
        """End the present and every later wait."""
        self._event.set()
