"""Selecting objects: geometry with a network whose masks follow the prompt, and real file forms.

Weights are random, so nothing is claimed about what real pictures show.
"""

import argparse
import json
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from processors.generate.declaration import BadParameters, Services
from processors.generate.flags import add_flags, params_of
from processors.generate.model_folders import FolderNotAllowed
from processors.generate.picture_files import BadPicture
from processors.generate.recipe import read_recipe
from processors.generate.registry import LoadedGenerators, generators
from processors.generate.segment import SEGMENT
from processors.generate.segmenting import segmenter
from processors.generate.segmenting.checkpoints import find_checkpoint
from processors.generate.segmenting.embeddings import Embedding, EmbeddingCache
from processors.generate.segmenting.loading import load_segment_model
from processors.generate.segmenting.model import SegmentModel
from processors.generate.segmenting.preparing import Preparation
from processors.generate.segmenting.prompts import Box, OutsidePicture, Point, Prompt
from processors.generate.segmenting.running import SegmentRunner
from processors.models.contracts import ModelMismatch
from processors.models.files import ModelDamaged, ModelNotFound
from tests.generate_parts import FakeContext, SomePlace, Stopped, services

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from tests.tiny_segmenters import (  # noqa: E402
    SIZE,
    DiscNetwork,
    original_sam,
    write_original_sam,
    write_sam2,
    write_sam2_video,
)

