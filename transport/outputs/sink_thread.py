"""A sink's own thread: encoding or a slow device never holds up the display."""

import threading
from collections.abc import Callable

from engine.clock import monotonic
from engine.errors import AvatarServerError
from engine.pipeline.frame import Frame
from engine.pipeline.ring import DropPolicy, Ring, RingClosed
from engine.pipeline.stage import Stage, StageStuck


class OutputFailed(AvatarServerError):
    """An output could not take a frame; it is done for."""


class SinkThread:
    """Writes frames on a thread of its own, in order.

    Args:
        name: The thread's name.
        write: Takes one frame; may be slow.
        finish: Called on the thread after the last frame, also after an error.
        capacity: The most frames that wait.
        policy: ``DROP_OLDEST`` for live sources, ``WAIT`` where nothing may be lost.
        finish_s: The longest wait for the last frames when closing.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[Frame], None],
        finish: Callable[[], None],
        capacity: int = 8,
        policy: DropPolicy = DropPolicy.DROP_OLDEST,
        finish_s: float = 5.0,
    ) -> None:
        self._write = write
        self._finish = finish
        self._finish_s = finish_s
        self._ring: Ring[Frame] = Ring(capacity, policy, monotonic)
        self._error: BaseException | None = None
        self._stage = Stage(name, self._run, threading.Event(), self._ended)
        self._stage.start()

    @property
    def dropped(self) -> int:
        """Frames left out because writing was slower than the display."""
        return self._ring.dropped

    def put(self, frame: Frame) -> None:
        """Hand over a frame.

        Raises:
            AvatarServerError: Writing has failed.
        """
        self._raise_failure()
        try:
            self._ring.put(frame)
        except RingClosed:
            self._raise_failure()

    def close(self) -> None:
        """Write what waits, finish, end the thread; idempotent.

        Raises:
            AvatarServerError: Writing has failed.
        """
        self._ring.close()
        if not self._stage.join(self._finish_s):
            raise StageStuck(f"{self._stage.name} did not finish within {self._finish_s:g} s.")
        self._raise_failure()

    def _raise_failure(self) -> None:
        if isinstance(self._error, AvatarServerError):
            raise self._error
        if self._error is not None:
            raise OutputFailed(f"{self._stage.name} failed: {self._error}.") from self._error

    def _run(self, _stop: threading.Event) -> None:
        try:
            while True:
                frame = self._ring.get()
                if frame is not None:
                    self._write(frame)
        except RingClosed:
            return
        finally:
            self._ring.abort()
            self._finish()

    def _ended(self, error: BaseException | None) -> None:
        self._error = error
