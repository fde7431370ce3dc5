"""The swap without a model, and what puts swapped faces into pictures."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.pipeline.frame import Image
from processors.faces.face import Face
from processors.swap.adapter import ModelSwap
from processors.swap.backend import SourceFace, SwapJob
from processors.swap.compose import Swapper
from processors.swap.geometry import FaceNotUsable, Mask
from processors.swap.head import FEATURES, Pose, mesh, outline, pose_of
from processors.swap.inswapper import INSWAPPER_128
from processors.swap.masks import Look
from processors.swap.spline import bent, thin_plate_map
from processors.swap.texture import texture_of
from processors.swap.warp import WarpSwap
from tests.swap_fakes import (
    FakeModel,
    Tensor,
    echo,
    face_at,
    largest_face,
    psnr,
    source_face,
    texture,
)


@pytest.fixture(scope="module")
def models(media: Path) -> Path:
    return media.parent / "models"


@pytest.fixture(scope="module")
def person(media: Path, models: Path) -> tuple[Image, Face]:
    film = cv2.VideoCapture(str(media / "camera" / "person_1280x720.mp4"))
    ok, frame = film.read()
    film.release()
    assert ok
    return frame, largest_face(frame, models)


@pytest.fixture(scope="module", params=["mona_lisa.jpg", "pearl_earring.jpg", "einstein.jpg"])
def source(request: pytest.FixtureRequest, media: Path, models: Path) -> SourceFace:
    image = cv2.imread(str(media / "faces" / request.param))
    return SourceFace(image, largest_face(image, models))


def _turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    def turn(axis: int, angle: float) -> np.ndarray:
        vector = np.zeros(3)
        vector[axis] = angle
        return cv2.Rodrigues(vector)[0]

    return turn(2, roll) @ turn(1, yaw) @ turn(0, pitch)


@pytest.mark.parametrize("yaw", [-0.6, 0.0, 0.5])
@pytest.mark.parametrize(("pitch", "roll"), [(0.0, 0.0), (0.15, 0.4), (-0.15, -2.5)])
def test_the_pose_of_a_projected_head_is_found(yaw: float, pitch: float, roll: float) -> None:
    true = Pose(_turned(yaw, pitch, roll), 90.0, np.array([300.0, 200.0]))
    found = pose_of(true.project(FEATURES).astype(np.float32))
    apart = np.linalg.norm(outline(found) - outline(true), axis=1)
    assert apart.max() < 0.12 * 90
    angle = np.arccos(np.clip((np.trace(found.rotation @ true.rotation.T) - 1) / 2, -1, 1))
    assert np.degrees(angle) < 9


def test_a_mesh_goes_through_the_landmarks(person: tuple[Image, Face]) -> None:
    landmarks = person[1].landmarks
    points = mesh(landmarks, pose_of(landmarks))
    assert np.abs(points[:5] - landmarks).max() < 1e-3


def test_a_spline_goes_through_its_points_and_keeps_affine_maps() -> None:
    rng = np.random.default_rng(0)
    start = rng.uniform(10, 118, (12, 2))
    turned = start @ np.array([[0.9, 0.3], [-0.3, 0.9]]) + (20, -5)
    rows, columns = np.mgrid[0:128, 0:128]
    wanted = np.stack([columns, rows], -1) @ np.array([[0.9, 0.3], [-0.3, 0.9]]) + (20, -5)
    inner = (slice(4, -4), slice(4, -4))
    assert np.abs(thin_plate_map(start, turned, 128, 0.0) - wanted)[inner].max() < 0.05
    bent_to = turned + rng.normal(0, 2, turned.shape)
    found = thin_plate_map(start, bent_to, 128, 0.0)
    at = [found[round(y), round(x)] for x, y in start]
    assert np.abs(np.array(at) - bent_to).max() < 1.5
    same = thin_plate_map(start, start, 128, 0.0)
    picture = texture(128, 128)
    assert psnr(bent(picture, same)[inner], picture[inner]) > 40


def test_a_face_that_looks_aside_becomes_whole(media: Path, models: Path) -> None:
    image = cv2.imread(str(media / "faces" / "pearl_earring.jpg"))
    face = largest_face(image, models)
    assert abs(np.degrees(pose_of(face.landmarks).yaw)) > 25
    front = texture_of(image, face).image
    mirrored = front[:, ::-1]
    middle = (slice(100, 330), slice(70, 315))
    assert psnr(front[middle], mirrored[middle]) > 15
    straight = cv2.imread(str(media / "faces" / "einstein.jpg"))
    own = texture_of(straight, largest_face(straight, models)).image
    assert psnr(own[middle], own[:, ::-1][middle]) < psnr(front[middle], mirrored[middle])


def test_a_warped_face_is_still_a_face_in_its_place(
    person: tuple[Image, Face], source: SourceFace, models: Path
) -> None:
    frame, face = person
    swapped = frame.copy()
    swapper = Swapper(WarpSwap())
    assert swapper.swap_batch([SwapJob(swapped, face, source)]) == [True]
    found = largest_face(swapped, models)
    apart = np.linalg.norm(found.landmarks - face.landmarks, axis=1)
    assert apart.max() < 0.15 * face.eye_distance
    inside = cv2.getRectSubPix(swapped, (60, 60), tuple(map(float, face.landmarks[2])))
    before = cv2.getRectSubPix(frame, (60, 60), tuple(map(float, face.landmarks[2])))
    assert psnr(inside, before) < 30
    changed = (swapped != frame).any(axis=2)
    rows, columns = np.nonzero(changed)
    grown = 0.35 * face.eye_distance
    assert columns.min() > face.box[0] - grown
    assert columns.max() < face.box[2] + grown
    assert rows.min() > face.box[1] - grown
    assert rows.max() < face.box[3] + grown


def test_a_warped_face_has_the_light_of_the_picture(
    person: tuple[Image, Face], source: SourceFace
) -> None:
    frame, face = person
    dark = (frame * np.array([0.9, 0.6, 0.4])).astype(np.uint8)
    patch = WarpSwap().swap([SwapJob(dark, face, source)])[0]
    cheeks = []
    for picture in (patch.crop, patch.target):
        side = picture.shape[0]
        cheek = picture[side * 50 // 100 : side * 65 // 100, side * 60 // 100 : side * 72 // 100]
        cheeks.append(cheek.mean(axis=(0, 1)))
    new, old = cheeks
    assert np.abs(new / old - 1).max() < 0.2


def test_the_kept_mouth_is_that_of_the_picture(
    person: tuple[Image, Face], source: SourceFace
) -> None:
    frame, face = person
    swapped = frame.copy()
    Swapper(WarpSwap(), Look(keep_mouth=True)).swap_batch([SwapJob(swapped, face, source)])
    x, y = face.landmarks[3:].mean(axis=0)
    mouth = (slice(round(y) - 8, round(y) + 8), slice(round(x) - 12, round(x) + 12))
    assert psnr(swapped[mouth], frame[mouth]) > 35


def test_a_source_without_extent_is_refused() -> None:
    flat = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9)
    job = SwapJob(texture(100, 100), face_at(50, 50, 60), SourceFace(texture(50, 50), flat))
    with pytest.raises(FaceNotUsable, match="source"):
        WarpSwap().swap([job])


def test_grey_sources_and_odd_places_are_swapped_without_a_fault() -> None:
    grey = cv2.cvtColor(cv2.cvtColor(texture(200, 200), cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    source = SourceFace(grey, face_at(100, 100, 150))
    swapper = Swapper(WarpSwap())
    for x, y, side, done in (
        (5, 5, 100, True),
        (150, 90, 16, True),
        (150, 100, 2000, True),
        (-500, 0, 100, False),
        (100, 100, 0.1, False),
    ):
        frame = texture(200, 300, 1)
        before = frame.copy()
        assert swapper.swap_batch([SwapJob(frame, face_at(x, y, side, 20), source)]) == [done]
        assert bool((frame != before).any()) is done


def _painter(value: float) -> FakeModel:
    """A swap model that paints by who is put in: each call a little brighter."""

    def run(feeds):
        shade = feeds["source"][:, :1, None, None]
        return np.broadcast_to(shade, feeds["target"].shape).astype(np.float32) * value

    return FakeModel(run, echo().inputs, (Tensor("output", ("n", 3, 128, 128)),))


def _shade(value: float) -> SourceFace:
    embedding = np.zeros(512, np.float32)
    embedding[0], embedding[1] = value, np.sqrt(1 - value**2)
    return SourceFace(texture(64, 64), face_at(32, 32, 64, embedding=embedding))


def test_the_nearer_face_is_pasted_over_the_farther_one() -> None:
    frame = np.zeros((400, 400, 3), np.uint8)
    near = SwapJob(frame, face_at(200, 200, 260), _shade(0.8))
    far = SwapJob(frame, face_at(260, 200, 160), _shade(0.2))
    backend = ModelSwap(_painter(1.0), INSWAPPER_128)
    for jobs in ([near, far], [far, near]):
        frame[:] = 0
        assert Swapper(backend, Look(colour=0)).swap_batch(jobs) == [True, True]
        assert (np.abs(frame[200, 200].astype(int) - 204) <= 1).all()


def test_crops_are_cut_before_anything_is_pasted() -> None:
    frame = texture(300, 300, 2)
    before = frame.copy()
    jobs = [
        SwapJob(frame, face_at(140, 150, 150), source_face()),
        SwapJob(frame, face_at(160, 150, 160), source_face()),
    ]
    Swapper(ModelSwap(echo(), INSWAPPER_128), Look(colour=0)).swap_batch(jobs)
    assert psnr(frame, before) > 30


class _LeftHidden:
    """Something covers the left half of every face."""

    def __init__(self) -> None:
        self.calls = 0

    def visible(self, crops: Sequence[Image]) -> Sequence[Mask]:
        self.calls += 1
        mask = np.full((256, 256), 255, np.uint8)
        mask[:, :128] = 0
        return [mask] * len(crops)


def test_what_covers_a_face_stays_in_front() -> None:
    frame = np.zeros((300, 600, 3), np.uint8)
    faces = [face_at(150, 150, 200), face_at(450, 150, 200)]
    jobs = [SwapJob(frame, face, _shade(0.8)) for face in faces]
    occluder = _LeftHidden()
    backend = ModelSwap(_painter(1.0), INSWAPPER_128)
    Swapper(backend, Look(colour=0), occluder).swap_batch(jobs)
    assert occluder.calls == 1
    for face in faces:
        x = round(face.centre[0])
        assert (np.abs(frame[150, x + 30].astype(int) - 204) <= 1).all()
        assert (frame[150, x - 30] == 0).all()


def test_opacity_zero_and_lost_landmarks_leave_the_picture() -> None:
    frame = texture(200, 200)
    before = frame.copy()
    lost = face_at(100, 100, 80)
    lost.landmarks[2] = np.nan
    swapper = Swapper(ModelSwap(echo(), INSWAPPER_128))
    assert swapper.swap_batch([SwapJob(frame, lost, source_face())]) == [False]
    swapper.look = Look(opacity=0)
    assert swapper.swap_batch([SwapJob(frame, face_at(90, 90, 90), source_face())]) == [False]
    assert (frame == before).all()
    swapper.close()
