"""The whole pipeline with scripted parts: order, ends, errors, control, statistics."""

import random
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from engine.errors import Conflict, InvalidInput
from engine.pipeline.frame import SHOWN, STAGES, Frame
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.settings import DisplaySettings, PipelineSettings
from engine.pipeline.stage import StageStuck
from tests.pipeline_fakes import (
    CollectingSink,
    FailingSink,
    FunctionTransform,
    QueueSource,
    ScriptedSource,
    eventually,
    make_frame,
    picture,
)

AT_ONCE = DisplaySettings(pace=False)


def frames(count: int) -> list[Frame]:
    return [make_frame(n, n / 30) for n in range(count)]


def run(
    source: ScriptedSource,
    transform: FunctionTransform | None = None,
    settings: PipelineSettings | None = None,
) -> tuple[Pipeline, CollectingSink]:
    sink = CollectingSink()
    pipeline = Pipeline(
        source,
        transform or FunctionTransform(),
        [sink],
        settings or PipelineSettings(display=AT_ONCE),
    )
    pipeline.start()
    return pipeline, sink


def test_every_frame_of_a_file_is_shown_in_order_with_all_stamps() -> None:
    source = ScriptedSource(frames(500))
    pipeline, sink = run(source)
    assert pipeline.wait(20.0)
    assert [frame.sequence for frame in sink.frames] == list(range(500))
    for frame in sink.frames:
        assert [stage for stage, _ in frame.stamps] == list(STAGES)
        times = [at for _, at in frame.stamps]
        assert times == sorted(times)
    assert source.closed
    assert sink.closed.is_set()
    assert sum(pipeline.snapshot().dropped.values()) == 0


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_eight_workers_keep_the_order(batch_size: int) -> None:
    rng = random.Random(5)
    most = 0
    inside = 0
    lock = threading.Lock()

    def work(batch: Sequence[Frame]) -> list[Frame]:
        nonlocal most, inside
        with lock:
            inside += 1
            most = max(most, inside)
            turns = rng.randrange(3000)
        sum(range(turns))
        with lock:
            inside -= 1
        return list(batch)

    settings = PipelineSettings(workers=8, batch_size=batch_size, display=AT_ONCE)
    pipeline, sink = run(
        ScriptedSource(frames(3000)), FunctionTransform(work, parallel=True), settings
    )
    assert pipeline.wait(30.0)
    assert [frame.sequence for frame in sink.frames] == list(range(3000))


def test_workers_really_work_at_the_same_time() -> None:
    together = threading.Barrier(4, timeout=10.0)

    def work(batch: Sequence[Frame]) -> list[Frame]:
        together.wait()
        return list(batch)

    settings = PipelineSettings(workers=4, display=AT_ONCE)
    pipeline, sink = run(
        ScriptedSource(frames(40)), FunctionTransform(work, parallel=True), settings
    )
    assert pipeline.wait(20.0)
    assert len(sink.frames) == 40


def test_a_transform_that_is_not_parallel_is_never_entered_twice() -> None:
    inside = threading.Lock()

    def work(batch: Sequence[Frame]) -> list[Frame]:
        assert inside.acquire(blocking=False)
        sum(range(2000))
        inside.release()
        return list(batch)

    settings = PipelineSettings(workers=8, display=AT_ONCE)
    pipeline, sink = run(ScriptedSource(frames(500)), FunctionTransform(work), settings)
    assert pipeline.wait(20.0)
    assert [frame.sequence for frame in sink.frames] == list(range(500))


def test_a_live_source_is_thinned_out_to_the_newest() -> None:
    """While a batch is processed ten frames arrive; two are taken, evenly, the newest included."""
    source = QueueSource()
    entered, proceed = threading.Semaphore(0), threading.Semaphore(0)
    batches: list[list[int]] = []

    def work(batch: Sequence[Frame]) -> list[Frame]:
        batches.append([frame.sequence for frame in batch])
        entered.release()
        assert proceed.acquire(timeout=10.0)
        return list(batch)

    settings = PipelineSettings(batch_size=2, batch_deadline_ms=0.0, display=AT_ONCE)
    pipeline, _ = run(source, FunctionTransform(work), settings)
    source.push(make_frame(0))
    assert entered.acquire(timeout=10.0)
    for n in range(1, 11):
        source.push(make_frame(n))
    eventually(lambda: pipeline._feeder.counts.fed == 11)
    proceed.release()
    assert entered.acquire(timeout=10.0)
    proceed.release()
    pipeline.stop()
    assert batches == [[0], [5, 10]]
    assert pipeline.snapshot().dropped["input"] == 8


