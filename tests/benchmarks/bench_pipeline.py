"""The frame pipeline: overhead, latency under overload, order, cadence, stopping, memory."""

import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import psutil

from capture.camera import CameraDevice, CameraNotFound, CameraSource
from capture.file import FileSource
from engine.pipeline.frame import FED, TAKEN, Frame
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.protocols import Source
from engine.pipeline.ring import DropPolicy
from engine.pipeline.settings import (
    CaptureSettings,
    DisplaySettings,
    PipelineSettings,
    ProcessorSettings,
)
from engine.pipeline.turn import Turn
from processors.chain import Chain
from processors.models.library import ModelLibrary
from processors.registry import ProcessorContext, build_processor
from tests.benchmarks.pipeline_parts import (
    Counter,
    Meter,
    RateSource,
    Work,
    run_pipeline,
    run_thread_pool,
    scripted_seconds,
)
from tests.benchmarks.table import Row, percentile, show, write_json

SHARED = Path(__file__).resolve().parents[3] / "shared"
AT_ONCE = DisplaySettings(pace=False)
TICK_S = 1 / 30


def run(quick: bool = False) -> list[Row]:
    """Every measure of the pipeline that needs no browser."""
    seconds = 8 if quick else 25
    frames = 10_000 if quick else 100_000
    # First, while nothing else has touched the heap.
    rows = memory(frames)
    rows += overhead(seconds)
    rows += overload(seconds)
    rows += cadence(seconds)
    rows += waiting(seconds)
    rows += order(frames)
    rows += against_thread_pool(seconds)
    rows += anonymise(60 if quick else 170)
    return rows + stopping()


def overhead(seconds: int) -> list[Row]:
    """CPU of the engine for each frame of a live 1280x720 stream without processors."""
    rows = []
    for fps, pace in ((30.0, True), (None, False)):
        count = round(30 * seconds) if fps else 5000
        source = RateSource(count, fps)
        settings = PipelineSettings(display=DisplaySettings(pace=pace))
        began = time.process_time()
        meter = run_pipeline(source, Chain([]), settings)
        spent = (time.process_time() - began) / len(meter.rows)
        how = "live at 30 fps" if fps else "as fast as possible"
        rows.append(
            Row(
                f"engine CPU per 1280x720 frame, no processor, {how}",
                f"{spent * 1e3:.3f} ms",
                "<= 1 ms",
                spent <= 1e-3,
            )
        )
        same = meter.image is source.image
    rows.append(
        Row("copies of the picture from capture to sink", "0" if same else "1", "<= 1", True)
    )
    return rows


def overload(seconds: int) -> list[Row]:
    """A service time of twice the frame interval, batch 4: newest wins against plain FIFOs."""
    service = 2 * TICK_S
    count = 30 * max(seconds, 15)
    settings = PipelineSettings(batch_size=4)
    plain = PipelineSettings(batch_size=4, display=AT_ONCE)

    def as_plain_queues(pipeline: Pipeline) -> None:
        pipeline._queue.policy = DropPolicy.WAIT
        pipeline._output.policy = DropPolicy.WAIT

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(run_pipeline, RateSource(count, 30.0), Work(lambda _: service), settings)
        other = pool.submit(
            run_pipeline, RateSource(count, 30.0), Work(lambda _: service), plain, as_plain_queues
        )
        ours, theirs = one.result(), other.result()
    limit = 2 * 4 * service + TICK_S
    reached = percentile(ours.latencies(), 95)
    jitter = [abs(interval - service) for interval in ours.intervals()]
    return [
        Row(
            "2x overload, batch 4: latency, p95",
            f"{reached * 1e3:.0f} ms",
            f"<= {limit * 1e3:.0f} ms",
            reached <= limit,
        ),
        Row("  interval between pictures, off even, p95", f"{percentile(jitter, 95) * 1e3:.1f} ms"),
        Row(
            "  the same with plain FIFOs: latency, p95",
            f"{percentile(theirs.latencies(), 95) * 1e3:.0f} ms",
        ),
    ]


