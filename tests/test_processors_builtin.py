"""Mirror, overlay, anonymise, background blur, and finding them by name."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import MissingDependency
from engine.pipeline.frame import Frame, Image
from engine.pipeline.settings import AnonymiseSettings, ProcessorSettings
from engine.pipeline.statistics import Latency, Snapshot
from processors.anonymise import Anonymise
from processors.background_blur import BackgroundBlur, load_matting
from processors.basic import Mirror, NoProcessor
from processors.chain import Chain
from processors.face_hold import FaceHold
from processors.faces.detector import DetectionFailed
from processors.faces.face import Face
from processors.faces.yunet import YuNet
from processors.models.files import ModelNotFound
from processors.models.library import ModelLibrary
from processors.models.nvml import Nvml
from processors.overlay import Overlay, describe
from processors.registry import (
    ProcessorContext,
    UnknownProcessor,
    build_chain,
    build_processor,
    processor_factories,
)
from tests.pipeline_fakes import FakeClock, FunctionProcessor, make_frame, picture

SHARED = Path(__file__).resolve().parents[2] / "shared"
YUNET = SHARED / "models" / "yunet_n_dynamic.onnx"


@pytest.fixture(scope="module")
def models() -> Path:
    """The folder of real models."""
    if not YUNET.is_file():
        pytest.skip(f"no face detector: {YUNET} does not exist")
    return YUNET.parent


def textured(width: int = 200, height: int = 160) -> Image:
    return np.random.default_rng(4).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_none_and_mirror() -> None:
    image = textured()
    assert NoProcessor().process([make_frame(0, image=image)])[0] is image
    mirrored = Mirror().process([make_frame(0, image=image)])[0]
    assert np.array_equal(mirrored, image[:, ::-1])


def scripted(answers: Sequence[Sequence[Face] | Exception]) -> Callable[[Image], Sequence[Face]]:
    remaining = iter(answers)

    def detect(image: Image) -> Sequence[Face]:
        answer = next(remaining)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return detect


def face_at(x: float, y: float, width: float, height: float) -> Face:
    """A face whose landmarks lie where they usually do."""
    box = np.array([x, y, x + width, y + height], np.float32)
    parts = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    return Face(box, box[:2] + parts * np.array([width, height], np.float32), 0.9)


FACE = face_at(80, 60, 40, 50)


def unrecognisable(before: Image, after: Image, face: Face) -> bool:
    """Every fine detail inside the face's box has gone."""
    left, top, right, bottom = (int(value) for value in face.box)
    box = (slice(top, bottom), slice(left, right))
    first, second = before[box].astype(float), after[box].astype(float)
    correlation = np.corrcoef((first - first.mean()).ravel(), (second - second.mean()).ravel())
    return bool(abs(correlation[0, 1]) < 0.35) and not np.array_equal(first, second)


def detail(image: Image, face: Face) -> float:
    """The energy of the fine structure inside the face's box."""
    left, top, right, bottom = (max(0, int(value)) for value in face.box)
    part = image[top:bottom, left:right]
    return float(cv2.Laplacian(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), cv2.CV_64F).var())


@pytest.mark.parametrize("effect", ["blur", "pixelate"])
def test_a_face_is_hidden_whole_and_the_rest_is_left(effect: str) -> None:
    before = textured()
    settings = AnonymiseSettings.model_validate({"effect": effect})
    after = Anonymise(scripted([[FACE]]), settings).process([make_frame(0, image=before.copy())])[0]
    assert unrecognisable(before, after, FACE)
    changed = (before != after).any(axis=2)
    assert changed[60:110, 80:120].mean() > 0.98
    assert not changed[:40].any()
    assert not changed[:, :55].any()


@pytest.mark.parametrize(
    "face",
    [
        face_at(-30, -20, 60, 60),
        face_at(180, 140, 90, 90),
        face_at(-500, 0, 40, 40),
        face_at(5, 5, 0, 0),
    ],
)
def test_faces_at_and_beyond_the_edge(face: Face) -> None:
    image = Anonymise(scripted([[face]]), AnonymiseSettings()).process(
        [make_frame(0, image=textured())]
    )[0]
    assert image.shape == (160, 200, 3)


