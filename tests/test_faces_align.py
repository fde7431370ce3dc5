"""Templates and similarity transforms."""

import cv2
import numpy as np
import pytest

from processors.faces.align import (
    UnknownTemplate,
    align,
    arcface_template,
    around,
    crop,
    inverse,
    scale_of,
    similarity,
    transformed,
)

POINTS = np.array([[303, 293], [396, 297], [333, 348], [308, 389], [384, 393]], np.float32)


def test_templates_of_the_two_families() -> None:
    assert np.allclose(arcface_template(224), 2 * arcface_template(112))
    assert np.allclose(arcface_template(128), arcface_template(112) + np.array([8.0, 0.0]))
    assert np.allclose(arcface_template(256), 2 * arcface_template(128))
    for size in (0, -112, 100):
        with pytest.raises(UnknownTemplate, match=str(size)):
            arcface_template(size)


@pytest.mark.filterwarnings("ignore:.*estimate:FutureWarning")
@pytest.mark.parametrize("size", [112, 128, 224, 256, 512])
def test_alignment_equals_the_reference(size: int) -> None:
    face_align = pytest.importorskip(
        "insightface.utils.face_align", reason="insightface is missing"
    )
    assert np.allclose(align(POINTS, size), face_align.estimate_norm(POINTS, size), atol=1e-6)


def test_similarity_finds_an_exact_transform() -> None:
    turn, scale = np.radians(200), 1.7
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    target = POINTS @ rotation.T + np.array([12.0, -40.0])
    found = similarity(POINTS, target)
    assert np.allclose(found[:, :2], rotation)
    assert np.allclose(found[:, 2], (12.0, -40.0))
    assert scale_of(found) == pytest.approx(scale)
    assert np.allclose(transformed(target, inverse(found)), POINTS, atol=1e-3)


def test_similarity_never_mirrors_and_takes_many_at_once() -> None:
    random = np.random.default_rng(3)
    many = random.normal(size=(5, 5, 2))
    many[3] *= (-1, 1)
    target = arcface_template(112)
    together = similarity(many, target)
    assert together.shape == (5, 2, 3)
    for points, found in zip(many, together, strict=True):
        assert np.allclose(similarity(points, target), found)
        assert np.linalg.det(found[:, :2]) > 0


def test_similarity_of_one_place_is_finite() -> None:
    assert np.isfinite(similarity(np.ones((5, 2)), arcface_template(112))).all()


def test_crops_show_what_the_transform_says() -> None:
    image = np.zeros((600, 600, 3), np.uint8)
    cv2.circle(image, (303, 293), 6, (255, 255, 255), -1)
    transform = align(POINTS, 112)
    at = transformed(POINTS[:1], transform)[0].round().astype(int)
    shown = crop(image, transform, 112)
    assert shown[at[1], at[0]].min() > 250
    assert shown.mean() < 5
    box = np.array([100, 200, 300, 260], np.float32)
    assert np.allclose(transformed([[200, 230]], around(box, 96)), 48.0)
    assert scale_of(around(box, 96)) == pytest.approx(96 / 300)
