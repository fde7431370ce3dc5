"""Pictures from words, with tiny diffusion models of random weights: forms, ladder, bad input."""

import json
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engine.pipeline.generate_settings import (
    ExternalImageSettings,
    GenerateSettings,
    PromptSettings,
)
from engine.pipeline.memory_settings import MemorySettings
from processors.generate.declaration import BadParameters, Services
from processors.generate.prompts import PromptRejected
from processors.generate.recipe import read_recipe
from processors.generate.registry import LoadedGenerators
from processors.generate.text_to_image import TEXT_TO_IMAGE, TextToImageParameters
from processors.models.files import ModelNotFound
from processors.models.memory import ModelMemory, is_out_of_memory
from tests.generate_parts import FakeContext, Stopped
from tests.generate_parts import services as plain_services

pytest.importorskip("diffusers", reason="diffusers is not installed")

from processors.generate.diffusion import configs, painter
from processors.generate.diffusion.checkpoint import ModelUnusable, WrongModel
from processors.generate.diffusion.decoding import NotANumber
from processors.generate.diffusion.rungs import ladder
from tests.tiny_diffusion import SIDE, write_checkpoint, write_pipeline, write_unet

LIGHTNING = "sdxl_lightning_4step_unet.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: xl, sd (diffusers folders) and lightning (a UNet)."""
    folder = tmp_path_factory.mktemp("models")
    write_pipeline(folder / "xl")
    write_pipeline(folder / "sd", "sd15")
    write_unet(folder / "lightning" / LIGHTNING)
    return folder


@pytest.fixture(scope="module")
def loaded(models: Path) -> LoadedGenerators:
    """Generators that keep what they have loaded."""
    return LoadedGenerators(services(models))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def services(models: Path, settings: GenerateSettings | None = None) -> Services:
    return replace(plain_services(models), generate=settings or GenerateSettings())


def run(loaded: LoadedGenerators, context: FakeContext, **params: Any) -> dict[str, Any]:
    given = {"prompt": "a red cat", "model": "xl", "steps": 2, "seed": 7, **params}
    return loaded.get("text_to_image").run(given, {}, context)