def test_a_lost_face_stays_hidden_for_a_while_and_no_longer() -> None:
    answers: list[list[Face]] = [[FACE], *[[]] * 30]
    anonymise = Anonymise(scripted(answers), AnonymiseSettings(hold_s=0.5))
    hidden = []
    for n in range(31):
        before = textured()
        after = anonymise.process([make_frame(n, n / 30, before.copy())])[0]
        hidden.append(unrecognisable(before, after, FACE))
    assert all(hidden[:16])
    assert not any(hidden[17:])


def test_a_moving_face_replaces_its_memory_and_a_second_one_is_kept() -> None:
    hold = FaceHold(1.0)
    moved = face_at(8, 0, 40, 40)
    hold.update([face_at(0, 0, 40, 40), face_at(200, 0, 40, 40)], 0.0)
    now = hold.update([moved], 0.1)
    assert len(now) == 2
    assert now[0] is moved
    assert now[1].box[0] < 200
    assert now[1].box[2] - now[1].box[0] > 40
    assert hold.update([], 1.05) != []
    assert hold.update([], 1.2) == []


def test_a_picture_that_could_not_be_looked_at_is_never_shown() -> None:
    answers: list[Sequence[Face] | Exception] = [[FACE], RuntimeError("lost the GPU"), [FACE]]
    chain = Chain([Anonymise(scripted(answers), AnonymiseSettings())], bypass_after=1)
    results = [chain.apply([make_frame(n, n / 30, textured())]) for n in range(3)]
    assert [len(frames) for frames in results] == [1, 0, 1]


def test_a_failure_withholds_its_whole_batch() -> None:
    answers: list[Sequence[Face] | Exception] = [[FACE], DetectionFailed("not numbers")]
    chain = Chain([Anonymise(scripted(answers), AnonymiseSettings())])
    assert chain.apply([make_frame(0, image=textured()), make_frame(1, image=textured())]) == []


def test_six_real_faces_are_found_and_hidden(models: Path, media: Path) -> None:
    image = cv2.imread(str(media / "faces" / "six_people.jpg"))
    assert image is not None
    before = np.asarray(image, np.uint8)
    detector = YuNet(models / YUNET.name, 640, 0.5)
    faces = detector.detect(before)
    assert len(faces) == 6
    after = Anonymise(detector.detect, AnonymiseSettings()).process(
        [make_frame(0, image=before.copy())]
    )[0]
    for face in faces:
        assert detail(after, face) < 0.02 * detail(before, face)


def test_no_face_is_found_in_a_cup_of_coffee(models: Path, media: Path) -> None:
    image = np.asarray(cv2.imread(str(media / "faces" / "no_face_coffee.png")), np.uint8)
    assert YuNet(models / YUNET.name, 640, 0.5).detect(image) == []


@pytest.mark.parametrize("size", [(640, 480), (333, 77), (31, 47), (1, 1), (1281, 723)])
def test_the_detector_takes_any_size_and_changes_of_size(
    models: Path, size: tuple[int, int]
) -> None:
    detector = YuNet(models / YUNET.name, 640, 0.5)
    assert detector.detect(np.zeros((size[1], size[0], 3), np.uint8)) == []
    assert detector.detect(np.zeros((64, 64, 3), np.uint8)) == []


def test_boxes_are_in_pixels_of_the_whole_picture(models: Path, media: Path) -> None:
    image = np.asarray(cv2.imread(str(media / "faces" / "einstein.jpg")), np.uint8)
    large = np.asarray(cv2.resize(image, None, fx=2, fy=2), np.uint8)
    small_face = YuNet(models / YUNET.name, 320, 0.5).detect(image)[0]
    large_face = YuNet(models / YUNET.name, 320, 0.5).detect(large)[0]
    assert large_face.box[0] == pytest.approx(2 * small_face.box[0], abs=0.02 * large.shape[1])
    assert large_face.area == pytest.approx(4 * small_face.area, rel=0.2)


READING = Snapshot(
    capture_fps=30.0,
    process_fps=29.5,
    display_fps=30.0,
    dropped={"input": 3, "display": 2},
    batch_size=4,
    batch_mean=1.5,
    latency={"end_to_end": Latency(41.2, 55.7, 80.0)},
    faults={"swap": 7},
    bypassed=("swap",),
    problem="camera:0 was lost",
)


