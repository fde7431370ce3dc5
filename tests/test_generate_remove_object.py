"""Removing objects: what is kept and what is filled, any size, masks and models that do not fit."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from processors.generate.declaration import Services
from processors.generate.lama.filling import filled
from processors.generate.lama.loading import find_lama, load_lama
from processors.generate.lama.masks import Mask, MaskUnusable, grown, read_mask, softened
from processors.generate.lama.regions import regions
from processors.generate.lama.running import RemoveRunner
from processors.generate.recipe import read_recipe
from processors.generate.registry import LoadedGenerators, generators
from processors.generate.remove_object import REMOVE_OBJECT
from processors.generate.segmenting.model import SegmentModel
from processors.generate.segmenting.preparing import Preparation
from processors.models.catalog import Catalog, FileSpec, ModelSpec
from processors.models.contracts import ModelMismatch
from processors.models.files import ModelDamaged, ModelNotFound
from processors.models.library import ModelLibrary
from tests.generate_parts import FakeContext, Stopped, services

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.tiny_segmenters import (  # noqa: E402
    SIZE,
    DiscNetwork,
    PaintingFiller,
    write_lama_script,
    write_lama_weights,
)

HEIGHT, WIDTH = 400, 600
Bytes = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``lama`` with a TorchScript file."""
    folder = tmp_path_factory.mktemp("models")
    write_lama_script(folder / "lama" / "lama.pt")
    return folder


@pytest.fixture(scope="module")
def coffee(media: Path) -> Path:
    """A picture of 600x400."""
    return media / "faces" / "no_face_coffee.png"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def mask_of(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (HEIGHT, WIDTH)) -> Mask:
    mask = np.zeros(size, np.bool_)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


def write(path: Path, pixels: npt.NDArray[Any]) -> Path:
    shown = pixels.astype(np.uint8) * 255 if pixels.dtype == np.bool_ else pixels
    assert cv2.imwrite(str(path), shown)
    return path


def read(path: Path) -> Bytes:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return np.asarray(found, np.uint8)


def run(
    models: Path, inputs: dict[str, Path], context: FakeContext, **params: Any
) -> dict[str, Any]:
    loaded = LoadedGenerators(services(models)).get("remove_object")
    return loaded.run({"model": "lama", **params}, inputs, context)


def test_only_what_is_masked_changes(models: Path, coffee: Path, tmp_path: Path, out: Path) -> None:
    mask = mask_of((250, 120, 330, 200))
    context = FakeContext(out)
    given = {"image": coffee, "mask": write(tmp_path / "m.png", mask)}
    made = run(models, given, context, grow=10, feather=4)

    assert made["files"] == {"pictures": ["picture.png"], "masks": ["mask.png"]}
    before, after = read(coffee), read(out / "picture.png")
    filled_mask = read(out / "mask.png") > 0
    assert np.array_equal(filled_mask, grown(mask, 10))
    assert np.array_equal(before[~filled_mask], after[~filled_mask])
    assert (before[mask] != after[mask]).any(axis=-1).mean() > 0.9
    assert made["values"] == {
        "removed": [int(filled_mask.sum())],
        "regions": [1],
        "rung": "full",
    }
    shares = [share for share, _ in context.reports]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(context.previews) == 1
    assert "TorchScript, which is code" in context.lines[0]
    assert read_recipe(out / "picture.png").key == context.key
    again = out / "again"
    again.mkdir()
    run(models, given, FakeContext(again), grow=10, feather=4)
    assert (again / "picture.png").read_bytes() == (out / "picture.png").read_bytes()


def test_growing_is_by_distance() -> None:
    mask = mask_of((30, 20, 31, 21), size=(50, 60))
    rows, columns = np.mgrid[:50, :60]
    assert np.array_equal(grown(mask, 7), np.hypot(rows - 20, columns - 30) <= 7)
    assert np.array_equal(grown(mask, 0), mask)
    at_the_edge = grown(mask_of((0, 0, 3, 3), size=(50, 60)), 5)
    assert at_the_edge[:3, :8].all()
    assert not at_the_edge[9:].any()


