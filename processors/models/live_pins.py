"""Counting what a server's live streams have in memory, for the budgets of side jobs."""

import logging
import threading
from collections.abc import Callable

from processors.models.memory import ModelMemory
from processors.models.runtime import Pin

_log = logging.getLogger(__name__)


class LivePins:
    """Implements ``runtime.Pins``. Live streams never wait for it, nor fail because of it.

    Args:
        open_memory: Makes the memory that counts, when there is something to count.
    """

    def __init__(self, open_memory: Callable[[], ModelMemory]) -> None:
        self._open_memory = open_memory
        self._memory: ModelMemory | None = None
        self._lock = threading.Lock()

    def pin(self, key: str, size: int, device: str) -> Pin:
        """Count a model; see ``runtime.Pins``."""
        try:
            with self._lock:
                if self._memory is None:
                    self._memory = self._open_memory()
                return _Tolerant(self._memory.pin(key, size, device))
        except OSError as error:
            _log.warning("Side jobs do not know of %s in memory: %s", key, error)
            return _Uncounted()

    def close(self) -> None:
        """Say that this process holds nothing any more."""
        with self._lock:
            memory, self._memory = self._memory, None
        if memory is not None:
            memory.close()


class _Uncounted:
    """A pin of a model that nobody counts."""

    def release(self) -> None:
        """Do nothing: nothing is counted."""


class _Tolerant:
    """A pin whose release cannot fail: it may come at the end of the process."""

    def __init__(self, pin: Pin) -> None:
        self._pin = pin

    def release(self) -> None:
        """Count the model no more."""
        try:
            self._pin.release()
        except OSError as error:
            _log.warning("Side jobs were not told of a model that is gone: %s", error)
