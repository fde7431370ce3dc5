"""Backgrounds removed from pictures and videos, by tiny networks in the form of rembg's."""

import dataclasses
import errno
import importlib.util
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import ClipError
from engine.pipeline.model_settings import RuntimeSettings
from processors.generate import cutout, transparent_video
from processors.generate.cutout import Steady, clean, over, soften
from processors.generate.inputs import BadInput
from processors.generate.matting import BackgroundRemover, NoBackground
from processors.generate.picture_files import BadPicture
from processors.generate.recipe import read_recipe
from processors.generate.registry import LoadedGenerators
from processors.generate.rembg_masks import MaskFailed, UnknownSession
from processors.generate.remove_background import REMOVE_BACKGROUND, RemoveBackgroundParameters
from processors.generate.resizing import covering
from processors.models.files import ModelDamaged, ModelNotFound
from processors.models.session import OutOfMemory
from tests.clipmaking import write_clip
from tests.generate_parts import FakeContext, Stopped, services
from tests.tiny_restorers import red_matter

# Importing rembg as a whole would compile for minutes.
if importlib.util.find_spec("rembg") is None:
    pytest.skip("rembg (requirements-ai-nodeps.txt) is not installed", allow_module_level=True)

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    red_matter(folder / "red" / "u2netp.onnx")
    red_matter(folder / "broken" / "u2netp.onnx").write_bytes(b"half of it")
    (folder / "loading").mkdir()
    (folder / "loading" / "u2netp.onnx.part").write_bytes(b"half of it")
    red_matter(folder / "other" / "other.onnx")
    return folder


