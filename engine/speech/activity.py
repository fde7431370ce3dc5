"""When the avatar moves and when it rests, planned from the voice that is known by now."""

from bisect import bisect_right
from operator import attrgetter

from engine.speech.sound import Span

_start = attrgetter("start")


class Activity:
    """The avatar's state at each moment of an utterance: True while it moves.

    It moves in spans of voice and in pauses up to ``pause_ms``. It rests in longer ones: from
    their first millisecond where they are known to be long, else once they have lasted
    ``pause_ms``. It rests before the first span and after the last one of a complete utterance.
    A span that is open at the horizon is taken as a pause from there on.

    The answers follow from the arguments alone. What they say of a moment before the horizon
    stays true as more becomes known, but for moments in the last pause while it is not known to
    be long: those may turn from True to False.

    Both calls take O(log n) for n spans, and once O(1) for each span that is new.

    Args:
        pause_ms: The longest pause in which the avatar goes on moving.
    """

    def __init__(self, pause_ms: int) -> None:
        self._pause_ms = pause_ms
        self._seen: tuple[Span, ...] = ()
        # The ends of those of the spans seen last that a long pause follows, up to a next span.
        self._rests: list[int] = []

    def wanted(self, spans: tuple[Span, ...], horizon_ms: int, complete: bool, at_ms: int) -> bool:
        """Tell whether the avatar moves at a moment.

        Args:
            spans: The voice before the horizon, in order; see ``VoiceTracker.spans``.
            horizon_ms: Up to where all voice is known.
            complete: The utterance ends at the horizon.
            at_ms: Milliseconds since the start of the utterance.
        """
        index = bisect_right(spans, at_ms, key=_start) - 1
        if index < 0:
            return False
        if index == len(spans) - 1:
            return at_ms < self._last_rest(spans, horizon_ms, complete)
        pause = _pause_after(spans, index)
        return pause <= self._pause_ms or at_ms < spans[index + 1].start - pause

    def next_change(
        self, spans: tuple[Span, ...], horizon_ms: int, complete: bool, at_ms: int
    ) -> tuple[int, bool] | None:
        """Return the first moment after ``at_ms`` at which ``wanted`` changes, as far as is known.

        Args:
            spans: As for ``wanted``.
            horizon_ms: As for ``wanted``.
            complete: As for ``wanted``.
            at_ms: Milliseconds since the start of the utterance.

        Returns:
            The moment and what is wanted from then on, or None where nothing changes any more.
        """
        if self.wanted(spans, horizon_ms, complete, at_ms):
            self._learn(spans)
            index = bisect_right(self._rests, at_ms)
            if index < len(self._rests):
                return self._rests[index], False
            return self._last_rest(spans, horizon_ms, complete), False
        index = bisect_right(spans, at_ms, key=_start)
        return (spans[index].start, True) if index < len(spans) else None

    def _last_rest(self, spans: tuple[Span, ...], horizon_ms: int, complete: bool) -> int:
        """Return the moment from which the avatar rests after the last span."""
        end = spans[-1].end
        if end is None:
            end = horizon_ms
        is_long = complete or horizon_ms - end > self._pause_ms
        return end if is_long else end + self._pause_ms

    def _learn(self, spans: tuple[Span, ...]) -> None:
        """Bring ``_rests`` up to date; what was known of the same utterance is kept."""
        if spans is self._seen:
            return
        known = len(self._seen) - 1  # pauses between spans that were seen
        if not _goes_on(self._seen, spans):
            known = 0
            self._rests = []
        for index in range(max(known, 0), len(spans) - 1):
            pause = _pause_after(spans, index)
            if pause > self._pause_ms:
                self._rests.append(spans[index + 1].start - pause)
        self._seen = spans


def _pause_after(spans: tuple[Span, ...], index: int) -> int:
    end, start = spans[index].end, spans[index + 1].start
    return 0 if end is None else start - end


def _goes_on(old: tuple[Span, ...], new: tuple[Span, ...]) -> bool:
    """Tell whether ``new`` is ``old`` with more behind it; a tracker keeps the spans it closed."""
    last = len(old) - 1
    if last < 0 or len(new) <= last:
        return False
    return old[last].start == new[last].start and (last == 0 or old[last - 1] is new[last - 1])
