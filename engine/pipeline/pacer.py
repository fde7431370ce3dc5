"""When each processed frame is shown: evenly, although processing gives frames in bursts.

A frame is due at its capture time plus a playout delay. The delay follows the largest latency
among the last frames offered (as a jitter buffer of a telephone does): it grows at once when a
frame comes late, and shrinks smoothly when the latency stays lower, so in the steady state frames
are shown exactly at their capture spacing, and no later than the worst of them requires.

Time comes in as an argument. Nothing here waits or starts threads.
"""

from collections import deque
from dataclasses import dataclass

from engine.pipeline.frame import PROCESSED, Frame

RELEASE_FLOOR = 0.05
"""How much faster than captured frames are shown while the delay shrinks: 5 percent ..."""

RELEASE_TIME_S = 1.0
"""... plus the excess over this many seconds, so that a long hiccup is soon made up."""

SLACK_S = 0.008
"""A delay that is longer than needed by no more than this stays: chasing it would be jitter."""

LONGEST_BLEND_S = 1.0
"""Frames further apart than this are not interpolated: nothing is known of what lay between."""


class PlayoutDelay:
    """The delay between capture and display, following the recent worst latency.

    Args:
        window: How many latencies are remembered; more than two bursts.
    """

    def __init__(self, window: int) -> None:
        self._latencies: deque[float] = deque(maxlen=window)
        self.seconds = 0.0

    def observe(self, latency: float, elapsed: float) -> float:
        """Take in one frame; return how much later it is than the delay allowed for, in seconds.

        Args:
            latency: Seconds from capture until the frame could have been shown.
            elapsed: Seconds since the capture of the frame before.
        """
        late = max(0.0, latency - self.seconds) if self._latencies else 0.0
        self._latencies.append(latency)
        excess = self.seconds - max(self._latencies)
        if excess <= 0.0:
            self.seconds -= excess
        elif excess > SLACK_S:
            share = RELEASE_FLOOR + excess / RELEASE_TIME_S
            self.seconds -= min(excess, max(0.0, elapsed) * share)
        return late


class RateCap:
    """Thins frames out to at most ``fps`` on average, evenly, judging by when they are due."""

    def __init__(self, fps: float) -> None:
        self._period = 1.0 / fps
        self._slot: float | None = None

    def admits(self, due: float) -> bool:
        """Whether the frame due then is to be shown; call once for each frame, in order."""
        slack = 0.4 * self._period
        slot = due if self._slot is None else self._slot
        if due < slot - slack:
            return False
        self._slot = max(slot, due - slack) + self._period
        return True


@dataclass(frozen=True, slots=True)
class Showing:
    """What to show now.

    Attributes:
        frame: The frame; where ``blend`` is given, the later of the two.
        blend: The frame before it and how far between the two, 0..1, the picture lies.
    """

    frame: Frame
    blend: tuple[Frame, float] | None = None


def _ready_at(frame: Frame) -> float:
    processed_at = frame.stamp(PROCESSED)
    return frame.captured_at if processed_at is None else processed_at


