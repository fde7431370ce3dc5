"""Masks and colour."""

import cv2
import numpy as np
import pytest

from processors.faces.align import arcface_template
from processors.swap.colour import match_shading, match_statistics
from processors.swap.masks import (
    SIDE,
    Look,
    Masks,
    both,
    box_mask,
    face_outline,
    hull_mask,
    mouth_mask,
)
from tests.swap_fakes import texture

FIVE = (arcface_template(128) / 128).astype(np.float32)


def _contour() -> np.ndarray:
    """106 points: the lips in their place, everything else on a circle."""
    turns = np.linspace(0, 2 * np.pi, 106, endpoint=False)
    points = 0.55 + 0.3 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    lips = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    points[52:72, 0] = 0.5 + 0.1 * np.cos(lips)
    points[52:72, 1] = 0.75 + 0.06 * np.sin(lips)
    return points.astype(np.float32)


def _at(mask: np.ndarray, x: float, y: float) -> int:
    return int(mask[int(y * SIDE), int(x * SIDE)])


@pytest.mark.parametrize("feather", [0.0, 0.05, 0.1, 0.2])
def test_a_box_is_full_inside_and_nothing_at_the_rim(feather: float) -> None:
    mask = box_mask(feather)
    assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0
    assert _at(mask, 0.5, 0.5) == 255
    steps = np.abs(np.diff(mask[SIDE // 2].astype(int))).max()
    assert steps <= 255 if feather == 0 else steps < 20 / feather / 2


def test_the_outline_holds_eyes_and_mouth_but_not_the_corners_of_the_crop() -> None:
    mask = hull_mask(face_outline(FIVE, None), 0.05)
    for x, y in FIVE:
        assert _at(mask, x, y) > 200
    for x, y in ((0.05, 0.05), (0.95, 0.05), (0.05, 0.95), (0.95, 0.95)):
        assert _at(mask, x, y) == 0


def test_the_contour_decides_below_the_brows() -> None:
    narrow = _contour()
    narrow[:33, 0] = 0.5 + (narrow[:33, 0] - 0.5) * 0.1
    wide = hull_mask(face_outline(FIVE, _contour()), 0.03).astype(int).sum()
    assert hull_mask(face_outline(FIVE, narrow), 0.03).astype(int).sum() < wide


def test_the_mouth_is_where_the_landmarks_say_and_moves_with_them() -> None:
    mask = mouth_mask(FIVE, None, 0.05)
    middle = FIVE[3:].mean(axis=0)
    assert _at(mask, *middle) == 255
    assert _at(mask, *FIVE[2]) < 60
    assert _at(mask, *FIVE[0]) == 0
    moved = mouth_mask(FIVE + np.float32([0.1, 0]), None, 0.05)
    assert _at(moved, middle[0] + 0.1, middle[1]) == 255
    assert moved.astype(int).sum() == pytest.approx(mask.astype(int).sum(), rel=0.01)


def test_the_lips_of_a_contour_are_more_exact() -> None:
    closed, opened = _contour(), _contour()
    opened[52:72, 1] = 0.75 + (opened[52:72, 1] - 0.75) * 2.5
    small, large = mouth_mask(FIVE, closed, 0.04), mouth_mask(FIVE, opened, 0.04)
    assert _at(small, 0.5, 0.75) == _at(large, 0.5, 0.75) == 255
    assert _at(large, 0.5, 0.93) > 200 > 20 > _at(small, 0.5, 0.93)


def test_masks_combine() -> None:
    masks = Masks()
    full = masks.combined(Look(), FIVE, None, None)
    half = masks.combined(Look(opacity=0.5), FIVE, None, None)
    assert half.max() == 128
    assert (half <= full).all()
    kept = masks.combined(Look(keep_mouth=True), FIVE, None, None)
    assert _at(kept, *FIVE[3:].mean(axis=0)) == 0
    assert _at(kept, *FIVE[0]) == _at(full, *FIVE[0])
    bare = masks.combined(Look(box=False, hull=False, feather=0), FIVE, None, None)
    assert (bare[1:-1, 1:-1] == 255).sum() > 0.9 * SIDE * SIDE
    assert (full <= box_mask(0.08)).all()
    given = masks.combined(Look(box=False), FIVE, None, FIVE)
    assert given.astype(int).sum() < full.astype(int).sum()


def test_both_takes_the_larger_size() -> None:
    fine = np.full((256, 256), 255, np.uint8)
    fine[:, :128] = 0
    joined = both(box_mask(0.1), fine)
    assert joined.shape == (256, 256)
    assert joined[:, :120].max() == 0
    assert joined[128, 160] == 255


def test_statistics_become_those_of_the_target_within_the_mask() -> None:
    crop = (texture(256, 256, 1) // 3 + 20).astype(np.uint8)
    target = (texture(256, 256, 2) // 2 + np.array([60, 90, 120])).astype(np.uint8)
    target[:, 128:] = (255, 0, 255)
    mask = np.zeros((128, 128), np.uint8)
    mask[8:-8, 8:60] = 255
    matched = match_statistics(crop, target, mask)
    part = (slice(16, -16), slice(16, 120))

    def mean(picture: np.ndarray) -> np.ndarray:
        return cv2.cvtColor(picture, cv2.COLOR_BGR2LAB)[part].reshape(-1, 3).mean(axis=0)

    assert np.abs(mean(matched) - mean(target)).max() < 4
    assert np.abs(mean(crop) - mean(target)).max() > 30
    half = match_statistics(crop, target, mask, 0.5)
    assert np.abs(mean(half) - (mean(crop) + mean(target)) / 2).max() < 4
    assert match_statistics(crop, target, mask, 0.0) is crop
    assert match_statistics(crop, target, np.zeros_like(mask), 1.0) is crop


def test_a_plain_crop_does_not_break_the_statistics() -> None:
    plain = np.full((128, 128, 3), 77, np.uint8)
    full = np.full((128, 128), 255, np.uint8)
    matched = match_statistics(plain, np.full_like(plain, 140), full)
    assert np.abs(matched.astype(int) - 140).max() <= 2


def test_shading_takes_light_and_tone_of_the_target_and_keeps_the_detail() -> None:
    detail = texture(256, 256, 3, blur=2).astype(np.float32) / 255 - 0.5
    crop = np.clip(120 + 60 * detail, 0, 255).astype(np.uint8)
    light = np.linspace(60, 200, 256)[None, :, None] * np.array([0.7, 0.85, 1.0])
    target = np.broadcast_to(light, (256, 256, 3)).astype(np.uint8)
    lit = match_shading(crop, target, np.full((128, 128), 255, np.uint8))
    means = lit.reshape(256, 4, 64, 3).mean(axis=(0, 2))
    wanted = target.reshape(256, 4, 64, 3).mean(axis=(0, 2))
    assert np.abs(means / wanted - 1).max() < 0.15
    fine = lit.astype(np.float32) - cv2.GaussianBlur(lit, (0, 0), 8)
    original = crop.astype(np.float32) - cv2.GaussianBlur(crop, (0, 0), 8)
    assert np.corrcoef(fine.ravel(), original.ravel())[0, 1] > 0.9
    assert match_shading(crop, target, np.zeros((128, 128), np.uint8)) is crop


def test_a_beard_does_not_make_the_skin_paler() -> None:
    crop = np.full((128, 128, 3), 160, np.uint8)
    crop[84:100, 44:84] = 20
    target = np.full((128, 128, 3), (90, 120, 170), np.uint8)
    lit = match_shading(crop, target, np.full((128, 128), 255, np.uint8))
    skin = np.ones((128, 128), bool)
    skin[80:104, 40:88] = False
    assert np.abs(lit[skin].astype(int) - (90, 120, 170)).max() <= 8
    assert lit[90, 64].max() < 40
