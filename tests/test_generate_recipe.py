"""Recipes: what is in them, in PNG and video files and out again, and when they are equal."""

import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from engine.jobs.errors import JobFailed
from processors.generate.png_text import read_text, write_text
from processors.generate.recipe import (
    KEYWORD,
    BadRecipe,
    Fingerprints,
    NoRecipe,
    Recipe,
    code_version,
    library_versions,
    read_recipe,
    tags,
    write_recipe,
)
from processors.generate.registry import LoadedGenerators
from processors.models.files import ModelNotFound
from tests.clipmaking import numbered_clip
from tests.generate_parts import FakeContext, PaintFailed, paint, services

RECIPE = Recipe(generator="paint", params={"prompt": 'a ‚cat‘ ☕\n"x"', "seed": 4}, threads=2)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 255, (40, 30, 3), np.uint8))
    return path


def test_a_png_keeps_its_pixels_and_says_how_it_was_made(png: Path) -> None:
    before = cv2.imread(str(png))
    write_recipe(png, {"generator": "older", "params": {}})
    write_recipe(png, RECIPE.model_dump())

    assert read_recipe(png) == RECIPE
    assert np.array_equal(cv2.imread(str(png)), before)
    assert png.read_bytes().count(KEYWORD.encode()) == 1
    assert [path.name for path in png.parent.iterdir()] == ["x.png"]


def test_pillow_reads_it_too_and_other_texts_stay(png: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    write_text(png, "Author", "someone")
    write_text(png, KEYWORD, "ü" * 300)

    with image.open(png) as opened:
        opened.load()
        assert opened.text == {"Author": "someone", KEYWORD: "ü" * 300}


def test_a_compressed_text_is_read_and_a_bomb_is_not(png: Path) -> None:
    def with_text(text: bytes) -> None:
        data = KEYWORD.encode() + b"\0\1\0\0\0" + zlib.compress(text)
        chunk = struct.pack(">I", len(data)) + b"iTXt" + data
        chunk += struct.pack(">I", zlib.crc32(b"iTXt" + data))
        whole = png.read_bytes()
        png.write_bytes(whole[:33] + chunk + whole[33:])

    with_text(b"small")
    assert read_text(png, KEYWORD, 1000) == "small"
    with_text(b"0" * 50_000_000)
    assert png.stat().st_size < 200_000
    with pytest.raises(BadRecipe, match="too long"):
        read_recipe(png)


@pytest.mark.parametrize("keep", [9, 40, 0.5, 0.99])
def test_a_png_that_is_cut_off_is_refused(png: Path, keep: float) -> None:
    whole = png.read_bytes()
    png.write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])

    with pytest.raises(BadRecipe, match="damaged"):
        read_recipe(png)
    with pytest.raises(ValueError, match="early"):
        write_text(png, KEYWORD, "x")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_video_says_how_it_was_made(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    with av.open(str(path), "w") as container:
        container.metadata.update(tags(RECIPE.model_dump()))
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))

    assert read_recipe(path) == RECIPE


def test_files_without_a_recipe(tmp_path: Path, png: Path) -> None:
    text = tmp_path / "x.txt"
    text.write_text("nothing")
    clip = numbered_clip(tmp_path / "x.mp4", 3)

    for path in (png, text, clip):
        with pytest.raises(NoRecipe):
            read_recipe(path)
    assert tags(None) == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"generator": 3}', "\x00"])
def test_a_strange_recipe_is_refused(png: Path, text: str) -> None:
    write_text(png, KEYWORD, text)

    with pytest.raises(BadRecipe):
        read_recipe(png)


