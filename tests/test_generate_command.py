"""``server.py job``: flags, files where they are wanted, what is refused before the work begins."""

import argparse
import dataclasses
import threading
from pathlib import Path
from typing import Any

import cv2
import pytest

from engine.errors import SettingsError
from engine.settings import Settings
from processors.generate import registry
from processors.generate.declaration import Context, Generator, Inputs, Result
from processors.generate.recipe import read_recipe
from processors.generate.registry import UnknownGenerator
from tests.generate_parts import PaintParameters, paint
from transport.commands import jobs
from transport.commands.jobs import (
    DirectContext,
    DirectPlace,
    run_directly,
    run_job,
    targets,
)


@pytest.fixture(autouse=True)
def only_paint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_ALL", (paint(),))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("models: {folders: [models]}\nlog: {level: error}\n")
    return path


def command(config: Path, name: str = "", *arguments: str) -> int:
    given = argparse.Namespace(name=name, arguments=list(arguments), config=config, set=[])
    return run_job(given)


def test_a_picture_is_painted_where_it_is_wanted(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.png"

    assert command(config, "paint", "--shade", "77", "--sizes", "6", "--out", str(out)) == 0
    assert cv2.imread(str(out)).tolist() == [[[77] * 3] * 6] * 6
    assert read_recipe(out).params["shade"] == 77
    assert capsys.readouterr().out.strip() == str(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "x.png"]


def test_several_files_are_numbered_or_go_into_a_folder(tmp_path: Path, config: Path) -> None:
    (tmp_path / "folder").mkdir()
    given = ("paint", "--shade", "1", "--sizes", "2", "3", "--out")

    command(config, *given, str(tmp_path / "x.png"))
    command(config, *given, str(tmp_path / "folder"))

    assert [cv2.imread(str(tmp_path / name)).shape[0] for name in ("x.png", "x-2.png")] == [2, 3]
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == [
        "picture-1.png",
        "picture-2.png",
    ]


def test_each_file_gets_its_own_ending() -> None:
    names = ["subtitles.srt", "subtitles.vtt", "video.mp4"]

    assert list(targets(names, Path("a/talk.mp4")).values()) == [
        Path("a/talk.srt"),
        Path("a/talk.vtt"),
        Path("a/talk.mp4"),
    ]


def test_what_is_there_stays_unless_it_may_be_replaced(tmp_path: Path, config: Path) -> None:
    (tmp_path / "x.png").write_text("precious")
    (tmp_path / "y-2.png").write_text("precious")
    given = ("paint", "--shade", "1", "--sizes", "2", "2")

    with pytest.raises(SettingsError, match="--overwrite"):
        command(config, *given, "--out", str(tmp_path / "x.png"))
    # The name of a further file is only known afterwards: the work is not thrown away for it.
    command(config, *given, "--out", str(tmp_path / "y.png"))
    assert (tmp_path / "y-2.png").read_text() == "precious"
    assert (tmp_path / "y-2-2.png").exists()
    command(config, *given, "--overwrite", "--out", str(tmp_path / "x.png"))
    assert read_recipe(tmp_path / "x.png").generator == "paint"


def test_an_output_that_cannot_be_meant(tmp_path: Path, config: Path) -> None:
    source = tmp_path / "in.png"
    command(config, "paint", "--shade", "1", "--out", str(source))

    with pytest.raises(SettingsError, match="there is no folder"):
        command(config, "paint", "--shade", "1", "--out", str(tmp_path / "no" / "x.png"))
    with pytest.raises(SettingsError, match="is an input itself"):
        command(
            config,
            *("paint", "--shade", "1", "--palette", str(source), "--overwrite"),
            *("--out", str(source)),
        )


def test_wrong_parameters_are_named_as_flags(tmp_path: Path, config: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        command(
            config,
            *("paint", "--shade", "dark", "--frame-width", "11", "--out", str(tmp_path / "x.png")),
        )
    assert "--shade: Input should be a valid integer" in caught.value.description
    assert "--frame-width: Input should be less than or equal to 10" in caught.value.description
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml"]


def test_help_unknown_names_and_the_list(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command(config, "paint", "--help")
    assert "server.py job paint" in capsys.readouterr().out
    with pytest.raises(UnknownGenerator, match=r"Did you mean paint\?"):
        command(config, "pain")
    assert command(config) == 0
    assert capsys.readouterr().out == "paint  Paint pictures.\n"


def test_interrupting_ends_it_at_the_next_step_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    steps: list[float] = []

    class Stopping(DirectContext):
        def progress(self, fraction: float, message: str | None = None) -> None:
            steps.append(fraction)
            stop.set()
            super().progress(fraction, message)

    monkeypatch.setattr(
        jobs, "DirectContext", lambda folder, place, _: Stopping(folder, place, stop)
    )
    with pytest.raises(KeyboardInterrupt):
        run_directly(paint(), {"shade": 1, "sizes": [2, 2]}, {}, tmp_path / "x.png", Settings())
    assert steps == [0.5]
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        run_directly(paint(fail=KeyError("x")), {"shade": 1}, {}, tmp_path / "x.png", Settings())
    assert list(tmp_path.iterdir()) == []


def test_the_bar_shows_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([0.0, 10.0])
    context = DirectContext(tmp_path, DirectPlace("cpu", 1), threading.Event(), lambda: next(times))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    context.progress(0.0, "Loading")
    context.progress(0.25)

    assert f"[{'#' * 8:<30}]  25%, 30 s left  Loading" in capsys.readouterr().err


def a_generator_that(run: Any) -> Generator[PaintParameters]:
    return dataclasses.replace(paint(), load=lambda services: run)


def test_a_generator_gets_what_it_needs(tmp_path: Path) -> None:
    seen: list[Any] = []

    def run(params: PaintParameters, inputs: Inputs, context: Context) -> Result:
        seen.extend([params.shade, dict(inputs), context.place, context.wants_preview()])
        assert context.folder.parent == tmp_path
        return Result({})

    written = run_directly(a_generator_that(run), {"shade": 3}, {}, tmp_path / "x.png", Settings())
    assert written == []
    assert seen == [3, {}, DirectPlace("auto", 0), False]