def test_late_frames_of_a_live_source_are_told() -> None:
    now = 1.0
    late: list[float] = []
    source, sink = QueueSource(), CollectingSink()
    pipeline = Pipeline(
        source,
        FunctionTransform(),
        [sink],
        PipelineSettings(batch_size=1, batch_deadline_ms=0.0),
        clock=lambda: now,
        on_late=late.append,
    )
    pipeline.start()
    for number, (captured_at, processed_at) in enumerate(((1.0, 1.0), (1.04, 1.07), (1.08, 1.09))):
        now = processed_at
        source.push(make_frame(number, captured_at))
        eventually(lambda expected=number + 1: len(late) == expected)
    pipeline.stop()
    assert late == pytest.approx([0.0, 0.03, 0.0])


def test_an_error_in_a_stage_ends_the_pipeline_and_is_raised_again() -> None:
    def fail(batch: Sequence[Frame]) -> list[Frame]:
        raise ZeroDivisionError("the model divided by nothing")

    ended: list[BaseException | None] = []
    source = ScriptedSource(frames(3), block_at_end=True)
    transform = FunctionTransform(fail)
    pipeline = Pipeline(
        source, transform, [], PipelineSettings(display=AT_ONCE), on_end=ended.append
    )
    pipeline.start()
    with pytest.raises(ZeroDivisionError, match="divided by nothing"):
        pipeline.wait(10.0)
    assert isinstance(ended[0], ZeroDivisionError)
    assert transform.closed.is_set()
    assert source.closed


def test_an_error_of_the_source_is_raised_again() -> None:
    class Broken(ScriptedSource):
        def read(self) -> Frame | None:
            raise OSError("the cable is out")

    pipeline, sink = run(Broken())
    with pytest.raises(OSError, match="cable"):
        pipeline.wait(10.0)
    assert sink.closed.is_set()


def test_a_source_that_cannot_be_opened_leaves_nothing_behind() -> None:
    source = ScriptedSource(error=InvalidInput("no such camera"))
    sink = CollectingSink()
    pipeline = Pipeline(source, FunctionTransform(), [sink], PipelineSettings())
    with pytest.raises(InvalidInput):
        pipeline.start()
    assert source.closed
    assert sink.closed.is_set()
    pipeline.stop()


def test_starting_twice_is_refused() -> None:
    pipeline, _ = run(ScriptedSource(frames(1)))
    with pytest.raises(Conflict):
        pipeline.start()
    pipeline.stop()


def test_stop_with_a_blocked_source() -> None:
    source = ScriptedSource(frames(2), block_at_end=True, live=True)
    pipeline, sink = run(source)
    assert source.blocked.wait(10.0)
    pipeline.stop()
    pipeline.stop()
    assert pipeline.ended
    assert sink.closed.is_set()


def test_stop_before_start_closes_everything() -> None:
    source, sink = ScriptedSource(), CollectingSink()
    pipeline = Pipeline(source, FunctionTransform(), [sink], PipelineSettings())
    pipeline.stop()
    assert source.closed
    assert sink.closed.is_set()


def test_stop_with_every_buffer_full() -> None:
    blocked = threading.Event()
    release = threading.Event()

    class Stuck(CollectingSink):
        def show(self, frame: Frame) -> None:
            blocked.set()
            release.wait(10.0)

    settings = PipelineSettings(
        ring_frames=1, input_frames=1, output_frames=1, workers=3, display=AT_ONCE
    )
    source = ScriptedSource(frames(1000))
    pipeline = Pipeline(
        source, FunctionTransform(parallel=True), [Stuck()], settings, name="crowded"
    )
    pipeline.start()
    assert blocked.wait(10.0)
    threading.Timer(0.05, release.set).start()
    pipeline.stop()
    assert pipeline.ended


