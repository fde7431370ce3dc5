"""make run: makes the environment once, installs nothing again, and passes arguments on."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.install


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make, untouched by a make that runs the tests."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_run_installs_once_and_passes_arguments_on(tmp_path: Path) -> None:
    for name in ("Makefile", "install.sh"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "requirements.txt").write_text("# nothing\n")
    (tmp_path / "server.py").write_text(
        "import sys\nprint(sys.prefix, *sys.argv[1:])\nsys.exit('--fail' in sys.argv)\n"
    )
    started = f"{tmp_path / '.venv'} --port 9000\n"

    first = make(tmp_path, "run", "ARGS=--port 9000")
    assert first.returncode == 0, first.stderr
    assert "Installing requirements.txt" in first.stdout
    assert first.stdout.endswith(started)

    again = make(tmp_path, "run", "ARGS=--port 9000")
    assert again.stdout == started

    assert make(tmp_path, "run", "ARGS=--fail").returncode != 0


def test_run_says_what_is_missing(tmp_path: Path) -> None:
    for name in ("Makefile", "install.sh", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    done = make(tmp_path, "run", "PYTHON=python-of-nowhere")
    assert done.returncode != 0
    assert "There is no Python at 'python-of-nowhere'." in done.stderr


def test_help_lists_every_target() -> None:
    said = make(ROOT).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    internal = {"venv", "venv-dev", "test-tools"}
    listed = set(re.findall(r"^  ([a-z-]+) ", said, re.MULTILINE))
    assert listed == set(phony[1].split()) - internal
