"""install.sh and the model stack: one build of torch, and packages without what they depend on."""

import subprocess
from pathlib import Path

import pytest

from transport.commands.checks.torch_build import check_torch, torchvision_needs

ROOT = Path(__file__).resolve().parents[1]


# Stands in for the Python of an environment: notes what pip is asked for, knows one torch, and
# finds what is in the folder "there".
PYTHON = """#!/bin/sh
home={home}
case "$*" in
    *"pip --version"|--version) echo 3.11 ;;
    *'version("torch")'*) cat "$home/torch" ;;
    *'version("opencv'*) exit 1 ;;
    *"pip --quiet"*)
        while [ "$1" != install ]; do shift; done
        echo "$*" >>"$home/log"
        case "$*" in *torch==*)
            version=${{2#torch==}}
            [ -e "$home/there/$version" ] || [ -n "$3" -a "$version" != 2.1+cu999 ] || exit 1
            echo "$version" >"$home/torch" ;;
        esac ;;
esac
"""
INDEX = "https://download.pytorch.org/whl"


class Installing:
    """Runs install.sh for requirements-dev.txt with a Python that installs nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.there = folder / "there"
        self.there.mkdir()
        (folder / "requirements.txt").write_text("# nothing\n")
        (folder / "requirements-ai.txt").write_text("-r requirements.txt\ntorch==2.1  # one\n")
        (folder / "requirements-ai-nodeps.txt").write_text("user_of_torchvision\n")
        (folder / "requirements-dev.txt").write_text("-r requirements-ai.txt\n")
        script = (ROOT / "install.sh").read_text()
        line = "readonly DRIVER=/proc/driver/nvidia/version\n"
        assert line in script
        self.driver = folder / "driver"
        (folder / "install.sh").write_text(
            script.replace(line, f"readonly DRIVER='{self.driver}'\n")
        )
        python = folder / "environment/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(PYTHON.format(home=f"'{folder}'"))
        python.chmod(0o755)

    def __call__(self, *arguments: str) -> tuple[list[str], subprocess.CompletedProcess[str]]:
        """Return what pip was asked for."""
        log = self.folder / "log"
        log.write_text("")
        done = subprocess.run(
            [
                *("bash", self.folder / "install.sh", "--venv", self.folder / "environment"),
                *("--requirements", self.folder / "requirements-dev.txt", *arguments),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return log.read_text().replace(f"{self.folder}/", "").splitlines(), done


@pytest.fixture
def installing(tmp_path: Path) -> Installing:
    return Installing(tmp_path)


THE_REST = [
    "install --requirement requirements-dev.txt",
    "install --no-deps --requirement requirements-ai-nodeps.txt",
]


@pytest.mark.install
def test_the_small_build_where_no_gpu_is(installing: Installing) -> None:
    (installing.there / "2.1+cpu").write_text("")
    asked, done = installing()
    assert done.returncode == 0, done.stderr
    assert asked == ["install torch==2.1+cpu", *THE_REST]
    asked, again = installing()
    assert (asked, again.stdout) == ([], "")

    # A change of any file is seen, whatever includes it; torch is there already.
    for name in ("requirements.txt", "requirements-ai-nodeps.txt"):
        (installing.folder / name).write_text("something\n")
        assert installing()[0] == THE_REST


@pytest.mark.install
def test_torch_comes_from_its_own_index_where_nobody_else_has_it(installing: Installing) -> None:
    asked, done = installing()
    assert done.returncode == 0, done.stderr
    from_index = f"install torch==2.1+cpu --extra-index-url {INDEX}/cpu"
    assert asked == ["install torch==2.1+cpu", from_index, *THE_REST]


@pytest.mark.install
def test_builds_for_gpus(installing: Installing) -> None:
    installing.driver.write_text("")
    assert installing()[0] == THE_REST
    # Another one is taken when it is asked for, and stays.
    (installing.there / "2.1+cu126").write_text("")
    assert installing("--torch", "cu126")[0] == ["install torch==2.1+cu126", *THE_REST]
    assert installing()[0] == THE_REST
    asked, done = installing("--torch", "cu999")
    assert done.returncode == 1
    assert len(asked) == 2
    assert "torch 2.1+cu999" in done.stderr
    assert "--torch cpu" in done.stderr


@pytest.mark.install
def test_no_torch_where_none_is_wanted(installing: Installing) -> None:
    asked, _ = installing("--requirements", str(installing.folder / "requirements.txt"))
    assert asked == ["install --requirement requirements.txt"]


def test_what_is_pinned() -> None:
    ai = (ROOT / "requirements-ai.txt").read_text()
    pins = [line for line in ai.splitlines() if line.startswith("torch")]
    assert len(pins) == 1
    assert pins[0].startswith("torch==")
    nodeps = (ROOT / "requirements-ai-nodeps.txt").read_text()
    assert "\ntorchvision" not in ai + nodeps


STACK = {"rembg": "2", "segment-anything": "1", "spandrel": "0.4"}


@pytest.mark.parametrize(
    ("installed", "needed", "driver", "levels"),
    [
        ({}, "", False, {"torch": "ok"}),
        ({"torch": "2.13.0+cpu"}, "", False, {"torch": "ok"}),
        ({"torch": "2.13.0+cpu"}, "", True, {"torch": "warning"}),
        ({"torch": "2.13.0"}, "", True, {"torch": "ok"}),
        (
            {"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"},
            "2.13.0",
            False,
            {"torch": "ok", "torchvision": "ok"},
        ),
        (
            {"torch": "2.13.0+cpu", "torchvision": "0.28.0"},
            "2.13.0",
            False,
            {"torch": "ok", "torchvision": "fault"},
        ),
        (
            {"torch": "2.13.0", "torchvision": "0.27.0"},
            "2.12.0",
            False,
            {"torch": "ok", "torchvision": "fault"},
        ),
    ],
)
def test_doctor_on_torch(
    installed: dict[str, str], needed: str, driver: bool, levels: dict[str, str]
) -> None:
    found = list(check_torch(installed | STACK, needed, driver))
    assert {finding.topic: finding.level for finding in found} == levels
    for finding in found:
        assert bool(finding.fix) == (finding.level != "ok")


def test_doctor_names_what_was_left_out() -> None:
    found = list(check_torch({"torch": "2.13.0+cpu", "rembg": "2"}, "", False))
    assert [finding.topic for finding in found] == ["torch", "pictures"]
    assert "segment-anything, spandrel" in found[1].text
    assert "--no-deps" in found[1].fix


def test_what_torchvision_was_made_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "torchvision-0.28.0.dist-info"
    info.mkdir()
    text = "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n"
    (info / "METADATA").write_text(
        text + "Requires-Dist: numpy\nRequires-Dist: torch (==2.13.0)\nRequires-Dist: pillow\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert torchvision_needs() == "2.13.0"