def test_edges_are_soft_inwards() -> None:
    mask = mask_of((20, 20, 40, 40), size=(60, 60))
    around = grown(mask, 6)
    weights = softened(around, 6)
    assert (weights[mask] == 1).all()
    assert (weights[~around] == 0).all()
    row = weights[30, 10:21]
    assert (np.diff(row) >= 0).all()
    assert np.unique(row).size >= 5
    assert np.array_equal(softened(mask, 0), mask.astype(np.float32))


@pytest.mark.parametrize(
    ("boxes", "count"),
    [
        ([(0, 0, 5, 5)], 1),
        ([(10, 10, 60, 40), (90, 20, 120, 60)], 1),
        ([(10, 10, 60, 40), (900, 700, 960, 780)], 2),
        ([(0, 0, 1000, 10), (0, 790, 1000, 800)], 2),
    ],
)
def test_regions_own_each_pixel_once(boxes: list[tuple[int, int, int, int]], count: int) -> None:
    mask = mask_of(*boxes, size=(800, 1000))
    owned = np.zeros(mask.shape, np.int32)
    found = list(regions(mask))
    for region in found:
        owned[region.rows, region.columns] += region.own
        rows, columns = np.nonzero(region.own)
        # There is something to fill it from on each side, or it is the picture's edge.
        assert rows.min() >= 100 or region.rows.start == 0
        assert columns.max() < region.own.shape[1] - 100 or region.columns.stop == 1000

    assert len(found) == count
    assert np.array_equal(owned, mask)


