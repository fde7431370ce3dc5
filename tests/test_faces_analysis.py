"""Detectors, contours, embeddings, sex and age; the insightface package is the reference."""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest

from engine.errors import MissingDependency
from engine.pipeline.frame import Image
from processors.faces.analyser import FaceAnalyser, NoFace, NoSuchFace, Want
from processors.faces.attributes import SexAndAge
from processors.faces.detector import DetectionFailed
from processors.faces.face import Face
from processors.faces.landmarks import Contours
from processors.faces.model import Array, Tensor, run_rows
from processors.faces.recognition import Recogniser, RecognitionFailed, likeness
from processors.faces.scrfd import SCRFD, keep_best
from processors.faces.yunet import YuNet
from processors.models.contracts import ModelMismatch
from tests import contract_graphs

SHARED = Path(__file__).resolve().parents[2] / "shared"
PICTURES = ("six_people.jpg", "mona_lisa.jpg", "pearl_earring.jpg", "einstein.jpg")


class OnnxModel:
    """A graph run by onnxruntime on one thread; counts its calls."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.inputs: Sequence[Tensor] = self._session.get_inputs()
        self.outputs: Sequence[Tensor] = self._session.get_outputs()
        self.calls = 0

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        self.calls += 1
        return list(self._session.run(None, dict(feeds)))


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one random graph of each contract."""
    folder = tmp_path_factory.mktemp("graphs")
    contract_graphs.det_10g(folder / "det.onnx")
    contract_graphs.det_10g(folder / "det_fixed.onnx", 640)
    for name, make in MAKERS.items():
        make(folder / f"{name}.onnx")
        make(folder / f"{name}_1.onnx", 1)
    return folder


MAKERS: dict[str, Callable[..., Path]] = {
    "contour": contract_graphs.landmarks_2d106,
    "sex_and_age": contract_graphs.genderage,
    "arcface": contract_graphs.w600k,
}


@pytest.fixture(scope="module")
def yunet(media: Path) -> YuNet:
    model = media.parent / "models" / "yunet_n_dynamic.onnx"
    if not model.is_file():
        pytest.skip(f"no face detector: {model} does not exist")
    return YuNet(model, 640, 0.5)


def read(media: Path, name: str) -> Image:
    return np.asarray(cv2.imread(str(media / "faces" / name)), np.uint8)


