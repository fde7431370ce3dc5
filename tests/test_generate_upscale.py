"""Pictures and videos enlarged by tiny networks in the form of Real-ESRGAN's checkpoints."""

import dataclasses
import errno
import importlib.util
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import InvalidInput
from processors.generate.declaration import BadParameters
from processors.generate.enlarging import Enlarger, Way
from processors.generate.inputs import BadInput
from processors.generate.picture_files import BadPicture
from processors.generate.recipe import read_recipe
from processors.generate.registry import LoadedGenerators
from processors.generate.tiles import by_tiles, tiles
from processors.generate.upscale import UPSCALE, UpscaleParameters
from processors.generate.upscaling import TooLarge, Upscaler, ladder
from processors.models.files import ModelNotFound
from processors.models.restorers import Restorer, RestorerUnusable, load_restorer
from tests.clipmaking import numbered_clip
from tests.generate_parts import FakeContext, Stopped, services
from tests.tiny_restorers import rrdb_state, save_pth, save_safetensors, srvgg_state

torch = pytest.importorskip("torch", reason="torch (requirements-ai.txt) is not installed")
if importlib.util.find_spec("spandrel") is None:
    pytest.skip("spandrel (requirements-ai-nodeps.txt) is not installed", allow_module_level=True)

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_pth(folder / "four" / "four.pth", rrdb_state())
    save_safetensors(folder / "safe" / "four.safetensors", rrdb_state())
    save_safetensors(folder / "two" / "two.safetensors", rrdb_state(2))
    save_pth(folder / "compact" / "compact.pth", srvgg_state(), "params")
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "small.png"
    cv2.imwrite(str(path), noise(20, 14))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def noise(width: int, height: int) -> Pixels:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8)


def run(
    models: Path,
    source: Path,
    out: Path,
    context: FakeContext | None = None,
    load: Callable[..., Restorer] = load_restorer,
    **params: Any,
) -> dict[str, Any]:
    known = dataclasses.replace(UPSCALE, load=lambda given: Upscaler(given, load).run)
    loaded = LoadedGenerators(services(models), {"upscale": known}).get("upscale")
    given = {"model": "compact", **params}
    return loaded.run(given, {"source": source}, context or FakeContext(out))


def read(path: Path) -> Pixels:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return np.asarray(found, np.uint8)


@pytest.mark.parametrize(
    ("file", "scale"),
    [
        ("four/four.pth", 4),
        ("safe/four.safetensors", 4),
        ("two/two.safetensors", 2),
        ("compact/compact.pth", 4),
    ],
)
def test_checkpoints_as_they_are_published(models: Path, file: str, scale: int) -> None:
    restorer = load_restorer([models / file])
    assert restorer.scale == scale
    with torch.inference_mode():
        made = restorer.module(torch.zeros(1, 3, 8, 12))
    assert made.shape == (1, 3, 8 * scale, 12 * scale)
    assert "torchvision" not in sys.modules


def test_both_formats_hold_the_same(models: Path, picture: Path, tmp_path: Path) -> None:
    made = []
    for model in ("four", "safe"):
        folder = tmp_path / model
        folder.mkdir()
        run(models, picture, folder, model=model)
        made.append(read(folder / "picture.png"))
    assert np.array_equal(*made)


def test_a_picture_and_how_it_was_made(models: Path, picture: Path, out: Path) -> None:
    context = FakeContext(out)
    made = run(models, picture, out, context, scale=2.5)
    assert made["values"] == {"width": 50, "height": 35, "rung": "full"}
    assert read(out / "picture.png").shape == (35, 50, 3)
    recipe = read_recipe(out / "picture.png")
    assert recipe.params["scale"] == 2.5
    assert recipe.models["compact"]
    done = [share for share, _ in context.reports]
    assert done == sorted(done)
    assert done[-1] == 1
    assert context.previews[0].shape == (35, 50, 3)
    assert torch.is_inference_mode_enabled() is False


@pytest.mark.parametrize("model", ["four", "two", "compact"])
def test_tiles_leave_no_seams(models: Path, tmp_path: Path, model: str) -> None:
    source = tmp_path / "larger.png"
    cv2.imwrite(str(source), noise(100, 38))
    made = []
    for tile in (0, 24):
        folder = tmp_path / str(tile)
        folder.mkdir()
        run(models, source, folder, model=model, tile=tile, overlap=32, scale=2)
        made.append(read(folder / "picture.png").astype(int))
    assert np.abs(made[0] - made[1]).max() <= 1
    assert made[0].std() > 1


def test_narrow_overlaps_do_show_seams(models: Path, tmp_path: Path, out: Path) -> None:
    source = tmp_path / "larger.png"
    cv2.imwrite(str(source), noise(60, 30))
    run(models, source, out, tile=20, overlap=0)
    tiled = read(out / "picture.png").astype(int)
    run(models, source, out)
    whole = read(out / "picture.png").astype(int)
    assert np.abs(whole - tiled).max() > 3


