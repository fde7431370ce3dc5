"""Following faces: flow, smoothing, who is who."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from engine.pipeline.frame import Image
from processors.faces.align import inverse, transformed
from processors.faces.attributes import Guess
from processors.faces.detector import DetectionFailed
from processors.faces.face import Embedding, Face
from processors.faces.flow import FaceFlow, GreyPicture, canonical_template
from processors.faces.identity import Gallery, appearance
from processors.faces.settings import TrackingSettings
from processors.faces.smoothing import OneEuro
from processors.faces.tracker import FaceTracker
from processors.faces.yunet import YuNet
from tests.benchmarks import face_measures, face_scenes
from tests.benchmarks.face_scenes import Head, Scene, Truth


@pytest.fixture(scope="module")
def yunet(media: Path) -> YuNet:
    model = media.parent / "models" / "yunet_n_dynamic.onnx"
    if not model.is_file():
        pytest.skip(f"no face detector: {model} does not exist")
    return YuNet(model, 640, 0.6)


@pytest.fixture(scope="module")
def people(media: Path, yunet: YuNet) -> dict[str, Head]:
    return face_scenes.heads(media, yunet, frames=10)


def tracker(yunet: YuNet, **settings: float) -> FaceTracker:
    return FaceTracker(yunet, TrackingSettings.model_validate(settings))


class Scripted:
    """A detector that finds what it is told, and counts how often it is asked."""

    def __init__(self, answers: Callable[[int], list[Face]]) -> None:
        self._answers = answers
        self.frame = -1
        self.asked: list[int] = []

    def detect(self, image: Image) -> list[Face]:
        self.asked.append(self.frame)
        return self._answers(self.frame)


# Smoothing


def test_one_euro_quietens_noise_and_follows_a_ramp() -> None:
    random = np.random.default_rng(1)
    noise = random.normal(0, 0.01, (300, 5, 2))
    still = OneEuro(noise[0], 0.1, 0.5)
    out = np.stack([still.update(values, 1 / 30) for values in noise[1:]])
    assert out[60:].std() < noise.std() / 5
    moving = OneEuro(np.zeros(1), 0.1, 20.0)
    for n in range(1, 90):
        value = moving.update(np.array([n / 30]), 1 / 30)
    assert abs(value[0] - 89 / 30) < 0.02


def test_one_euro_lets_the_first_values_count_alike() -> None:
    smooth = OneEuro(np.array([0.0]), 1e-6, 0.0)
    assert smooth.update(np.array([1.0]), 0.1)[0] == pytest.approx(0.5)
    assert smooth.update(np.array([2.0]), 0.1)[0] == pytest.approx(1.0)
    smooth.shift(np.array([5.0]))
    assert smooth.value[0] == pytest.approx(6.0)


def test_one_euro_bears_times_that_do_not_pass() -> None:
    smooth = OneEuro(np.zeros(2), 1.0, 1.0)
    assert np.isfinite(smooth.update(np.ones(2), 0.0)).all()


# Flow


@pytest.fixture(scope="module")
def six(media: Path) -> Image:
    return np.asarray(cv2.imread(str(media / "faces" / "six_people.jpg")), np.uint8)


def about_the_middle(degrees: float, scale: float) -> npt.NDArray[np.float64]:
    return np.asarray(cv2.getRotationMatrix2D((890, 693), degrees, scale), np.float64)


MOTIONS: dict[str, Callable[[int], npt.NDArray[np.float64]]] = {
    "slow pan": lambda n: np.array([[1, 0, 6.0 * (n - 10)], [0, 1, 3.0 * (n - 10)]]),
    "fast pan": lambda n: np.array([[1, 0, 25.0 * (n - 8)], [0, 1, 0]]),
    "zoom in": lambda n: about_the_middle(0.0, 1.02 ** (n - 10)),
    "zoom out": lambda n: about_the_middle(0.0, 0.98 ** (n - 10)),
    "turn": lambda n: about_the_middle(n - 10, 1.0),
}


@pytest.mark.parametrize("name", list(MOTIONS))
def test_carried_landmarks_stay_on_the_face(six: Image, yunet: YuNet, name: str) -> None:
    wide = np.asarray(cv2.copyMakeBorder(six, 250, 250, 250, 250, cv2.BORDER_REPLICATE), np.uint8)
    errors = face_measures.landmark_errors(
        wide, MOTIONS[name], 16, tracker(yunet, detect_every=5), 5
    )
    assert len(errors) > 40
    assert errors.max() < 0.01
    assert errors.mean() < 0.003


def face_of(head: Head, at: tuple[float, float], scale: float = 1.0) -> Face:
    """The face of a head that was put somewhere, exactly."""
    matrix = face_scenes.moving((0, *at, scale))(0.0)
    points = face_scenes.apply(matrix, head.landmarks[0])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = (high - low) * 0.5
    return Face(np.concatenate([low - margin, high + margin]), points, 0.9)


def picture_of(*heads: tuple[Head, tuple[float, float]], scale: float = 1.0) -> Image:
    picture = face_scenes.plain_wall().copy()
    for head, at in heads:
        face_scenes.put(head, 0, face_scenes.moving((0, *at, scale))(0.0), picture)
    return picture


@pytest.mark.parametrize("change", [0.6, 1.0, 1.5])
def test_flow_bears_a_change_of_light(people: dict[str, Head], change: float) -> None:
    head = people["six2"]
    flow = FaceFlow.starting(
        GreyPicture(picture_of((head, (600, 360)))), face_of(head, (600, 360)).landmarks
    )
    later = picture_of((head, (612, 355)))
    lit = np.clip(later * np.float32(change) + 8, 0, 255).astype(np.uint8)
    assert flow.follow(GreyPicture(lit))
    again = FaceFlow.starting(GreyPicture(later), face_of(head, (612, 355)).landmarks)
    at, start = (
        transformed(canonical_template(), inverse(found.transform)) for found in (flow, again)
    )
    assert np.abs(at - start).max() < 1.0


def test_flow_knows_when_it_has_lost_the_face(people: dict[str, Head]) -> None:
    head, other = people["six2"], people["mona_lisa"]
    first = GreyPicture(picture_of((head, (600, 360))))
    for after in (picture_of(), picture_of((head, (1100, 360))), picture_of((other, (600, 360)))):
        flow = FaceFlow.starting(first, face_of(head, (600, 360)).landmarks)
        before = flow.transform.copy()
        assert not flow.follow(GreyPicture(after))
        assert flow.confidence == 0.0
        assert np.array_equal(flow.transform, before)


@pytest.mark.parametrize("scale", [0.15, 4.0])
def test_flow_follows_tiny_and_huge_faces(people: dict[str, Head], scale: float) -> None:
    head = people["einstein"]
    step = 12 * scale
    flow = FaceFlow.starting(
        GreyPicture(picture_of((head, (640, 360)), scale=scale)),
        face_of(head, (640, 360), scale).landmarks,
    )
    start = inverse(flow.transform)[:, 2].copy()
    assert flow.follow(GreyPicture(picture_of((head, (640 + step, 360)), scale=scale)))
    moved = inverse(flow.transform)[:, 2] - start
    assert np.abs(moved - (step, 0)).max() < 0.03 * 80 * scale


# The tracker


def test_a_still_noisy_face_is_quiet_and_a_step_is_followed_at_once(
    people: dict[str, Head], yunet: YuNet
) -> None:
    raw, tracked = [], []
    follow = tracker(yunet)
    for n, image in enumerate(face_scenes.still(people["mona_lisa"], 75)):
        raw.append(max(yunet.detect(image), key=lambda face: face.area).landmarks)
        tracked.append(follow.update(image, n / 30)[0].face.landmarks)
    before, after = face_measures.jitter(raw), face_measures.jitter(tracked)
    assert after.step < before.step / 5
    assert face_measures.jitter(tracked[30:]).spread < before.spread / 4


@pytest.mark.parametrize("jump", [10.0, 60.0, 300.0])
def test_a_step_is_followed_within_a_frame(
    people: dict[str, Head], yunet: YuNet, jump: float
) -> None:
    follow = tracker(yunet, detect_every=30)
    middles = [
        follow.update(image, n / 30)[0].face.landmarks.mean(axis=0)
        for n, image in enumerate(face_scenes.still(people["mona_lisa"], 16, jump=jump))
    ]
    assert np.abs(middles[8] - middles[7] - (jump, 0)).max() < 4.0
    assert np.abs(middles[9] - middles[15]).max() < 1.0


@pytest.fixture(scope="module")
def camera(media: Path, yunet: YuNet) -> list[tuple[Image, Face]]:
    """A clip of one person, at half its size, and where the face is."""
    clip = face_scenes.read_clip(media / "camera" / "person_1280x720.mp4", 12)
    small = [np.asarray(cv2.resize(picture, (640, 360)), np.uint8) for picture in clip]
    return [(one, max(yunet.detect(one), key=lambda face: face.area)) for one in small]


@pytest.mark.parametrize("every", [1, 3, 5])
@pytest.mark.parametrize("length", [1, 3])
def test_short_drop_outs_are_bridged(
    camera: list[tuple[Image, Face]], yunet: YuNet, every: int, length: int
) -> None:
    for start in (1, 3, 6):
        blind = range(start, start + length)
        blinking = face_measures.Blinking(yunet, blind.__contains__)
        follow = FaceTracker(blinking, TrackingSettings(detect_every=every))
        for n, (image, truth) in enumerate(camera):
            blinking.next_frame()
            (tracked,) = follow.update(image, n / 30)
            assert tracked.id == 1
            # Later on the face is not where it was first seen, so standing still would show.
            off = np.hypot(*(tracked.face.landmarks - truth.landmarks).T).mean()
            assert off < 0.12 * truth.eye_distance


def test_a_face_that_stays_away_ends_and_comes_back_under_its_number(
    people: dict[str, Head],
) -> None:
    head = people["six2"]
    face, image, empty = face_of(head, (600, 360)), picture_of((head, (600, 360))), picture_of()
    seen = Scripted(lambda n: [face] if n < 5 or n > 20 else [])
    follow = FaceTracker(seen, TrackingSettings(detect_every=2, bridge_frames=3))
    shown = []
    for n in range(25):
        seen.frame = n
        present = n < 5 or n > 20
        shown.append([t.id for t in follow.update(image if present else empty, n / 30)])
    assert shown[:5] == [[1]] * 5
    assert shown[9:21] == [[]] * 12
    assert shown[21:] == [[1]] * 4


def test_who_was_away_for_too_long_is_new(people: dict[str, Head]) -> None:
    head = people["six2"]
    face, image = face_of(head, (600, 360)), picture_of((head, (600, 360)))
    seen = Scripted(lambda n: [face] if n != 1 else [])
    follow = FaceTracker(seen, TrackingSettings(bridge_frames=0, detect_every=1, remember_s=10))
    numbers = []
    for n, at in enumerate((0.0, 1.0, 2.0, 3.0, 4.0)):
        seen.frame = n
        numbers.append([t.id for t in follow.update(image, at)])
    assert numbers == [[1], [], [1], [1], [1]]
    seen.frame = 1
    follow.update(image, 5.0)
    seen.frame = 2
    assert [t.id for t in follow.update(image, 20.0)] == [2]


def test_the_detector_is_asked_every_nth_frame_and_when_in_doubt(people: dict[str, Head]) -> None:
    head = people["six2"]
    face = face_of(head, (600, 360))
    seen = Scripted(lambda n: [face])
    follow = FaceTracker(seen, TrackingSettings(detect_every=4))
    still = picture_of((head, (600, 360)))
    for n in range(9):
        seen.frame = n
        follow.update(still, n / 30)
    assert seen.asked == [0, 4, 8]
    seen.frame = 9
    follow.update(picture_of(), 0.3)
    assert seen.asked == [0, 4, 8, 9]


def test_no_face_means_looking_in_every_frame() -> None:
    seen = Scripted(lambda n: [])
    follow = FaceTracker(seen, TrackingSettings(detect_every=5))
    for n in range(4):
        seen.frame = n
        assert follow.update(picture_of(), n / 30) == []
    assert seen.asked == [0, 1, 2, 3]


def test_a_failing_detector_is_reported_and_survived(people: dict[str, Head]) -> None:
    head = people["six2"]
    face = face_of(head, (600, 360))

    def answer(frame: int) -> list[Face]:
        if frame == 1:
            raise DetectionFailed("not numbers")
        return [face]

    seen = Scripted(answer)
    follow = FaceTracker(seen, TrackingSettings(detect_every=1))
    image = picture_of((head, (600, 360)))
    seen.frame = 0
    assert [t.id for t in follow.update(image, 0.0)] == [1]
    seen.frame = 1
    with pytest.raises(DetectionFailed):
        follow.update(image, 0.03)
    seen.frame = 2
    assert [t.id for t in follow.update(image, 0.07)] == [1]


def test_a_picture_of_another_size_keeps_the_people(people: dict[str, Head]) -> None:
    head = people["six2"]
    large = picture_of((head, (600, 360)))
    small = np.asarray(cv2.resize(large, (640, 360), interpolation=cv2.INTER_AREA), np.uint8)
    face = face_of(head, (600, 360))
    half = Face(face.box * np.float32(0.5), face.landmarks * np.float32(0.5), 0.9)
    seen = Scripted(lambda n: [face] if n < 2 else [half])
    follow = FaceTracker(seen, TrackingSettings())
    for n, image in enumerate((large, large, small, small)):
        seen.frame = n
        assert [t.id for t in follow.update(image, n / 30)] == [1]


# Who is who


SCENES: list[tuple[Callable[[dict[str, Head], str, str], Scene], str, str]] = [
    (face_scenes.crossing, "six2", "six3"),
    (face_scenes.crossing, "smiler", "actor"),
    (face_scenes.meeting, "idler", "talker"),
    (face_scenes.relay, "six1", "six4"),
    (face_scenes.cut, "actor", "smiler"),
    (face_scenes.portrait, "mona_lisa", "six2"),
]
NAMES = [f"{scene.__name__}-{one}-{other}" for scene, one, other in SCENES]


@pytest.mark.parametrize(("scene", "one", "other"), SCENES, ids=NAMES)
def test_nobody_is_taken_for_another_by_looks(
    people: dict[str, Head],
    yunet: YuNet,
    scene: Callable[[dict[str, Head], str, str], Scene],
    one: str,
    other: str,
) -> None:
    shown = replace(scene(people, one, other), size=0.5)
    count = face_measures.count_wrong(shown, tracker(yunet))
    assert count.wrong == 0
    assert count.seen > 60
    assert count.absent <= 0.03 * count.seen


class Told:
    """Embeddings that tell people apart for certain, as a recognition model would, with noise."""

    def __init__(self, scene: Scene, names: Sequence[str]) -> None:
        self._frames = scene.frames()
        self._random = np.random.default_rng(2)
        self._own = {name: self._random.normal(size=64) for name in names}
        self._truths: list[Truth] = []

    def frames(self) -> Iterator[tuple[float, Image, list[Truth]]]:
        for frame in self._frames:
            self._truths = frame[2]
            yield frame

    def embed(self, image: Image, faces: Sequence[Face]) -> list[Embedding]:
        return [self._embedding(face) for face in faces]

    def _embedding(self, face: Face) -> Embedding:
        truth = face_measures.front(face, self._truths)
        own = self._random.normal(size=64) if truth is None else self._own[truth.person]
        vector = own + self._random.normal(0, 0.6, 64)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


@pytest.mark.parametrize(("scene", "one", "other"), SCENES[:2], ids=NAMES[:2])
def test_nobody_is_taken_for_another_by_embedding(
    people: dict[str, Head],
    yunet: YuNet,
    scene: Callable[[dict[str, Head], str, str], Scene],
    one: str,
    other: str,
) -> None:
    told = Told(replace(scene(people, one, other), size=0.5), [one, other])
    follow = FaceTracker(yunet, TrackingSettings(), told)
    count = face_measures.count_wrong(told, follow)
    assert count.wrong == 0
    assert count.renamed == 0
    assert count.seen > 60


def test_looks_tell_the_people_of_a_scene_apart(people: dict[str, Head], yunet: YuNet) -> None:
    looks = {}
    for name, head in people.items():
        image = picture_of((head, (500, 360)))
        turned = np.asarray(
            cv2.warpAffine(image, cv2.getRotationMatrix2D((500, 360), 8, 0.9), (1280, 720)),
            np.uint8,
        )
        pair = [max(yunet.detect(i), key=lambda f: f.area) for i in (image, turned)]
        looks[name] = [appearance(i, f) for i, f in zip((image, turned), pair, strict=True)]
        assert np.linalg.norm(looks[name][0]) == pytest.approx(1.0, abs=1e-5)
    for one, other in itertools.combinations(looks, 2):
        strange = max(float(a @ b) for a in looks[one] for b in looks[other])
        assert strange < 0.82
        assert strange < min(float(looks[name][0] @ looks[name][1]) for name in (one, other))


def test_the_gallery_forgets_the_oldest_first() -> None:
    gallery = Gallery(remember_s=10.0, most=2)
    first, second, third = (gallery.new(at) for at in (0.0, 1.0, 2.0))
    assert [p.number for p in gallery.absent({third.number}, 3.0)] == [second.number]
    assert gallery.absent(set(), 3.0) == [third, second]
    assert gallery.absent(set(), 11.5) == [third]
    assert first.number != gallery.new(12.0).number


def test_sex_and_age_settle(people: dict[str, Head]) -> None:
    head = people["six2"]
    guesses = [Guess("male", 30), Guess("female", 90), Guess("male", 32), Guess("male", 34)]
    asked: list[int] = []

    class Guessing:
        def guess(self, image: Image, faces: Sequence[Face]) -> list[Guess]:
            asked.append(len(faces))
            return [guesses[len(asked) % 4] for _ in faces]

    seen = Scripted(lambda n: [face_of(head, (600, 360))])
    follow = FaceTracker(seen, TrackingSettings(detect_every=1), sex_and_age=Guessing())
    for n in range(12):
        (tracked,) = follow.update(picture_of((head, (600, 360))), n / 30)
    assert (tracked.face.sex, tracked.face.age) == ("male", 34)
    assert sum(asked) == 5
