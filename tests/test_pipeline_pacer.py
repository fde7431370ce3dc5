"""Pacing on a fake clock: even spacing from bursts, lateness, the rate cap, blending."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from engine.pipeline.flow import FlowInterpolator
from engine.pipeline.frame import PROCESSED, Frame
from engine.pipeline.pacer import SLACK_S, BlendingPacer, Pacer, PlayoutDelay, RateCap, Showing
from tests.pipeline_fakes import make_frame

FRAME_S = 1 / 30


def processed(sequence: int, captured_at: float, ready_at: float) -> Frame:
    return make_frame(sequence, captured_at).stamped(PROCESSED, ready_at)


def play(pacer: Pacer | BlendingPacer, frames: Sequence[Frame]) -> list[tuple[float, Showing]]:
    """What the display stage would do, in simulated time: when each picture was shown."""
    waiting = list(frames)
    shown: list[tuple[float, Showing]] = []
    now = 0.0

    def ready_at(frame: Frame) -> float:
        at = frame.stamp(PROCESSED)
        assert at is not None
        return at

    for _ in range(100_000):
        while waiting and ready_at(waiting[0]) <= now and pacer.wants(now):
            pacer.offer(waiting.pop(0))
        at = pacer.next_at(now)
        if at is not None and at <= now:
            showing = pacer.due(now)
            if showing is not None:
                shown.append((now, showing))
            continue
        arrival = ready_at(waiting[0]) if waiting else None
        if at is None and arrival is None:
            return shown
        now = min(moment for moment in (at, arrival if at is None else None) if moment is not None)
    raise AssertionError("the pacer does not come to an end")


def bursts(count: int, size: int, spacing: float, service: float) -> list[Frame]:
    """Frames captured evenly that come out of processing ``size`` at a time."""
    frames = []
    for sequence in range(count):
        last_of_burst = (sequence // size + 1) * size - 1
        frames.append(processed(sequence, sequence * spacing, last_of_burst * spacing + service))
    return frames


def intervals(shown: Sequence[tuple[float, Showing]]) -> list[float]:
    return [after - before for before, after in pairwise(at for at, _ in shown)]


def test_bursts_of_eight_are_shown_evenly() -> None:
    shown = play(Pacer(30.0, 32), bursts(400, 8, FRAME_S, 0.2))
    assert [showing.frame.sequence for _, showing in shown] == list(range(400))
    assert intervals(shown) == pytest.approx([FRAME_S] * 399, abs=1e-9)


def test_slow_bursts_are_shown_at_their_own_spacing() -> None:
    """4 frames per second in bursts of 4: one every 250 ms, none held longer than needed."""
    frames = bursts(80, 4, 0.25, 0.9)
    shown = play(Pacer(30.0, 32), frames)
    assert intervals(shown) == pytest.approx([0.25] * 79, abs=1e-9)
    worst = max(frame.stamp(PROCESSED) - frame.captured_at for frame in frames)  # type: ignore[operator] # all have it
    assert shown[-1][0] - 79 * 0.25 == pytest.approx(worst)


def test_a_late_frame_is_shown_at_once_and_the_delay_recovers() -> None:
    frames = [processed(n, n * FRAME_S, n * FRAME_S + 0.01) for n in range(400)]
    frames[20] = processed(20, 20 * FRAME_S, 20 * FRAME_S + 0.3)
    for n in range(21, 30):
        frames[n] = processed(n, n * FRAME_S, max(20 * FRAME_S + 0.3, n * FRAME_S + 0.01))
    pacer = Pacer(30.0, 32)
    shown = play(pacer, frames)
    times = {showing.frame.sequence: at for at, showing in shown}
    assert times[20] == pytest.approx(20 * FRAME_S + 0.3)
    assert times[60] - 60 * FRAME_S < 0.3
    assert 0.01 <= pacer.delay <= 0.01 + SLACK_S
    assert list(times) == sorted(times)


def test_live_frames_that_are_late_together_give_way_to_the_newest() -> None:
    pacer = Pacer(30.0, 32)
    for n in range(3):
        pacer.offer(processed(n, n * FRAME_S, 0.0))
    showing = pacer.due(1.0)
    assert showing is not None
    assert showing.frame.sequence == 2
    assert pacer.skipped == 2
    assert pacer.due(1.0) is None


def test_frames_of_a_file_are_all_shown() -> None:
    pacer = Pacer(30.0, 32, live=False)
    frames = [processed(n, n * 0.005, 1.0) for n in range(50)]
    assert [showing.frame.sequence for _, showing in play(pacer, frames)] == list(range(50))
    assert pacer.skipped == 0


def test_unpaced_frames_are_shown_as_they_come() -> None:
    shown = play(Pacer(30.0, 32, pace=False), bursts(32, 8, FRAME_S, 0.2))
    assert [at for at, _ in shown] == pytest.approx(
        [k * 8 * FRAME_S + 7 * FRAME_S + 0.2 for k in range(4)]
    )


@pytest.mark.parametrize(
    ("fps", "expected"), [(60.0, 30.0), (30.0, 30.0), (25.0, 25.0), (45.0, 30.0)]
)
def test_the_cap_thins_out_evenly(fps: float, expected: float) -> None:
    cap = RateCap(30.0)
    admitted = [n / fps for n in range(int(fps) * 20) if cap.admits(n / fps)]
    assert len(admitted) / 20 == pytest.approx(expected, rel=0.02)
    gaps = np.diff(admitted)
    assert gaps.max() <= 2 / min(fps, 30.0)
    if fps == 60.0:
        assert gaps.max() - gaps.min() < 1e-9


def test_the_cap_tolerates_a_jittery_camera() -> None:
    noise = np.random.default_rng(7).uniform(-0.006, 0.006, 600)
    cap = RateCap(30.0)
    assert all(cap.admits(n * FRAME_S + noise[n]) for n in range(600))


def test_the_delay_grows_at_once_and_shrinks_smoothly() -> None:
    delay = PlayoutDelay(4)
    delay.observe(0.1, 0.0)
    assert delay.seconds == pytest.approx(0.1)
    for _ in range(4):
        delay.observe(0.02, FRAME_S)
        assert 0.02 <= delay.seconds <= 0.1
    before = delay.seconds
    delay.observe(0.02, FRAME_S)
    assert 0.0 < before - delay.seconds < 0.2 * FRAME_S


def test_what_exceeds_the_delay_is_late() -> None:
    delay = PlayoutDelay(4)
    assert delay.observe(0.1, 0.0) == 0.0
    assert delay.observe(0.08, FRAME_S) == 0.0
    assert delay.observe(0.13, FRAME_S) == pytest.approx(0.03)
    assert delay.observe(0.13, FRAME_S) == 0.0


def test_blending_fills_in_up_to_the_display_rate() -> None:
    frames = bursts(40, 4, 0.25, 0.5)
    shown = play(BlendingPacer(30.0, 32), frames)
    settled = [item for item in shown if item[1].frame.sequence > 10]
    assert intervals(settled)[:-1] == pytest.approx([1 / 30] * (len(settled) - 2), abs=1e-6)
    for _, showing in settled[:-1]:
        assert showing.blend is not None
        before, share = showing.blend
        assert before.sequence == showing.frame.sequence - 1
        assert 0.0 <= share < 1.0


def test_blending_costs_one_processed_frame_of_delay() -> None:
    plain, blended = Pacer(30.0, 32), BlendingPacer(30.0, 32)
    play(plain, bursts(40, 4, 0.25, 0.5))
    play(blended, bursts(40, 4, 0.25, 0.5))
    assert blended.delay - plain.delay == pytest.approx(0.25)


def test_blending_shows_a_lone_frame_once() -> None:
    shown = play(BlendingPacer(30.0, 32), [processed(0, 0.0, 0.1)])
    assert len(shown) == 1
    assert shown[0][1].blend is None


def test_flow_moves_a_square_instead_of_fading_it() -> None:
    rng = np.random.default_rng(3)
    background = rng.integers(0, 60, (120, 160, 3)).astype(np.uint8)
    patch = rng.integers(120, 255, (40, 40, 3)).astype(np.uint8)
    before, after = background.copy(), background.copy()
    before[40:80, 40:80] = patch
    after[40:80, 48:88] = patch
    middle = FlowInterpolator().between(before, after, 0.5, (0, 1))
    expected = background.copy()
    expected[40:80, 44:84] = patch
    fade = (before // 2 + after // 2)[44:76, 50:78]
    inner = (slice(44, 76), slice(50, 78))
    error = np.abs(middle[inner].astype(int) - expected[inner]).mean()
    assert error < 0.3 * np.abs(fade.astype(int) - expected[inner]).mean()


def test_flow_returns_the_ends_and_survives_a_change_of_size() -> None:
    flow = FlowInterpolator()
    small, large = np.zeros((16, 16, 3), np.uint8), np.ones((32, 32, 3), np.uint8)
    assert flow.between(small, large, 0.5, (0, 1)) is large
    assert flow.between(small, small, 0.0, (0, 1)) is small
