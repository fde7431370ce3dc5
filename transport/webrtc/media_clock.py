"""One time line for everything that a stream sends."""

from aiortc import clock as aiortc_clock

from engine.clock import Clock, aligned

_NTP_SECOND = 1 << 32


class MediaClock:
    """When a stream began, and what wall-clock time that was.

    Receivers align sound and picture by the pairs of RTP and NTP time in the sender reports. Both
    are computed from this one clock, so encoders, queues and late timers cannot shift them, and
    neither can a step of the system's clock.

    Args:
        now: Monotonic seconds.
    """

    def __init__(self, now: Clock) -> None:
        self.now = now
        self._epoch: float | None = None
        self._ntp = 0

    @property
    def epoch(self) -> float | None:
        """When the stream began; None before it has."""
        return self._epoch

    def start(self) -> float:
        """Begin, if nobody has before; return when that was, on the common grid."""
        if self._epoch is None:
            now = self.now()
            self._epoch = aligned(now)
            self._ntp = aiortc_clock.current_ntp_time() - round((now - self._epoch) * _NTP_SECOND)
        return self._epoch

    def elapsed(self, at: float) -> float:
        """Return the seconds from the start to a moment."""
        return at - (self._epoch if self._epoch is not None else at)

    def ntp(self, at: float) -> int:
        """Return a moment as a 64-bit NTP timestamp (RFC 3550, section 4)."""
        self.start()
        return self._ntp + round(self.elapsed(at) * _NTP_SECOND)
