"""The enhancer works beside the stream, and the mark is readable."""

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from engine.pipeline.frame import Image
from processors.swap.backend import SwapJob
from processors.swap.enhancer import Enhancer, NotAnEnhancer
from processors.swap.marking import Mark
from tests.swap_fakes import Tensor, echo, face_at, psnr, source_face, texture

Array = npt.NDArray[Any]
WAIT_S = 10.0


class SlowModel:
    """Brightens by 20 levels; waits at a gate and says when it has been reached."""

    inputs = (Tensor("input", (1, 3, 512, 512)),)
    outputs = (Tensor("output", (1, 3, 512, 512)),)

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.reached = threading.Semaphore(0)
        self.calls = 0
        self.threads: set[str] = set()
        self.error: Exception | None = None

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        self.calls += 1
        self.threads.add(threading.current_thread().name)
        self.reached.release()
        assert self.gate.wait(WAIT_S)
        if self.error is not None:
            raise self.error
        assert feeds["input"].min() >= -1
        assert feeds["input"].max() <= 1
        assert feeds["input"].dtype == np.float32
        return [feeds["input"] + np.float32(20 / 127.5)]


@pytest.fixture
def model() -> SlowModel:
    return SlowModel()


@pytest.fixture
def enhancer(model: SlowModel) -> Iterator[Enhancer]:
    made = Enhancer(model, every=3)
    yield made
    model.gate.set()
    assert made.close()