def reference(graphs: Path, name: str) -> Any:
    """The model as the insightface package loads it."""
    zoo = pytest.importorskip("insightface.model_zoo.model_zoo", reason="insightface is missing")
    with contextlib.redirect_stdout(io.StringIO()):
        model = zoo.get_model(str(graphs / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    assert model is not None
    return model


def as_theirs(face: Face) -> Any:
    from insightface.app.common import Face as Theirs

    return Theirs(bbox=face.box, kps=face.landmarks, det_score=face.score)


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("graph", ["det", "det_fixed"])
def test_scrfd_equals_the_reference(graphs: Path, media: Path, graph: str, picture: str) -> None:
    image = read(media, picture)
    detector = SCRFD(OnnxModel(graphs / f"{graph}.onnx"))
    faces = detector.detect(image)
    boxes, points = reference(graphs, graph).detect(image, detector.input_size(image))
    assert len(faces) == len(boxes) > 3
    assert np.abs(np.stack([face.box for face in faces]) - boxes[:, :4]).max() < 0.01
    assert np.abs(np.stack([face.landmarks for face in faces]) - points).max() < 0.01
    assert np.allclose([face.score for face in faces], boxes[:, 4])


@pytest.mark.filterwarnings("ignore:.*estimate:FutureWarning")
def test_contours_embeddings_sex_and_age_equal_the_reference(
    graphs: Path, media: Path, yunet: YuNet
) -> None:
    theirs = {name: reference(graphs, name) for name in MAKERS}
    assert theirs["contour"].taskname == "landmark_2d_106"
    assert theirs["sex_and_age"].taskname == "genderage"
    assert theirs["arcface"].taskname == "recognition"
    seen: set[tuple[str | None, int | None]] = set()
    for picture in PICTURES:
        image = read(media, picture)
        analyser = FaceAnalyser(
            yunet,
            Contours(OnnxModel(graphs / "contour.onnx")),
            Recogniser(OnnxModel(graphs / "arcface.onnx")),
            SexAndAge(OnnxModel(graphs / "sex_and_age.onnx")),
        )
        for face in analyser.analyse(image, analyser.able):
            other = as_theirs(face)
            for model in theirs.values():
                model.get(image, other)
            assert face.contour is not None
            assert np.abs(face.contour - other.landmark_2d_106).max() < 0.5
            assert np.ptp(face.contour, axis=0).min() > 5
            assert face.embedding is not None
            assert likeness(face.embedding, other.normed_embedding) > 0.99999
            assert face.sex == {"M": "male", "F": "female"}[other.sex]
            assert face.age == other.age
            seen.add((face.sex, face.age))
    assert len(seen) > 1


@pytest.mark.parametrize("name", list(MAKERS))
def test_all_faces_take_one_call_where_the_batch_is_open(graphs: Path, name: str) -> None:
    open_batch = OnnxModel(graphs / f"{name}.onnx")
    one_by_one = OnnxModel(graphs / f"{name}_1.onnx")
    shape = open_batch.inputs[0].shape
    size = int(shape[2] or 0)
    blob = np.random.default_rng(1).normal(size=(3, 3, size, size)).astype(np.float32)
    together, apart = run_rows(open_batch, blob), run_rows(one_by_one, blob)
    assert (open_batch.calls, one_by_one.calls) == (1, 3)
    assert np.abs(together - apart).max() < 1e-4 * np.abs(together).max()
    assert np.abs(together[0] - together[1]).max() > 0


def test_a_fixed_batch_is_filled_up(graphs: Path) -> None:
    contract_graphs.w600k(graphs / "arcface_4.onnx", 4)
    blob = np.random.default_rng(1).normal(size=(6, 3, 112, 112)).astype(np.float32)
    four = OnnxModel(graphs / "arcface_4.onnx")
    assert np.allclose(
        run_rows(four, blob), run_rows(OnnxModel(graphs / "arcface.onnx"), blob), atol=1e-4
    )
    assert four.calls == 2


def test_landmarks_are_in_the_order_of_the_viewer(media: Path, yunet: YuNet) -> None:
    for picture in PICTURES:
        for face in yunet.detect(read(media, picture)):
            left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
            assert left_eye[0] < right_eye[0]
            assert left_mouth[0] < right_mouth[0]
            assert max(left_eye[1], right_eye[1]) < nose[1] < max(left_mouth[1], right_mouth[1])
            assert (face.box[:2] < face.landmarks.min(axis=0)).all()
            assert (face.box[2:] > face.landmarks.max(axis=0)).all()


@pytest.mark.parametrize("size", [16, 40, 2000])
def test_small_and_large_faces(graphs: Path, media: Path, yunet: YuNet, size: int) -> None:
    image = read(media, "einstein.jpg")
    scale = size / 131
    image = np.asarray(
        cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
    )
    face, *others = yunet.detect(image)
    assert not others
    assert float(face.box[2] - face.box[0]) == pytest.approx(size, rel=0.25)
    embeddings = Recogniser(OnnxModel(graphs / "arcface.onnx")).embed(image, [face])
    assert np.linalg.norm(embeddings[0]) == pytest.approx(1.0, abs=1e-5)
    contour = Contours(OnnxModel(graphs / "contour.onnx")).find(image, [face])[0]
    assert np.isfinite(contour).all()


def test_a_face_cut_by_the_border(graphs: Path, media: Path, yunet: YuNet) -> None:
    image = np.ascontiguousarray(read(media, "mona_lisa.jpg")[:, 330:])
    analyser = FaceAnalyser(
        yunet,
        Contours(OnnxModel(graphs / "contour.onnx")),
        Recogniser(OnnxModel(graphs / "arcface.onnx")),
        SexAndAge(OnnxModel(graphs / "sex_and_age.onnx")),
    )
    (face,) = analyser.analyse(image, analyser.able)
    assert face.box[0] < 20
    assert face.embedding is not None
    assert np.isfinite(face.embedding).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (700, 3), (31, 33)])
def test_scrfd_takes_any_shape(graphs: Path, shape: tuple[int, int]) -> None:
    for graph in ("det", "det_fixed"):
        faces = SCRFD(OnnxModel(graphs / f"{graph}.onnx")).detect(np.zeros((*shape, 3), np.uint8))
        assert all(np.isfinite(face.box).all() for face in faces)


def test_scrfd_looks_at_no_more_than_the_shape_needs(graphs: Path) -> None:
    detector = SCRFD(OnnxModel(graphs / "det.onnx"), 640)
    assert detector.input_size(np.zeros((720, 1280, 3), np.uint8)) == (640, 384)
    assert detector.input_size(np.zeros((1280, 720, 3), np.uint8)) == (384, 640)
    fixed = SCRFD(OnnxModel(graphs / "det_fixed.onnx"), 320)
    assert fixed.input_size(np.zeros((720, 1280, 3), np.uint8)) == (640, 640)


