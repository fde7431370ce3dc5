"""The processor ``face_swap``: who is swapped, what changes while it runs, what fails how."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import AvatarServerError, MissingDependency
from engine.pipeline.frame import Image
from engine.pipeline.model_settings import RuntimeSettings
from engine.pipeline.settings import ProcessorSettings
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.chain import Chain
from processors.faces.analyser import NoFace, NoSuchFace
from processors.faces.detector import FaceDetector
from processors.faces.face import Face
from processors.faces.selection import SexAndAgeRange
from processors.faces.tracker import TrackedFace
from processors.models.contracts import ModelMismatch
from processors.models.library import ModelLibrary
from processors.models.licences import ModelRefused
from processors.models.session import OutOfMemory
from processors.provenance import COMPOSITE, EDITED, TRAINED, source_type
from processors.registry import ProcessorContext, build_chain, processor_factories
from processors.swap.adapter import ModelSwap
from processors.swap.backend import Patch, SwapBackend, SwapJob
from processors.swap.casting import Casting, Target, rules_of
from processors.swap.control import SwapChange, SwapControl, WrongSwapSetting
from processors.swap.faces import FaceTooSmall
from processors.swap.models import SwapModels, WrongKindOfModel
from processors.swap.planning import NeedsRecognition, NoSourceFace
from processors.swap.processor import FaceSwap
from processors.swap.warp import WarpSwap
from tests import contract_graphs
from tests.benchmarks.swap_graphs import random_models
from tests.pipeline_fakes import make_frame
from tests.swap_fakes import unit
from tests.swap_material import (
    FACES,
    MODELS,
    SHARED,
    Scripted,
    changed_at,
    clip_frames,
    control,
    frames_of,
    read,
    swap_models,
)

pytestmark = pytest.mark.skipif(
    not (MODELS / "yunet_n_dynamic.onnx").is_file(), reason=f"no face detector in {MODELS}"
)

CAMERA = SHARED / "media" / "camera" / "person_1280x720.mp4"


def chain_of(swap: SwapControl, *names: str) -> Chain:
    """A chain with this face swap."""
    factories = processor_factories(ProcessorSettings(), ProcessorContext(swap=swap))
    return build_chain(["face_swap", *names], factories)


RANDOM = {"model": "random_swap", "recognition": "random_faces"}


class Altered(SwapModels):
    """Real models with another detector or backend."""

    def __init__(self, detector: Any = None, backend: SwapBackend | None = None) -> None:
        super().__init__(ModelLibrary([MODELS]), RuntimeSettings(provider="cpu"))
        self._change = detector or (lambda real: real)
        self._other = backend

    def detector(self, settings: FaceSwapSettings, width: int | None = None) -> FaceDetector:
        real = super().detector(settings, width)
        return real if width else self._change(real)

    def backend(self, settings: FaceSwapSettings) -> SwapBackend:
        return self._other or super().backend(settings)


def tracked(person: int, x: float, side: float = 100.0, **known: Any) -> TrackedFace:
    """Somebody in a frame."""
    box = np.array([x, 0, x + side, side], np.float32)
    return TrackedFace(person, Face(box, np.zeros((5, 2), np.float32), 0.9, **known), True, 0)


# Who is swapped.


def test_the_face_is_swapped_and_the_rest_left_and_the_picture_marked() -> None:
    frames = clip_frames(CAMERA, 3, step=5)
    if not frames:
        pytest.skip(f"no clip: {CAMERA}")
    before = [frame.image.copy() for frame in frames]
    swap = control()
    chain = chain_of(swap)
    assert chain.names == ("face_swap", "swap_mark")
    done = chain.apply(frames)
    chain.close()
    assert len(done) == 3
    (person,) = swap.state.people
    assert person.source == 0
    left, top, right, bottom = person.box
    nose = ((left + right) / 2, top + (bottom - top) * 0.55)
    spot = (nose[0] - 20, nose[1] - 30, nose[0] + 20, nose[1] + 10)
    assert changed_at(before[-1], done[-1].image, spot) > 4
    # The mouth stays, so that it speaks.
    mouth = (nose[0] - 12, top + (bottom - top) * 0.72, nose[0] + 12, top + (bottom - top) * 0.86)
    assert changed_at(before[-1], done[-1].image, mouth) < 2
    changed = (before[-1] != done[-1].image).any(axis=2)
    changed[int(top) - 60 : int(bottom) + 60, int(left) - 60 : int(right) + 60] = False
    marked = np.zeros_like(changed)
    marked[-80:, -100:] = True
    assert not (changed & ~marked).any()
    assert (changed & marked).sum() > 500


def test_everything_of_a_batch_is_one_call(tmp_path: Path) -> None:
    swap = control(random_models(tmp_path), **RANDOM, selection="all", boost=2)
    processor = swap.factories()["face_swap"]()
    assert isinstance(processor, FaceSwap)
    backend = processor._swapper._backend
    assert isinstance(backend, ModelSwap)
    frames = frames_of(read("six_people.jpg"), 3)
    before = frames[0].image.copy()
    images = processor.process(frames)
    assert backend.calls == 1
    assert all(person.source == 0 for person in swap.state.people)
    assert len(swap.state.people) == 6
    assert all(changed_at(before, images[-1], person.box) > 2 for person in swap.state.people)
    processor.close()


@pytest.mark.parametrize("missed", [1, 2, 3])
def test_a_detector_that_blinks_shows_no_real_face(missed: int) -> None:
    clip = clip_frames(CAMERA, 16)
    if not clip:
        pytest.skip(f"no clip: {CAMERA}")
    blind = range(5, 5 + missed)
    models = Altered(lambda real: Scripted(real, blind))
    swap = control(models, detect_every=1, mark=False)
    processor = swap.factories()["face_swap"]()
    shown = []
    for frame in clip:
        before = frame.image.copy()
        after = processor.process([frame])[0]
        (person,) = swap.state.people
        shown.append((person.source, changed_at(before, after, person.box)))
    processor.close()
    assert all(source == 0 and change > 3 for source, change in shown)


def test_no_face_leaves_the_picture_as_it_is() -> None:
    swap = control(mark=False)
    chain = chain_of(swap)
    image = read("no_face_coffee.png")
    (frame,) = chain.apply(frames_of(image))
    assert np.array_equal(frame.image, image)
    assert swap.state.people == ()
    chain.close()


def test_who_gets_which_face() -> None:
    people = [tracked(7, 300), tracked(8, 0), tracked(9, 600, side=160)]
    casting = Casting()
    assert casting.cast(people, rules_of("largest", [None], 0.4)) == {9: 0}
    assert casting.cast(people, rules_of("left_to_right", [None, None], 0.4)) == {8: 0, 7: 1}
    everyone = rules_of("all", [None, None], 0.4)
    assert casting.cast(people, everyone) == {8: 0, 7: 1, 9: 0}
    # Who changes places keeps the face.
    crossed = [tracked(7, 0), tracked(8, 300), tracked(9, 600)]
    assert casting.cast(crossed, everyone) == {8: 0, 7: 1, 9: 0}


def test_faces_for_somebody_in_particular_come_first() -> None:
    people = [tracked(1, 0, embedding=unit(1)), tracked(2, 200, embedding=unit(2)), tracked(3, 400)]
    targets = [None, Target(likeness=unit(2)), Target(person=1)]
    given = Casting().cast(people, rules_of("largest", targets, 0.4))
    assert given == {2: 1, 1: 2, 3: 0}
    only = Casting().cast(people, rules_of("all", [Target(likeness=unit(9))], 0.4))
    assert only == {}


def test_only_persons_of_a_sex_and_age() -> None:
    people = [tracked(1, 0, sex="female", age=30), tracked(2, 200, sex="male", age=30)]
    rules = rules_of("all", [None], 0.4, SexAndAgeRange("male", 20, 40))
    assert Casting().cast(people, rules) == {2: 0}
    older = rules_of("all", [None], 0.4, SexAndAgeRange(None, 40, 99))
    assert Casting().cast(people, older) == {}


# Changing while it runs.


def test_changes_take_effect_with_the_next_batch() -> None:
    image = read("einstein.jpg")
    swap = control()
    chain = chain_of(swap)
    chain.apply(frames_of(image))
    with swap.changed(SwapChange({"opacity": 0.0, "mark": False})) as anew:
        assert not anew
    (frame,) = chain.apply(frames_of(image, first=1))
    assert np.array_equal(frame.image, image)
    with swap.changed(SwapChange({"opacity": 0.5})):
        pass
    half = chain.apply(frames_of(image, first=2))[0].image
    with swap.changed(SwapChange({"opacity": 1.0})):
        pass
    full = chain.apply(frames_of(image, first=3))[0].image
    box = swap.state.people[0].box
    assert 0 < changed_at(image, half, box) < changed_at(image, full, box)
    chain.close()


def test_another_face_takes_the_place_of_the_first() -> None:
    models = swap_models()
    other = control(models, faces=(str(FACES / "pearl_earring.jpg"),))
    other.factories()["swap_mark"]()
    image = read("einstein.jpg")
    swap = control(models, mark=False)
    chain = chain_of(swap)
    first = chain.apply(frames_of(image))[0].image
    with swap.changed(SwapChange(faces=other.state.faces)) as anew:
        assert not anew
    second = chain.apply(frames_of(image, first=1))[0].image
    assert [face.label for face in swap.state.faces] == ["pearl_earring.jpg"]
    assert changed_at(first, second, swap.state.people[0].box) > 3
    chain.close()


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"opacity": 2}, WrongSwapSetting),
        ({"model": "yunet"}, WrongKindOfModel),
        ({"detector": "nobody"}, WrongKindOfModel),
        ({"sex": "female"}, MissingDependency),
        ({"model": "inswapper_128"}, MissingDependency),
    ],
)
def test_a_change_that_cannot_be_made_changes_nothing(
    values: dict[str, Any], error: type[AvatarServerError]
) -> None:
    swap = control()
    chain = chain_of(swap)
    before = swap.state

    def change() -> None:
        with swap.changed(SwapChange(values)) as anew:
            assert anew
            swap.factories()["face_swap"]()

    with pytest.raises(error):
        change()
    assert swap.state == before
    chain.apply(frames_of(read("einstein.jpg")))
    assert swap.state.people[0].source == 0
    chain.close()


def test_taking_all_faces_away_is_refused() -> None:
    swap = control()
    swap.factories()["swap_mark"]()
    with pytest.raises(NoSourceFace), swap.changed(SwapChange(faces=())):
        pass
    assert len(swap.state.faces) == 1


def test_another_model_or_tracker_makes_the_processors_anew(tmp_path: Path) -> None:
    swap = control(random_models(tmp_path))
    first = swap.factories()["face_swap"]()
    with swap.changed(SwapChange(RANDOM)) as anew:
        assert anew
        second = swap.factories()["face_swap"]()
    assert second is not first
    first.close()
    frames = frames_of(read("einstein.jpg"))
    before = frames[0].image.copy()
    after = second.process(frames)[0]
    assert changed_at(before, after, swap.state.people[0].box) > 2
    second.close()


def test_a_chain_made_anew_for_another_reason_remembers_who_is_who() -> None:
    swap = control()
    chain = chain_of(swap)
    chain.apply(frames_of(read("six_people.jpg")))
    before = swap.state.people
    another = chain_of(swap, "mirror")
    chain.close()
    another.apply(frames_of(read("six_people.jpg"), first=1))
    assert [one.id for one in swap.state.people] == [one.id for one in before]
    assert another.names == ("face_swap", "mirror", "swap_mark")
    another.close()
    third = swap.factories()["face_swap"]()
    third.process(frames_of(read("einstein.jpg")))
    third.close()


# What fails.


class Failing(WarpSwap):
    """A backend that runs out of memory in some calls."""

    def __init__(self, fails: Sequence[int]) -> None:
        super().__init__()
        self._fails = fails
        self._calls = 0

    def run(self, prepared: Sequence[SwapJob]) -> list[Patch]:
        self._calls += 1
        if self._calls - 1 in self._fails:
            raise OutOfMemory("There is not enough memory.")
        return super().run(prepared)


@pytest.mark.parametrize("fail_closed", [True, False])
def test_out_of_memory_is_counted_and_the_stream_goes_on(fail_closed: bool) -> None:
    swap = control(Altered(backend=Failing([1])), fail_closed=fail_closed, mark=False)
    chain = chain_of(swap)
    image = read("einstein.jpg")
    shown = [chain.apply(frames_of(image, first=n)) for n in range(3)]
    assert dict(chain.faults) == {"face_swap": 1}
    assert [len(frames) for frames in shown] == ([1, 0, 1] if fail_closed else [1, 1, 1])
    if not fail_closed:
        assert np.array_equal(shown[1][0].image, image)
    assert not np.array_equal(shown[2][0].image, image)
    chain.close()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"faces": ()}, NoSourceFace, "--face"),
        ({"faces": str(FACES / "no_face_coffee.png")}, NoFace, "no_face_coffee.png"),
        ({"faces": str(FACES / "six_people.jpg") + "#7"}, NoSuchFace, "6 faces"),
        ({"faces": "nowhere.jpg"}, AvatarServerError, "nowhere.jpg"),
        ({"model": "yunet"}, WrongKindOfModel, "warp"),
        ({"enhancer": "gfpgan"}, MissingDependency, "models pull gfpgan"),
        ({"occluder": "xseg"}, MissingDependency, "models pull xseg"),
        ({"model": "inswapper_128"}, MissingDependency, "models pull"),
    ],
)
def test_what_cannot_be_used_is_said(
    settings: dict[str, Any], error: type[AvatarServerError], words: str
) -> None:
    with pytest.raises(error, match=words):
        control(**settings).factories()["face_swap"]()


def test_a_model_of_another_shape_and_one_that_the_licence_forbids(tmp_path: Path) -> None:
    models = random_models(tmp_path)
    contract_graphs.inswapper_128(tmp_path / "swap.onnx", size=256)
    with pytest.raises(ModelMismatch, match="swap.onnx"):
        control(models, **RANDOM).factories()["face_swap"]()
    (tmp_path / "swap.onnx").write_bytes(b"no model at all")
    with pytest.raises(AvatarServerError, match="swap.onnx"):
        control(swap_models(tmp_path, engines=tmp_path), **RANDOM).factories()["face_swap"]()
    commercial = SwapModels(ModelLibrary([MODELS], commercial=True), RuntimeSettings())
    with pytest.raises(ModelRefused, match="warp swap"):
        control(commercial, model="inswapper_128").factories()["face_swap"]()


def test_likeness_needs_recognition() -> None:
    models = swap_models()
    plain = control(models)
    plain.factories()["swap_mark"]()
    (mona,) = plain.state.faces
    wanted = replace(mona, likeness=mona.source)
    for recognition, error in (("none", NeedsRecognition), ("auto", MissingDependency)):
        with (
            pytest.raises(error),
            control(models, recognition=recognition).changed(SwapChange(faces=(wanted,))),
        ):
            pass


def test_a_face_for_somebody_whom_a_picture_shows(tmp_path: Path) -> None:
    models = random_models(tmp_path)
    named = control(models, faces=(str(FACES / "mona_lisa.jpg"), f"{FACES / 'six_people.jpg'}#2"))
    named.factories()["swap_mark"]()
    mona, second = named.state.faces
    swap = control(models, recognition="random_faces", similarity=0.83)
    with swap.changed(SwapChange(faces=(replace(mona, likeness=second.source),))):
        pass
    processor = swap.factories()["face_swap"]()
    processor.process(frames_of(read("six_people.jpg")))
    processor.close()
    in_order = sorted(swap.state.people, key=lambda person: person.box[0])
    assert [person.source for person in in_order] == [None, 0, None, None, None, None]


# Sources.


def test_several_faces_are_told_and_can_be_chosen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    swap = control(faces=(str(FACES / "six_people.jpg"), str(FACES / "six_people.jpg") + "#5"))
    swap.factories()["swap_mark"]()
    assert "shows 6 faces; number 3 from the left is taken, the largest" in caplog.text
    assert "number 5 from the left is taken, as asked" in caplog.text
    largest, fifth = swap.state.faces
    assert (largest.index, fifth.index) == (None, 4)
    assert not np.array_equal(largest.source.image[:50, :50], fifth.source.image[:50, :50])


def test_a_face_of_sixteen_pixels_is_refused_as_a_source(tmp_path: Path) -> None:
    import cv2

    image = read("mona_lisa.jpg")
    small = cv2.resize(image, None, fx=0.06, fy=0.06, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(tmp_path / "small.png"), small)
    with pytest.raises(FaceTooSmall, match="pixels apart"):
        control(faces=(str(tmp_path / "small.png"),)).factories()["swap_mark"]()


def shapes(image: Image) -> dict[str, Any]:
    import cv2

    return {
        "grey": cv2.cvtColor(image, cv2.COLOR_BGR2GRAY),
        "rgba": cv2.cvtColor(image, cv2.COLOR_BGR2BGRA),
        "16 bit": image.astype(np.uint16) * 257,
        "half a face": np.ascontiguousarray(image[:, 357:]),
        "2000 pixels": cv2.resize(image[200:560, 240:480], (2000, 3000)),
    }


@pytest.mark.parametrize("kind", ["grey", "rgba", "16 bit", "half a face", "2000 pixels"])
def test_pictures_of_many_kinds_serve_as_source_and_target(tmp_path: Path, kind: str) -> None:
    import cv2

    path = tmp_path / "face.png"
    cv2.imwrite(str(path), shapes(read("mona_lisa.jpg"))[kind])
    swap = control(faces=(str(path),), mark=False)
    processor = swap.factories()["face_swap"]()
    target = read("einstein.jpg")
    after = processor.process(frames_of(target))[0]
    assert changed_at(target, after, swap.state.people[0].box) > 3
    assert max(swap.state.faces[0].source.image.shape) <= 768
    processor.close()


@pytest.mark.parametrize("side", [16, 40, 1400])
def test_targets_from_sixteen_pixels_to_larger_than_the_screen(side: int) -> None:
    import cv2

    image = read("einstein.jpg")
    scale = side / 115
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    swap = control(mark=False)
    processor = swap.factories()["face_swap"]()
    after = processor.process([make_frame(0, image=np.asarray(large, np.uint8).copy())])[0]
    (person,) = swap.state.people
    assert changed_at(np.asarray(large, np.uint8), after, person.box) > 2
    processor.close()


# What exports declare.


@pytest.mark.parametrize(
    ("values", "declared"),
    [({}, COMPOSITE), ({"enhancer": "gfpgan"}, EDITED), ({"model": "inswapper_128"}, TRAINED)],
)
def test_what_exports_declare(values: dict[str, Any], declared: str) -> None:
    settings = ProcessorSettings(face_swap=FaceSwapSettings.model_validate(values))
    assert source_type(["mirror", "face_swap"], settings) == declared
    assert source_type(["mirror"], settings) is None


def test_the_mark_can_be_moved_and_turned_off() -> None:
    image = read("no_face_coffee.png")
    corners = {}
    for corner in ("top_left", "bottom_right"):
        chain = chain_of(control(mark_corner=corner))
        changed: Any = (chain.apply(frames_of(image))[0].image != image).any(axis=2)
        chain.close()
        rows, columns = np.nonzero(changed)
        corners[corner] = (rows.mean() < image.shape[0] / 2, columns.mean() < image.shape[1] / 2)
    assert corners == {"top_left": (True, True), "bottom_right": (False, False)}
