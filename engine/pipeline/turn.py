"""Keeps batches in order through work that is done in steps, one batch to a step."""

import threading
from types import TracebackType


class Turn:
    """A batch's place in the order of batches.

    It holds one gate at a time and enters the next before it leaves the last (lock coupling: Bayer
    and Schkolnick, "Concurrency of Operations on B-Trees", Acta Informatica 1977). So no batch
    overtakes another, and no more are under way than there are gates. Used by one thread.

    Args:
        gate: The first gate, entered by ``with``; None where the first steps need none.
    """

    def __init__(self, gate: "threading.Lock | None" = None) -> None:
        self._first = gate
        self._held: threading.Lock | None = None

    def __enter__(self) -> "Turn":
        if self._first is not None:
            self.move(self._first)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    def move(self, gate: threading.Lock) -> None:
        """Enter a gate, once the batch before is through it, and leave the one held."""
        gate.acquire()
        self.leave()
        self._held = gate

    def leave(self) -> None:
        """Leave the gate held, if any: whoever is next may come."""
        if self._held is not None:
            self._held.release()
            self._held = None