class Broken:
    """A model whose outputs are what a test says."""

    def __init__(self, like: OnnxModel, change: Callable[[list[Array]], list[Array]]) -> None:
        self._like, self._change = like, change
        self.inputs, self.outputs = like.inputs, like.outputs

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        return self._change(self._like.run(feeds))


def test_numbers_that_make_no_sense_are_errors(graphs: Path) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    detector = OnnxModel(graphs / "det.onnx")
    not_numbers = Broken(detector, lambda outputs: [np.full_like(o, np.nan) for o in outputs])
    with pytest.raises(DetectionFailed, match="not numbers"):
        SCRFD(not_numbers).detect(image)
    with pytest.raises(DetectionFailed, match="rows at stride 8"):
        SCRFD(Broken(detector, lambda outputs: [o[:-3] for o in outputs])).detect(image)
    zero = Broken(OnnxModel(graphs / "arcface.onnx"), lambda outputs: [outputs[0] * 0])
    with pytest.raises(RecognitionFailed):
        Recogniser(zero).embed_crops([np.zeros((112, 112, 3), np.uint8)])


def test_a_model_of_another_contract_is_refused(graphs: Path) -> None:
    arcface, detector = OnnxModel(graphs / "arcface.onnx"), OnnxModel(graphs / "det.onnx")
    with pytest.raises(ModelMismatch, match=r"2d106det.*683"):
        Contours(arcface)
    with pytest.raises(ModelMismatch, match="genderage"):
        SexAndAge(arcface)
    with pytest.raises(ModelMismatch, match="ArcFace"):
        Recogniser(detector)
    with pytest.raises(ModelMismatch, match="9|nine"):
        SCRFD(arcface)


def test_sface_takes_the_picture_as_it_is(graphs: Path) -> None:
    crop = np.random.default_rng(2).integers(0, 256, (112, 112, 3)).astype(np.uint8)
    seen: list[Array] = []
    model = OnnxModel(graphs / "arcface.onnx")

    class Spy(Broken):
        def run(self, feeds: Mapping[str, Array]) -> list[Array]:
            seen.append(next(iter(feeds.values())))
            return super().run(feeds)

    Recogniser.sface(Spy(model, lambda outputs: outputs)).embed_crops([crop])
    assert np.array_equal(seen[0][0], crop[:, :, ::-1].transpose(2, 0, 1).astype(np.float32))


def test_overlapping_boxes_are_one_face() -> None:
    boxes = np.array([[0, 0, 99, 99], [5, 5, 104, 104], [200, 0, 299, 99]], np.float32)
    assert keep_best(boxes, 0.4) == [0, 2]
    assert keep_best(boxes, 0.9) == [0, 1, 2]
    assert keep_best(np.zeros((0, 4), np.float32), 0.4) == []


def test_only_what_is_wanted_runs(graphs: Path, media: Path, yunet: YuNet) -> None:
    recogniser, contours = OnnxModel(graphs / "arcface.onnx"), OnnxModel(graphs / "contour.onnx")
    analyser = FaceAnalyser(yunet, Contours(contours), Recogniser(recogniser))
    faces = analyser.analyse(read(media, "six_people.jpg"), Want.EMBEDDING)
    assert len(faces) == 6
    assert (recogniser.calls, contours.calls) == (1, 0)
    assert all(face.embedding is not None and face.contour is None for face in faces)
    assert analyser.analyse(read(media, "no_face_coffee.png"), Want.EMBEDDING) == []
    assert recogniser.calls == 1


def test_what_has_no_model_is_an_error(media: Path, yunet: YuNet) -> None:
    with pytest.raises(MissingDependency, match="embedding"):
        FaceAnalyser(yunet).analyse(read(media, "mona_lisa.jpg"), Want.EMBEDDING)


def test_the_source_of_a_swap(media: Path, yunet: YuNet) -> None:
    analyser = FaceAnalyser(yunet)
    six = read(media, "six_people.jpg")
    with pytest.raises(NoFace, match=r"no face in coffee\.png"):
        analyser.only_face(read(media, "no_face_coffee.png"), "coffee.png")
    with pytest.raises(NoSuchFace, match="6 faces"):
        analyser.only_face(six, "six_people.jpg", 6)
    assert analyser.only_face(read(media, "mona_lisa.jpg"), "mona_lisa.jpg").describe() == ""
    largest = analyser.only_face(six, "six_people.jpg")
    assert largest.face.area == max(face.area for face in yunet.detect(six))
    assert largest.describe() == f"6 faces; taken: number {largest.index + 1} from the left."
    centres = [analyser.only_face(six, "six", n).face.centre[0] for n in range(6)]
    assert centres == sorted(centres)
