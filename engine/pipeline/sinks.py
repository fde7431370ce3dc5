"""The outputs of a pipeline: several at once, each may come, go or fail on its own."""

import logging
import threading
from collections.abc import Iterable

from engine.errors import AvatarServerError, Conflict
from engine.pipeline.frame import Frame
from engine.pipeline.protocols import Sink

log = logging.getLogger(__name__)


class Sinks:
    """Hands each frame to every sink. ``show`` and ``close`` belong to the display thread."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._sinks = tuple(sinks)
        self._lock = threading.Lock()
        self._closed = False
        self.errors: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The sinks that are in use."""
        return tuple(sink.name for sink in self._sinks)

    def add(self, sink: Sink) -> None:
        """From the next frame on, show frames here too.

        Raises:
            Conflict: The pipeline has ended.
        """
        with self._lock:
            if self._closed:
                raise Conflict(f"The output {sink.name} was added to a pipeline that has ended.")
            self._sinks = (*self._sinks, sink)

    def remove(self, sink: Sink) -> bool:
        """Leave a sink out from the next frame on and close it; False if it is not in use."""
        with self._lock:
            if sink not in self._sinks:
                return False
            self._sinks = tuple(other for other in self._sinks if other is not sink)
        self._close(sink)
        return True

    def show(self, frame: Frame) -> None:
        """Hand the frame on.

        A sink that raises is removed; the others go on.

        Raises:
            Exception: What the last sink raised, when none is left.
        """
        for sink in self._sinks:
            try:
                sink.show(frame)
            except Exception as error:  # one output must not end the others
                if self.remove(sink):
                    self.errors[sink.name] = str(error)
                    log.warning("output %s ended: %s", sink.name, error)
                    if not self._sinks:
                        raise

    def close(self) -> None:
        """Close every sink; the stream has ended."""
        with self._lock:
            self._closed = True
            sinks, self._sinks = self._sinks, ()
        for sink in sinks:
            self._close(sink)

    def _close(self, sink: Sink) -> None:
        try:
            sink.close()
        except AvatarServerError as error:
            self.errors[sink.name] = str(error)
            log.warning("output %s could not be closed: %s", sink.name, error)