HEIGHT, WIDTH = 886, 1280
Grey = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``sam2``, ``video`` and ``original`` with tiny models."""
    folder = tmp_path_factory.mktemp("models")
    write_sam2(folder / "sam2")
    write_sam2_video(folder / "video")
    write_original_sam(folder / "original" / "sam.pth")
    return folder


@pytest.fixture(scope="module")
def people(media: Path) -> Path:
    """A picture of 1280x886."""
    return media / "faces" / "six_people.jpg"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def discs(
    models: Path, network: DiscNetwork, stretch: bool = True, given: Services | None = None
) -> LoadedGenerators:
    """The generator with a network whose masks are discs around the prompt."""
    preparation = Preparation(SIZE, SIZE, stretch)
    runner = SegmentRunner(given or services(models), lambda *_: SegmentModel(network, preparation))
    changed = replace(SEGMENT, load=lambda _: runner.run)
    return LoadedGenerators(services(models), {"segment": changed})


def run(
    loaded: LoadedGenerators, image: Path, context: FakeContext, **params: Any
) -> dict[str, Any]:
    return loaded.get("segment").run({"model": "sam2", **params}, {"image": image}, context)


def read(path: Path) -> Grey:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return np.asarray(found, np.uint8)


def middle_and_reach(mask: Grey) -> tuple[tuple[float, float], tuple[float, float]]:
    rows, columns = np.nonzero(mask)
    reach = (np.ptp(columns) + 1) / 2, (np.ptp(rows) + 1) / 2
    return (columns.mean(), rows.mean()), reach


@pytest.mark.parametrize("stretch", [True, False])
def test_a_mask_is_where_the_click_was(
    models: Path, people: Path, out: Path, stretch: bool
) -> None:
    context = FakeContext(out)
    made = run(discs(models, DiscNetwork(), stretch), people, context, points=["400,300"])

    assert made["files"]["masks"] == ["mask-1-1.png", "mask-1-2.png", "mask-1-3.png"]
    masks = made["values"]["masks"]
    assert [one["score"] for one in masks] == [0.9, 0.7, 0.5]
    best = read(out / "mask-1-1.png")
    assert best.shape == (HEIGHT, WIDTH)
    assert set(np.unique(best)) == {0, 255}
    middle, reach = middle_and_reach(best)
    assert middle == pytest.approx((400, 300), abs=8)
    # A radius of 8 of the model's pixels.
    high = 8 * HEIGHT / SIZE if stretch else 8 * WIDTH / SIZE
    assert reach == pytest.approx((8 * WIDTH / SIZE, high), rel=0.08)
    assert masks[0]["area"] == np.count_nonzero(best)
    assert masks[0]["share"] == pytest.approx(masks[0]["area"] / best.size, abs=1e-6)
    left, top, right, bottom = masks[0]["box"]
    assert best[top:bottom, left:right].any(axis=0).all()
    assert np.count_nonzero(best[top:bottom, left:right]) == masks[0]["area"]
    shares = [share for share, _ in context.reports]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert context.previews[0].shape == (HEIGHT, WIDTH, 3)


def test_several_objects_and_their_cutouts(models: Path, people: Path, out: Path) -> None:
    made = run(
        discs(models, DiscNetwork()),
        people,
        FakeContext(out),
        points=[{"x": 200, "y": 300}, [220, 310, 0]],
        boxes=["800,400,1000,600,2"],
        masks=1,
        cutout="cropped",
    )

    assert made["files"] == {
        "masks": ["mask-1-1.png", "mask-2-1.png"],
        "cutouts": ["cutout-1.png", "cutout-2.png"],
    }
    assert [one["object"] for one in made["values"]["masks"]] == [1, 2]
    middle, _ = middle_and_reach(read(out / "mask-2-1.png"))
    assert middle == pytest.approx((900, 500), abs=8)
    left, top, right, bottom = made["values"]["masks"][1]["box"]
    cutout, picture = read(out / "cutout-2.png"), read(people)
    assert cutout.shape == (bottom - top, right - left, 4)
    inside = cutout[..., 3] == 255
    assert np.array_equal(cutout[inside][:, :3], picture[top:bottom, left:right][inside])
    assert not cutout[~inside].any()


def test_a_further_click_does_not_look_again(models: Path, people: Path, out: Path) -> None:
    network = DiscNetwork()
    loaded = discs(models, network)
    first = run(loaded, people, FakeContext(out), points=["400,300"])
    second = run(loaded, people, FakeContext(out), points=["500,300"])

    assert len(network.embedded) == 1
    assert first["values"]["embedding_cached"] is False
    assert second["values"]["embedding_cached"] is True
    # The same picture elsewhere counts; another one does not.
    same, other = out / "same.jpg", out / "other.png"
    shutil.copy(people, same)
    cv2.imwrite(str(other), read(people)[:, ::-1])
    assert run(loaded, same, FakeContext(out), points=["5,3"])["values"]["embedding_cached"]
    assert not run(loaded, other, FakeContext(out), points=["5,3"])["values"]["embedding_cached"]


def test_embeddings_are_bounded() -> None:
    def some(size: int) -> Embedding:
        return Embedding((torch.zeros(size),), 1, 1)

    cache = EmbeddingCache(most_bytes=100)
    cache.put(("a",), some(10))
    cache.put(("b",), some(10))
    assert cache.get(("a",)) is not None
    cache.put(("c",), some(10))

    assert cache.get(("b",)) is None
    assert cache.get(("a",)) is not None
    assert (len(cache), cache.bytes) == (2, 80)
    cache.put(("d",), some(100))
    assert len(cache) == 0


@pytest.mark.parametrize("model", ["sam2", "video", "original"])
def test_real_file_forms(models: Path, people: Path, tmp_path: Path, model: str) -> None:
    made = []
    for name, clicks in (("a", ["100,100", "640,400"]), ("b", ["640,400"])):
        # In the first run, the picture has been embedded before the click that counts.
        loaded = LoadedGenerators(services(models))
        for click in clicks:
            folder = tmp_path / f"{name}{click}"
            folder.mkdir()
            context = FakeContext(folder)
            found = run(loaded, people, context, model=model, points=[click])
        assert found["values"]["embedding_cached"] is (name == "a")
        assert context.recipe is not None
        assert set(context.recipe["models"]) == {model}
        made.append([(folder / file).read_bytes() for file in found["files"]["masks"]])
        assert read_recipe(folder / "mask-1-1.png").key == context.key
        scores = [one["score"] for one in found["values"]["masks"]]
        assert scores == sorted(scores, reverse=True)

    assert made[0] == made[1]
    assert len(made[0]) == 3


def test_the_video_model_holds_the_one_for_pictures(models: Path) -> None:
    network = load_segment_model(
        find_checkpoint("video", services(models)), services(models)
    ).network

    assert type(network).__name__ == "Sam2Model"
    stored = pytest.importorskip("safetensors.torch").load_file(
        models / "video" / "model.safetensors"
    )
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, stored[name]), name


@pytest.mark.parametrize(("size", "boxed"), [((48, 64), False), ((100, 170), True)])
def test_original_checkpoints_give_what_the_original_gives(
    models: Path, size: tuple[int, int], boxed: bool
) -> None:
    """The network of the package segment_anything, with the same weights, is the reference."""
    height, width = size
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    model = load_segment_model(find_checkpoint("original", services(models)), services(models))
    preparation = Preparation(SIZE, SIZE, stretch=False)
    new = preparation.resized(height, width)
    point, box = Point(x=20, y=30), Box(left=4, top=6, right=30, bottom=40)
    prompt = Prompt(1, (point,), box if boxed else None)
    masks, scores = model.masks(model.embed(image), prompt, several=True)

    x, y = new[1] / width, new[0] / height
    mean, std = torch.tensor(preparation.mean), torch.tensor(preparation.std)
    # The original normalises by itself, from 0..255.
    pixels = preparation.tensor(image)[0, :, : new[0], : new[1]]
    given = {
        "image": (pixels * std[:, None, None] + mean[:, None, None]) * 255,
        "original_size": size,
        "point_coords": torch.tensor([[[20 * x, 30 * y]]]),
        "point_labels": torch.tensor([[1]]),
    }
    if boxed:
        given["boxes"] = torch.tensor([[4 * x, 6 * y, 30 * x, 40 * y]])
    reference = original_sam()
    with torch.inference_mode():
        wanted = reference([given], multimask_output=True)[0]
    order = wanted["iou_predictions"][0].argsort(descending=True)
    assert scores == pytest.approx(wanted["iou_predictions"][0][order].tolist(), abs=1e-2)
    for mask, other in zip(masks, wanted["masks"][0][order].numpy(), strict=True):
        assert (mask != other).mean() < 0.01


def test_pictures_are_prepared_as_the_library_does(people: Path) -> None:
    module = pytest.importorskip("transformers.models.sam.image_processing_pil_sam")
    image = read(people)
    wanted = module.SamImageProcessorPil()(image[..., ::-1], return_tensors="np")["pixel_values"]
    found = Preparation(1024, 1024, stretch=False).tensor(image).numpy()

    assert found.shape == wanted[0][None].shape
    # Pillow and torch round differently, by one of 255.
    assert np.abs(found - wanted[0]).max() < 1.5 / 255 / 0.224


def test_flags() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, SEGMENT)
    given = ["--image", "a.png", "--points", "10,20", "30.5,40,0,2", "--boxes", "1,2,3,4,2"]
    params = SEGMENT.validate(params_of(SEGMENT, parser.parse_args(given)))

    assert params.points == (Point(x=10, y=20), Point(x=30.5, y=40, label=0, object=2))
    assert params.boxes == (Box(left=1, top=2, right=3, bottom=4, object=2),)
    # What a form and a recipe hold is taken, too.
    assert SEGMENT.validate(json.loads(params.model_dump_json())) == params
    assert "segment" in generators()


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "give points"),
        ({"points": ["1"]}, "2 to 4 numbers"),
        ({"points": ["a,2"]}, "'a' is no number"),
        ({"points": ["nan,2"]}, "no number"),
        ({"points": [[1, -2]]}, "greater than or equal to 0"),
        ({"points": [[1, 2, 3]]}, "label"),
        ({"points": [[1, 2, 0]]}, "needs a box, or a point with label 1"),
        ({"boxes": ["5,5,1,9"]}, "the box is empty"),
        ({"boxes": ["1,1,5,5", "2,2,6,6"]}, "object 1 has 2 boxes"),
        ({"points": ["1,2"] * 257}, "256"),
    ],
)
def test_wrong_parameters(params: dict[str, Any], words: str) -> None:
    with pytest.raises(BadParameters, match=words):
        SEGMENT.validate(params)


@pytest.mark.parametrize("prompt", [{"points": ["1280,5"]}, {"boxes": ["5,5,90,887"]}])
def test_outside_the_picture(models: Path, people: Path, out: Path, prompt: dict[str, Any]) -> None:
    with pytest.raises(OutsidePicture, match="1280x886"):
        run(discs(models, DiscNetwork()), people, FakeContext(out), **prompt)
    assert not list(out.iterdir())


def test_a_broken_picture(models: Path, people: Path, tmp_path: Path, out: Path) -> None:
    path = tmp_path / "cut.png"
    cv2.imwrite(str(path), read(people))
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(BadPicture, match="damaged"):
        run(discs(models, DiscNetwork()), path, FakeContext(out), points=["5,5"])


def test_a_missing_model_says_how_to_get_it(models: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        find_checkpoint("sam2_tiny", services(models))
    assert caught.value.hint == "Get it with: python server.py models pull sam2_tiny"
    with pytest.raises(ModelNotFound, match="no folder"):
        find_checkpoint("mine", services(models))
    with pytest.raises(FolderNotAllowed):
        find_checkpoint(str(models / "sam2"), services(models))


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code has run",))


def _break(folder: Path, how: str) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    if how == "no weights":
        weights.unlink()
    elif how == "half":
        weights.write_bytes(weights.read_bytes()[:9000])
    elif how == "config":
        config.write_text("{")
    elif how == "kind":
        config.write_text('{"model_type": "bert"}')
    elif how == "size":
        (folder / "preprocessor_config.json").write_text('{"size": {"height": 7, "width": 7}}')
    elif how == "other weights":
        module = pytest.importorskip("safetensors.torch")
        module.save_file({"a": torch.zeros(2)}, weights, {"format": "pt"})
    else:
        shutil.rmtree(folder)
        folder.mkdir()
        path = folder / "sam.pth"
        if how == "code":
            # The protocol that torch writes.
            path.write_bytes(pickle.dumps(_Code(), protocol=2))
        elif how == "other pth":
            torch.save({"weight": torch.zeros(2)}, path)
        elif how == "half pth":
            write_original_sam(path)
            path.write_bytes(path.read_bytes()[:9000])
        elif how == "two":
            path.touch()
            (folder / "other.pth").touch()


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("no weights", ModelNotFound, "no model.safetensors"),
        ("half", ModelDamaged, "damaged"),
        ("config", ModelDamaged, "config.json cannot be read"),
        ("kind", ModelMismatch, "of the kind 'bert'"),
        ("size", ModelMismatch, "64x64"),
        ("other weights", ModelMismatch, "weights are missing"),
        ("empty", ModelNotFound, "holds no model"),
        ("code", ModelDamaged, "could be code"),
        ("other pth", ModelMismatch, "no model of the kind Segment Anything"),
        ("half pth", ModelDamaged, "damaged"),
        ("two", ModelMismatch, "several models: other.pth, sam.pth"),
    ],
)
def test_models_that_cannot_be_used(
    models: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    how: str,
    error: type[Exception],
    words: str,
) -> None:
    shutil.copytree(models / "sam2", tmp_path / "broken")
    _break(tmp_path / "broken", how)
    given = services(tmp_path)
    with pytest.raises(error, match=words) as caught:
        load_segment_model(find_checkpoint("broken", given), given)
    assert getattr(caught.value, "hint", "")
    assert "code has run" not in capsys.readouterr().out


def test_cancel_between_layers(models: Path, people: Path, out: Path) -> None:
    context = FakeContext(out, stop=lambda share: share > 0.1)
    with pytest.raises(Stopped):
        run(LoadedGenerators(services(models)), people, context, points=["5,5"])

    assert len({share for share, _ in context.reports}) <= 3
    assert not list(out.iterdir())


class Memory:
    """Hands models out without counting."""

    def __init__(self) -> None:
        self.freed = 0

    @contextmanager
    def use(self, spec: Any, device: str, working: int, context: Any) -> Iterator[Any]:
        yield spec.load().to(device)

    def free(self, ram: bool = True) -> int:
        self.freed += 1
        return 0


@pytest.mark.parametrize(
    ("failures", "rung", "devices"),
    [
        (0, "full", ["cuda:0"]),
        (1, "full", ["cuda:0"] * 2),
        (2, "half_precision", ["cuda:0"] * 3),
        (4, "cpu", ["cuda:0"] * 4 + ["cpu"]),
    ],
)
def test_rungs(
    models: Path,
    people: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    rung: str,
    devices: list[str],
) -> None:
    network, left = DiscNetwork(), [failures]

    def fail() -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    network.fail = fail
    monkeypatch.setattr(segmenter, "resolve_device", lambda _, wanted: wanted)
    given = replace(services(models), memory=Memory())
    context = FakeContext(out, place=SomePlace("cuda:0"))
    made = run(discs(models, network, given=given), people, context, points=["400,300"])

    assert made["values"]["rung"] == rung
    assert network.devices == devices
    assert len(context.lines) == failures
