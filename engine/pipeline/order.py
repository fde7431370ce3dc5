"""Puts the results of any number of workers back into the order of their tickets."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from engine.pipeline.ring import RingClosed

T = TypeVar("T")


class Resequencer(Generic[T]):
    """Hands items on in the order in which their tickets were drawn.

    A worker that is ahead leaves its item here and goes on, until it is ``window`` tickets ahead;
    then it waits, so what is held is bounded. Every ticket drawn must be delivered.

    Args:
        emit: Takes the items in order, one call at a time; may wait.
        window: The most tickets between the next one due and one delivered without waiting.
    """

    def __init__(self, emit: Callable[[T], None], window: int) -> None:
        self._emit = emit
        self._window = window
        self._held: dict[int, T] = {}
        self._drawn = 0
        self._due = 0
        self._emitting = False
        self._closed = False
        self._moved = threading.Condition()

    def draw(self) -> int:
        """The next ticket."""
        with self._moved:
            ticket = self._drawn
            self._drawn += 1
            return ticket

    def deliver(self, ticket: int, item: T) -> None:
        """Hand in the item of a ticket.

        Raises:
            RingClosed: Closed here, or raised by ``emit``.
        """
        with self._moved:
            while ticket >= self._due + self._window and not self._closed:
                self._moved.wait()
            if self._closed:
                raise RingClosed
            self._held[ticket] = item
            if self._emitting:
                return
            self._emitting = True
        try:
            self._emit_ready()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Wake and refuse every worker."""
        with self._moved:
            self._closed = True
            self._held.clear()
            self._moved.notify_all()

    def _emit_ready(self) -> None:
        while True:
            with self._moved:
                if self._due not in self._held:
                    self._emitting = False
                    return
                item = self._held.pop(self._due)
            self._emit(item)
            with self._moved:
                self._due += 1
                self._moved.notify_all()
