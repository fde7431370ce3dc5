"""The display stage: shows frames when they are due, and marks the last when none come."""

import threading
from collections.abc import Callable

from engine.clock import Clock
from engine.pipeline.flow import FlowInterpolator
from engine.pipeline.frame import MICROSECONDS, SHOWN, Frame, Image
from engine.pipeline.pacer import BlendingPacer, Pacer, Showing
from engine.pipeline.ring import Ring, RingClosed
from engine.pipeline.settings import DisplaySettings
from engine.pipeline.sinks import Sinks
from engine.pipeline.stale import stale_frame
from engine.pipeline.statistics import Statistics


class Display:
    """Takes frames from the output buffer and shows them on the sinks.

    Args:
        output: Where the processors put frames.
        sinks: Where they are shown.
        settings: Rate, pacing, interpolation.
        window: Frames whose latency decides the playout delay.
        statistics: Told of every picture shown.
        clock: Seconds.
        on_late: Told of each live frame how much later it came than the playout delay allowed
            for, in seconds.
    """

    def __init__(
        self,
        output: Ring[Frame],
        sinks: Sinks,
        settings: DisplaySettings,
        window: int,
        statistics: Statistics,
        clock: Clock,
        on_late: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.live = True
        self.paused = False
        self.stale = False
        self._output = output
        self._sinks = sinks
        self._settings = settings
        self._window = window
        self._statistics = statistics
        self._clock = clock
        self._on_late = on_late
        self._flow: FlowInterpolator | None = None
        self._last: Frame | None = None
        self._fresh_at = clock()
        self._ended = False
        self._skipped_before = 0
        self._pacer = self._make_pacer()

    @property
    def skipped(self) -> int:
        """Frames left out because a newer one was due or the display rate reached."""
        return self._skipped_before + self._pacer.skipped

    @property
    def delay(self) -> float:
        """Seconds between capture and display at present."""
        return self._pacer.delay

    def run(self, stop: threading.Event) -> None:
        """Show frames until the output buffer is closed and empty, or ``stop`` is set."""
        try:
            while not stop.is_set():
                if self._pacer.live != self._shows_live:
                    self._skipped_before = self.skipped
                    self._pacer = self._make_pacer()
                now = self._clock()
                self._fill(now)
                at = self._pacer.next_at(now)
                if at is None:
                    if self._ended:
                        return
                    self._wait_for_frame(now)
                elif at > now:
                    stop.wait(at - now)
                else:
                    showing = self._pacer.due(now)
                    if showing is not None:
                        self._show(showing)
        finally:
            self._sinks.close()

    @property
    def _shows_live(self) -> bool:
        return self.live or self._settings.interpolate == "flow"

    def _make_pacer(self) -> Pacer | BlendingPacer:
        settings = self._settings
        if settings.interpolate == "flow":
            return BlendingPacer(settings.fps, self._window)
        return Pacer(settings.fps, self._window, self.live, settings.pace)

    def _fill(self, now: float) -> None:
        try:
            while not self._ended and self._pacer.wants(now):
                frame = self._output.get(timeout=0.0)
                if frame is None:
                    return
                self._offer(frame)
        except RingClosed:
            self._ended = True

    def _wait_for_frame(self, now: float) -> None:
        quiet_after = self._settings.stale_after_s
        try:
            frame = self._output.get(timeout=max(0.0, self._fresh_at + quiet_after - now))
        except RingClosed:
            self._ended = True
            return
        if frame is not None:
            self._offer(frame)
            return
        self._fresh_at = self._clock()
        if self._last is not None and not self.paused:
            self.stale = True
            self._sinks.show(stale_frame(self._last))

    def _offer(self, frame: Frame) -> None:
        late = self._pacer.offer(frame)
        if self.live:
            self._on_late(late)

    def _show(self, showing: Showing) -> None:
        frame = showing.frame
        if showing.blend is not None:
            frame = self._blend(frame, *showing.blend)
        frame.image.flags.writeable = False
        frame = frame.stamped(SHOWN, self._clock())
        self._last = frame
        self._fresh_at = self._clock()
        self.stale = False
        self._sinks.show(frame)
        self._statistics.show(frame)

    def _blend(self, after: Frame, before: Frame, share: float) -> Frame:
        if self._flow is None:
            self._flow = FlowInterpolator()
        image = self._flow.between(
            before.image, after.image, share, (before.sequence, after.sequence)
        )
        return _between(before, after, share, image)


def _between(before: Frame, after: Frame, share: float, image: Image) -> Frame:
    """The frame at ``share`` of the way between two, with times of its own."""
    media_time = before.media_time + share * (after.media_time - before.media_time)
    return Frame(
        image,
        after.sequence,
        round(media_time / MICROSECONDS),
        MICROSECONDS,
        before.captured_at + share * (after.captured_at - before.captured_at),
        after.stamps,
    )