def _picture() -> Image:
    return (texture(400, 500, 1, blur=8) // 2 + 50).astype(np.uint8)


def _job(image: Image, x: float = 250, track: int | None = 0) -> SwapJob:
    return SwapJob(image, face_at(x, 200, 200), source_face(), track)


def test_frames_go_on_while_the_model_works(enhancer: Enhancer, model: SlowModel) -> None:
    original = _picture()
    for _ in range(20):
        frame = original.copy()
        enhancer.apply([_job(frame)])
        assert (frame == original).all()
    assert model.reached.acquire(timeout=WAIT_S)
    # One is being worked on, at most one waits, the rest was never handed over.
    assert model.calls == 1
    model.gate.set()
    assert enhancer.settle(WAIT_S)
    assert model.calls == 2
    assert model.threads == {"face-enhancer"}
    frame = original.copy()
    enhancer.apply([_job(frame)])
    assert 18 <= int(frame[200, 250, 0]) - int(original[200, 250, 0]) <= 21
    assert (frame[:, :60] == original[:, :60]).all()


def test_every_third_frame_of_a_face_is_handed_over(enhancer: Enhancer, model: SlowModel) -> None:
    model.gate.set()
    for _ in range(9):
        enhancer.apply([_job(_picture())])
        assert enhancer.settle(WAIT_S)
    assert model.calls == 3


def test_the_change_moves_with_the_face(enhancer: Enhancer, model: SlowModel) -> None:
    model.gate.set()
    original = _picture()
    enhancer.apply([_job(original.copy())])
    assert enhancer.settle(WAIT_S)
    moved = np.roll(original, 60, axis=1)
    frame = moved.copy()
    enhancer.apply([_job(frame, 310)])
    assert 18 <= int(frame[200, 310, 0]) - int(moved[200, 310, 0]) <= 21
    assert (frame[:, :120] == moved[:, :120]).all()


def test_what_looks_different_by_now_is_left_alone(enhancer: Enhancer, model: SlowModel) -> None:
    model.gate.set()
    original = _picture()
    enhancer.apply([_job(original.copy())])
    assert enhancer.settle(WAIT_S)
    mouth = original.copy()
    cv2.circle(mouth, (250, 250), 25, (0, 0, 160), -1)
    frame = mouth.copy()
    enhancer.apply([_job(frame)])
    assert np.abs(frame[250, 250].astype(int) - mouth[250, 250]).max() <= 1
    assert int(frame[150, 250, 0]) - int(mouth[150, 250, 0]) >= 15


def test_each_face_has_its_own_and_strangers_have_none(
    enhancer: Enhancer, model: SlowModel
) -> None:
    model.gate.set()
    original = _picture()
    for _ in range(2):
        enhancer.apply([_job(original.copy(), 130, 4), _job(original.copy(), 370, 9)])
        assert enhancer.settle(WAIT_S)
    assert model.calls == 2
    frame = original.copy()
    enhancer.apply([_job(frame, 130, 4), _job(frame, 370, 9)])
    assert int(frame[200, 130, 0]) > int(original[200, 130, 0]) + 10
    assert int(frame[200, 370, 0]) > int(original[200, 370, 0]) + 10
    frame = original.copy()
    enhancer.apply([_job(frame, 130, 77), _job(frame, 370, None)])
    assert (frame == original).all()


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_strength(enhancer: Enhancer, model: SlowModel, strength: float) -> None:
    model.gate.set()
    enhancer.apply([_job(_picture())])
    assert enhancer.settle(WAIT_S)
    enhancer.strength = strength
    frame = _picture()
    enhancer.apply([_job(frame)])
    gained = int(frame[200, 250, 0]) - int(_picture()[200, 250, 0])
    assert abs(gained - 20 * strength) <= 2


def test_a_model_that_keeps_failing_is_left_alone(enhancer: Enhancer, model: SlowModel) -> None:
    model.gate.set()
    model.error = RuntimeError("no memory left")
    for _ in range(30):
        frame = _picture()
        enhancer.apply([_job(frame)])
        assert enhancer.settle(WAIT_S)
        assert (frame == _picture()).all()
    assert model.calls == 3
    assert enhancer.problem is not None
    assert "no memory left" in enhancer.problem


def test_closing_in_the_middle_of_a_call_ends_the_thread(model: SlowModel) -> None:
    enhancer = Enhancer(model, every=1)
    enhancer.apply([_job(_picture())])
    assert model.reached.acquire(timeout=WAIT_S)
    enhancer.apply([_job(_picture())])
    assert not enhancer.close(timeout_s=0.01)
    model.gate.set()
    assert enhancer.close(WAIT_S)
    assert model.calls == 1
    enhancer.apply([_job(_picture())])
    assert model.calls == 1


def test_other_models_are_refused() -> None:
    with pytest.raises(NotAnEnhancer, match="GFPGAN"):
        Enhancer(echo())


@pytest.mark.parametrize("corner", ["top_left", "top_right", "bottom_left", "bottom_right"])
@pytest.mark.parametrize("background", [0, 128, 255])
def test_the_mark_is_in_its_corner_and_stands_out(corner: Any, background: int) -> None:
    image = np.full((720, 1280, 3), background, np.uint8)
    Mark(corner).apply(image)
    rows, columns = np.nonzero((image != background).any(axis=2))
    assert bool(rows.max() < 100) is corner.startswith("top")
    assert bool(rows.min() > 620) is corner.startswith("bottom")
    assert bool(columns.max() < 150) is corner.endswith("left")
    assert bool(columns.min() > 1130) is corner.endswith("right")
    assert 30 <= rows.max() - rows.min() + 1 <= 36
    part = image[rows.min() : rows.max(), columns.min() : columns.max()].astype(int)
    assert part.max() == 255
    inner = part[8:-8, 8:-8]
    assert inner.max() - np.median(inner) > 150


def test_the_mark_grows_with_the_picture_and_fits_into_tiny_ones() -> None:
    heights = []
    for size in ((360, 640), (1080, 1920)):
        image = np.zeros((*size, 3), np.uint8)
        Mark(size=0.06).apply(image)
        heights.append(np.ptp(np.nonzero(image.any(axis=2))[0]))
    assert heights[1] / heights[0] == pytest.approx(3, rel=0.1)
    for size in ((10, 10), (3, 40), (40, 3), (1, 1)):
        image = np.zeros((*size, 3), np.uint8)
        Mark().apply(image)
        assert image.shape == (*size, 3)
        assert size == (1, 1) or image.any()
    assert psnr(np.zeros(3), np.zeros(3)) > 60
