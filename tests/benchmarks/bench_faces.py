"""Faces: paste-back, swap calls, tracking, and the whole face swap through the pipeline."""

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from engine.pipeline.frame import Image
from engine.pipeline.settings import DisplaySettings, PipelineSettings, ProcessorSettings
from processors.chain import Chain
from processors.faces.align import align, transformed
from processors.faces.settings import TrackingSettings
from processors.faces.tracker import FaceTracker
from processors.faces.yunet import YuNet
from processors.registry import ProcessorContext, build_chain, processor_factories
from processors.swap.backend import SwapJob
from processors.swap.control import SwapControl
from processors.swap.inswapper import InSwapper
from processors.swap.masks import Look, Masks, box_mask
from processors.swap.paste import paste
from processors.swap.processor import FaceSwap
from tests.benchmarks import face_measures, face_scenes
from tests.benchmarks.pipeline_parts import RateSource, run_pipeline
from tests.benchmarks.swap_graphs import costly_swapper, random_models
from tests.benchmarks.table import Row, percentile
from tests.contract_graphs import inswapper_128
from tests.swap_fakes import face_at, psnr, source_face, texture, unit
from tests.swap_material import FACES, MODELS, SHARED, control, frames_of

CLIP = SHARED / "media" / "camera" / "person_1280x720.mp4"
AT_ONCE = DisplaySettings(pace=False)


def run(quick: bool = False) -> list[Row]:
    """Every measure of faces."""
    if not CLIP.is_file() or not (MODELS / "yunet_n_dynamic.onnx").is_file():
        return [Row("faces", f"not measured: {CLIP} or the detector in {MODELS} is absent")]
    with one_thread():
        rows = paste_back(60 if quick else 300)
        rows += swap_calls()
        rows += skipped_detection()
        rows += still_face()
        rows += who_is_who(quick)
        rows += drop_outs(4 if quick else 12)
        rows += warp_on_one_core(8 if quick else 20)
        rows += against_the_bare_model(15 if quick else 60)
    return rows + on_cuda(60 if quick else 240)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV on one thread."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """This process, with all its threads from here on, on one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def yunet() -> YuNet:
    return YuNet(MODELS / "yunet_n_dynamic.onnx", 640, 0.6)


def clip(count: int) -> list[Image]:
    return face_scenes.read_clip(CLIP, count)


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """Of this thread's CPU time, the median: other programs do not count."""
    spent = []
    for _ in range(repeats):
        start = time.thread_time()
        work()
        spent.append(time.thread_time() - start)
    return statistics.median(spent) * 1e3


def paste_back(repeats: int) -> list[Row]:
    """One face of 400 pixels into 1920x1080."""
    frame, new = texture(1080, 1920, 1), texture(128, 128, 2, blur=2)
    face = face_at(960, 540, 400, 12.0)
    transform = align(face.landmarks, 128)
    masks, look = Masks(), Look()
    landmarks = (transformed(face.landmarks, transform) + np.float32(0.5)) / np.float32(128)
    us, box = frame.copy(), box_mask(0.08)
    alone = milliseconds(lambda: paste(us, new, transform, box), repeats)
    whole = milliseconds(
        lambda: paste(us, new, transform, masks.combined(look, landmarks, None, None)), repeats
    )
    rows = [
        Row("paste-back of a 400 px face, 1920x1080, one thread", f"{alone:.2f} ms", "<= 2 ms",
            alone <= 2.0),
        Row("  with the mask of this face", f"{whole:.2f} ms"),
    ]  # fmt: skip
    return rows + _against_insightface(frame, new, face, transform)