def cadence(seconds: int) -> list[Row]:
    """A processor that gives bursts of 8 at 30 fps."""
    settings = PipelineSettings(batch_size=8, batch_deadline_ms=500.0)
    work = Work(lambda _: 0.2 / 8)
    paced = run_pipeline(RateSource(30 * seconds, 30.0), work, settings)
    blunt = settings.model_copy(update={"display": AT_ONCE})
    bursts = run_pipeline(RateSource(30 * seconds, 30.0), work, blunt)
    off = [percentile([abs(i - TICK_S) for i in m.intervals()], 95) for m in (paced, bursts)]
    return [
        Row(
            "bursts of 8: display interval off even, p95",
            f"{off[0] * 1e3:.2f} ms",
            "<= 3 ms",
            off[0] <= 0.003,
        ),
        Row("  the same without pacing", f"{off[1] * 1e3:.1f} ms"),
    ]


def waiting(seconds: int) -> list[Row]:
    """What batching adds when one frame comes at a time."""
    waits: list[float] = []

    class Watching(Work):
        def apply(self, frames: Sequence[Frame], turn: Turn | None = None) -> list[Frame]:
            waits.extend((f.stamp(TAKEN) or 0.0) - (f.stamp(FED) or 0.0) for f in frames)
            return list(frames)

    settings = PipelineSettings(batch_size=8)
    run_pipeline(RateSource(10 * seconds, 10.0), Watching(lambda _: 0.0), settings)
    worst = percentile(waits, 95)
    return [
        Row(
            "batches of up to 8, one frame at a time: waiting, p95",
            f"{worst * 1e3:.2f} ms",
            "<= 5 ms",
            worst <= 0.005,
        )
    ]


def order(frames: int) -> list[Row]:
    """Order with eight workers and random delays."""
    settings = PipelineSettings(workers=8, batch_size=2, display=AT_ONCE)
    work = Work(scripted_seconds(0.0, 0.001), parallel=True)
    meter = run_pipeline(RateSource(frames, None, (16, 16)), work, settings)
    lost = frames - len(meter.rows)
    return [
        Row(
            f"order inversions, {frames:,} frames, 8 workers",
            str(meter.inversions),
            "0",
            meter.inversions == 0,
        ),
        Row("  frames lost", str(lost), "0", lost == 0),
    ]


def against_thread_pool(seconds: int) -> list[Row]:
    """The same work with four workers, slightly more than they can do."""
    service = scripted_seconds(0.05, 0.25)
    count = 30 * max(seconds, 15)
    settings = PipelineSettings(workers=4)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(
            run_pipeline, RateSource(count, 30.0), Work(service, parallel=True), settings
        )
        other = pool.submit(run_thread_pool, RateSource(count, 30.0), service, 4)
        ours, theirs = one.result(), other.result()
    latency = [percentile(meter.latencies(), 95) for meter in (ours, theirs)]
    return [
        Row(
            "4 workers, 12% overload: latency p95, inversions",
            f"{latency[0] * 1e3:.0f} ms, {ours.inversions}",
            "better",
            latency[0] < latency[1] and ours.inversions < theirs.inversions,
        ),
        Row(
            "  queue.Queue and thread pool, as completed",
            f"{latency[1] * 1e3:.0f} ms, {theirs.inversions}",
        ),
    ]


def anonymise(count: int) -> list[Row]:
    """Real frames through the real detector, OpenCV held to one thread."""
    clip = SHARED / "media" / "camera" / "person_1280x720.mp4"
    if not clip.is_file():
        return [Row("anonymise at 1280x720", f"not measured: {clip} is absent")]
    source = FileSource(clip, paced=False)
    source.open()
    frames = [frame for _ in range(count) if (frame := source.read()) is not None]
    source.close()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    context = ProcessorContext(library=ModelLibrary([SHARED / "models"]))
    chain = Chain([build_processor("anonymise", ProcessorSettings(), context)])
    chain.apply(frames[:1])
    began, cpu = time.perf_counter(), time.process_time()
    shown = sum(len(chain.apply([frame])) for frame in frames[1:])
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    cv2.setNumThreads(threads)
    return [
        Row(
            "anonymise at 1280x720 on one core",
            f"{shown / cpu:.0f} fps of CPU time, {shown / wall:.0f} of wall time",
            ">= 25 fps",
            shown / cpu >= 25,
        )
    ]


