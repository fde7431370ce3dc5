"""The processed stream: capture, ring, feeder, input queue, workers, output buffer, display.

One named thread per stage. For a live source the input queue takes the newest frames and the
capacities are bounds, not delays; for a file every stage waits and nothing is lost.
"""

import dataclasses
import threading
from collections.abc import Callable, Iterable

from engine.clock import Clock, monotonic
from engine.errors import Conflict
from engine.pipeline.display import Display
from engine.pipeline.feeder import Feeder
from engine.pipeline.frame import PROCESSED, TAKEN, Frame
from engine.pipeline.order import Resequencer
from engine.pipeline.protocols import Sink, Source, Transform
from engine.pipeline.ring import DropPolicy, Ring, RingClosed
from engine.pipeline.settings import PipelineSettings
from engine.pipeline.sinks import Sinks
from engine.pipeline.slot import Slot
from engine.pipeline.stage import Stage, StageStuck
from engine.pipeline.statistics import Snapshot, Statistics
from engine.pipeline.turn import Turn


class Pipeline:
    """Runs one processed stream.

    It owns what it is given: the source, the transform and the sinks are closed when it ends.

    Args:
        source: Where frames come from; opened by ``start``.
        transform: What is done to them.
        sinks: Where they are shown; more can be added later.
        settings: Capacities, batches, threads, display.
        name: Part of the threads' names.
        statistics: Collects; handed in where something else (an overlay) reads it too.
        clock: Seconds; the source's frames are on the same clock.
        on_end: Called once, on the last thread to end, with the error that ended the pipeline
            or None.
        on_late: Told of each live frame how late it was for its display, in seconds; on the
            display's thread.
    """

    def __init__(
        self,
        source: Source,
        transform: Transform,
        sinks: Iterable[Sink],
        settings: PipelineSettings,
        *,
        name: str = "pipeline",
        statistics: Statistics | None = None,
        clock: Clock = monotonic,
        on_end: Callable[[BaseException | None], None] | None = None,
        on_late: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.name = name
        self.batch_size = settings.batch_size
        self.sinks = Sinks(sinks)
        self.statistics = statistics or Statistics(clock)
        self._settings = settings
        self._clock = clock
        self._on_end = on_end
        self._source = source
        self._next_source: Source | None = None
        self._captured = False
        self._transform: Slot[Transform] = Slot(transform, lambda old: old.close())
        self._ring: Ring[Frame] = Ring(settings.ring_frames, DropPolicy.DROP_OLDEST, clock)
        self._queue: Ring[Frame] = Ring(settings.input_frames, DropPolicy.LATEST, clock)
        self._output: Ring[Frame] = Ring(settings.output_frames, DropPolicy.DROP_OLDEST, clock)
        self._feeder = Feeder(self._ring, self._queue, clock)
        self._order: Resequencer[list[Frame]] = Resequencer(self._emit, 2 * settings.workers)
        window = max(settings.display.pace_window, 3 * settings.batch_size)
        self._display = Display(
            self._output, self.sinks, settings.display, window, self.statistics, clock, on_late
        )
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._taking = threading.Lock()
        self._done = threading.Event()
        self._failure: BaseException | None = None
        self._working = settings.workers
        self._stages = self._make_stages()
        self._running = len(self._stages)
        self._started = False
        self.statistics.attach(self._complete)
        self._adopt_policies(source.live)

    def start(self) -> None:
        """Open the source and start the threads; once.

        Raises:
            AvatarServerError: The source cannot be used; everything has been closed.
            Conflict: Started before.
        """
        if self._started:
            raise Conflict(f"The pipeline {self.name} was started twice.")
        self._started = True
        try:
            self._source.open()
        except BaseException:
            self._done.set()
            self._source.close()
            self._transform.close()
            self.sinks.close()
            raise
        for stage in self._stages:
            stage.start()

    def stop(self) -> None:
        """End the pipeline and wait for its threads, at most ``stop_timeout_s``; idempotent.

        Raises:
            StageStuck: A thread did not end in time; it is named.
        """
        self._shut_down()
        if not self._started:
            self._started = True
            self._done.set()
            self._source.close()
            self._transform.close()
            self.sinks.close()
            return
        deadline = monotonic() + self._settings.stop_timeout_s
        stuck = [stage.name for stage in self._stages if not stage.join(deadline - monotonic())]
        if stuck:
            raise StageStuck(
                f"These threads did not end within {self._settings.stop_timeout_s:g} s: "
                f"{', '.join(stuck)}.",
                "A driver or model is blocked; restart the program to be rid of it.",
            )

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the pipeline has ended by itself, by ``stop`` or by an error.

        Returns:
            False if it had not ended after ``timeout`` seconds.

        Raises:
            BaseException: What ended a stage.
        """
        if not self._done.wait(timeout):
            return False
        if self._failure is not None:
            raise self._failure
        return True

    @property
    def ended(self) -> bool:
        """All threads have ended."""
        return self._done.is_set()

    @property
    def source(self) -> Source:
        """The present source."""
        return self._source

    def set_source(self, source: Source) -> None:
        """Read from another source from now on; the old one is closed.

        Waits while the new source opens, so it does not belong on an event loop.

        Raises:
            AvatarServerError: The new source cannot be used; the old one goes on.
            Conflict: The pipeline has ended.
        """
        try:
            source.open()
        except BaseException:
            source.close()
            raise
        with self._lock:
            ended = self._stop.is_set() or self._captured
            replaced, self._next_source = (source, None) if ended else (self._next_source, source)
            old = self._source
        if replaced is not None:
            replaced.close()
        if ended:
            raise Conflict(f"The pipeline {self.name} has ended.")
        old.interrupt()
        self._ring.clear()

    def set_transform(self, transform: Transform) -> None:
        """Process with another chain from the next batch on; the old one is closed when idle."""
        self._transform.replace(transform)

    def set_batch_size(self, batch_size: int) -> None:
        """Take up to so many frames at once from the next batch on."""
        self.batch_size = max(1, min(64, batch_size))

    @property
    def paused(self) -> bool:
        """The picture stands still."""
        return self._display.paused

    def pause(self, paused: bool = True) -> None:
        """Let the picture stand still, or go on. Frames of a live source are lost meanwhile."""
        self._display.paused = paused
        if paused:
            self._feeder.running.clear()
        else:
            self._feeder.running.set()

    def snapshot(self) -> Snapshot:
        """The present rates, latencies and drops; from any thread."""
        return self.statistics.snapshot()

    def _make_stages(self) -> list[Stage]:
        bodies: list[tuple[str, Callable[[threading.Event], None]]] = [
            ("capture", self._capture),
            ("feeder", self._feed),
            *((f"worker-{index}", self._work) for index in range(self._settings.workers)),
            ("display", self._display.run),
        ]
        return [
            Stage(f"{self.name}-{label}", body, self._stop, self._stage_ended)
            for label, body in bodies
        ]

    def _adopt_policies(self, live: bool) -> None:
        self._ring.policy = DropPolicy.DROP_OLDEST if live else DropPolicy.WAIT
        self._queue.policy = DropPolicy.LATEST if live else DropPolicy.WAIT
        self._output.policy = DropPolicy.DROP_OLDEST if live else DropPolicy.WAIT
        self._display.live = live

    def _capture(self, stop: threading.Event) -> None:
        sequence = 0
        try:
            while not stop.is_set():
                frame = self._source.read()
                if frame is None:
                    if not self._change_source():
                        return
                    continue
                self.statistics.captured.mark()
                self._ring.put(dataclasses.replace(frame, sequence=sequence))
                sequence += 1
        except RingClosed:
            return
        finally:
            with self._lock:
                self._captured = True
                following, self._next_source = self._next_source, None
            if following is not None:
                following.close()
            self._source.close()
            self._ring.close()

    def _change_source(self) -> bool:
        with self._lock:
            following, self._next_source = self._next_source, None
            if following is None:
                return False
            old, self._source = self._source, following
        old.close()
        self._adopt_policies(following.live)
        return True

    def _feed(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self._feeder.step()
        except RingClosed:
            return
        finally:
            self._queue.close()

    def _work(self, _stop: threading.Event) -> None:
        try:
            while True:
                self._work_once()
        except RingClosed:
            return
        finally:
            with self._lock:
                self._working -= 1
                last = self._working == 0
            if last:
                self._output.close()
                self._transform.close()

    def _work_once(self) -> None:
        """Take a batch and process it; the next one is taken when its turn moves on."""
        with Turn(self._taking) as turn:
            frames = self._queue.take(self.batch_size, self._settings.batch_deadline_ms / 1e3)
            taken_at = self._clock()
            frames = [frame.stamped(TAKEN, taken_at) for frame in frames]
            ticket = self._order.draw()
            with self._transform.use() as transform:
                if transform.parallel:
                    turn.leave()
                results = transform.apply(frames, turn)
        self.statistics.batch(len(frames), len(results))
        self._order.deliver(ticket, results)

    def _emit(self, frames: list[Frame]) -> None:
        for frame in frames:
            self._output.put(frame.stamped(PROCESSED, self._clock()))

    def _stage_ended(self, error: BaseException | None) -> None:
        with self._lock:
            if error is not None and self._failure is None:
                self._failure = error
            self._running -= 1
            last = self._running == 0
        if error is not None:
            self._shut_down()
        if last:
            self._done.set()
            if self._on_end is not None:
                self._on_end(self._failure)

    def _shut_down(self) -> None:
        self._stop.set()
        self._source.interrupt()
        self._ring.abort()
        self._queue.abort()
        self._output.abort()
        self._order.close()
        self._feeder.running.set()

    def _complete(self, reading: Snapshot) -> Snapshot:
        transform = self._transform.item
        return dataclasses.replace(
            reading,
            refused=self._feeder.counts.refused,
            dropped={
                "ring": self._ring.dropped,
                "input": self._queue.dropped,
                "output": self._output.dropped,
                "display": self._display.skipped,
                "paused": self._feeder.counts.discarded_paused,
            },
            batch_size=self.batch_size,
            source=self._source.name,
            problem=self._source.problem,
            stale=self._display.stale,
            faults=dict(transform.faults),
            bypassed=transform.bypassed,
            sink_errors=dict(self.sinks.errors),
        )
