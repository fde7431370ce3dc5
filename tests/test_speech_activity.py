"""When the avatar moves and rests."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, SupportsIndex

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.speech.activity import Activity
from engine.speech.sound import Span

Spans = tuple[Span, ...]

repeatable = settings(derandomize=True, deadline=None, max_examples=100)


@dataclass(frozen=True)
class Utterance:
    """All of its voice, and its length."""

    spans: Spans
    length: int

    def known(self, horizon: int) -> tuple[Spans, int, bool]:
        """What a tracker says of it once it knows ``horizon`` ms."""
        horizon = min(horizon, self.length)
        spans = tuple(
            # A tracker keeps the spans that it has closed.
            span if span.end is not None and span.end <= horizon else Span(span.start, None)
            for span in self.spans
            if span.start < horizon
        )
        return spans, horizon, horizon == self.length


@st.composite
def utterances(draw: st.DrawFn) -> Utterance:
    spans, at = [], 0
    for silence, voice in draw(
        st.lists(st.tuples(st.integers(1, 40), st.integers(1, 30)), max_size=6)
    ):
        spans.append(Span(at + silence, at + silence + voice))
        at += silence + voice
    return Utterance(tuple(spans), at + draw(st.integers(0, 40)))


PAUSES = st.integers(0, 25)
MOMENTS = st.integers(0, 500)


def wanted_by_the_rules(pause_ms: int, spans: Spans, horizon: int, complete: bool, at: int) -> bool:
    """The rules, one after the other, without any cleverness."""
    for index, span in enumerate(spans):
        end = horizon if span.end is None else span.end
        if span.start <= at < end:
            return True
        following = spans[index + 1].start if index + 1 < len(spans) else None
        if at < end or (following is not None and at >= following):
            continue
        if following is not None:
            return following - end <= pause_ms
        if complete or horizon - end > pause_ms:
            return False
        return at - end < pause_ms
    return False


def changes(activity: Activity, known: tuple[Spans, int, bool]) -> list[tuple[int, bool]]:
    found, at = [], -1
    while (change := activity.next_change(*known, at)) is not None:
        found.append(change)
        at = change[0]
    return found


@repeatable
@given(utterances(), PAUSES, MOMENTS)
def test_that_the_rules_are_kept(utterance: Utterance, pause_ms: int, horizon: int) -> None:
    known = utterance.known(horizon)
    activity = Activity(pause_ms)

    for at in range(utterance.length + 60):
        assert activity.wanted(*known, at) == wanted_by_the_rules(pause_ms, *known, at)


@repeatable
@given(utterances(), PAUSES, MOMENTS)
def test_that_the_next_change_is_the_first_one(
    utterance: Utterance, pause_ms: int, horizon: int
) -> None:
    known = utterance.known(horizon)
    activity = Activity(pause_ms)
    end = utterance.length + 60

    states = [activity.wanted(*known, at) for at in range(end)]
    for at in range(-1, end):
        now = at >= 0 and states[at]
        expected = next(
            ((later, states[later]) for later in range(at + 1, end) if states[later] != now), None
        )
        assert activity.next_change(*known, at) == expected


@repeatable
@given(utterances(), PAUSES, MOMENTS, MOMENTS)
def test_that_learning_more_changes_the_past_only_in_a_pause_that_lasted(
    utterance: Utterance, pause_ms: int, first: int, second: int
) -> None:
    earlier, later = utterance.known(min(first, second)), utterance.known(max(first, second))
    spans, horizon, _ = earlier
    activity = Activity(pause_ms)

    voiced_until = (spans[-1].end or horizon) if spans else horizon
    for at in range(horizon):
        was, turned_out = activity.wanted(*earlier, at), activity.wanted(*later, at)
        if at < voiced_until:
            assert was == turned_out
        else:
            assert was or not turned_out


@repeatable
@given(utterances(), PAUSES)
def test_that_nothing_flaps_in_a_complete_utterance(utterance: Utterance, pause_ms: int) -> None:
    known = utterance.known(utterance.length)
    found = changes(Activity(pause_ms), known)

    assert [on for _, on in found] == [True, False] * (len(found) // 2)
    for (begin, _), (end, _) in zip(found[::2], found[1::2], strict=True):
        # It moves from the beginning of voice to the end of voice...
        assert begin in {span.start for span in utterance.spans}
        assert end in {span.end for span in utterance.spans}
    for (end, _), (begin, _) in zip(found[1::2], found[2::2], strict=False):
        # ... and rests for longer than a short pause.
        assert begin - end > pause_ms


@repeatable
@given(utterances(), PAUSES, st.integers(1, 60))
def test_that_a_stream_rests_at_least_as_long_as_it_knows_ahead(
    utterance: Utterance, pause_ms: int, ahead: int
) -> None:
    activity = Activity(pause_ms)

    states = [activity.wanted(*utterance.known(at + ahead), at) for at in range(utterance.length)]
    turns = [at for at in range(1, len(states)) if states[at] != states[at - 1]]
    for turn, following in pairwise(turns):
        if states[turn]:
            voice = min(span.end - span.start for span in utterance.spans if span.end is not None)
            assert following - turn >= voice
        else:
            assert following - turn >= min(ahead, pause_ms + 1)
    for at, on in enumerate(states):
        # It never rests in voice, whatever is known.
        assert on or not any(s.start <= at < (s.end or 0) for s in utterance.spans)


@repeatable
@given(st.lists(utterances(), min_size=1, max_size=3), PAUSES, st.integers(1, 20))
def test_that_what_was_learned_before_makes_no_difference(
    several: list[Utterance], pause_ms: int, step: int
) -> None:
    activity = Activity(pause_ms)

    for utterance in several:
        for horizon in range(0, utterance.length + step, step):
            known = utterance.known(horizon)
            assert changes(activity, known) == changes(Activity(pause_ms), known)


@repeatable
@given(st.lists(utterances(), min_size=2, max_size=2), PAUSES, st.lists(MOMENTS, max_size=8))
def test_that_two_utterances_can_take_turns(
    both: list[Utterance], pause_ms: int, horizons: list[int]
) -> None:
    activity = Activity(pause_ms)

    for horizon in sorted(horizons):
        for utterance in both:
            known = utterance.known(horizon)
            assert changes(activity, known) == changes(Activity(pause_ms), known)


def test_the_examples_of_a_pause() -> None:
    activity = Activity(600)
    first, second = Span(100, 1000), Span(1600, 2000)

    # A pause of 600 ms, then one that goes on.
    assert activity.next_change((first, second), 2100, False, 0) == (100, True)
    assert activity.next_change((first, second), 2100, False, 100) == (2600, False)
    assert activity.next_change((first, second), 2600, False, 100) == (2600, False)
    assert activity.next_change((first, second), 2601, False, 100) == (2000, False)
    assert activity.next_change((first, second), 2100, True, 100) == (2000, False)
    # One more millisecond, and the avatar rests from the first one of the pause.
    late = (first, Span(1601, 2000))
    assert activity.next_change(late, 2100, False, 100) == (1000, False)
    assert activity.next_change(late, 2100, False, 1000) == (1601, True)
    assert activity.next_change(late, 2601, False, 2000) is None


def test_that_a_span_which_goes_on_keeps_the_avatar_moving() -> None:
    activity = Activity(600)
    spans = (Span(100, None),)

    assert activity.wanted(spans, 1000, False, 999)
    assert activity.wanted(spans, 1000, False, 1599)
    assert not activity.wanted(spans, 1000, False, 1600)
    assert activity.next_change(spans, 1000, False, 500) == (1600, False)


class _CountingSpans(tuple[Span, ...]):
    """Counts how often a span is looked at."""

    looks = 0

    def __getitem__(self, index: SupportsIndex | slice, /) -> Any:
        self.looks += 1
        return super().__getitem__(index)


def test_that_a_call_looks_at_few_of_many_spans() -> None:
    number = 10_000
    spans = _CountingSpans(Span(700 * n, 700 * n + 400) for n in range(number))
    activity = Activity(600)
    activity.next_change(spans, 700 * number, False, 0)

    for at in range(0, 700 * number, 99_991):
        spans.looks = 0
        activity.wanted(spans, 700 * number, False, at)
        activity.next_change(spans, 700 * number, False, at)

        assert 0 < spans.looks <= 60


def test_that_a_new_span_costs_little() -> None:
    spans = tuple(Span(2000 * n, 2000 * n + 400) for n in range(10_000))
    activity = Activity(600)
    activity.next_change(spans, 20_000_000, False, 0)

    more = _CountingSpans((*spans, Span(20_000_000, None)))
    assert activity.next_change(more, 20_000_100, False, 0) == (400, False)

    assert 0 < more.looks <= 60
