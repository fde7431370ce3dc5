"""Fakes and helpers for the tests of the frame pipeline."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from queue import SimpleQueue

import numpy as np

from engine.pipeline.frame import Frame, Image
from engine.pipeline.protocols import Traits
from engine.pipeline.turn import Turn

NINETY_KHZ = Fraction(1, 90_000)


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def picture(width: int = 16, height: int = 8, value: int = 0) -> Image:
    """A plain picture."""
    return np.full((height, width, 3), value, np.uint8)


def make_frame(
    sequence: int, captured_at: float | None = None, image: Image | None = None
) -> Frame:
    """A frame as a source would give it, by default one of 30 per second."""
    captured_at = sequence / 30 if captured_at is None else captured_at
    return Frame(
        picture() if image is None else image,
        sequence,
        round(captured_at * 90_000),
        NINETY_KHZ,
        captured_at,
    )


class ScriptedSource:
    """Gives the frames it was made with, then the end, or blocks for ever."""

    def __init__(
        self,
        frames: Sequence[Frame] = (),
        *,
        live: bool = False,
        block_at_end: bool = False,
        name: str = "scripted",
        error: Exception | None = None,
    ) -> None:
        self.name = name
        self.live = live
        self.problem: str | None = None
        self.opened = False
        self.closed = False
        self._frames = iter(frames)
        self._block = block_at_end
        self._error = error
        self._interrupted = threading.Event()
        self.blocked = threading.Event()

    def open(self) -> None:
        if self._error is not None:
            raise self._error
        self.opened = True

    def read(self) -> Frame | None:
        if self._interrupted.is_set():
            return None
        frame = next(self._frames, None)
        if frame is None and self._block:
            self.blocked.set()
            self._interrupted.wait()
        return frame

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self.closed = True


class QueueSource(ScriptedSource):
    """Gives what the test pushes; None is the end."""

    def __init__(self, *, live: bool = True, name: str = "queue") -> None:
        super().__init__(live=live, name=name)
        self._queue: SimpleQueue[Frame | None] = SimpleQueue()

    def push(self, frame: Frame | None) -> None:
        self._queue.put(frame)

    def read(self) -> Frame | None:
        if self._interrupted.is_set():
            return None
        return self._queue.get()

    def interrupt(self) -> None:
        super().interrupt()
        self._queue.put(None)


class FunctionTransform:
    """Applies a function to the list of frames."""

    def __init__(
        self,
        function: Callable[[Sequence[Frame]], list[Frame]] = list,
        *,
        parallel: bool = False,
    ) -> None:
        self._function = function
        self.parallel = parallel
        self.faults: Mapping[str, int] = {}
        self.bypassed: tuple[str, ...] = ()
        self.closed = threading.Event()

    def apply(self, frames: Sequence[Frame], turn: Turn | None = None) -> list[Frame]:
        return self._function(frames)

    def close(self) -> None:
        self.closed.set()


class FunctionProcessor:
    """A processor made of a function from frames to pictures."""

    def __init__(
        self,
        function: Callable[[Sequence[Frame]], Sequence[Image]],
        *,
        name: str = "function",
        traits: Traits | None = None,
    ) -> None:
        self.name = name
        self.traits = traits or Traits()
        self._function = function
        self.closed = False

    def process(self, frames: Sequence[Frame]) -> Sequence[Image]:
        return self._function(frames)

    def close(self) -> None:
        self.closed = True


class CollectingSink:
    """Keeps what it is shown; tests wait for a number of frames."""

    def __init__(self, name: str = "collecting") -> None:
        self.name = name
        self.frames: list[Frame] = []
        self.closed = threading.Event()
        self._grown = threading.Condition()

    def show(self, frame: Frame) -> None:
        with self._grown:
            self.frames.append(frame)
            self._grown.notify_all()

    def close(self) -> None:
        self.closed.set()

    def wait_for(self, count: int, timeout: float = 20.0) -> list[Frame]:
        """The frames shown, once there are ``count`` of them."""
        with self._grown:
            assert self._grown.wait_for(lambda: len(self.frames) >= count, timeout), (
                f"{len(self.frames)} of {count} frames were shown"
            )
            return list(self.frames)

    def wait_until(self, accept: Callable[[Frame], bool], timeout: float = 20.0) -> Frame:
        """The first frame shown that the function accepts."""

        def found() -> Frame | None:
            return next((frame for frame in self.frames if accept(frame)), None)

        with self._grown:
            assert self._grown.wait_for(lambda: found() is not None, timeout), "no such frame"
            frame = found()
            assert frame is not None
            return frame


class FailingSink(CollectingSink):
    """Raises from the given frame on."""

    def __init__(self, error: Exception, after: int = 0, name: str = "failing") -> None:
        super().__init__(name)
        self._error = error
        self._after = after

    def show(self, frame: Frame) -> None:
        if len(self.frames) >= self._after:
            raise self._error
        super().show(frame)


def eventually(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Returns once the condition holds; fails if it does not in time."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about"
        pause.wait(0.001)