def test_equal_recipes_have_equal_keys_and_others_do_not() -> None:
    base: dict[str, Any] = RECIPE.model_dump()
    changes: list[dict[str, Any]] = [
        {"generator": "other"},
        {"params": {"seed": 5}},
        {"params": {"seed": "4"}},
        {"params": {"seed": 4.5}},
        {"params": {"seed": None}},
        {"params": {"seed": [1, 2]}},
        {"params": {"seed": [12]}},
        {"inputs": {"image": "a"}},
        {"inputs": {"mask": "a"}},
        {"models": {"image": "a"}},
        {"device": "cuda:0"},
        {"threads": 3},
        {"code": "x"},
        {"libraries": {"torch": "1"}},
    ]
    keys = [Recipe.model_validate(base | change).key for change in [{}, *changes]]

    assert len(set(keys)) == len(keys)
    reordered = Recipe.model_validate(dict(reversed(base.items())))
    assert reordered.key == RECIPE.key == keys[0]


def test_a_hash_is_computed_once_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    fingerprints = Fingerprints()
    first = fingerprints.of_file(path)
    assert first == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    opened = []
    original = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, *a, **k: (opened.append(self), original(self, *a, **k))[1]
    )

    assert fingerprints.of_file(path) == first
    assert not opened
    path.write_bytes(b"abcd")
    assert fingerprints.of_file(path) != first


def test_files_of_a_folder_count_with_their_names(tmp_path: Path) -> None:
    fingerprints = Fingerprints()
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_text(path.name)
    both = fingerprints.of_files(paths)

    assert both == fingerprints.of_files(reversed(paths))
    paths[0].rename(tmp_path / "c")
    assert fingerprints.of_files([tmp_path / "c", paths[1]]) != both


def test_code_and_libraries_are_known() -> None:
    assert len(code_version()) == 16
    assert library_versions()["av"] == av.__version__


def test_running_records_the_recipe_with_the_job_and_in_the_files(
    tmp_path: Path, png: Path
) -> None:
    (tmp_path / "models" / "small").mkdir(parents=True)
    (tmp_path / "models" / "small" / "weights").write_text("1")
    generator = paint(models=("small",))
    loaded = LoadedGenerators(services(tmp_path / "models"), {"paint": generator}).get("paint")
    out = tmp_path / "out"
    out.mkdir()
    context = FakeContext(out)

    made = loaded.run({"shade": 9, "sizes": [4, 6]}, {"palette": png}, context)

    assert made == {
        "files": {"pictures": ["picture-1.png", "picture-2.png"]},
        "values": {"count": 2},
    }
    recipe = read_recipe(out / "picture-2.png")
    assert recipe == read_recipe(out / "picture-1.png") == Recipe.model_validate(context.recipe)
    assert recipe.key == context.key
    assert recipe.params["sizes"] == [4, 6]
    assert recipe.params["frame"] == {"colour": "#000000", "width": 2}
    assert recipe.inputs == {"palette": Fingerprints().of_file(png)}
    assert set(recipe.models) == {"small"}
    assert (recipe.device, recipe.threads) == ("cpu", 1)


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        loaded = LoadedGenerators(services(), {"paint": paint()}).get("paint")
        loaded.run({"shade": 9}, {}, FakeContext(folder))
        made.append((folder / "picture-1.png").read_bytes())

    for one, other in itertools.pairwise(made):
        assert one == other


def test_a_missing_model_is_named_before_anything_runs(tmp_path: Path) -> None:
    generator = paint(models=("yunet",), fail=AssertionError("it runs"))
    loaded = LoadedGenerators(services(tmp_path), {"paint": generator}).get("paint")

    with pytest.raises(ModelNotFound, match="python server.py models pull yunet"):
        loaded.run({"shade": 1}, {}, FakeContext(tmp_path))


def test_only_declared_errors_are_tried_again(tmp_path: Path) -> None:
    def run(error: Exception) -> None:
        known = {"paint": paint(fail=error)}
        LoadedGenerators(services(), known).get("paint").run(
            {"shade": 1}, {}, FakeContext(tmp_path)
        )

    with pytest.raises(JobFailed, match="busy") as caught:
        run(PaintFailed("busy"))
    assert caught.value.retryable
    with pytest.raises(KeyError):
        run(KeyError("x"))
