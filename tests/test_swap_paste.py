"""Paste-back: as insightface does it, only where the face is, whatever its size and place."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from processors.faces.align import align, arcface_template, transformed
from processors.swap.geometry import cut, ffhq_template, fitted, scaled, shrunk, usable
from processors.swap.masks import box_mask
from processors.swap.paste import paste
from tests.contract_graphs import inswapper_128
from tests.swap_fakes import face_at, psnr, texture, unit

FULL = np.full((128, 128), 255, np.uint8)


class _Answers:
    """A session of onnxruntime that always gives the same picture."""

    def __init__(self, bgr: Any) -> None:
        self._blob = bgr[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255

    def get_inputs(self) -> list[Any]:
        return [
            SimpleNamespace(name="target", shape=[1, 3, 128, 128]),
            SimpleNamespace(name="source", shape=[1, 512]),
        ]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="output", shape=[1, 3, 128, 128])]

    def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        return [self._blob]


@pytest.mark.filterwarnings("ignore:.*estimate:FutureWarning")
@pytest.mark.parametrize("degrees", [0.0, 12.0, -35.0])
def test_the_interior_is_that_of_insightfaces_own_paste_back(
    tmp_path: Path, degrees: float
) -> None:
    theirs = pytest.importorskip(
        "insightface.model_zoo.inswapper", reason="insightface is missing"
    ).INSwapper
    frame, new = texture(1080, 1920, 1), texture(128, 128, 2, blur=2)
    face = face_at(960, 540, 400, degrees)
    swapper = theirs(str(inswapper_128(tmp_path / "swap.onnx")), _Answers(new))
    them = swapper.get(
        frame.copy(),
        SimpleNamespace(kps=face.landmarks),
        SimpleNamespace(normed_embedding=unit()),
        paste_back=True,
    )
    transform = align(face.landmarks, 128)
    us = frame.copy()
    assert paste(us, new, transform, box_mask(0.08))
    # Their soft edge is about 15 % of the crop wide.
    rows, columns = np.mgrid[0:1080, 0:1920]
    inside = transformed(np.stack([columns.ravel(), rows.ravel()], axis=1), transform)
    interior = ((inside > 24) & (inside < 104)).all(axis=1).reshape(1080, 1920)
    assert interior.sum() > 50_000
    assert psnr(us[interior], frame[interior]) < 20
    assert psnr(us[interior], them[interior]) >= 40


def test_outside_the_mask_not_a_bit_changes_and_inside_it_all_is_new() -> None:
    frame = np.full((200, 300, 3), 50, np.uint8)
    mask = np.zeros((128, 128), np.uint8)
    mask[:, :64] = 255
    transform = np.array([[1.0, 0, -100], [0, 1.0, -30]])
    assert paste(frame, np.full((128, 128, 3), 201, np.uint8), transform, mask)
    assert (frame[30:158, 100:164] == 201).all()
    frame[30:158, 100:164] = 50
    assert (frame == 50).all()


def test_a_half_opaque_mask_mixes_within_one_level() -> None:
    frame, crop = texture(128, 128, 1), texture(128, 128, 2)
    before = frame.copy()
    paste(frame, crop, np.eye(2, 3), np.full((128, 128), 102, np.uint8))
    wanted = before * 0.6 + crop * 0.4
    assert np.abs(frame - wanted).max() <= 1.01


def test_a_crop_put_back_where_it_came_from_changes_nothing() -> None:
    frame = texture(400, 600, 3, blur=6)
    transform = align(face_at(300, 200, 220, 20).landmarks, 256)
    crop = cut(frame, transform, 256)
    pasted = frame.copy()
    paste(pasted, crop, transform, box_mask(0.1))
    assert psnr(pasted, frame) > 45
    assert np.abs(pasted.astype(int) - frame).max() <= 10


@pytest.mark.parametrize(
    ("x", "y", "side", "expected"),
    [
        (0, 0, 200, True),
        (299, 100, 200, True),
        (150, 199, 260, True),
        (150, 100, 16, True),
        (150, 100, 4, True),
        (150, 100, 2000, True),
        (-300, 100, 200, False),
        (150, 900, 200, False),
    ],
)
@pytest.mark.parametrize("size", [128, 512])
def test_any_place_and_size(x: float, y: float, side: float, expected: bool, size: int) -> None:
    frame = np.full((200, 300, 3), 40, np.uint8)
    crop = np.full((size, size, 3), 200, np.uint8)
    transform = align(face_at(x, y, side, 15).landmarks, size)
    assert paste(frame, crop, transform, box_mask(0.08)) is expected
    assert (int(frame.max()) > 150) is expected
    rows, columns = np.nonzero((frame != 40).any(axis=2))
    if expected:
        reach = side * 0.75 + 2
        assert columns.min() >= x - reach
        assert columns.max() <= x + reach
        assert rows.min() >= y - reach
        assert rows.max() <= y + reach
    if size == 128 and side == 2000:
        assert (frame == 200).all()


def test_a_large_crop_on_a_small_face_is_averaged_not_sampled() -> None:
    crop = np.zeros((512, 512, 3), np.uint8)
    crop[::2, ::2] = crop[1::2, 1::2] = 255
    frame = np.zeros((64, 64, 3), np.uint8)
    paste(frame, crop, align(face_at(32, 32, 40).landmarks, 512), FULL)
    middle = frame[24:40, 24:40]
    assert np.abs(middle.astype(int) - 127).max() <= 3


def test_an_empty_mask_and_wild_transforms_change_nothing() -> None:
    frame = texture(100, 100)
    before, crop = frame.copy(), texture(128, 128, 1)
    assert not paste(frame, crop, np.eye(2, 3), np.zeros((128, 128), np.uint8))
    assert not paste(frame, crop, np.array([[1.0, 0, np.nan], [0, 1, 0]]), FULL)
    assert (frame == before).all()


def test_a_view_of_a_larger_picture_is_written_in_place() -> None:
    whole = np.zeros((200, 400, 3), np.uint8)
    paste(whole[:, 100:300], np.full((128, 128, 3), 90, np.uint8), np.eye(2, 3), FULL)
    assert (whole[:128, 100:228] == 90).all()
    assert (whole[:, :100] == 0).all()


def test_cut_equals_a_plain_warp_up_to_twice_the_crop_and_averages_beyond() -> None:
    frame = texture(500, 500, 5)
    near = align(face_at(250, 250, 240, 10).landmarks, 128)
    assert (cut(frame, near, 128) == cv2.warpAffine(frame, near, (128, 128))).all()
    checks = np.zeros((600, 600, 3), np.uint8)
    checks[::2, ::2] = checks[1::2, 1::2] = 255
    far = align(face_at(300, 300, 512).landmarks, 128)
    assert np.abs(cut(checks, far, 128)[8:-8, 8:-8].astype(int) - 127).max() <= 2


def test_cut_keeps_the_landmarks_in_place_when_it_averages() -> None:
    frame = np.zeros((1200, 1200, 3), np.uint8)
    face = face_at(611, 587, 900, 9)
    for x, y in face.landmarks:
        cv2.circle(frame, (round(float(x)), round(float(y))), 20, (255, 255, 255), -1)
    crop = cut(frame, align(face.landmarks, 128), 128)[..., 0]
    _, _, _, centres = cv2.connectedComponentsWithStats((crop > 127).astype(np.uint8))
    for point in arcface_template(128):
        assert np.linalg.norm(centres[1:] - point, axis=1).min() < 0.5


def test_shrinking_keeps_corners_on_corners() -> None:
    transform = align(face_at(50, 60, 100, 5).landmarks, 512)
    _, small = shrunk(np.zeros((512, 512, 3), np.uint8), transform, 4)
    wanted = (transformed([[50, 60]], transform) + 0.5) / 4 - 0.5
    assert np.allclose(transformed([[50, 60]], small), wanted, atol=1e-3)
    assert np.allclose(scaled(transform, 0.25), small)


def test_landmarks_in_one_place_are_no_face() -> None:
    assert not usable(np.full((5, 2), 7, np.float32))
    assert not usable(np.full((5, 2), np.nan, np.float32))
    with pytest.raises(Exception, match="all in one place"):
        fitted(np.full((5, 2), 7, np.float32), ffhq_template(512))
