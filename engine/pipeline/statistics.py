"""Rates, latencies and drops of one pipeline, as a snapshot anybody may read."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.clock import Clock, monotonic
from engine.pipeline.frame import STAGES, Frame

KEPT = 256
"""How many frames the latencies are taken from."""

RATE_WINDOW_S = 2.0

GROUP_S = 0.1
"""Events closer together are counted as a group."""

QUIET_S = 0.5
"""After so long without an event the rate falls."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds over the last frames shown."""

    p50_ms: float = 0.0
    p95_ms: float = 0.0
    max_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One reading of a pipeline's statistics.

    Attributes:
        capture_fps: Frames captured per second, over two seconds.
        process_fps: Frames processed per second.
        display_fps: Pictures shown per second.
        captured: Frames captured so far.
        processed: Frames that left the processors.
        withheld: Frames that the processors would not have shown (fail closed).
        refused: Frames that could not be used at all.
        shown: Pictures shown, those between two frames included.
        dropped: Frames left out, by the place where.
        batch_size: The most frames per batch at present.
        batch_mean: Frames per batch over the last batches.
        latency: Time spent before each stage, and ``end_to_end`` from capture until shown.
        source: The source's name.
        problem: Why the source gives nothing, if so.
        stale: The picture shown is marked as old.
        faults: Failures by processor.
        bypassed: Processors left out because they kept failing.
        sink_errors: What became of sinks that failed, by name.
    """

    capture_fps: float = 0.0
    process_fps: float = 0.0
    display_fps: float = 0.0
    captured: int = 0
    processed: int = 0
    withheld: int = 0
    refused: int = 0
    shown: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    batch_size: int = 1
    batch_mean: float = 0.0
    latency: dict[str, Latency] = field(default_factory=dict)
    source: str = ""
    problem: str | None = None
    stale: bool = False
    faults: dict[str, int] = field(default_factory=dict)
    bypassed: tuple[str, ...] = ()
    sink_errors: dict[str, str] = field(default_factory=dict)


class RateMeter:
    """Events per second over the last two seconds, in constant memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._groups: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()
        self.total = 0

    def mark(self, count: int = 1) -> None:
        """``count`` events happened now."""
        now = self._clock()
        with self._lock:
            self.total += count
            if self._groups and now - self._groups[-1][0] < GROUP_S:
                start, before = self._groups.pop()
                self._groups.append((start, before + count))
            else:
                self._groups.append((now, count))
            self._forget(now)

    def rate(self) -> float:
        """Events per second: those from the start of the first group until that of the last."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            if not self._groups:
                return 0.0
            groups = list(self._groups)
        counted = sum(count for _, count in groups)
        if now - groups[-1][0] > QUIET_S:
            return counted / (now - groups[0][0])
        elapsed = groups[-1][0] - groups[0][0]
        return (counted - groups[-1][1]) / elapsed if elapsed > 0.0 else 0.0

    def _forget(self, now: float) -> None:
        while self._groups and self._groups[0][0] < now - RATE_WINDOW_S:
            self._groups.popleft()


class Statistics:
    """Collects while the pipeline runs; ``snapshot`` may be called from any thread.

    Args:
        clock: Seconds; the pipeline's clock.
    """

    def __init__(self, clock: Clock = monotonic) -> None:
        self.captured = RateMeter(clock)
        self.processed = RateMeter(clock)
        self.shown = RateMeter(clock)
        self._lock = threading.Lock()
        self._batches: deque[int] = deque(maxlen=64)
        self._latencies: deque[tuple[float, ...]] = deque(maxlen=KEPT)
        self._withheld = 0
        self._extra: Callable[[Snapshot], Snapshot] | None = None

    def attach(self, complete: Callable[[Snapshot], Snapshot]) -> None:
        """Let the pipeline fill in what only it knows (drops, source, faults)."""
        self._extra = complete

    def batch(self, taken: int, given: int) -> None:
        """A batch of ``taken`` frames was processed; ``given`` may be shown."""
        self.processed.mark(given)
        with self._lock:
            self._batches.append(taken)
            self._withheld += taken - given

    def show(self, frame: Frame) -> None:
        """A frame with all its stamps was shown."""
        self.shown.mark()
        times = [frame.captured_at]
        for stage in STAGES:
            at = frame.stamp(stage)
            times.append(times[-1] if at is None else at)
        with self._lock:
            self._latencies.append(tuple(times))

    def snapshot(self) -> Snapshot:
        """The present reading."""
        with self._lock:
            batches = list(self._batches)
            rows = list(self._latencies)
            withheld = self._withheld
        reading = Snapshot(
            capture_fps=self.captured.rate(),
            process_fps=self.processed.rate(),
            display_fps=self.shown.rate(),
            captured=self.captured.total,
            processed=self.processed.total,
            withheld=withheld,
            shown=self.shown.total,
            batch_mean=sum(batches) / len(batches) if batches else 0.0,
            latency=_latencies(rows),
        )
        return self._extra(reading) if self._extra else reading


def _latencies(rows: list[tuple[float, ...]]) -> dict[str, Latency]:
    if not rows:
        return {}
    columns = {
        stage: [row[index + 1] - row[index] for row in rows] for index, stage in enumerate(STAGES)
    }
    columns["end_to_end"] = [row[-1] - row[0] for row in rows]
    return {name: _summary(values) for name, values in columns.items()}


def _summary(seconds: list[float]) -> Latency:
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return Latency(
        round(ordered[last // 2] * 1e3, 3),
        round(ordered[round(last * 0.95)] * 1e3, 3),
        round(ordered[last] * 1e3, 3),
    )
