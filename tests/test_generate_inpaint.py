"""Parts of pictures painted anew, with tiny diffusion models of random weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engine.pipeline.frame import Image
from engine.pipeline.generate_settings import ExternalImageSettings, GenerateSettings
from processors.generate.declaration import Services
from processors.generate.recipe import read_recipe
from processors.generate.registry import LoadedGenerators
from tests.generate_parts import FakeContext, Stopped
from tests.generate_parts import services as plain_services

pytest.importorskip("diffusers", reason="diffusers is not installed")

from processors.generate.diffusion import painter
from processors.generate.diffusion.inpainting import TooFewSteps
from processors.generate.diffusion.pictures import EmptyMask
from tests.test_generate_text_to_image import failing
from tests.tiny_diffusion import write_pipeline

SIZE = (131, 90)
"""Of the picture; no model can make just that."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: xl, sd (made for inpainting) and plain (not)."""
    folder = tmp_path_factory.mktemp("models")
    write_pipeline(folder / "xl", channels=9)
    write_pipeline(folder / "sd", "sd15", channels=9)
    write_pipeline(folder / "plain")
    return folder


@pytest.fixture(scope="module")
def loaded(models: Path) -> LoadedGenerators:
    return LoadedGenerators(services(models))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A picture, and a mask of half its size whose right half is white."""
    picture = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    mask = np.zeros((45, 66), np.uint8)
    mask[:, 33:] = 255
    return {
        "image": written(tmp_path / "a.png", picture),
        "mask": written(tmp_path / "m.png", mask),
    }


def written(path: Path, picture: Image) -> Path:
    assert cv2.imwrite(str(path), picture)
    return path


def services(models: Path, settings: GenerateSettings | None = None) -> Services:
    return replace(plain_services(models), generate=settings or GenerateSettings())


def run(
    loaded: LoadedGenerators, files: dict[str, Path], context: FakeContext, **params: Any
) -> dict[str, Any]:
    given = {"prompt": "a red cat", "model": "xl", "steps": 2, "seed": 7, "grow": 4, **params}
    return loaded.get("inpaint").run(given, files, context)


def change(files: dict[str, Path], made: Path) -> tuple[Image, Image]:
    """Return where the picture has changed, left and right of the grown mask's edge."""
    before, after = cv2.imread(str(files["image"])), cv2.imread(str(made))
    assert before is not None
    assert after is not None
    assert after.shape == before.shape
    changed = (before != after).any(axis=2)
    edge = SIZE[0] // 2 - 4 - 2
    return changed[:, :edge], changed[:, edge:]


@pytest.mark.parametrize("model", ["xl", "sd"])
def test_only_what_the_mask_shows_is_painted(
    loaded: LoadedGenerators, files: dict[str, Path], out: Path, model: str
) -> None:
    context = FakeContext(out)
    made = run(loaded, files, context, model=model)

    kept, painted = change(files, out / "picture.png")
    assert not kept.any()
    assert painted[:, 20:].mean() > 0.95
    assert made["values"]["rung"] == "full"
    recipe = read_recipe(out / "picture.png")
    assert (recipe.generator, recipe.params["seed"], recipe.inputs.keys()) == (
        "inpaint",
        7,
        {"image", "mask"},
    )
    assert not any("edges may show" in line for line in context.lines)

    first = (out / "picture.png").read_bytes()
    loaded.get("inpaint").run(recipe.params, files, FakeContext(out))
    assert (out / "picture.png").read_bytes() == first


def test_a_model_that_was_not_made_for_it_says_so(
    loaded: LoadedGenerators, files: dict[str, Path], out: Path
) -> None:
    context = FakeContext(out)
    run(loaded, files, context, model="plain", region="whole")

    kept, painted = change(files, out / "picture.png")
    assert not kept.any()
    assert painted.any()
    assert any("edges may show" in line for line in context.lines)


def test_less_strength_takes_fewer_steps(
    loaded: LoadedGenerators, files: dict[str, Path], out: Path
) -> None:
    context = FakeContext(out)
    run(loaded, files, context, steps=4, strength=0.5)

    steps = [text for _, text in context.reports if text.startswith("Step")]
    assert steps == ["Step 1 of 2", "Step 2 of 2"]
    with pytest.raises(TooFewSteps, match="leaves none") as caught:
        run(loaded, files, FakeContext(out), strength=0.3)
    assert "0.5" in caught.value.hint


def test_several_pictures_have_seeds_that_follow(
    loaded: LoadedGenerators, files: dict[str, Path], out: Path
) -> None:
    made = run(loaded, files, FakeContext(out), count=2)

    first, second = (out / name for name in made["files"]["pictures"])
    assert made["values"]["seeds"] == [7, 8]
    assert first.read_bytes() != second.read_bytes()


def test_an_empty_mask_is_refused(
    loaded: LoadedGenerators, files: dict[str, Path], out: Path, tmp_path: Path
) -> None:
    mask = written(tmp_path / "black.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(EmptyMask, match=r"'black\.png' is white") as caught:
        run(loaded, {**files, "mask": mask}, FakeContext(out))
    assert caught.value.hint == "Paint white what shall be painted."


def test_cancel_ends_it_at_the_next_step(
    loaded: LoadedGenerators, files: dict[str, Path], out: Path
) -> None:
    class Once(FakeContext):
        def progress(self, fraction: float, message: str | None = None) -> None:
            super().progress(fraction, message)
            if message == "Step 1 of 20":
                raise Stopped

    context = Once(out)
    with pytest.raises(Stopped):
        run(loaded, files, context, steps=20, strength=1)
    assert context.reports[-1][1] == "Step 1 of 20"
    assert list(out.iterdir()) == []


def test_a_smaller_model_and_then_a_server_are_the_last_resorts(
    models: Path, files: dict[str, Path], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    green = cv2.imencode(".png", np.full((10, 10, 3), (0, 200, 0), np.uint8))[1].tobytes()

    async def answer(self: Any, path: str, how: dict[str, Any]) -> bytes:
        asked.append(path)
        return green

    monkeypatch.setattr("processors.generate.external.ExternalImages._ask", answer)
    settings = GenerateSettings(
        smaller_inpaint="sd", external=ExternalImageSettings(url="http://127.0.0.1:9")
    )
    denoise = painter.Painter.denoise
    for failures, rung in ((8, "smaller model"), (100, "external API")):
        monkeypatch.setattr(painter.Painter, "denoise", denoise)
        monkeypatch.setattr(painter.Painter, "denoise", failing({"any": failures}))
        generators = LoadedGenerators(services(models, settings))
        made = run(generators, files, FakeContext(out))
        assert made["values"]["rung"] == rung
        kept, painted = change(files, out / "picture.png")
        assert not kept.any()
        assert painted[:, 20:].mean() > 0.95
    assert asked == ["/images/edits"]