def test_a_mask_of_specks_is_few_regions() -> None:
    mask = np.random.default_rng(0).random((900, 1100)) < 0.01
    found = list(regions(mask))
    assert len(found) == 1
    assert np.array_equal(found[0].own, mask[found[0].rows, found[0].columns])


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (63, 65), (500, 333)])
def test_any_size(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    mask = np.zeros(size, np.bool_)
    mask[size[0] // 2, size[1] // 2] = True
    model = PaintingFiller()
    found, count = filled(image, mask, 0, 1024, model, lambda *_: None)

    assert count == len(model.given) == 1
    (_, high, wide), _ = model.given[0]
    assert high % 8 == wide % 8 == 0
    assert min(high, wide) >= 64
    assert np.array_equal(found[~mask], image[~mask])
    # Green, in the order of the picture's colours.
    assert found[mask].tolist() == [[0, 255, 0]]


def test_large_regions_are_scaled_down(coffee: Path) -> None:
    image = cv2.resize(read(coffee), (3000, 2000))
    mask = mask_of((300, 300, 2700, 1700), (2999, 0, 3000, 1), size=(2000, 3000))
    model = PaintingFiller((0.0, 0.0, 1.0))
    found, _ = filled(image, mask, 0, 512, model, lambda *_: None)

    assert max(side for shape, _ in model.given for side in shape[1:]) <= 512
    assert np.array_equal(found[~mask], image[~mask])
    # At its edge, what was computed smaller goes over into the picture.
    inner = cv2.erode(mask.astype(np.uint8), np.ones((41, 41), np.uint8), borderValue=0) > 0
    assert inner.sum() > 3_000_000
    assert (found[inner] == (255, 0, 0)).all()
    assert found[0, 2999].tolist() == [255, 0, 0]


@pytest.mark.parametrize("combine", [True, False])
def test_several_masks(
    models: Path, coffee: Path, tmp_path: Path, out: Path, combine: bool
) -> None:
    boxes = [(40, 40, 80, 80), (450, 300, 500, 350)]
    masks = [mask_of(box) for box in boxes]
    given = {
        "image": coffee,
        "mask": write(tmp_path / "1.png", masks[0]),
        "mask-2": write(tmp_path / "2.png", masks[1]),
    }
    made = run(models, given, FakeContext(out), grow=0, combine=combine)

    before = read(coffee)
    wanted = [masks[0] | masks[1]] if combine else masks
    assert len(made["files"]["pictures"]) == len(wanted)
    for name, mask in zip(made["files"]["pictures"], wanted, strict=True):
        changed = (read(out / name) != before).any(axis=-1)
        assert not changed[~mask].any()
        assert changed[mask].mean() > 0.8


def test_what_is_clicked_on_goes(models: Path, coffee: Path, out: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "lama", tmp_path / "models" / "lama")
    # Only looked at: the network is another one.
    (tmp_path / "models" / "sam2").mkdir()
    (tmp_path / "models" / "sam2" / "config.json").write_text('{"model_type": "sam2"}')
    (tmp_path / "models" / "sam2" / "model.safetensors").touch()
    network = DiscNetwork()
    given = services(tmp_path / "models")
    runner = RemoveRunner(
        given,
        load_segmenter=lambda *_: SegmentModel(network, Preparation(SIZE, SIZE, stretch=False)),
    )
    changed = replace(REMOVE_OBJECT, load=lambda _: runner.run)
    loaded = LoadedGenerators(given, {"remove_object": changed}).get("remove_object")
    params = {"model": "lama", "segment_model": "sam2", "grow": 0}
    context = FakeContext(out)
    made = loaded.run({**params, "points": ["300,200"]}, {"image": coffee}, context)

    mask = read(out / "mask.png") > 0
    rows, columns = np.nonzero(mask)
    assert (columns.mean(), rows.mean()) == pytest.approx((300, 200), abs=5)
    assert made["values"]["scores"] == [0.9]
    assert np.array_equal(read(out / "picture.png")[~mask], read(coffee)[~mask])
    assert context.recipe is not None
    assert set(context.recipe["models"]) == {"lama", "sam2"}

    network.radius = -5
    with pytest.raises(MaskUnusable, match="Nothing was found where object 1"):
        loaded.run({**params, "points": ["300,200"]}, {"image": coffee}, FakeContext(out))


def test_masks_of_other_forms(tmp_path: Path) -> None:
    mask = mask_of((100, 100, 200, 200))
    half = cv2.resize(mask.astype(np.uint8) * 255, (300, 200), interpolation=cv2.INTER_AREA)
    found = read_mask(write(tmp_path / "half.png", half), HEIGHT, WIDTH)
    assert (found != mask).mean() < 0.01
    # What is transparent is not meant, whatever colour it has.
    clear = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    clear[..., 3] = mask * 255
    assert np.array_equal(read_mask(write(tmp_path / "clear.png", clear), HEIGHT, WIDTH), mask)
    with pytest.raises(MaskUnusable, match="400x400 pixels, the picture 600x400"):
        read_mask(write(tmp_path / "other.png", mask[:, :400]), HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (None, "Nothing says what is to be removed"),
        (np.zeros((HEIGHT, WIDTH), np.bool_), "is empty"),
        (np.ones((HEIGHT, WIDTH), np.bool_), "covers the whole picture"),
    ],
)
def test_masks_that_cannot_be_meant(
    models: Path, coffee: Path, tmp_path: Path, out: Path, mask: Mask | None, words: str
) -> None:
    given = {"image": coffee}
    if mask is not None:
        given["mask"] = write(tmp_path / "m.png", mask)
    with pytest.raises(MaskUnusable, match=words) as caught:
        run(models, given, FakeContext(out))
    assert caught.value.hint
    assert not list(out.iterdir())


def test_transparency_is_kept(models: Path, coffee: Path, tmp_path: Path, out: Path) -> None:
    alpha = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    image = write(tmp_path / "a.png", np.dstack((read(coffee), alpha)))
    mask = write(tmp_path / "m.png", mask_of((250, 120, 330, 200)))
    run(models, {"image": image, "mask": mask}, FakeContext(out))

    assert np.array_equal(read(out / "picture.png")[..., 3], alpha)


def test_weights_give_what_their_network_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    network = write_lama_weights(tmp_path / "weights" / "lama.safetensors", monkeypatch)
    given = services(tmp_path)
    file = find_lama("weights", given)
    model = load_lama(file, given)
    picture = np.random.default_rng(0).random((3, 64, 72), np.float32)
    hole = np.zeros((1, 64, 72), np.float32)
    hole[:, 20:40, 20:40] = 1

    found = model.fill(picture, hole)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(picture)[None], torch.from_numpy(hole)[None])[0]
    assert not file.runs_code
    assert np.array_equal(found, wanted.numpy())
    assert np.array_equal(found[:, hole[0] == 0], picture[:, hole[0] == 0])