def test_the_overlay_says_what_it_should() -> None:
    lines = describe(READING, (3 << 30, 24 << 30))
    assert lines == [
        "capture  30.0  process  29.5  display  30.0 fps",
        "latency 41 ms, p95 56 ms",
        "batch 1.5 of 4  dropped 5",
        "GPU 3.0 of 24.0 GiB",
        "swap failed 7x",
        "swap left out",
        "camera:0 was lost",
    ]
    assert not any("GPU" in line for line in describe(READING, None))


def test_the_overlay_draws_into_its_corner_and_refreshes_four_times_a_second() -> None:
    clock = FakeClock()
    readings = 0

    def snapshot() -> Snapshot:
        nonlocal readings
        readings += 1
        return READING

    overlay = Overlay(snapshot, lambda: None, clock)
    for _ in range(10):
        image = overlay.process([make_frame(0, image=picture(1280, 720, 100))])[0]
        clock.advance(0.05)
    assert readings == 2
    changed = (image != 100).any(axis=2)
    assert changed[:60, :200].mean() > 0.98
    assert not changed[400:].any()
    assert image[:200, :600].max() > 220


@pytest.mark.parametrize("size", [(16, 8), (1, 1), (319, 241)])
def test_the_overlay_fits_any_picture(size: tuple[int, int]) -> None:
    overlay = Overlay(lambda: READING, lambda: None, FakeClock())
    assert overlay.process([make_frame(0, image=picture(*size))])[0].shape[:2] == size[::-1]


def test_the_background_is_blurred_and_the_person_is_not() -> None:
    before = textured()
    alpha = np.zeros((160, 200), np.float32)
    alpha[:, :100] = 1.0
    after = BackgroundBlur(lambda _: alpha, 0.04).process([make_frame(0, image=before)])[0]
    assert np.abs(after[:, :100].astype(int) - before[:, :100]).max() <= 1
    assert after[:, 100:].std() < 0.3 * before[:, 100:].std()


def test_a_matte_that_is_no_number_withholds_the_picture() -> None:
    broken = BackgroundBlur(lambda _: np.full((160, 200), np.nan, np.float32), 0.04)
    assert Chain([broken]).apply([make_frame(0, image=textured())]) == []


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "modnet.onnx").write_bytes(b"no model")
    with pytest.raises(MissingDependency, match="cannot be loaded"):
        load_matting(tmp_path / "modnet.onnx", 64)


def test_no_gpu_gives_no_reading() -> None:
    driver = Nvml("no-such-library.so")
    assert (driver.count(), driver.read(0)) == (0, None)


def test_every_name_is_built(models: Path) -> None:
    settings = ProcessorSettings()
    context = ProcessorContext(library=ModelLibrary([models]))
    for name in ("none", "mirror", "anonymise", "overlay"):
        processor = build_processor(name, settings, context)
        assert processor.name == name
        processor.close()


def test_missing_models_say_where_they_belong(tmp_path: Path) -> None:
    settings = ProcessorSettings()
    context = ProcessorContext(library=ModelLibrary([tmp_path]))
    with pytest.raises(ModelNotFound, match="models pull yunet"):
        build_processor("anonymise", settings, context)
    with pytest.raises(MissingDependency, match=r"matting model.*modnet\.onnx"):
        build_processor("background_blur", settings, context)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownProcessor, match="Did you mean mirror"):
        build_processor("miror", ProcessorSettings())


def test_a_chain_that_cannot_be_built_closes_what_was_made() -> None:
    first = FunctionProcessor(lambda frames: [frame.image for frame in frames])
    factories = {
        **processor_factories(ProcessorSettings(), ProcessorContext()),
        "own": lambda: first,
    }
    with pytest.raises(UnknownProcessor):
        build_chain(["own", "nothing"], factories)
    assert first.closed
    assert build_chain(["none", "mirror"], factories).names == ("none", "mirror")


def test_frames_are_processed_in_a_batch() -> None:
    frames: list[Frame] = [make_frame(n, image=textured()) for n in range(3)]
    assert len(Mirror().process(frames)) == 3