def test_a_thread_that_does_not_end_is_named() -> None:
    release = threading.Event()

    class Deaf(ScriptedSource):
        def read(self) -> Frame | None:
            self.blocked.set()
            release.wait(10.0)
            return None

    source = Deaf()
    settings = PipelineSettings(stop_timeout_s=0.05)
    pipeline = Pipeline(source, FunctionTransform(), [], settings, name="deaf")
    pipeline.start()
    assert source.blocked.wait(10.0)
    with pytest.raises(StageStuck, match="deaf-capture"):
        pipeline.stop()
    release.set()
    assert pipeline.wait(10.0)


def test_the_source_can_be_changed_while_the_old_one_is_blocked() -> None:
    first = ScriptedSource(frames(3), block_at_end=True, live=True, name="first")
    pipeline, sink = run(first)
    assert first.blocked.wait(10.0)
    sink.wait_for(1)
    second = ScriptedSource(
        [make_frame(n, n / 30, picture(value=9)) for n in range(3)], name="second"
    )
    pipeline.set_source(second)
    assert pipeline.wait(10.0)
    assert first.closed
    assert second.closed
    assert sink.frames[-1].image[0, 0, 0] == 9
    sequences = [frame.sequence for frame in sink.frames]
    assert sequences == sorted(set(sequences))
    assert pipeline.snapshot().source == "second"


def test_a_new_source_that_cannot_be_opened_changes_nothing() -> None:
    first = QueueSource()
    pipeline, sink = run(first)
    with pytest.raises(InvalidInput):
        pipeline.set_source(ScriptedSource(error=InvalidInput("busy")))
    first.push(make_frame(0))
    sink.wait_for(1)
    pipeline.stop()


def test_the_source_of_an_ended_pipeline_cannot_be_changed() -> None:
    pipeline, _ = run(ScriptedSource(frames(1)))
    assert pipeline.wait(10.0)
    late = ScriptedSource()
    with pytest.raises(Conflict):
        pipeline.set_source(late)
    assert late.closed


def test_transform_and_batch_size_change_while_running() -> None:
    source = QueueSource()
    first = FunctionTransform()
    pipeline, sink = run(source, first)
    source.push(make_frame(0))
    sink.wait_for(1)

    def paint(batch: Sequence[Frame]) -> list[Frame]:
        return [frame.with_image(picture(value=77)) for frame in batch]

    pipeline.set_transform(FunctionTransform(paint))
    pipeline.set_batch_size(4)
    source.push(make_frame(1))
    source.push(make_frame(2))
    sink.wait_until(lambda frame: frame.image[0, 0, 0] == 77)
    assert first.closed.is_set()
    assert pipeline.snapshot().batch_size == 4
    pipeline.stop()


def test_pause_and_resume() -> None:
    source = QueueSource()
    pipeline, sink = run(source)
    source.push(make_frame(0))
    sink.wait_for(1)
    pipeline.pause()
    source.push(make_frame(1))
    eventually(lambda: pipeline.snapshot().dropped["paused"] == 1)
    pipeline.pause(False)
    source.push(make_frame(2))
    shown = sink.wait_for(2)
    assert [frame.sequence for frame in shown] == [0, 2]
    pipeline.stop()


def test_a_failing_sink_is_removed_and_the_others_go_on() -> None:
    good = CollectingSink("good")
    bad = FailingSink(InvalidInput("no display"), after=1, name="window")
    pipeline = Pipeline(
        ScriptedSource(frames(5)),
        FunctionTransform(),
        [bad, good],
        PipelineSettings(display=AT_ONCE),
    )
    pipeline.start()
    assert pipeline.wait(10.0)
    assert len(good.frames) == 5
    assert bad.closed.is_set()
    assert pipeline.snapshot().sink_errors == {"window": "no display"}


def test_the_error_of_the_last_sink_ends_the_pipeline() -> None:
    bad = FailingSink(InvalidInput("disk full"), after=1)
    pipeline = Pipeline(
        ScriptedSource(frames(5), block_at_end=True),
        FunctionTransform(),
        [bad],
        PipelineSettings(display=AT_ONCE),
    )
    pipeline.start()
    with pytest.raises(InvalidInput, match="disk full"):
        pipeline.wait(10.0)


