"""A named thread with an end: it is told to stop, joined with a limit, and its error kept."""

import threading
from collections.abc import Callable

from engine.errors import AvatarServerError


class StageStuck(AvatarServerError):
    """A thread of the pipeline did not end in time."""


class Stage:
    """One thread of the pipeline.

    Args:
        name: The thread's name; what a debugger and an error message show.
        body: Runs on the thread until it is done or the event is set; an exception ends it.
        stop: Set when the body shall return.
        on_end: Called on the thread when the body has ended, with its exception or None.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[threading.Event], None],
        stop: threading.Event,
        on_end: Callable[[BaseException | None], None],
    ) -> None:
        self.name = name
        self._body = body
        self._stop = stop
        self._on_end = on_end
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; once."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """The thread has started and not ended."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> bool:
        """Wait for the thread; True when it has ended (or is the calling thread)."""
        if self._thread is threading.current_thread() or self._thread.ident is None:
            return True
        self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._body(self._stop)
        except BaseException as raised:  # noqa: BLE001 - kept, and raised again to the caller
            error = raised
        self._on_end(error)