def test_a_picture_says_how_it_was_made(
    loaded: LoadedGenerators, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it uses the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    context = FakeContext(out)
    made = run(loaded, context, negative_prompt="a", seed=None)

    recipe = read_recipe(out / "picture.png")
    assert made["files"] == {"pictures": ["picture.png"]}
    assert made["values"]["rung"] == "full"
    assert made["values"]["seeds"] == [recipe.params["seed"]]
    assert recipe.models.keys() == {"xl"}
    assert cv2.imread(str(out / "picture.png")).shape == (SIDE, SIDE, 3)
    shares = [share for share, _ in context.reports]
    assert shares == sorted(shares)
    assert [text for _, text in context.reports] == [
        *("Loading the model", "Step 1 of 2", "Step 2 of 2", "Decoding", "Done")
    ]
    assert context.previews[0].shape == (SIDE // 2, SIDE // 2, 3)
    assert any("CPU" in line for line in context.lines)

    again = FakeContext(out)
    first = (out / "picture.png").read_bytes()
    loaded.get("text_to_image").run(recipe.params, {}, again)
    assert (out / "picture.png").read_bytes() == first
    run(loaded, again, negative_prompt="a", seed=8)
    assert (
        cv2.imread(str(out / "picture.png")).tobytes()
        != cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR).tobytes()
    )


def test_lightning_is_sampled_as_it_was_trained(
    loaded: LoadedGenerators, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    denoise = painter.Painter.denoise

    def spy(self: Any, pipe: Any, plan: Any, *rest: Any) -> Any:
        latents = denoise(self, pipe, plan, *rest)
        seen.append((pipe.scheduler.timesteps.tolist(), pipe.do_classifier_free_guidance))
        return latents

    monkeypatch.setattr(painter.Painter, "denoise", spy)
    made = run(loaded, FakeContext(out), model="lightning", base="xl", steps=None)

    assert seen == [([999.0, 749.0, 499.0, 249.0], False)]
    assert made["values"]["scheduler"] == "euler_trailing"
    assert (made["values"]["steps"], made["values"]["guidance"]) == (4, 0.0)


def test_a_checkpoint_of_one_file(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_checkpoint(tmp_path / "models" / "one" / "one.safetensors")
    monkeypatch.setattr(configs, "CONFIGS", {"sd15": config})
    made = run(
        LoadedGenerators(services(tmp_path / "models")),
        FakeContext(out),
        model="one",
        width=SIDE,
        height=SIDE,
    )

    assert made["values"]["scheduler"] == "dpmpp_2m"
    assert cv2.imread(str(out / "picture.png")).std() > 1


def test_many_pictures_of_other_sizes(loaded: LoadedGenerators, out: Path) -> None:
    context = FakeContext(out)
    made = run(
        loaded, context, model="sd", count=3, at_once=2, width=96, height=64, scheduler="ddim"
    )

    assert made["files"]["pictures"] == ["picture-1.png", "picture-2.png", "picture-3.png"]
    assert made["values"]["seeds"] == [7, 8, 9]
    pictures = [cv2.imread(str(out / name)) for name in made["files"]["pictures"]]
    assert {picture.shape for picture in pictures} == {(64, 96, 3)}
    assert len({picture.tobytes() for picture in pictures}) == 3
    assert context.previews[0].shape == (32, 96, 3)


@pytest.mark.parametrize("name", ["euler_a", "dpmpp_2m_karras", "unipc"])
def test_samplers(loaded: LoadedGenerators, out: Path, name: str) -> None:
    made = run(loaded, FakeContext(out), scheduler=name)

    assert made["values"]["scheduler"] == name
    assert cv2.imread(str(out / "picture.png")).std() > 1


def test_cancel_ends_it_at_the_next_step(loaded: LoadedGenerators, out: Path) -> None:
    context = FakeContext(out, stop=lambda share: share > 0)
    with pytest.raises(Stopped):
        run(loaded, context, steps=20)

    assert [text for _, text in context.reports][-1] == "Step 1 of 20"
    assert list(out.iterdir()) == []
    run(loaded, FakeContext(out))


def failing(times: dict[str, int]) -> Callable[..., Any]:
    """Make ``denoise`` run out of memory on the first calls of each rung that is named."""
    denoise = painter.Painter.denoise

    def broken(self: Any, pipe: Any, plan: Any, *rest: Any) -> Any:
        for name in times:
            if times[name]:
                times[name] -= 1
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return denoise(self, pipe, plan, *rest)

    return broken


@pytest.mark.parametrize(
    ("failures", "rung", "made_at"),
    [
        (1, "full", "64x64"),
        (2, "sliced attention", "64x64"),
        (4, "tiled VAE", "64x64"),
        (6, "half resolution", "32x32"),
        (8, "smaller model", "64x64"),
    ],
)
def test_rungs_on_a_cpu(
    models: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    rung: str,
    made_at: str,
) -> None:
    monkeypatch.setattr(painter.Painter, "denoise", failing({"any": failures}))
    context = FakeContext(out)
    settings = GenerateSettings(smaller_text_to_image="sd")
    made = run(LoadedGenerators(services(models, settings)), context)

    assert (made["values"]["rung"], made["values"]["made_at"]) == (rung, made_at)
    assert made["values"]["model"] == ("sd" if rung == "smaller model" else "xl")
    assert cv2.imread(str(out / "picture.png")).shape == (SIDE, SIDE, 3)
    assert any("enlarged to 64x64" in line for line in context.lines) == (made_at == "32x32")
    assert sum("Memory ran out" in line for line in context.lines) == (failures + 1) // 2


def test_no_rung_is_left(models: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painter.Painter, "denoise", failing({"any": 100}))
    settings = GenerateSettings(smaller_text_to_image="")
    with pytest.raises(RuntimeError) as caught:
        run(LoadedGenerators(services(models, settings)), FakeContext(out))
    assert is_out_of_memory(caught.value)


def test_the_ladder_of_a_gpu() -> None:
    names = [rung.name for rung in ladder(MemorySettings(), True, True, True)]
    fixed = MemorySettings(attention="full", vae="tiled", offload="sequential")

    assert names == [
        *("full", "sliced attention", "tiled VAE", "model off-load", "sequential off-load"),
        *("half resolution", "smaller model", "external API"),
    ]
    (full, half) = ladder(fixed, True, False, False)
    assert (full.settings.tiled, full.settings.offload, half.settings.half) == (
        True,
        "sequential",
        True,
    )


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading_is_undone(
    loaded: LoadedGenerators, out: Path, monkeypatch: pytest.MonkeyPatch, offload: str
) -> None:
    diffusers = pytest.importorskip("diffusers")
    done: list[str] = []
    kind = diffusers.DiffusionPipeline

    def pretend(name: str) -> Callable[..., None]:
        return lambda *_, **how: done.append(f"{name} {how.get('device', '')}".strip())

    monkeypatch.setattr(kind, f"enable_{offload}_cpu_offload", pretend(offload))
    monkeypatch.setattr(kind, "remove_all_hooks", pretend("removed"))
    monkeypatch.setattr(painter, "resolve_device", lambda *_: "cuda:0")
    given = services(loaded._services.library.folders[0])
    memory = ModelMemory(MemorySettings(offload=offload, budgets={"cuda": "8 GB"}))
    run(LoadedGenerators(replace(given, memory=memory)), FakeContext(out), precision="float32")

    assert done == [f"{offload} cuda:0", "removed"]


def test_an_external_server_is_the_last_resort(
    models: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    green = cv2.imencode(".png", np.full((10, 10, 3), (0, 200, 0), np.uint8))[1].tobytes()

    async def answer(self: Any, path: str, how: dict[str, Any]) -> bytes:
        asked.append((path, how["json"]))
        return green

    monkeypatch.setattr(painter.Painter, "denoise", failing({"any": 100}))
    monkeypatch.setattr("processors.generate.external.ExternalImages._ask", answer)
    settings = GenerateSettings(
        smaller_text_to_image="", external=ExternalImageSettings(url="http://127.0.0.1:9")
    )
    made = run(LoadedGenerators(services(models, settings)), FakeContext(out), height=96)

    assert made["values"]["rung"] == "external API"
    assert made["values"]["model"] == "gpt-image-1"
    assert [path for path, _ in asked] == ["/images/generations"]
    assert asked[0][1]["size"] == "1024x1536"
    picture = cv2.imread(str(out / "picture.png"))
    assert picture.shape == (96, 64, 3)
    assert (picture == (0, 200, 0)).all()


def test_a_vae_that_overflows_is_run_again_in_float32(tmp_path: Path, out: Path) -> None:
    from safetensors.torch import load_file, save_file

    write_pipeline(tmp_path / "xl", upcast=False)
    weights = tmp_path / "xl" / "vae" / "diffusion_pytorch_model.safetensors"
    state = load_file(weights)
    # The widest channel of a float16 ends at 65,504.
    state["decoder.conv_in.weight"] *= 3e6 / state["decoder.conv_in.weight"].abs().max() / 60
    save_file(state, weights)
    context = FakeContext(out)
    generators = LoadedGenerators(services(tmp_path))
    run(generators, context, precision="float16")

    assert "The VAE overflowed; the picture was decoded in float32." in context.lines
    assert cv2.imread(str(out / "picture.png")).std() > 1

    state["decoder.conv_in.weight"][:] = float("nan")
    save_file(state, weights)
    shutil.copytree(tmp_path / "xl", tmp_path / "broken")
    with pytest.raises(NotANumber, match="in float32 too"):
        run(generators, FakeContext(out), model="broken")


def test_weights_in_fp8(models: Path, out: Path) -> None:
    memory = ModelMemory(MemorySettings(weights="fp8"))
    generators = LoadedGenerators(replace(services(models), memory=memory))
    made = run(generators, FakeContext(out))

    assert (made["values"]["dtype"], made["values"]["weights"]) == ("float32", "fp8")
    assert cv2.imread(str(out / "picture.png")).std() > 1


def damaged(models: Path, target: Path, part: str, change: Callable[[Path], None]) -> None:
    shutil.copytree(models / "xl", target / "xl")
    change(target / "xl" / part)


@pytest.mark.parametrize(
    ("part", "change", "error", "problem"),
    [
        ("unet", shutil.rmtree, ModelNotFound, r"no unet/config.json, no unet/diffusion_pyt"),
        ("tokenizer/vocab.json", Path.unlink, ModelNotFound, None),
        (
            "vae/diffusion_pytorch_model.safetensors",
            lambda path: path.write_bytes(path.read_bytes()[:-9]),
            ModelUnusable,
            "is not whole",
        ),
        (
            "vae/diffusion_pytorch_model.safetensors",
            lambda path: path.rename(path.with_name("diffusion_pytorch_model.bin")),
            ModelUnusable,
            "pickled",
        ),
        (
            "model_index.json",
            lambda path: path.write_text(json.dumps({"_class_name": "FluxPipeline"})),
            WrongModel,
            "holds a 'FluxPipeline'",
        ),
    ],
)
def test_folders_that_are_not_whole(
    models: Path,
    tmp_path: Path,
    part: str,
    change: Callable[[Path], None],
    error: type[Exception],
    problem: str | None,
) -> None:
    from processors.generate.diffusion.checkpoint import read_checkpoint

    if not (models / "xl" / part).exists():
        pytest.skip("this version of transformers writes tokenizer.json alone")
    damaged(models, tmp_path, part, change)
    with pytest.raises(error, match=problem):
        read_checkpoint(tmp_path / "xl", "xl")


def test_models_that_do_not_fit(
    loaded: LoadedGenerators, models: Path, tmp_path: Path, out: Path
) -> None:
    with pytest.raises(WrongModel, match="base 'sd' is of the family sd15"):
        run(loaded, FakeContext(out), model="lightning", base="sd")
    with pytest.raises(WrongModel, match="is only a UNet"):
        run(loaded, FakeContext(out), model="lightning")
    with pytest.raises(ModelNotFound, match="models pull sdxl_lightning"):
        run(loaded, FakeContext(out), model="sdxl_lightning")
    with pytest.raises(ModelNotFound, match=r"no folder .*nothing.*models list"):
        run(loaded, FakeContext(out), model="nothing")
    shutil.copytree(models / "sd", tmp_path / "m" / "sdxl_base")
    from processors.generate.diffusion.checkpoint import read_checkpoint

    with pytest.raises(WrongModel, match="holds a model of the family sd15, not sdxl"):
        read_checkpoint(tmp_path / "m" / "sdxl_base", "sdxl_base")


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "  \n"}, "prompt"),
        ({"prompt": "a", "width": 30_000}, "2048"),
        ({"prompt": "a", "width": 513}, "multiple of 8"),
        ({"prompt": "a", "height": 16}, "at least 64"),
        ({"prompt": "a", "seed": -1}, "seed"),
        ({"prompt": "a", "scheduler": "magic"}, "euler_trailing"),
    ],
)
def test_wrong_parameters(params: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadParameters, match=problem):
        TEXT_TO_IMAGE.validate(params)


def test_a_seed_is_drawn_once() -> None:
    first, second = (TEXT_TO_IMAGE.validate({"prompt": "a"}) for _ in range(2))

    assert isinstance(first, TextToImageParameters)
    assert first.seed is not None
    assert first.seed != second.seed
    assert TEXT_TO_IMAGE.validate(first.model_dump(mode="json")).seed == first.seed
    assert TEXT_TO_IMAGE.models(first) == ("sdxl_lightning", "sdxl_base")


def test_forbidden_prompts_are_refused_before_anything_is_loaded(models: Path, out: Path) -> None:
    settings = GenerateSettings(prompts=PromptSettings(blocked_words=("red cat*",)))
    with pytest.raises(PromptRejected, match="'red cat\\*', which is not allowed here"):
        run(LoadedGenerators(services(models, settings)), FakeContext(out), prompt="RED  cats")


def test_a_prompt_that_is_too_long_is_said(loaded: LoadedGenerators, out: Path) -> None:
    context = FakeContext(out)
    run(loaded, context, prompt="cat " * 100, magic_prompt="rules")

    assert any("does not see: cat cat" in line for line in context.lines)
    assert any("The prompt became: cat" in line for line in context.lines)