class Pacer:
    """Shows each frame at its capture time plus the playout delay.

    Args:
        fps: The most frames shown per second, for live sources.
        window: See ``PlayoutDelay``.
        live: Frames that are late give way to newer ones; otherwise every frame is shown.
        pace: False shows each frame as soon as it is there.
    """

    def __init__(self, fps: float, window: int, live: bool = True, pace: bool = True) -> None:
        self.live = live
        self.skipped = 0
        self._pace = pace
        self._delay = PlayoutDelay(window)
        self._cap = RateCap(fps)
        self._held: deque[tuple[float, Frame]] = deque()
        self._captured_at: float | None = None

    @property
    def delay(self) -> float:
        """Seconds between capture and display at present."""
        return self._delay.seconds

    def wants(self, now: float) -> bool:
        """Whether another frame should be offered, if there is one: none held lies ahead."""
        return not self._held or (self.live and self._held[-1][0] <= now)

    def offer(self, frame: Frame) -> float:
        """Take the next frame, in order of capture; return how late it is, in seconds."""
        ready_at = _ready_at(frame)
        late = 0.0
        before = frame.captured_at if self._captured_at is None else self._captured_at
        self._captured_at = frame.captured_at
        if self._pace:
            latency, elapsed = ready_at - frame.captured_at, frame.captured_at - before
            late = self._delay.observe(latency, elapsed)
        due = frame.captured_at + self._delay.seconds
        if self.live and not self._cap.admits(due):
            self.skipped += 1
        else:
            self._held.append((due, frame))
        return late

    def next_at(self, now: float) -> float | None:
        """When ``due`` has something to show; None when nothing is held."""
        return max(self._held[0][0], now) if self._held else None

    def due(self, now: float) -> Showing | None:
        """What is to be shown at ``now``, once."""
        showing: Frame | None = None
        while self._held and self._held[0][0] <= now:
            if showing is not None:
                if not self.live:
                    break
                self.skipped += 1
            showing = self._held.popleft()[1]
        return None if showing is None else Showing(showing)

    def clear(self) -> None:
        """Forget the frames held, e.g. when the source is changed."""
        self._held.clear()
        self._captured_at = None


class BlendingPacer:
    """Shows a picture at every tick of the display, blended from the two frames around it.

    The delay is measured from the capture of the *earlier* frame to the arrival of the later one,
    which makes it one processed frame longer than without interpolation.

    Args:
        fps: Ticks per second.
        window: See ``PlayoutDelay``.
    """

    def __init__(self, fps: float, window: int) -> None:
        self.live = True
        self.skipped = 0
        self._period = 1.0 / fps
        self._delay = PlayoutDelay(window)
        self._held: deque[Frame] = deque()
        self._base: Frame | None = None
        self._base_shown = False
        self._offered: Frame | None = None
        self._tick: float | None = None

    @property
    def delay(self) -> float:
        """Seconds between capture and display at present."""
        return self._delay.seconds

    def wants(self, now: float) -> bool:
        """Whether another frame should be offered, if there is one."""
        return not self._held or self._held[-1].captured_at <= self._content(now) + self._period

    def offer(self, frame: Frame) -> float:
        """Take the next frame, in order of capture; return how late it is, in seconds."""
        ready_at = _ready_at(frame)
        before, self._offered = self._offered or frame, frame
        elapsed = frame.captured_at - before.captured_at
        since = before.captured_at if elapsed <= LONGEST_BLEND_S else frame.captured_at
        late = self._delay.observe(ready_at - since, elapsed)
        self._held.append(frame)
        return late

    def next_at(self, now: float) -> float | None:
        """When ``due`` should be asked; None when there is nothing to show."""
        if not self._held and (self._base is None or self._base_shown):
            self._tick = None
            return None
        if self._tick is None:
            self._tick = now
        return self._tick

    def due(self, now: float) -> Showing | None:
        """The picture of the tick at ``now``; None where nothing has changed since the last."""
        if self._tick is None or now < self._tick:
            return None
        self._tick += self._period * (1 + int((now - self._tick) / self._period))
        content = self._content(now)
        while self._held and self._held[0].captured_at <= content:
            self._base, self._base_shown = self._held.popleft(), False
        base = self._base
        if base is None:
            return None
        after = self._held[0] if self._held else None
        if after is None or after.captured_at - base.captured_at > LONGEST_BLEND_S:
            return self._show_once(base)
        share = (content - base.captured_at) / (after.captured_at - base.captured_at)
        self._base_shown = True
        return Showing(after, (base, min(max(share, 0.0), 1.0)))

    def clear(self) -> None:
        """Forget the frames held, e.g. when the source is changed."""
        self._held.clear()
        self._base = self._offered = self._tick = None

    def _content(self, now: float) -> float:
        """The capture time that is on display at ``now``."""
        return now - self._delay.seconds

    def _show_once(self, base: Frame) -> Showing | None:
        if self._base_shown:
            return None
        self._base_shown = True
        return Showing(base)