def scene(width: int = 96, height: int = 64) -> Pixels:
    """A red disc on blue, BGR."""
    picture = np.full((height, width, 3), (200, 60, 20), np.uint8)
    cv2.circle(picture, (width // 2, height // 2), height // 4, (20, 20, 220), -1)
    return picture


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    cv2.imwrite(str(path), scene())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures of the scene, with sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, [scene()[..., ::-1].copy()] * 5, fps=10, sound=0.5)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def run(
    models: Path, source: Path, out: Path, context: FakeContext | None = None, **params: Any
) -> dict[str, Any]:
    background = params.pop("behind", None)
    inputs = {"source": source} | ({"background": background} if background else {})
    loaded = LoadedGenerators(services(models)).get("remove_background")
    return loaded.run({"model": "red", **params}, inputs, context or FakeContext(out))


def read(path: Path) -> Pixels:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return np.asarray(found, np.uint8)


def test_a_picture_without_its_background(
    models: Path, picture: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it uses the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    made = run(models, picture, out)
    assert made["files"] == {"picture": ["picture.png"]}
    found = read(out / "picture.png")
    assert found.shape == (64, 96, 4)
    assert found[32, 48, 3] > 245
    assert found[2, 2, 3] < 10
    assert found[32, 48, :3].tolist() == [20, 20, 220]
    assert 0.05 < made["values"]["share"] < 0.3
    assert made["values"]["rung"] == "full"
    assert read_recipe(out / "picture.png").generator == "remove_background"
    assert "numba" not in sys.modules


def test_the_same_job_gives_the_same_bytes(models: Path, picture: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run(models, picture, tmp_path / name, alpha_matting=True)
    assert (tmp_path / "one/picture.png").read_bytes() == (
        tmp_path / "two/picture.png"
    ).read_bytes()


def test_colours_pictures_and_masks(models: Path, picture: Path, out: Path, tmp_path: Path) -> None:
    run(models, picture, out, output="colour", colour="#0040ff")
    found = read(out / "picture.png")
    assert found.shape == (64, 96, 3)
    assert np.abs(found[2, 2].astype(int) - (255, 64, 0)).max() <= 12

    behind = tmp_path / "behind.png"
    cv2.imwrite(str(behind), np.full((300, 20, 3), (9, 200, 90), np.uint8))
    run(models, picture, out, output="picture", behind=behind)
    assert np.abs(read(out / "picture.png")[2, 2].astype(int) - (9, 200, 90)).max() <= 12

    assert run(models, picture, out, output="mask")["files"] == {"mask": ["mask.png"]}
    mask = read(out / "mask.png")
    assert mask.shape == (64, 96)
    assert mask[32, 48] > 245

    with pytest.raises(NoBackground, match="background"):
        run(models, picture, out, output="picture")


def test_transparency_that_was_there_stays(models: Path, tmp_path: Path, out: Path) -> None:
    source = tmp_path / "clear.png"
    alpha = np.full((64, 96), 255, np.uint8)
    alpha[:, 48:] = 0
    cv2.imwrite(str(source), np.dstack((scene(), alpha)))
    run(models, source, out)
    found = read(out / "picture.png")
    assert found[32, 40, 3] > 245
    assert not found[:, 48:, 3].any()


def test_turned_and_deep_pictures(models: Path, tmp_path: Path, out: Path) -> None:
    from PIL import Image

    source = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(scene()[..., ::-1].copy()).save(source, exif=exif, quality=95)
    run(models, source, out)
    assert read(out / "picture.png").shape == (96, 64, 4)

    deep = tmp_path / "deep.png"
    cv2.imwrite(str(deep), np.full((20, 30), 40_000, np.uint16))
    run(models, deep, out, clean_colours=False)
    assert read(out / "picture.png")[0, 0, :3].tolist() == [40_000 >> 8] * 3


@pytest.mark.parametrize(
    ("params", "error", "says"),
    [
        ({"model": "u2net"}, ModelNotFound, "models pull u2net"),
        ({"model": "nowhere"}, ModelNotFound, "nowhere"),
        ({"model": "broken"}, ModelDamaged, "cannot be loaded"),
        ({"model": "loading"}, ModelNotFound, "not finished"),
        ({"model": "other"}, UnknownSession, "Set session"),
        ({"model": "other", "session": "isnet-general-use"}, Exception, "takes"),
    ],
)
def test_models_that_are_not_there_or_do_not_fit(
    models: Path, picture: Path, out: Path, params: dict[str, str], error: type, says: str
) -> None:
    with pytest.raises(error, match=says):
        run(models, picture, out, **params)
    assert list(out.iterdir()) == []


def test_a_network_that_gives_something_else(models: Path, picture: Path, out: Path) -> None:
    class Wrong:
        def mask(self, colour: Pixels) -> Pixels:
            raise MaskFailed("no mask", "Set session.")

    with pytest.raises(MaskFailed):
        run_fake(models, picture, out, lambda *_: Wrong())


def run_fake(models: Path, source: Path, out: Path, load: Callable[..., Any]) -> dict[str, Any]:
    fake = dataclasses.replace(
        REMOVE_BACKGROUND, load=lambda given: BackgroundRemover(given, load).run
    )
    loaded = LoadedGenerators(services(models), {"remove_background": fake})
    given = loaded.get("remove_background")
    return given.run({"model": "red"}, {"source": source}, FakeContext(out))


def test_without_memory_a_job_fails_and_says_so(models: Path, picture: Path, out: Path) -> None:
    asked: list[RuntimeSettings] = []

    def load(path: Path, like: str, runtime: RuntimeSettings) -> Any:
        asked.append(runtime)
        raise OutOfMemory("There is not enough memory.")

    with pytest.raises(OutOfMemory):
        run_fake(models, picture, out, load)
    assert [runtime.provider for runtime in asked] == ["cpu", "cpu"]
    assert {runtime.threads for runtime in asked} == {1}


@pytest.mark.parametrize(("content", "error"), [(b"nothing", ClipError), (b"", ClipError)])
def test_files_that_are_no_pictures(
    models: Path, tmp_path: Path, out: Path, content: bytes, error: type
) -> None:
    source = tmp_path / "source.png"
    source.write_bytes(content)
    with pytest.raises(error):
        run(models, source, out)


def test_damaged_and_huge_pictures(models: Path, picture: Path, tmp_path: Path, out: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(picture.read_bytes()[:-60])
    with pytest.raises(BadPicture, match="damaged"):
        run(models, cut, out)
    bomb = tmp_path / "bomb.png"
    head = bytearray(picture.read_bytes())
    head[16:24] = (30_000).to_bytes(4, "big") * 2
    bomb.write_bytes(head)
    with pytest.raises(BadInput, match="30000x30000"):
        run(models, bomb, out)


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


def decode_clear(path: Path) -> list[Pixels]:
    """The pictures of a WebM with alpha, ``uint8[h, w, 4]``, BGRA."""
    decoder = av.CodecContext.create("libvpx-vp9", "r")
    with av.open(str(path)) as container:
        frames = [frame for packet in container.demux(video=0) for frame in decoder.decode(packet)]
    return [np.asarray(frame.to_ndarray(format="bgra"), np.uint8) for frame in frames]


def test_a_transparent_video_keeps_its_sound(models: Path, clip: Path, out: Path) -> None:
    context = FakeContext(out)
    made = run(models, clip, out, context)
    assert made["files"] == {"video": ["video.webm"]}
    pictures = decode_clear(out / "video.webm")
    assert len(pictures) == 5
    assert pictures[-1][32, 48, 3] > 240
    assert pictures[-1][2, 2, 3] < 15
    with av.open(str(out / "video.webm")) as container:
        sound = container.streams.audio[0]
        assert sound.codec_context.name == "opus"
        seconds = sum(frame.samples / frame.sample_rate for frame in container.decode(sound))
    assert seconds == pytest.approx(0.5, abs=0.1)
    assert read_recipe(out / "video.webm").params["output"] == "transparent"
    assert context.previews[0].shape == (64, 96, 3)


def test_other_videos(models: Path, clip: Path, out: Path) -> None:
    run(models, clip, out, transparent_video="mov")
    with av.open(str(out / "video.mov")) as container:
        first = next(container.decode(video=0)).to_ndarray(format="bgra")
        assert container.streams.audio[0].codec_context.name == "aac"
    assert first[32, 48, 3] > 240
    assert first[2, 2, 3] < 15

    run(models, clip, out, output="colour", colour="#00ff00")
    with av.open(str(out / "video.mp4")) as container:
        frames = list(container.decode(video=0))
        assert container.streams.audio[0].codec_context.name == "aac"
    assert [float(frame.pts * frame.time_base) for frame in frames] == pytest.approx(
        [0, 0.1, 0.2, 0.3, 0.4]
    )
    corner = frames[0].to_ndarray(format="bgr24")[2, 2]
    assert corner[1] > 200
    assert corner[0] < 60


def test_a_missing_encoder_is_named(
    models: Path, clip: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.errors import MissingDependency

    monkeypatch.setattr(transparent_video, "_there", lambda codec: codec == "prores_ks")
    with pytest.raises(MissingDependency, match=r"libvpx-vp9.*transparent_video: mov"):
        run(models, clip, out)
    assert list(out.iterdir()) == []


def test_a_cancelled_video_leaves_nothing(models: Path, clip: Path, out: Path) -> None:
    context = FakeContext(out, lambda done: done > 0.3)
    with pytest.raises(Stopped):
        run(models, clip, out, context, output="colour")
    assert list(out.iterdir()) == []


def test_softened_edges_follow_the_picture() -> None:
    colour = np.zeros((40, 80, 3), np.uint8)
    colour[:, 43:] = 255
    rough = np.zeros((40, 80), np.uint8)
    rough[:, 40:] = 255
    found = soften(colour, rough, 240, 10, 6, 6)
    assert found[20, 20] == 0
    assert found[20, 60] == 255
    assert int(found[20, 43]) - found[20, 42] > 80
    assert int(found[20, 41]) - found[20, 39] < 60


def test_strips_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    colour = cv2.GaussianBlur(random.integers(0, 256, (200, 40, 3)).astype(np.uint8), (9, 9), 0)
    mask = cv2.GaussianBlur(random.integers(0, 2, (200, 40)).astype(np.uint8) * 255, (0, 0), 4)
    whole = soften(colour, mask, 250, 5, 3, 4), clean(colour, mask, 8)
    monkeypatch.setattr(cutout, "_STRIP_PIXELS", 1)
    parts = soften(colour, mask, 250, 5, 3, 4), clean(colour, mask, 8)
    for one, other in zip(whole, parts, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_clean_colours_have_nothing_of_the_background() -> None:
    ramp = np.clip((np.arange(60, dtype=np.float32) - 20) / 12, 0, 1)
    share = np.tile(ramp, (30, 1))
    front, back = np.array([20, 20, 220]), np.array([200, 220, 20])
    colour = (share[..., None] * front + (1 - share[..., None]) * back).astype(np.uint8)
    alpha = (share * 255).astype(np.uint8)
    found = clean(colour, alpha, 20)
    assert np.abs(found[15, 26].astype(int) - front).max() < 30
    assert np.abs(colour[15, 26].astype(int) - front).max() > 80
    assert over(found, alpha, np.zeros_like(found))[15, 59].tolist() == front.tolist()


def test_masks_are_steady_where_nothing_moves() -> None:
    still, other = np.full((20, 20, 3), 90, np.uint8), np.full((20, 20, 3), 200, np.uint8)
    steady = Steady(0.5)
    assert steady.next(still, np.full((20, 20), 200, np.uint8)).max() == 200
    assert steady.next(still, np.full((20, 20), 100, np.uint8)).max() == 150
    assert steady.next(other, np.full((20, 20), 100, np.uint8)).max() == 100
    assert Steady(0).next(still, np.full((20, 20), 7, np.uint8)).max() == 7


def test_backgrounds_cover_any_size() -> None:
    wide = np.zeros((10, 100, 3), np.uint8)
    assert covering(wide, (33, 47)).shape == (47, 33, 3)
    assert covering(wide, (201, 11)).shape == (11, 201, 3)


def test_parameters() -> None:
    assert RemoveBackgroundParameters().model == "isnet-general-use"
    models = services().library.catalog
    assert all(name in models for name in ("isnet-general-use", "birefnet-general", "u2netp"))