def test_more_than_the_network_can_takes_two_passes(models: Path, picture: Path, out: Path) -> None:
    context = FakeContext(out)
    run(models, picture, out, context, model="two", scale=7)
    assert read(out / "picture.png").shape == (98, 140, 3)
    shares = {round(share, 2) for share, message in context.reports if message == "Enlarging"}
    assert len(shares) == 3


def test_the_same_job_gives_the_same_bytes(models: Path, picture: Path, tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run(models, picture, tmp_path / name)
        made.append((tmp_path / name / "picture.png").read_bytes())
    assert made[0] == made[1]


def test_transparency_is_kept(models: Path, tmp_path: Path, out: Path) -> None:
    source = tmp_path / "clear.png"
    alpha = np.zeros((14, 20), np.uint8)
    alpha[:, 10:] = 255
    cv2.imwrite(str(source), np.dstack((noise(20, 14), alpha)))
    run(models, source, out)
    found = read(out / "picture.png")
    assert found.shape == (56, 80, 4)
    assert not found[:, :32, 3].any()
    assert found[:, 48:, 3].min() == 255


def test_denoise_mixes_two_networks(
    tmp_path: Path, picture: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    general, weak = srvgg_state(1), srvgg_state(2)
    first = save_pth(tmp_path / "general.pth", general, "params")
    second = save_pth(tmp_path / "weak.pth", weak, "params")
    mixed = load_restorer([first, second], [0.25, 0.75]).module.state_dict()
    for key, value in mixed.items():
        assert torch.allclose(value, 0.25 * general[key] + 0.75 * weak[key], atol=1e-6)
    other = save_pth(tmp_path / "other.pth", rrdb_state())
    with pytest.raises(RestorerUnusable, match="one shape"):
        load_restorer([first, other], [0.5, 0.5])
    with pytest.raises(BadParameters, match="realesr_general_x4v3"):
        run(tmp_path, picture, out, denoise=0.5)
    params = UpscaleParameters(model="realesr_general_x4v3", denoise=0.5)
    assert UPSCALE.models(params) == ("realesr_general_x4v3", "realesr_general_wdn_x4v3")


def test_the_ladder() -> None:
    names = [way.name for way in ladder(UpscaleParameters(), "cuda:0")]
    assert names == [
        "cuda:0, tiles of 512 px",
        "cuda:0, tiles of 256 px",
        "cuda:0, tiles of 128 px",
        "cuda:0, tiles of 64 px",
        "cuda:0, tiles of 128 px, half precision",
        "cuda:0, tiles of 64 px, half precision",
        "cpu, tiles of 256 px",
        "cpu, tiles of 128 px",
        "cpu, tiles of 64 px",
    ]
    on_cpu = ladder(UpscaleParameters(precision="half", tile=100), "cpu")
    assert [(way.tile, way.half) for way in on_cpu] == [(100, False)]


def test_half_precision_computes_with_16_bits(models: Path) -> None:
    params = UpscaleParameters(precision="half")
    way = Way("cpu", 64, half=True)
    restorer = load_restorer([models / "compact/compact.pth"])
    seen: list[Any] = []

    def watch(module: Any, given: tuple[Any, ...]) -> None:
        seen.append(given[0].dtype)

    handle = torch.nn.modules.module.register_module_forward_pre_hook(watch)
    try:
        enlarger = Enlarger(restorer, way, params, torch)
        made = enlarger.to_size(noise(12, 8), (48, 32), lambda _: None)
    finally:
        handle.remove()
    full = Enlarger(restorer, Way("cpu", 64, False), params, torch)
    assert set(seen) == {torch.float16}
    exact = full.to_size(noise(12, 8), (48, 32), lambda _: None)
    assert np.abs(made.astype(int) - exact).max() <= 3
    assert next(restorer.parameters()).dtype == torch.float32


def test_too_little_memory_makes_tiles_smaller(models: Path, picture: Path, out: Path) -> None:
    sizes: list[int] = []

    class Small(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, given: Any) -> Any:
            sizes.append(max(given.shape[-2:]))
            if sizes[-1] > 150:
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
            return self.inner(given)

    def load(paths: Any, shares: Any) -> Restorer:
        found = load_restorer(paths, shares)
        return dataclasses.replace(found, module=Small(found.module))

    wide = picture.with_name("wide.png")
    cv2.imwrite(str(wide), noise(256, 8))
    context = FakeContext(out)
    made = run(models, wide, out, context, load, overlap=8)
    assert made["values"]["rung"] == "cpu, tiles of 128 px"
    assert max(sizes[2:]) <= 150
    assert any("tiles of 128 px" in line for line in context.lines)
    assert read(out / "picture.png").shape == (32, 1024, 3)


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("run",))


def test_files_that_are_no_such_network(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = tmp_path / "evil.pth"
    torch.save({"params": Evil()}, evil)
    cut = tmp_path / "cut.pth"
    cut.write_bytes((models / "four/four.pth").read_bytes()[:5000])
    short = tmp_path / "short.safetensors"
    short.write_bytes((models / "safe/four.safetensors").read_bytes()[:5000])
    old = tmp_path / "old.pth"
    old.write_bytes(pickle.dumps({"a": 1}, protocol=2))
    for path in (evil, cut, short, old):
        with pytest.raises(RestorerUnusable, match=path.name):
            load_restorer([path])
    assert "run" not in capsys.readouterr().out
    strange = save_pth(tmp_path / "strange.pth", {"layer.weight": torch.zeros(3, 3)})
    with pytest.raises(RestorerUnusable, match="no network that is known"):
        load_restorer([strange])
    state = rrdb_state()
    state["conv_hr.weight"] = torch.zeros(3, 3, 1, 1)
    with pytest.raises(RestorerUnusable, match="do not fit"):
        load_restorer([save_pth(tmp_path / "wrong.pth", state)])


def test_models_that_are_not_there(models: Path, picture: Path, out: Path) -> None:
    with pytest.raises(ModelNotFound, match="models pull realesrgan_x4plus"):
        run(models, picture, out, model="realesrgan_x4plus")
    (models / "several").mkdir(exist_ok=True)
    for name in ("a.pth", "b.pth"):
        (models / "several" / name).write_bytes(b"")
    with pytest.raises(ModelNotFound, match="several models"):
        run(models, picture, out, model="several")


def test_results_that_are_too_large(models: Path, tmp_path: Path, out: Path) -> None:
    huge = tmp_path / "huge.png"
    head = bytearray(cv2.imencode(".png", noise(4, 4))[1].tobytes())
    head[16:24] = (9_000).to_bytes(4, "big") * 2
    huge.write_bytes(head)
    with pytest.raises(TooLarge, match="36000x36000"):
        run(models, huge, out)
    head[16:24] = (30_000).to_bytes(4, "big") * 2
    huge.write_bytes(head)
    with pytest.raises(BadInput, match="30000x30000"):
        run(models, huge, out)


@pytest.mark.parametrize("name", ["noise.png", "cut.png"])
def test_damaged_pictures(models: Path, picture: Path, out: Path, name: str) -> None:
    source = picture.with_name(name)
    whole = picture.read_bytes()
    source.write_bytes(b"no picture" if name == "noise.png" else whole[:-80])
    with pytest.raises(InvalidInput) as caught:
        run(models, source, out)
    assert isinstance(caught.value, BadPicture) == (name == "cut.png")
    assert list(out.iterdir()) == []


def test_a_full_disk_leaves_nothing(
    models: Path, picture: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    def full(self: Image.Image, path: Path, *_: object, **__: object) -> None:
        Path(path).write_bytes(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space"):
        run(models, picture, out)
    assert list(out.iterdir()) == []


def test_a_video_with_its_times_and_recipe(models: Path, tmp_path: Path, out: Path) -> None:
    clip = numbered_clip(tmp_path / "clip.mp4", 4, size=(32, 24))
    made = run(models, clip, out, scale=1.5, preset="ultrafast")
    assert made["values"]["width"] == 48
    with av.open(str(clip)) as before, av.open(str(out / "video.mp4")) as after:
        times = [frame.time for frame in before.decode(video=0)]
        frames = list(after.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx(times)
    assert {(frame.width, frame.height) for frame in frames} == {(48, 36)}
    assert read_recipe(out / "video.mp4").generator == "upscale"


def test_a_cancel_ends_between_tiles_and_pictures(
    models: Path, picture: Path, tmp_path: Path, out: Path
) -> None:
    clip = numbered_clip(tmp_path / "clip.mp4", 4, size=(32, 24))
    for source, params in ((picture, {"tile": 8, "overlap": 4}), (clip, {})):
        context = FakeContext(out, lambda done: done > 0.2)
        with pytest.raises(Stopped):
            run(models, source, out, context, **params)
        assert list(out.iterdir()) == []
        assert max(share for share, _ in context.reports) < 0.9


def test_tiles_cover_all_once() -> None:
    counted = np.zeros((23, 31), int)
    for tile in tiles(31, 23, 10, 3):
        counted[tile.top : tile.bottom, tile.left : tile.right] += 1
        left, top, right, bottom = tile.around
        assert 0 <= left <= tile.left < tile.right <= right <= 31
        assert 0 <= top <= tile.top < tile.bottom <= bottom <= 23
    assert (counted == 1).all()
    done: list[float] = []
    picture = noise(31, 23)
    doubled = by_tiles(
        picture, 2, 10, 3, lambda part: part.repeat(2, axis=0).repeat(2, axis=1), done.append
    )
    assert np.array_equal(doubled, picture.repeat(2, axis=0).repeat(2, axis=1))
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1)