def _against_insightface(frame: Image, new: Image, face: Any, transform: Any) -> list[Row]:
    try:
        from insightface.model_zoo.inswapper import INSwapper
    except ImportError:
        return [Row("  against insightface's own", "not measured: insightface is missing")]
    blob = new[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
    inputs = [
        SimpleNamespace(name="target", shape=[1, 3, 128, 128]),
        SimpleNamespace(name="source", shape=[1, 512]),
    ]
    session = SimpleNamespace(
        get_inputs=lambda: inputs,
        get_outputs=lambda: [SimpleNamespace(name="output", shape=[1, 3, 128, 128])],
        run=lambda names, feeds: [blob],
    )
    with tempfile.TemporaryDirectory() as folder:
        theirs = INSwapper(str(inswapper_128(Path(folder) / "swap.onnx")), session)
    target, source = SimpleNamespace(kps=face.landmarks), SimpleNamespace(normed_embedding=unit())

    def swap() -> Image:
        done: Image = theirs.get(frame.copy(), target, source, paste_back=True)
        return done

    them, us = swap(), frame.copy()
    paste(us, new, transform, box_mask(0.08))
    rows, columns = np.mgrid[0:1080, 0:1920]
    inside = transformed(np.stack([columns.ravel(), rows.ravel()], axis=1), transform)
    interior = ((inside > 24) & (inside < 104)).all(axis=1).reshape(1080, 1920)
    likeness = psnr(us[interior], them[interior])
    return [
        Row("  interior against insightface's own", f"{likeness:.1f} dB", ">= 40 dB",
            likeness >= 40),
        Row("  insightface's own paste-back, with its swap", f"{milliseconds(swap, 7):.0f} ms"),
    ]  # fmt: skip


def swap_calls() -> list[Row]:
    """Three faces of sixteen tiles in each of four frames."""
    with tempfile.TemporaryDirectory() as folder:
        path = inswapper_128(Path(folder) / "swap.onnx")
        models = random_models(Path(folder))
        session = models.session("random_swap", "model", batched=True)
        swap = InSwapper(session, path, boost=4)
        frames = [texture(720, 1280, seed) for seed in range(4)]
        places = ((250, 360, 200), (640, 360, 240), (1000, 360, 180))
        jobs = [
            SwapJob(frame, face_at(*place), source_face(number))
            for frame in frames
            for number, place in enumerate(places)
        ]
        swap.swap(jobs)
    return [
        Row("swap calls per batch of frames, 3 faces x 16 tiles, fixed batch rewritten",
            str(swap.calls), "1", swap.calls == 1)
    ]  # fmt: skip


def skipped_detection() -> list[Row]:
    """Landmarks carried by flow between every fifth frame, on known motion."""
    six = np.asarray(cv2.imread(str(FACES / "six_people.jpg")), np.uint8)
    wide = np.asarray(cv2.copyMakeBorder(six, 250, 250, 250, 250, cv2.BORDER_REPLICATE), np.uint8)
    middle = (wide.shape[1] / 2, wide.shape[0] / 2)

    def zoom(by: float) -> Callable[[int], Any]:
        return lambda n: cv2.getRotationMatrix2D(middle, 0.0, by ** (n - 10))

    motions: dict[str, Callable[[int], Any]] = {
        "pan of 6 px a frame": lambda n: np.array([[1, 0, 6.0 * (n - 10)], [0, 1, 3.0 * (n - 10)]]),
        "pan of 25 px a frame": lambda n: np.array([[1, 0, 25.0 * (n - 8)], [0, 1, 0.0]]),
        "zoom in, 2 % a frame": zoom(1.02),
        "zoom out, 2 % a frame": zoom(0.98),
    }
    rows = []
    for name, motion in motions.items():
        tracker = FaceTracker(yunet(), TrackingSettings(detect_every=5))
        errors = face_measures.landmark_errors(wide, motion, 21, tracker, 5) * 100
        rows.append(
            Row(f"landmarks between detections, {name}: mean, worst",
                f"{errors.mean():.2f} %, {errors.max():.2f} %", "<= 1 % of the eye distance",
                bool(errors.max() <= 1.0))
        )  # fmt: skip
    return rows


def still_face() -> list[Row]:
    """A still face in camera noise, and one that jumps."""
    head = face_scenes.heads(SHARED / "media", yunet())["mona_lisa"]
    detector, tracker = yunet(), FaceTracker(yunet(), TrackingSettings())
    raw, smooth = [], []
    for n, image in enumerate(face_scenes.still(head, 90)):
        raw.append(max(detector.detect(image), key=lambda face: face.area).landmarks)
        smooth.append(tracker.update(image, n / 30)[0].face.landmarks)
    before, after = face_measures.jitter(raw[15:]), face_measures.jitter(smooth[15:])
    ratio = before.step / after.step
    lag = max(_lag(head, jump) for jump in (10.0, 60.0, 300.0))
    return [
        Row("jitter of a still noisy face, raw detections against tracked", f"{ratio:.1f}x lower",
            ">= 5x", ratio >= 5),
        Row("lag on a step of 10, 60, 300 px", f"{lag} frames", "<= 1", lag <= 1),
    ]  # fmt: skip


def _lag(head: face_scenes.Head, jump: float) -> int:
    """Frames until a face that jumped is where it stays, within 2 % of the eye distance."""
    tracker = FaceTracker(yunet(), TrackingSettings(detect_every=30))
    middles = [
        tracker.update(image, n / 30)[0].face.landmarks.mean(axis=0)
        for n, image in enumerate(face_scenes.still(head, 20, jump=jump))
    ]
    there = [bool(np.abs(at - middles[-1]).max() < 1.6) for at in middles[10:]]
    return there.index(True)


def who_is_who(quick: bool) -> list[Row]:
    """Crossings, exits and entries, told by looks alone; frames of one face."""
    people = face_scenes.heads(SHARED / "media", yunet())
    scenes = [
        face_scenes.crossing(people, "six2", "six3"),
        face_scenes.crossing(people, "smiler", "actor"),
        face_scenes.meeting(people, "idler", "talker"),
        face_scenes.relay(people, "six1", "six4"),
        face_scenes.cut(people, "actor", "smiler"),
        face_scenes.portrait(people, "mona_lisa", "six2"),
    ]
    count = face_measures.Count()
    for scene in scenes[:: 3 if quick else 1]:
        count += face_measures.count_wrong(scene, FaceTracker(yunet(), TrackingSettings()))
    return [
        Row(f"wrong faces in {len(scenes[:: 3 if quick else 1])} scenes of two people (of "
            f"{count.seen} faces)", str(count.wrong), "0", count.wrong == 0),
        Row("  faces not there although in view", str(count.absent)),
    ]  # fmt: skip


class _Blinking:
    """Shuts the detector's eyes for the frames named."""

    def __init__(self, blind: range) -> None:
        self._detector = yunet()
        self._blind = blind
        self.frame = -1

    def detect(self, image: Image) -> list[Any]:
        return [] if self.frame in self._blind else self._detector.detect(image)


def drop_outs(starts: int) -> list[Row]:
    """The detector misses a face for one, two and three frames, at different moments."""
    pictures = clip(starts + 8)
    unswapped = shown = 0
    for missed in (1, 2, 3):
        for start in range(2, 2 + starts):
            swap = control(detect_every=1, mark=False)
            processor = swap.factories()["face_swap"]()
            assert isinstance(processor, FaceSwap)
            blinking = _Blinking(range(start, start + missed))
            processor._tracker._detector = blinking
            for number, image in enumerate(pictures[: start + missed + 3]):
                blinking.frame = number
                after = processor.process(frames_of(image, first=number))[0]
                shown += 1
                put = [person.source for person in swap.state.people] == [0]
                unswapped += not put or np.array_equal(after, image)
            processor.close()
    return [
        Row(f"frames shown unswapped, drop-outs of 1 to 3 frames (of {shown})", str(unswapped),
            "0", unswapped == 0)
    ]  # fmt: skip


def warp_on_one_core(seconds: int) -> list[Row]:
    """The camera clip with Mona Lisa's face, through the pipeline, everything on one core."""
    pictures = clip(180)

    def make(number: int) -> Image:
        return pictures[number % len(pictures)].copy()

    settings = PipelineSettings(display=AT_ONCE)
    with one_core():
        # Pinned before it starts: threads take the affinity of the one that makes them.
        began, cpu = time.perf_counter(), time.process_time()
        fast = run_pipeline(RateSource(30 * seconds, None, make=make), _chain(), settings)
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        live = run_pipeline(RateSource(30 * seconds, 30.0, make=make), _chain(), PipelineSettings())
    rate, late = len(fast.rows) / wall, percentile(live.latencies(), 95) * 1e3
    steady = len(live.intervals()) / sum(live.intervals())
    return [
        Row("warp with YuNet, 1280x720 clip, one core, as fast as it goes",
            f"{rate:.0f} fps, {len(fast.rows) / cpu:.0f} of CPU time", ">= 20 fps",
            rate >= 20),
        Row("  live at 30 fps: shown, latency p95", f"{steady:.1f} fps, {late:.0f} ms",
            "<= 150 ms", late <= 150),
    ]  # fmt: skip


def _chain(swap: SwapControl | None = None) -> Chain:
    context = ProcessorContext(swap=swap or control())
    return build_chain(["face_swap"], processor_factories(ProcessorSettings(), context))


def against_the_bare_model(count: int) -> list[Row]:
    """The pipeline's rate with a swap model of fixed cost, against that of the model alone.

    inswapper_128 takes about a second on one CPU core and some milliseconds on a GPU. The faster
    the model, the more tracking and pasting count, as they do not overlap with it.
    """
    rows = []
    for layers in (100, 16, 2):
        runs = [_share_of_model(layers, max(count // 3, 12)) for _ in range(3)]
        cost, ratio = (statistics.median(values) for values in zip(*runs, strict=True))
        rows.append(
            Row(f"pipeline against a bare swap model of {cost:.0f} ms a face", f"{ratio:.2f}",
                ">= 0.9", ratio >= 0.9)
        )  # fmt: skip
    return rows


def _share_of_model(layers: int, count: int) -> tuple[float, float]:
    """Milliseconds of one call of the model alone, and the part of the pipeline's time it is."""
    pictures = clip(60)
    feeds = {
        "target": np.zeros((1, 3, 128, 128), np.float32),
        "source": np.zeros((1, 512), np.float32),
    }
    with tempfile.TemporaryDirectory() as folder:
        models = random_models(Path(folder), lambda path: costly_swapper(path, layers))
        chain = _chain(control(models, model="random_swap", recognition="random_faces"))
        session = models.session("random_swap", "model", batched=True)
        chain.apply(frames_of(pictures[0], 3))

        def alone() -> float:
            calls = max(5, count // 3)
            began = time.perf_counter()
            for _ in range(calls):
                session.run(feeds)
            return (time.perf_counter() - began) / calls * 1e3

        before = alone()
        source = RateSource(count, None, make=lambda n: pictures[n % len(pictures)].copy())
        meter = run_pipeline(source, chain, PipelineSettings(display=AT_ONCE))
        shown = [at for _, _, at in meter.rows]
        after = alone()
    each = (shown[-1] - shown[0]) / (len(shown) - 1) * 1e3
    cost = (before + after) / 2
    return cost, cost / each


def on_cuda(count: int) -> list[Row]:
    """1920x1080 with models of random weights on a GPU, where there is one."""
    try:
        import onnxruntime
    except ImportError:
        return [Row("on CUDA", "not measured: onnxruntime is missing")]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return [Row("on CUDA", "not measured: no CUDA provider here")]
    six = np.asarray(cv2.imread(str(FACES / "six_people.jpg")), np.uint8)
    crowd = np.asarray(cv2.resize(np.hstack([six, six[:, :400]]), (1920, 1080)), np.uint8)
    person = np.asarray(cv2.resize(clip(1)[0], (1920, 1080)), np.uint8)
    rows = [_cuda_rate("one face", person, count, "aim: 240 fps", 1)]
    rows += [_cuda_rate("all of a crowd", crowd, count, "aim: 60 fps", 1)]
    rows += [_cuda_rate("one face, batches of 16", person, count, "aim: 3x that of 1", 16)]
    return [*rows, _cuda_rate("one face, without IO binding", person, count, "", 1, False)]


def _cuda_rate(
    what: str, image: Image, count: int, aim: str, batch: int, io_binding: bool = True
) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        models = random_models(
            Path(folder), lambda path: costly_swapper(path, 16), "cuda", io_binding
        )
        swap = control(models, model="random_swap", recognition="random_faces", selection="all")
        source = RateSource(count, None, make=lambda n: image.copy())
        settings = PipelineSettings(display=AT_ONCE, batch_size=batch)
        chain = _chain(swap)
        chain.apply(frames_of(image))
        began = time.perf_counter()
        meter = run_pipeline(source, chain, settings)
        rate = len(meter.rows) / (time.perf_counter() - began)
        faces = len(swap.state.people)
    return Row(f"CUDA, 1920x1080, {what} ({faces} faces)", f"{rate:.0f} fps", aim)