class Other(torch.nn.Module):
    """Takes one picture only."""

    def forward(self, image: Any) -> Any:
        return image * 2


def test_models_that_cannot_be_used(models: Path, tmp_path: Path) -> None:
    given = services(tmp_path)
    with pytest.raises(ModelNotFound) as caught:
        find_lama("big_lama", given)
    assert caught.value.hint == "Get it with: python server.py models pull big_lama"
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(ModelNotFound, match="holds no LaMa"):
        find_lama("mine", given)

    path = folder / "lama.pt"
    path.write_bytes((models / "lama" / "lama.pt").read_bytes()[:2000])
    with pytest.raises(ModelDamaged, match="damaged"):
        load_lama(find_lama("mine", given), given)
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.trace(Other(), torch.zeros(1)).save(str(path))
    model = load_lama(find_lama("mine", given), given)
    with pytest.raises(ModelMismatch, match="another kind of model"):
        model.fill(np.zeros((3, 64, 64), np.float32), np.zeros((1, 64, 64), np.float32))
    path.unlink()
    pytest.importorskip("safetensors.torch").save_file(
        {"model.a": torch.zeros(1)}, folder / "a.safetensors"
    )
    with pytest.raises(ModelMismatch, match="no weights of LaMa"):
        load_lama(find_lama("mine", given), given)


def test_a_known_file_with_another_hash_is_not_run(models: Path) -> None:
    spec = ModelSpec(
        files=(FileSpec(name="lama/lama.pt", sha256="0" * 64),),
        vendor="v",
        licence="l",
        commercial=True,
        purpose="p",
    )
    given = Services(ModelLibrary((models,), catalog=Catalog({}, {"known": spec})))
    file = find_lama("known", given)
    assert not file.runs_code
    with pytest.raises(ModelDamaged, match="SHA-256"):
        load_lama(file, given)


class Failing(PaintingFiller):
    """Runs out of memory a number of times."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.left = failures

    def to(self, device: str) -> "Failing":
        return self

    def fill(
        self, picture: npt.NDArray[np.float32], hole: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        self.left -= 1
        if self.left >= 0:
            raise MemoryError("no more")
        return super().fill(picture, hole)


@pytest.mark.parametrize(
    ("failures", "rung", "longest"),
    [(0, "full", 600), (1, "full", 600), (2, "half_resolution", 256)],
)
def test_rungs(
    models: Path, coffee: Path, tmp_path: Path, out: Path, failures: int, rung: str, longest: int
) -> None:
    model = Failing(failures)
    given = services(models)
    runner = RemoveRunner(given, lambda *_: model)  # type: ignore[arg-type,return-value]  # a fake
    changed = replace(REMOVE_OBJECT, load=lambda _: runner.run)
    loaded = LoadedGenerators(given, {"remove_object": changed}).get("remove_object")
    mask = write(tmp_path / "m.png", mask_of((100, 100, 500, 300)))
    made = loaded.run(
        {"model": "lama", "longest": 600 if longest == 600 else 512},
        {"image": coffee, "mask": mask},
        FakeContext(out),
    )

    assert made["values"]["rung"] == rung
    assert max(model.given[0][0]) == longest


def test_cancel_between_regions(models: Path, coffee: Path, tmp_path: Path, out: Path) -> None:
    mask = write(tmp_path / "m.png", mask_of((10, 10, 30, 30), (560, 360, 590, 390)))
    context = FakeContext(out, stop=lambda share: share > 0.3)
    with pytest.raises(Stopped):
        run(models, {"image": coffee, "mask": mask}, context)

    assert 0.3 < context.reports[-1][0] < 0.9
    assert not list(out.iterdir())


def test_it_is_a_generator() -> None:
    assert generators()["remove_object"] is REMOVE_OBJECT
    assert REMOVE_OBJECT.models(REMOVE_OBJECT.validate({})) == ("big_lama",)
    clicked = REMOVE_OBJECT.validate({"points": ["1,2"]})
    assert REMOVE_OBJECT.models(clicked) == ("big_lama", "sam2_tiny")
