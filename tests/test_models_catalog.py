"""The catalogue, finding files, hashes and licences."""

import hashlib
import os
from pathlib import Path
from typing import get_args

import pytest

from processors.generate.remove_background import Session
from processors.models.catalog import (
    BUILT_IN,
    Catalog,
    CatalogError,
    FileSpec,
    ModelSpec,
    UnknownModel,
    load_catalog,
)
from processors.models.contracts import CONTRACTS
from processors.models.files import (
    ModelDamaged,
    ModelNotFound,
    find_model,
    model_folders,
    record_hash,
)
from processors.models.library import ModelLibrary
from processors.models.licences import ModelRefused

SHARED_MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"

FREE = b"free to use"
BOUND = b"for research only"


def spec(content: bytes | None, name: str, commercial: bool) -> ModelSpec:
    return ModelSpec(
        files=(
            FileSpec(
                name=name,
                sha256=None if content is None else hashlib.sha256(content).hexdigest(),
                urls=("https://example.org/x",),
            ),
        ),
        vendor="Vendor",
        licence="research only",
        commercial=commercial,
        purpose="test",
        instead="free",
    )


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(
        {},
        {
            "free": spec(FREE, "free.onnx", True),
            "bound": spec(BOUND, "bound.onnx", False),
            "unhashed": spec(None, "unhashed.onnx", True),
        },
    )


def test_the_built_in_catalogue() -> None:
    catalog = load_catalog()
    names = [file.name for _, spec in catalog for file in spec.files]
    assert len(names) == len(set(names))
    for model_id, model in catalog:
        # The networks of rembg are described there.
        described = model.files[0].name.endswith(".onnx") and model_id not in get_args(Session)
        assert model.contract in CONTRACTS if described else not model.contract, model_id
        assert model.home.startswith("https://"), model_id
        assert model.commercial or model.instead, f"{model_id}: what else is there?"
        for file in model.files:
            assert file.urls or file.archive
            assert all(url.startswith("https://") for url in file.urls)
            if file.archive:
                assert catalog.archive(file.archive).sha256


def test_the_licences_that_matter() -> None:
    catalog = load_catalog()
    refused = {model_id for model_id, spec in catalog if not spec.commercial}
    assert {"inswapper_128", "scrfd_10g", "landmarks_106", "arcface_w600k", "genderage"} <= refused
    assert refused.isdisjoint({"yunet", "sface", "ghost_1", "modnet"})


def test_the_shared_detector_is_the_one_in_the_catalogue() -> None:
    if not SHARED_MODELS.is_dir():
        pytest.skip(f"no models: {SHARED_MODELS} does not exist")
    library = ModelLibrary((SHARED_MODELS,))
    assert library.paths("yunet") == (SHARED_MODELS / "yunet_n_dynamic.onnx",)
    (state,) = library.verify("yunet")
    assert (state.state, state.trusted) == ("ok", False)
    assert state.file.size == (SHARED_MODELS / "yunet_n_dynamic.onnx").stat().st_size


def test_an_unknown_model_is_not_far() -> None:
    with pytest.raises(UnknownModel, match="Did you mean inswapper_128") as caught:
        load_catalog()["inswaper"]
    assert "yunet" in caught.value.hint


USER = """
models:
  mine:
    purpose: my own detector
    contract: yunet
    vendor: me
    licence: all rights
    commercial: true
    files:
      - {name: mine.onnx, urls: [https://example.org/mine.onnx]}
"""


def test_a_user_adds_a_model(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(USER)
    (tmp_path / "mine.onnx").write_bytes(FREE)
    library = ModelLibrary((tmp_path / "nowhere", tmp_path))
    assert library.resolve("mine") == tmp_path / "mine.onnx"
    assert "yunet" in library.catalog


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [", "is not YAML"),
        ("models: {a: {}}", "models.a.files: Field required"),
        (USER.replace("mine:", "yunet:", 1), "'yunet' is known already"),
        (USER.replace("contract: yunet", "contract: nonsense"), "models.mine.contract"),
        (USER.replace("mine.onnx,", "../mine.onnx,"), "files.0.name"),
        (USER.replace("https://example.org/mine.onnx", "file:///etc/passwd"), "urls.0"),
        (USER.replace("urls:", "archive: no.zip, urls:"), "there is no archive 'no.zip'"),
        (USER.replace("commercial: true", "comercial: true"), "comercial"),
    ],
)
def test_what_is_wrong_with_a_catalogue_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "models.yaml").write_text(text)
    with pytest.raises(CatalogError) as caught:
        load_catalog([tmp_path])
    assert str(tmp_path / "models.yaml") in caught.value.description
    assert message in caught.value.description


