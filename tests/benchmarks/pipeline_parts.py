"""Sources, work and the popular alternative that the pipeline's benchmarks share."""

import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import pairwise

import numpy as np

from engine.pipeline.frame import MICROSECONDS, SHOWN, Frame, Image
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.protocols import Transform
from engine.pipeline.settings import PipelineSettings
from engine.pipeline.turn import Turn

WARM_UP_S = 3.0


class RateSource:
    """Frames at a fixed rate (None: as fast as they are taken) that cost next to nothing to make.

    Args:
        count: Frames until the end.
        fps: Frames per second; also makes it live.
        make: The picture of a frame; by default always the same.
    """

    problem: str | None = None

    def __init__(
        self,
        count: int,
        fps: float | None,
        size: tuple[int, int] = (1280, 720),
        make: Callable[[int], Image] | None = None,
    ) -> None:
        self.name = "bench"
        self.live = fps is not None
        self._count = count
        self._fps = fps
        self._next = 0
        self._stop = threading.Event()
        image = np.zeros((size[1], size[0], 3), np.uint8)
        self.image = image
        self._make = make or (lambda number: image)
        self._start = 0.0

    def open(self) -> None:
        self._start = time.monotonic()

    def read(self) -> Frame | None:
        number = self._next
        if number >= self._count or self._stop.is_set():
            return None
        at = time.monotonic()
        if self._fps is not None:
            due = self._start + number / self._fps
            if due > at and self._stop.wait(due - at):
                return None
            at = max(due, at)
        self._next += 1
        return Frame(self._make(number), number, round(at * 1e6), MICROSECONDS, at)

    def interrupt(self) -> None:
        self._stop.set()

    def close(self) -> None:
        pass


class Meter:
    """A sink that keeps when and which frames were shown, not the frames."""

    name = "meter"

    def __init__(self) -> None:
        self.rows: list[tuple[int, float, float]] = []
        self.image: Image | None = None

    def show(self, frame: Frame) -> None:
        shown_at = frame.stamp(SHOWN)
        self.rows.append((frame.sequence, frame.captured_at, shown_at or 0.0))
        self.image = frame.image

    def close(self) -> None:
        pass

    @property
    def inversions(self) -> int:
        """Frames shown after a later one."""
        return sum(after[0] < before[0] for before, after in pairwise(self.rows))

    def latencies(self) -> list[float]:
        """Seconds from capture until shown, after warming up."""
        settled = self.rows[0][1] + WARM_UP_S
        return [shown - captured for _, captured, shown in self.rows if captured > settled]

    def intervals(self) -> list[float]:
        """Seconds between pictures, after warming up."""
        settled = self.rows[0][2] + WARM_UP_S
        return [b[2] - a[2] for a, b in pairwise(self.rows) if a[2] > settled]


class Counter:
    """A sink that keeps nothing but the number of frames."""

    name = "counter"
    shown = 0

    def show(self, frame: Frame) -> None:
        self.shown += 1

    def close(self) -> None:
        pass


class Work:
    """A processing step that takes a scripted time and changes nothing.

    Args:
        seconds: For a frame, by its sequence number.
        parallel: Workers may do it at the same time.
    """

    faults: dict[str, int] = {}  # noqa: RUF012 - never written
    bypassed: tuple[str, ...] = ()

    def __init__(self, seconds: Callable[[int], float], parallel: bool = False) -> None:
        self._seconds = seconds
        self.parallel = parallel

    def apply(self, frames: Sequence[Frame], turn: Turn | None = None) -> list[Frame]:
        time.sleep(sum(self._seconds(frame.sequence) for frame in frames))
        return list(frames)

    def close(self) -> None:
        pass


def scripted_seconds(low: float, high: float) -> Callable[[int], float]:
    """A time for each frame, the same in every run."""
    return lambda number: random.Random(number).uniform(low, high)


def run_pipeline(
    source: RateSource,
    transform: Transform,
    settings: PipelineSettings,
    prepare: Callable[[Pipeline], None] = lambda _: None,
) -> Meter:
    """Run until the source ends."""
    meter = Meter()
    pipeline = Pipeline(source, transform, [meter], settings)
    prepare(pipeline)
    pipeline.start()
    pipeline.wait()
    return meter


def run_thread_pool(source: RateSource, seconds: Callable[[int], float], workers: int) -> Meter:
    """The popular way: a plain queue, a thread pool, pictures shown as they are completed."""
    meter = Meter()
    frames: queue.Queue[Frame | None] = queue.Queue()

    def capture() -> None:
        source.open()
        while (frame := source.read()) is not None:
            frames.put(frame)
        frames.put(None)

    def process(frame: Frame) -> Frame:
        time.sleep(seconds(frame.sequence))
        return frame

    thread = threading.Thread(target=capture)
    thread.start()
    with ThreadPoolExecutor(workers) as pool:
        running: set[Future[Frame]] = set()
        ended = False
        while running or not ended:
            while not ended and len(running) < workers:
                frame = frames.get()
                ended = frame is None
                if frame is not None:
                    running.add(pool.submit(process, frame))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                meter.show(future.result().stamped(SHOWN, time.monotonic()))
    thread.join()
    return meter
