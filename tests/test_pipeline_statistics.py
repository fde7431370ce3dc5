"""Rates and latencies on a fake clock."""

import pytest

from engine.pipeline.frame import FED, PROCESSED, SHOWN, TAKEN
from engine.pipeline.statistics import Latency, RateMeter, Statistics
from tests.pipeline_fakes import FakeClock, make_frame


@pytest.mark.parametrize("fps", [3.0, 12.5, 30.0, 240.0])
def test_a_steady_rate_is_exact(fps: float) -> None:
    clock = FakeClock()
    meter = RateMeter(clock)
    for _ in range(int(fps * 4)):
        clock.advance(1 / fps)
        meter.mark()
    assert meter.rate() == pytest.approx(fps, rel=0.01)
    assert meter.total == int(fps * 4)


def test_the_rate_falls_when_nothing_comes() -> None:
    clock = FakeClock()
    meter = RateMeter(clock)
    assert meter.rate() == 0.0
    for _ in range(60):
        clock.advance(1 / 30)
        meter.mark()
    clock.advance(1.0)
    assert 10 < meter.rate() < 20
    clock.advance(2.0)
    assert meter.rate() == 0.0


def test_memory_does_not_grow_with_the_rate() -> None:
    clock = FakeClock()
    meter = RateMeter(clock)
    for _ in range(100_000):
        clock.advance(0.00005)
        meter.mark()
    assert len(meter._groups) <= 21


def test_latency_is_told_for_every_stage() -> None:
    statistics = Statistics(FakeClock())
    frame = make_frame(0, 1.0)
    for stage, at in ((FED, 1.001), (TAKEN, 1.005), (PROCESSED, 1.050), (SHOWN, 1.060)):
        frame = frame.stamped(stage, at)
    statistics.show(frame)
    reading = statistics.snapshot()
    assert reading.latency["taken"] == Latency(4.0, 4.0, 4.0)
    assert reading.latency["processed"].p50_ms == pytest.approx(45.0)
    assert reading.latency["end_to_end"].p95_ms == pytest.approx(60.0)


def test_batches_and_frames_withheld_are_counted() -> None:
    statistics = Statistics(FakeClock())
    statistics.batch(4, 4)
    statistics.batch(2, 0)
    reading = statistics.snapshot()
    assert (reading.batch_mean, reading.withheld, reading.processed) == (3.0, 2, 4)


def test_without_frames_there_is_nothing_to_tell() -> None:
    assert Statistics(FakeClock()).snapshot().latency == {}