def test_the_built_in_file_is_read_as_a_user_would_write_it(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_bytes(BUILT_IN.read_bytes())
    assert dict(load_catalog([tmp_path])) == dict(load_catalog())


def test_folders_in_order_each_once(tmp_path: Path) -> None:
    environ = {"AVATAR_MODELS": f"/first{os.pathsep}/second"}
    assert model_folders((Path("/third"), Path("/first")), environ) == (
        Path("/first"),
        Path("/second"),
        Path("/third"),
    )
    assert model_folders((Path("~/x"),), {}) == (Path.home() / "x",)


def test_find_model(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    second.mkdir()
    (second / "m.onnx").write_bytes(FREE)
    assert find_model(Path("m.onnx"), (first, second), "model") == second / "m.onnx"
    assert find_model(second / "m.onnx", (), "model") == second / "m.onnx"
    with pytest.raises(ModelNotFound, match="AVATAR_MODELS") as caught:
        find_model(Path("n.onnx"), (first, second), "face detector")
    assert f"face detector at {first / 'n.onnx'} or {second / 'n.onnx'}" in caught.value.description


def test_a_missing_model_says_how_to_get_it(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(ModelNotFound) as caught:
        ModelLibrary((tmp_path,), catalog=catalog).paths("free")
    assert str(tmp_path) in caught.value.description
    assert caught.value.hint.endswith("python server.py models pull free")


def test_a_damaged_model_is_not_used(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "free.onnx").write_bytes(FREE + b"!")
    library = ModelLibrary((tmp_path,), catalog=catalog)
    for name in ("free", "free.onnx"):
        with pytest.raises(ModelDamaged, match="SHA-256"):
            library.resolve(name)
    assert [state.state for state in library.verify("free")] == ["damaged"]
    # The same file under a path of its own is the user's business.
    assert library.resolve(tmp_path / "free.onnx") == tmp_path / "free.onnx"


def test_a_file_is_hashed_once_until_it_changes(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []

    def counted(path: Path) -> str:
        hashed.append(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr("processors.models.library.hash_file", counted)
    file = tmp_path / "free.onnx"
    file.write_bytes(FREE)
    library = ModelLibrary([tmp_path], catalog=catalog)
    for _ in range(3):
        assert library.paths("free") == (file,)
    assert hashed == [file]
    # Touched, put in place again, asked for by name: hashed anew where anything may have changed.
    os.utime(file, ns=(1, 1))
    library.paths("free")
    other = tmp_path / "other"
    other.write_bytes(FREE)
    other.replace(file)
    library.paths("free")
    assert len(hashed) == 3
    assert [state.state for state in library.verify("free")] == ["ok"]
    assert len(hashed) == 4


def test_a_change_that_keeps_size_and_time_is_noticed(tmp_path: Path, catalog: Catalog) -> None:
    file = tmp_path / "free.onnx"
    file.write_bytes(FREE)
    library = ModelLibrary([tmp_path], catalog=catalog)
    before = file.stat()
    library.paths("free")
    while file.stat().st_ctime_ns == before.st_ctime_ns:  # the clock of the file system ticks
        file.write_bytes(FREE.swapcase())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (len(FREE), before.st_mtime_ns)
    with pytest.raises(ModelDamaged, match="SHA-256"):
        library.paths("free")


def test_a_recorded_hash_counts(tmp_path: Path, catalog: Catalog) -> None:
    path = tmp_path / "unhashed.onnx"
    path.write_bytes(FREE)
    library = ModelLibrary((tmp_path,), catalog=catalog)
    assert [state.state for state in library.verify("unhashed")] == ["unknown"]
    record_hash(path, hashlib.sha256(FREE).hexdigest())
    (state,) = library.verify("unhashed")
    assert (state.state, state.trusted) == ("ok", True)
    path.write_bytes(BOUND)
    with pytest.raises(ModelDamaged):
        library.resolve("unhashed")


@pytest.mark.parametrize("name", ["bound", "bound.onnx", "renamed.onnx"])
def test_commercial_use_is_refused_by_whatever_name(
    tmp_path: Path, catalog: Catalog, name: str
) -> None:
    for file in ("bound.onnx", "renamed.onnx"):
        (tmp_path / file).write_bytes(BOUND)
    wanted = str(tmp_path / name) if name == "renamed.onnx" else name
    with pytest.raises(ModelRefused) as caught:
        ModelLibrary((tmp_path,), commercial=True, catalog=catalog).resolve(wanted)
    assert "research only" in caught.value.description
    assert "models.commercial" in caught.value.description
    assert "Instead: free." in caught.value.hint
    assert ModelLibrary((tmp_path,), catalog=catalog).resolve(wanted).is_file()


def test_commercial_use_of_free_and_unknown_models(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "free.onnx").write_bytes(FREE)
    (tmp_path / "own.onnx").write_bytes(b"my own")
    library = ModelLibrary((tmp_path,), commercial=True, catalog=catalog)
    assert library.resolve("free") == tmp_path / "free.onnx"
    assert library.resolve("own.onnx") == tmp_path / "own.onnx"