def stopping() -> list[Row]:
    """How long stopping takes from states that are hard to leave."""
    release = threading.Event()

    class Blocked(RateSource):
        def read(self) -> Frame | None:
            if self._next >= 3:
                self._stop.wait()
            return super().read()

    class Slow(Meter):
        def show(self, frame: Frame) -> None:
            release.wait(0.3)

    def lost_camera() -> Source:
        def open_device(index: int, settings: CaptureSettings) -> CameraDevice:
            if opened:
                raise CameraNotFound("There is no camera 0.")
            opened.append(index)
            return _OneFrame()

        opened: list[int] = []
        return CameraSource(
            0, CaptureSettings(retry_initial_s=30.0, retry_max_s=60.0), open_device=open_device
        )

    states: dict[str, Callable[[], tuple[Source, Work, Meter]]] = {
        "running": lambda: (RateSource(10**6, 30.0), Work(lambda _: 0.0), Meter()),
        "source blocked": lambda: (Blocked(9, 30.0), Work(lambda _: 0.0), Meter()),
        "camera gone": lambda: (lost_camera(), Work(lambda _: 0.0), Meter()),
        "buffers full": lambda: (RateSource(10**6, None), Work(lambda _: 0.0), Slow()),
        "processing": lambda: (RateSource(10**6, 30.0), Work(lambda _: 0.5), Meter()),
        "workers full": lambda: (
            RateSource(10**6, None),
            Work(scripted_seconds(0.0, 0.2), parallel=True),
            Slow(),
        ),
    }
    slowest, before = ("", 0.0), threading.active_count()
    for name, make in states.items():
        source, work, meter = make()
        settings = PipelineSettings(workers=4, display=AT_ONCE)
        pipeline = Pipeline(source, work, [meter], settings)
        pipeline.start()
        time.sleep(0.7)
        began = time.perf_counter()
        pipeline.stop()
        slowest = max(slowest, (name, time.perf_counter() - began), key=lambda item: item[1])
    left = threading.active_count() - before
    return [
        Row(
            f"stop from {len(states)} states, slowest ({slowest[0]}); threads left",
            f"{slowest[1] * 1e3:.0f} ms; {left}",
            "< 1 s; 0",
            slowest[1] < 1.0 and left == 0,
        )
    ]


class _OneFrame:
    """A camera that gives one picture and then fails."""

    def __init__(self) -> None:
        self._given = False

    def wait(self, timeout: float) -> bool:
        return True

    def read(self) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None:
        if self._given:
            return None
        self._given = True
        return np.zeros((720, 1280, 3), np.uint8)

    def release(self) -> None:
        pass


def memory(frames: int) -> list[Row]:
    """Resident memory while fresh pictures flow through four workers and mirrors.

    The buffers are short, so that what happens to be in them does not hide a leak: full ones of
    the usual capacities hold 150 pictures.
    """
    process = psutil.Process(os.getpid())
    readings: list[int] = []

    def make(number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        if number % (frames // 60) == 0:
            readings.append(process.memory_info().rss)
        return np.full((180, 320, 3), number % 256, np.uint8)

    chain = Chain([build_processor("mirror", ProcessorSettings())])
    settings = PipelineSettings(
        ring_frames=4, input_frames=8, output_frames=8, workers=4, batch_size=4, display=AT_ONCE
    )
    counter = Counter()
    pipeline = Pipeline(RateSource(frames, None, make=make), chain, [counter], settings)
    pipeline.start()
    pipeline.wait()
    grown = (statistics.median(readings[-15:]) - statistics.median(readings[5:20])) / 1e6
    return [
        Row(
            f"memory over {frames:,} frames, last quarter against first third",
            f"{grown:+.1f} MB",
            "+- 5 MB",
            abs(grown) <= 5.0,
        )
    ]


if __name__ == "__main__":
    results = run("--quick" in sys.argv)
    print(show("pipeline", results))
    write_json({"pipeline": results}, Path("build/bench_pipeline.json"))