def test_sinks_come_and_go_while_running() -> None:
    source = QueueSource()
    pipeline, first = run(source)
    source.push(make_frame(0))
    first.wait_for(1)
    second = CollectingSink("second")
    pipeline.sinks.add(second)
    source.push(make_frame(1))
    second.wait_for(1)
    assert pipeline.sinks.remove(first)
    assert first.closed.is_set()
    source.push(make_frame(2))
    second.wait_for(2)
    pipeline.stop()
    assert len(first.frames) == 2
    with pytest.raises(Conflict):
        pipeline.sinks.add(CollectingSink())


def test_bad_frames_are_refused_and_counted() -> None:
    good, bad = make_frame(0), make_frame(1, image=np.zeros((4, 4, 2), np.uint8))
    grey = make_frame(2, image=np.full((5, 7), 9, np.uint8))
    pipeline, sink = run(ScriptedSource([good, bad, grey]))
    assert pipeline.wait(10.0)
    assert [frame.sequence for frame in sink.frames] == [0, 2]
    assert sink.frames[1].image.shape == (5, 7, 3)
    assert pipeline.snapshot().refused == 1


def test_withheld_frames_are_counted_and_never_shown() -> None:
    pipeline, sink = run(ScriptedSource(frames(6)), FunctionTransform(lambda batch: []))
    assert pipeline.wait(10.0)
    assert sink.frames == []
    assert pipeline.snapshot().withheld == 6


def test_the_last_picture_is_marked_when_nothing_comes() -> None:
    source = QueueSource()
    settings = PipelineSettings(display=DisplaySettings(pace=False, stale_after_s=0.05))
    pipeline, sink = run(source, settings=settings)
    source.push(make_frame(0, image=picture(160, 90, 200)))
    stale = sink.wait_until(lambda frame: frame.stale)
    assert stale.image[0, 0, 0] == 100
    assert stale.image.max() == 255
    assert pipeline.snapshot().stale
    source.push(make_frame(1, image=picture(160, 90, 50)))
    sink.wait_until(lambda frame: not frame.stale and frame.sequence == 1)
    pipeline.stop()


def test_what_is_shown_cannot_be_written() -> None:
    pipeline, sink = run(ScriptedSource(frames(1)))
    assert pipeline.wait(10.0)
    with pytest.raises(ValueError, match="read-only"):
        sink.frames[0].image[0, 0, 0] = 1


def test_no_stage_copies_the_picture() -> None:
    original = picture(64, 48, 3)
    pipeline, sink = run(ScriptedSource([make_frame(0, image=original)]))
    assert pipeline.wait(10.0)
    assert sink.frames[0].image is original


def test_latencies_are_known_for_every_stage() -> None:
    pipeline, sink = run(ScriptedSource(frames(50)))
    assert pipeline.wait(10.0)
    reading = pipeline.snapshot()
    assert set(reading.latency) == {*STAGES, "end_to_end"}
    assert reading.shown == reading.captured == 50
    assert sink.frames[0].stamp(SHOWN) is not None


def test_slow_processing_is_filled_in_by_flow_at_the_display_rate() -> None:
    """Five frames per second in, a blended picture at every tick of the display out."""
    source = QueueSource(live=False)
    settings = PipelineSettings(display=DisplaySettings(fps=50.0, interpolate="flow"))
    pipeline, sink = run(source, settings=settings)
    begun = time.monotonic()
    for n in range(3):
        source.push(make_frame(n, begun + n / 5, picture(64, 64, 60 * n)))
    sink.wait_until(lambda frame: frame.sequence == 2)
    sink.wait_for(12)
    pipeline.stop()
    shown = [frame for frame in sink.frames if not frame.stale]
    times = [frame.captured_at for frame in shown]
    assert times == sorted(times)
    assert [frame.media_time for frame in shown] == sorted(frame.media_time for frame in shown)
    levels = [int(frame.image.mean()) for frame in shown]
    assert levels == sorted(levels)
    assert len(set(levels)) > 6
