"""The one crossing from the display thread to an event loop: a slot for the newest frame."""

import asyncio
import threading
from contextlib import suppress

from engine.pipeline.frame import Frame


class LoopSink:
    """A sink whose frames are awaited on an event loop; each consumer has its own.

    Args:
        name: What the output is called.
        loop: Where frames are awaited.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.skipped = 0
        self._loop = loop
        self._lock = threading.Lock()
        self._newest: Frame | None = None
        self._closed = False
        self._changed = asyncio.Event()

    def show(self, frame: Frame) -> None:
        """Put the frame into the slot; on the display thread, without waiting."""
        with self._lock:
            waiting = self._newest is not None
            self.skipped += waiting
            self._newest = frame
        if not waiting:
            self._wake()

    def close(self) -> None:
        """No more frames."""
        self._closed = True
        self._wake()

    async def next_frame(self) -> Frame | None:
        """The newest frame not yet taken, waiting for one; None when the pipeline has ended."""
        while True:
            with self._lock:
                frame, self._newest = self._newest, None
            if frame is not None:
                return frame
            if self._closed:
                return None
            self._changed.clear()
            if self._newest is None and not self._closed:
                await self._changed.wait()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop has been closed: nobody awaits any more
            self._loop.call_soon_threadsafe(self._changed.set)
