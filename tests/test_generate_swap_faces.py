"""``swap_faces``: the live face swap on pictures and videos, as a job."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from engine.pipeline.frame import Frame, Image
from engine.pipeline.model_settings import RuntimeSettings
from engine.pipeline.settings import ProcessorSettings
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.faces.analyser import NoFace, NoSuchFace
from processors.generate.declaration import BadParameters
from processors.generate.inputs import BadInput
from processors.generate.recipe import read_recipe
from processors.generate.registry import LoadedGenerator, LoadedGenerators
from processors.generate.swap_faces import SWAP_FACES, SwapFacesParameters
from processors.generate.swap_memory import runtime_at, ways
from processors.generate.swap_options import LEFT_OUT, MarkDemanded
from processors.generate.swapping import NO_FACE, TooFewSources
from processors.models.session import OutOfMemory
from processors.provenance import COMPOSITE
from processors.swap.backend import SwapJob
from processors.swap.enhancer import Enhancer
from processors.swap.faces import Chosen, faces_of
from processors.swap.picture import NoTargetFace, PictureSwapper
from processors.swap.processor import FaceSwap
from tests.clipmaking import write_clip
from tests.generate_parts import FakeContext, SomePlace, Stopped, services
from tests.swap_fakes import FakeModel, Tensor, face_at, source_face, texture
from tests.swap_material import FACES, MODELS, changed_at, read, swap_models

pytestmark = pytest.mark.skipif(
    not (MODELS / "yunet_n_dynamic.onnx").is_file() or not FACES.is_dir(),
    reason=f"no face detector or no faces: {MODELS}, {FACES}",
)

SOURCE = FACES / "mona_lisa.jpg"
FRAMES = 6


def portrait(name: str, side: int = 240) -> Image:
    """The upper part of a shared picture, as a square."""
    image = read(name)
    square = image[: min(image.shape[:2]), : min(image.shape[:2])]
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.fixture(scope="module")
def couple(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of two faces."""
    path = tmp_path_factory.mktemp("couple") / "couple.png"
    cv2.imwrite(str(path), np.hstack([portrait("einstein.jpg"), portrait("pearl_earring.jpg")]))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that moves to the right, with sound."""
    face = portrait("einstein.jpg")
    pictures = [np.roll(face, 3 * n, axis=1)[:, :, ::-1] for n in range(FRAMES)]
    path = tmp_path_factory.mktemp("clip") / "in.mp4"
    return write_clip(path, pictures, sound=0.2)


@functools.cache
def loaded(mark_demanded: bool) -> LoadedGenerator:
    configured = ProcessorSettings(face_swap=FaceSwapSettings(mark=mark_demanded))
    given = replace(services(MODELS), processors=configured)
    return LoadedGenerators(given, {"swap_faces": SWAP_FACES}).get("swap_faces")


def run(
    folder: Path,
    target: Path,
    *sources: Path,
    stop: Callable[[float], bool] = lambda _: False,
    mark_demanded: bool = True,
    **params: object,
) -> tuple[dict[str, Any], FakeContext]:
    folder.mkdir(exist_ok=True)
    context = FakeContext(folder, stop)
    files = {f"source-{n}" if n > 1 else "source": path for n, path in enumerate(sources, 1)}
    given = {"preset": "ultrafast", **params}
    made = loaded(mark_demanded).run(given, {"target": target, **files}, context)
    return made, context


def frames_of(path: Path) -> list[Image]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def test_its_parameters_are_the_settings_of_the_live_swap() -> None:
    settings = FaceSwapSettings()
    assert SwapFacesParameters().settings() == settings
    names = set(FaceSwapSettings.model_fields) - LEFT_OUT
    assert names < set(SwapFacesParameters.model_fields)
    given = SWAP_FACES.validate({"opacity": 0.5, "boost": "2", "mark_corner": "top_left"})
    assert given.settings() == settings.model_copy(
        update={"opacity": 0.5, "boost": 2, "mark_corner": "top_left"}
    )
    with pytest.raises(BadParameters, match="opacity: .*less than or equal to 1"):
        SWAP_FACES.validate({"opacity": 1.5})
    with pytest.raises(BadParameters, match="faces"):
        SWAP_FACES.validate({"faces": ["/etc/passwd"]})


def test_a_picture_is_swapped_as_by_the_route(tmp_path: Path, couple: Path) -> None:
    made, context = run(tmp_path, couple, SOURCE, FACES / "einstein.jpg", selection="all")
    values = made["values"]
    assert made["files"] == {"picture": ["swapped.png"]}
    assert [(face["person"], face["source"]) for face in values["faces"]] == [(1, 0), (2, 1)]
    assert (values["swapped"], values["warnings"], values["rung"]) == (2, [], "full")
    assert values["sources"][1] == {"picture": "einstein.jpg", "face": None, "person": None}

    settings, models = FaceSwapSettings(selection="all"), swap_models()
    expected = read(str(couple))
    chosen = [
        Chosen(name, faces_of(read(name), name, lambda w: models.detector(settings, w)).source())
        for name in ("mona_lisa.jpg", "einstein.jpg")
    ]
    PictureSwapper(settings, models).swap(expected, chosen)
    assert np.array_equal(cv2.imread(str(tmp_path / "swapped.png")), expected)
    assert np.array_equal(context.previews[0], expected)
    with Pillow.open(tmp_path / "swapped.png") as file:
        assert COMPOSITE in file.info["XML:com.adobe.xmp"]
    assert read_recipe(tmp_path / "swapped.png").models.keys() == {"yunet"}


def test_a_face_for_somebody_in_particular(tmp_path: Path, couple: Path) -> None:
    made, _ = run(tmp_path, couple, SOURCE, persons=[2], source_faces=[1])
    assert [face["source"] for face in made["values"]["faces"]] == [None, 0]
    assert made["values"]["sources"] == [{"picture": SOURCE.name, "face": 1, "person": 2}]
    with pytest.raises(NoSuchFace, match="no number 3"):
        run(tmp_path, couple, SOURCE, source_faces=[3])
    with pytest.raises(TooFewSources, match="persons has 2 numbers for 1"):
        run(tmp_path, couple, SOURCE, persons=[1, 2])


def test_a_video_is_swapped_marked_and_the_same_again(tmp_path: Path, clip: Path) -> None:
    made, context = run(tmp_path / "one", clip, SOURCE)
    values = made["values"]
    assert (values["frames"], values["withheld"], values["frames_with_faces"]) == (
        FRAMES,
        0,
        FRAMES,
    )
    (person,) = values["people"]
    assert (person["source"], person["swapped_frames"]) == (0, FRAMES)
    assert (person["first_frame"], person["last_frame"]) == (0, FRAMES - 1)
    assert values["warnings"] == []
    target = tmp_path / "one" / "swapped.mp4"
    for before, after in zip(frames_of(clip), frames_of(target), strict=True):
        assert changed_at(before, after, (80, 40, 170, 130)) > 8
        assert changed_at(before, after, (0, 180, 60, 240)) < 4
        assert np.abs(before[-24:, -36:].astype(int) - after[-24:, -36:]).mean() > 15
    data = target.read_bytes()
    assert COMPOSITE.encode() in data[data.rindex(b"uuid") :]
    assert read_recipe(target).generator == "swap_faces"
    assert context.reports[-1] == (1.0, f"{FRAMES} of {FRAMES} frames")
    run(tmp_path / "two", clip, SOURCE)
    assert (tmp_path / "two" / "swapped.mp4").read_bytes() == data


def test_matroska_declares_it_in_a_tag(tmp_path: Path, clip: Path) -> None:
    run(tmp_path, clip, SOURCE, container="mkv", batch_size=4)
    with av.open(str(tmp_path / "swapped.mkv")) as container:
        assert container.metadata["DIGITAL_SOURCE_TYPE"] == COMPOSITE
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
    assert read_recipe(tmp_path / "swapped.mkv").params["container"] == "mkv"


def test_no_face(tmp_path: Path) -> None:
    coffee = FACES / "no_face_coffee.png"
    with pytest.raises(NoTargetFace):
        run(tmp_path, coffee, SOURCE)
    with pytest.raises(NoFace, match="no_face_coffee"):
        run(tmp_path, SOURCE, coffee)
    empty = write_clip(tmp_path / "in.mp4", [np.full((96, 128, 3), 90, np.uint8)] * 3)
    made, _ = run(tmp_path / "out", empty, SOURCE)
    assert made["values"]["frames_with_faces"] == 0
    assert made["values"]["warnings"] == [NO_FACE]


def test_the_mark_is_left_out_only_where_the_settings_allow_it(
    tmp_path: Path, couple: Path
) -> None:
    with pytest.raises(MarkDemanded, match="mark cannot be switched off"):
        run(tmp_path, couple, SOURCE, mark=False)
    run(tmp_path, couple, SOURCE, mark=False, mark_demanded=False)
    before, after = read(str(couple)), cv2.imread(str(tmp_path / "swapped.png"))
    assert np.array_equal(before[-24:, -36:], after[-24:, -36:])


def test_a_cancelled_job_leaves_nothing(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(Stopped):
        run(tmp_path / "out", clip, SOURCE, stop=lambda share: share >= 0.5)
    assert list((tmp_path / "out").iterdir()) == []


def test_where_memory_runs_out_fewer_frames_are_swapped_at_once(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, sizes = FaceSwap.process, []

    def process(self: FaceSwap, frames: Sequence[Frame]) -> Sequence[Image]:
        sizes.append(len(frames))
        if len(frames) > 1:
            raise OutOfMemory("There is not enough memory.")
        return work(self, frames)

    monkeypatch.setattr(FaceSwap, "process", process)
    made, context = run(tmp_path, clip, SOURCE, batch_size=4)
    assert made["values"]["rung"] == "one at a time"
    assert made["values"]["frames"] == made["values"]["frames_with_faces"] == FRAMES
    assert sizes == [4, 4, *[1] * FRAMES]
    assert any("Memory ran out" in line for line in context.lines)


def test_other_files_are_refused(tmp_path: Path, clip: Path, couple: Path) -> None:
    with pytest.raises(BadInput, match="of another kind"):
        run(tmp_path, couple, clip)
    with pytest.raises(BadInput, match="needs a file 'source'"):
        run(tmp_path, couple)


@pytest.mark.parametrize(
    ("place", "wanted"),
    [
        (SomePlace("cpu", 2), {"provider": "cpu", "threads": 2}),
        (SomePlace("cuda:1", 0), {"device": 1}),
        (SomePlace("auto", 0), {}),
    ],
)
def test_models_run_where_the_job_does(place: SomePlace, wanted: Mapping[str, object]) -> None:
    settings = RuntimeSettings()
    assert runtime_at(settings, place) == settings.model_copy(update=dict(wanted))


def test_ways_that_need_less_and_less() -> None:
    model = FaceSwapSettings(model="inswapper_128")
    gpu, cpu = SomePlace("cuda:0"), SomePlace("cpu")
    assert [rung.name for rung in ways(8, model, gpu)] == ["full", "one at a time", "cpu"]
    assert [rung.name for rung in ways(1, FaceSwapSettings(), gpu)] == ["full"]
    assert [rung.name for rung in ways(1, model, cpu)] == ["full", "one at a time"]
    assert SWAP_FACES.models(SWAP_FACES.validate({"model": "inswapper_128"})) == (
        *("inswapper_128", "arcface_w600k", "yunet"),
    )
    assert SWAP_FACES.memory(SWAP_FACES.validate({"model": "inswapper_128"}), {})["cuda"] > 1e9


def brighter(feeds: Mapping[str, Any]) -> Any:
    return np.clip(feeds["input"] + 0.3, -1, 1)


def shape() -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    return (Tensor("input", (1, 3, 512, 512)),), (Tensor("output", (1, 3, 512, 512)),)


def test_the_enhancer_of_files_waits_for_its_model() -> None:
    enhancer = Enhancer(FakeModel(brighter, *shape()), wait_s=30)
    image = texture(160, 160)
    before = image.copy()
    try:
        enhancer.apply([SwapJob(image, face_at(80, 80, 100), source_face(), 1)])
    finally:
        enhancer.close()
    assert image[70:90, 70:90].mean() > before[70:90, 70:90].mean() + 15


def test_what_the_enhancer_of_files_raises_is_raised() -> None:
    def broken(feeds: Mapping[str, Any]) -> Any:
        raise ValueError("no model")

    enhancer = Enhancer(FakeModel(broken, *shape()), wait_s=30)
    job = SwapJob(texture(160, 160), face_at(80, 80, 100), source_face(), 1)
    try:
        with pytest.raises(ValueError, match="no model"):
            enhancer.apply([job])
    finally:
        enhancer.close()
