"""``models list``, ``pull``, ``verify`` and ``where``, as they print."""

import argparse
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.errors import SettingsError
from engine.pipeline.model_settings import ModelSettings
from processors.models.catalog import UnknownModel
from processors.models.download import Downloader
from processors.models.licences import ModelRefused
from tests.model_server import FileServer, running_file_server
from transport.commands import models as commands

CONTENT = b"a model of a hundred bytes" * 4

Run = Callable[..., int]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with running_file_server() as running:
        running.files["/mine.onnx"] = CONTENT
        yield running


@pytest.fixture
def folder(tmp_path: Path, server: FileServer) -> Path:
    """A folder with a catalogue of its own."""
    folder = tmp_path / "models"
    folder.mkdir()
    spec = {"purpose": "test", "vendor": "me", "licence": "my own", "commercial": False}
    file = {"name": "mine.onnx", "size": len(CONTENT), "urls": [server.url("mine.onnx")]}
    models = {
        "mine": {**spec, "files": [{**file, "sha256": hashlib.sha256(CONTENT).hexdigest()}]},
        "unhashed": {**spec, "files": [{**file, "name": "unhashed.onnx"}]},
    }
    (folder / "models.yaml").write_text(json.dumps({"models": models}))
    return folder


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command with these settings of models and these options."""
    monkeypatch.delenv("AVATAR_MODELS", raising=False)

    def call(command: Callable[[argparse.Namespace], int], /, **options: object) -> int:
        commercial = bool(options.pop("commercial", False))
        settings = ModelSettings(folders=(folder,), commercial=commercial)
        monkeypatch.setattr(
            commands, "load_settings", lambda options: SimpleNamespace(models=settings)
        )
        values: dict[str, object] = {"ids": [], "all": False, "folder": None, "json": False}
        return command(argparse.Namespace(**(values | options)))

    return call


def test_list_and_pull(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(commands.list_models) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ID", "SIZE", "HERE", "COMMERCIAL", "LICENCE", "FOR"]
    (swapper,) = [line for line in lines if line.startswith("inswapper_128")]
    assert swapper.split()[1:5] == ["554.3", "MB", "-", "NO"]
    assert run(commands.pull_models, ids=["mine"]) == 0
    out = capsys.readouterr().out
    assert "my own; not for commercial use" in out
    assert f"mine.onnx: {folder / 'mine.onnx'} (hash is right)" in out
    run(commands.list_models, json=True)
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mine"]["here"]
    assert rows["yunet"] == {
        "id": "yunet",
        "size": 322906,
        "here": False,
        "vendor": "Shiqi Yu (libfacedetection)",
        "licence": "Apache-2.0",
        "commercial": True,
        "purpose": "finds faces, with five landmarks each; runs on any CPU",
        "home": "https://github.com/ShiqiYu/libfacedetection.train",
        "note": "",
    }


def test_trust_on_first_use_is_said(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(commands.pull_models, ids=["unhashed"])
    assert "this first download is trusted" in capsys.readouterr().out
    assert run(commands.verify_models) == 0
    assert "unhashed.onnx: as at its first download" in capsys.readouterr().out
    (folder / "unhashed.onnx").write_bytes(b"changed")
    assert run(commands.verify_models) == 1
    assert "unhashed.onnx: DAMAGED" in capsys.readouterr().out


def test_verify(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(commands.verify_models) == 0
    assert "No known model is here" in capsys.readouterr().out
    assert run(commands.verify_models, ids=["mine"]) == 1
    assert "mine: mine.onnx: not here" in capsys.readouterr().out
    (folder / "mine.onnx").write_bytes(CONTENT)
    assert run(commands.verify_models, ids=["mine"]) == 0
    assert capsys.readouterr().out == f"mine: {folder / 'mine.onnx'}: intact\n"


def test_pull_into_another_folder(run: Run, tmp_path: Path) -> None:
    run(commands.pull_models, ids=["mine"], folder=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "mine.onnx").read_bytes() == CONTENT


def test_pull_needs_to_be_told_what(run: Run) -> None:
    with pytest.raises(SettingsError, match="--all"):
        run(commands.pull_models)
    with pytest.raises(UnknownModel, match="Did you mean mine"):
        run(commands.pull_models, ids=["min"])


def test_pull_for_commercial_use(run: Run, server: FileServer) -> None:
    with pytest.raises(ModelRefused, match="my own"):
        run(commands.pull_models, ids=["mine"], commercial=True)
    assert server.asked == []


def test_all_for_commercial_use_leaves_out_what_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[str] = []
    monkeypatch.setattr(Downloader, "pull", lambda self, ids: wanted.extend(ids))
    run(commands.pull_models, all=True, commercial=True)
    assert "yunet" in wanted
    assert "inswapper_128" not in wanted
    run(commands.pull_models, all=True)
    assert "inswapper_128" in wanted


def test_where(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AVATAR_MODELS", "/nowhere/models")
    settings = ModelSettings(folders=(folder,))
    monkeypatch.setattr(commands, "load_settings", lambda options: SimpleNamespace(models=settings))
    assert commands.where_models(argparse.Namespace()) == 0
    assert capsys.readouterr().out == f"/nowhere/models (does not exist)\n{folder}\n"
