"""install.sh: what it puts where, what it keeps, what it refuses; and the unit of the service."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
UNIT = ROOT / "avatar-server.service"
SOURCES = (
    *("server.py", "config.yaml", "requirements.txt", "requirements-ai.txt"),
    *("requirements-ai-nodeps.txt", "requirements-cluster.txt"),
    *("install.sh", "avatar-server.service"),
    *("engine", "capture", "processors", "transport", "videos/demo"),
)

# SIGTERM must have ended the server after this many seconds.
STOP_SECONDS = 5.0

pytestmark = pytest.mark.install


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is installed, to be changed at will."""
    folder = tmp_path / "checkout"
    for name in SOURCES:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    return folder


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Where to install; the space shows that paths are quoted."""
    return tmp_path / "some where" / "avatar-server"


def run(
    checkout: Path, *arguments: str | Path, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run install.sh; nothing of the calling make or of the user's settings gets in."""
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "AVATAR_"))
    }
    return subprocess.run(
        ["bash", checkout / "install.sh", *map(str, arguments)],
        env=inherited | (environ or {}),
        cwd=checkout.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def install(checkout: Path, prefix: Path) -> str:
    """Install from the environment that runs the tests; return what was said."""
    done = run(checkout, "--prefix", prefix, "--no-systemd", "--use-venv", sys.prefix)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def contents(folder: Path) -> dict[str, str]:
    """Hash every file, except for those of the environment."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "venv"
    }


# Installing and upgrading.


@pytest.fixture
def server(checkout: Path, prefix: Path) -> Iterator[subprocess.Popen[str]]:
    """The server of an installation, on a free port."""
    install(checkout, prefix)
    with subprocess.Popen(
        [prefix / "venv/bin/python", prefix / "server.py", "--port", "0"],
        cwd=prefix.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_installed_server_answers_and_ends_at_sigterm(
    server: subprocess.Popen[str], prefix: Path
) -> None:
    assert server.stdout is not None
    said = ""
    for line in server.stdout:
        said += line
        if address := re.search(r"open (http://\S+/)", line):
            break
    else:
        pytest.fail(f"the server did not start:\n{said}")
    with urllib.request.urlopen(address[1] + "health", timeout=10) as answer:
        assert answer.status == 200
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=STOP_SECONDS) == 0
    left = [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(prefix)]
    assert left == []


def test_only_what_runs_is_installed(checkout: Path, prefix: Path) -> None:
    (checkout / ".git").mkdir()
    (checkout / "tests").mkdir()
    (checkout / "engine/.hidden").write_text("")
    install(checkout, prefix)
    assert {path.name for path in prefix.iterdir()} == {
        *("server.py", "config.yaml", "requirements.txt", "requirements-ai.txt"),
        *("requirements-ai-nodeps.txt", "requirements-cluster.txt"),
        *("install.sh", "avatar-server.service"),
        *("engine", "capture", "processors", "transport"),
        *("videos", "models", "logs", "cache", "jobs", "venv", ".installed"),
    }
    assert not (prefix / "engine/.hidden").exists()
    assert {path.suffix for path in (prefix / "videos/demo").iterdir()} == {".mp4", ".yaml"}


def test_second_run_changes_nothing(checkout: Path, prefix: Path) -> None:
    install(checkout, prefix)
    before = contents(prefix)
    install(checkout, prefix)
    assert contents(prefix) == before


def test_upgrade_keeps_what_the_user_changed(checkout: Path, prefix: Path) -> None:
    install(checkout, prefix)
    config = prefix / "config.yaml"
    mine = config.read_text().replace("port: 8765", "port: 9001")
    config.write_text(mine)
    (prefix / "videos/me").mkdir()
    (prefix / "videos/me/idle.mp4").write_bytes(b"mine")
    (prefix / "videos/demo/idle.mp4").write_bytes(b"mine, too")
    (prefix / "videos/demo/gesture.mp4").unlink()

    new = (checkout / "config.yaml").read_text().replace("crf: 21", "crf: 22")
    (checkout / "config.yaml").write_text(new)
    said = install(checkout, prefix)

    assert config.read_text() == mine
    assert (prefix / "config.yaml.new").read_text() == new
    assert "config.yaml.new" in said
    assert (prefix / "videos/me/idle.mp4").read_bytes() == b"mine"
    assert (prefix / "videos/demo/idle.mp4").read_bytes() == b"mine, too"
    assert not (prefix / "videos/demo/gesture.mp4").exists()
    assert "config.yaml.new" not in install(checkout, prefix)


def test_upgrade_replaces_what_the_user_left_alone(checkout: Path, prefix: Path) -> None:
    install(checkout, prefix)
    (prefix / "engine/left_over.py").write_text("")
    (checkout / "server.py").write_text((checkout / "server.py").read_text() + "# newer\n")
    new = (checkout / "config.yaml").read_text().replace("crf: 21", "crf: 22")
    (checkout / "config.yaml").write_text(new)
    (checkout / "videos/demo/idle.mp4").write_bytes(b"newer")
    install(checkout, prefix)

    assert not (prefix / "engine/left_over.py").exists()
    assert (prefix / "server.py").read_text().endswith("# newer\n")
    assert (prefix / "config.yaml").read_text() == new
    assert not (prefix / "config.yaml.new").exists()
    assert (prefix / "videos/demo/idle.mp4").read_bytes() == b"newer"


def test_settings_that_do_not_suit_leave_the_old_code(checkout: Path, prefix: Path) -> None:
    install(checkout, prefix)
    (prefix / "config.yaml").write_text("server:\n  prot: 1\n")
    before = (prefix / "server.py").read_text()
    (checkout / "server.py").write_text(before + "# newer\n")
    done = run(checkout, "--prefix", prefix, "--no-systemd", "--use-venv", sys.prefix)
    assert done.returncode == 1
    assert "prot" in done.stderr
    assert "do not suit this version" in done.stderr
    assert (prefix / "server.py").read_text() == before
    assert not (prefix / ".staging").exists()


def test_swap_that_breaks_puts_the_old_code_back(
    checkout: Path, prefix: Path, tmp_path: Path
) -> None:
    install(checkout, prefix)
    before = contents(prefix)
    (checkout / "server.py").write_text((checkout / "server.py").read_text() + "# newer\n")
    real = shutil.which("mv")
    fake = program(
        tmp_path / "bin/mv", f'case $1 in */new/processors) exit 1 ;; esac; exec {real} "$@"'
    )
    done = run(
        *(checkout, "--prefix", prefix, "--no-systemd", "--use-venv", sys.prefix),
        environ={"PATH": f"{fake.parent}:{os.environ['PATH']}"},
    )
    assert done.returncode != 0
    after = contents(prefix)
    after.pop(".installed.part", None)
    assert after == before


# Removing.


def test_uninstall_keeps_what_is_the_users(checkout: Path, prefix: Path) -> None:
    install(checkout, prefix)
    (prefix / "models/mine.onnx").write_bytes(b"mine")
    done = run(checkout, "--prefix", prefix, "--no-systemd", "--uninstall")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in prefix.iterdir()} == {
        *("videos", "models", "logs", "jobs", "config.yaml", ".installed"),
    }
    assert (prefix / "models/mine.onnx").read_bytes() == b"mine"
    assert Path(sys.executable).exists()
    install(checkout, prefix)
    assert (prefix / "server.py").exists()


def test_purge_removes_everything(checkout: Path, prefix: Path) -> None:
    install(checkout, prefix)
    done = run(checkout, "--prefix", prefix, "--no-systemd", "--uninstall", "--purge")
    assert done.returncode == 0, done.stderr
    assert not prefix.exists()
    assert Path(sys.executable).exists()


def test_purge_touches_no_foreign_folder(checkout: Path, prefix: Path) -> None:
    prefix.mkdir(parents=True)
    (prefix / "precious").write_text("")
    done = run(checkout, "--prefix", prefix, "--no-systemd", "--uninstall", "--purge")
    assert done.returncode == 1
    assert "is no installation" in done.stderr
    assert (prefix / "precious").exists()


# What is refused.


def program(path: Path, script: str) -> Path:
    """Write a stand-in for a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def few_programs(folder: Path) -> str:
    """A PATH with neither Python nor apt-get on it."""
    folder.mkdir()
    for name in ("awk", "bash", "cat", "cut", "df", "dirname", "ls", "mkdir", "realpath", "rm"):
        (folder / name).symlink_to(shutil.which(name) or name)
    for name in ("sed", "sha256sum", "touch"):
        (folder / name).symlink_to(shutil.which(name) or name)
    return str(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no-systemd", "--prefix"], "--prefix needs a value"),
        (["--no-systemd", "--colour"], "no option --colour"),
        (["--no-systemd", "--prefix", "{checkout}/engine"], "lies in"),
        (["--no-systemd", "--prefix", "{checkout}/server.py/x"], "lies in"),
        (["--no-systemd", "--prefix", "{full}"], "is not empty"),
        (["--no-systemd", "--prefix", "{full}/file"], "is not a folder"),
        (["--no-systemd", "--prefix", "{empty}", "--use-venv", "{full}"], "no virtual environment"),
        (["--no-systemd", "--prefix", "{empty}", "--python", "{full}/no"], "no Python at"),
        (["--no-systemd", "--prefix", "{empty}", "--python", "{old}"], "3.11 or newer is needed"),
        (["--no-systemd", "--prefix", "{empty}", "--python", "{bare}"], "apt-get install python9"),
        (["--no-systemd", "--prefix", "{empty}"], "was not found"),
        (["--venv", "{full}", "--python", sys.executable], "is no virtual environment"),
        (["--venv", "{empty}", "--requirements", "{full}/no"], "There is no"),
    ],
)
def test_refusals_say_why(
    checkout: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.mkdir()
    (full / "file").write_text("precious")
    places = {
        "checkout": checkout,
        "full": full,
        "empty": empty,
        "old": program(tmp_path / "old", "echo Python 3.9.2; [ $1 = --version ]"),
        "bare": program(
            tmp_path / "bare",
            'case "$2" in *ensurepip*) exit 1;; *python%d*) echo python9.9-venv;; esac',
        ),
    }
    done = run(
        checkout,
        *[argument.format(**places) for argument in arguments],
        environ={"PATH": few_programs(tmp_path / "bin")},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert (full / "file").read_text() == "precious"
    assert [path.name for path in full.iterdir()] == ["file"]
    assert not (empty / "server.py").exists()


def test_full_disk_is_seen_before_anything_changes(
    checkout: Path, prefix: Path, tmp_path: Path
) -> None:
    df = program(tmp_path / "bin/df", "echo; echo /dev/disk 100 97 3 97% /")
    done = run(
        *(checkout, "--prefix", prefix, "--no-systemd"),
        environ={"PATH": f"{df.parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 1
    assert "3 MiB free" in done.stderr
    assert not prefix.exists()


# The virtual environment.


def wheel(folder: Path, name: str, version: str, code: str) -> None:
    """Write a wheel with one module cv2."""
    stem = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr("cv2/__init__.py", code)
        info = f"{stem}.dist-info"
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tags)
        files = ("cv2/__init__.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD")
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in files))


def test_environment_is_made_once_and_follows_its_requirements(
    checkout: Path, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    missing = "libGL.so.1: cannot open shared object file: No such file or directory"
    wheel(wheels, "opencv-python", "4.99", f"raise ImportError({missing!r})")
    wheel(wheels, "opencv-python-headless", "4.99", "")
    wheel(wheels, "opencv-python-headless", "5.0", "raise SystemError")
    requirements = checkout / "requirements.txt"
    requirements.write_text("opencv-python==4.99\n")
    (checkout / "requirements-dev.txt").write_text("-r requirements.txt\n")
    environ = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
    venv = tmp_path / "environment"

    def make(file: str) -> str:
        done = run(
            *(checkout, "--venv", venv, "--python", sys.executable),
            *("--requirements", checkout / file),
            environ=environ,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = make("requirements-dev.txt")
    assert "OpenCV has no windows here, for want of libGL.so.1" in said
    found = subprocess.run(
        [venv / "bin/python", "-c", "import cv2; print(cv2.__path__[0])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.startswith(str(venv))
    assert make("requirements-dev.txt") == ""
    assert make("requirements.txt") == ""
    requirements.write_text("opencv-python-headless==4.99\n")
    assert make("requirements.txt").startswith("Installing requirements.txt")
    assert make("requirements-dev.txt").startswith("Installing requirements-dev.txt")
    assert make("requirements-dev.txt") == ""


def test_failing_pip_is_told_and_tried_again(checkout: Path, tmp_path: Path) -> None:
    (checkout / "requirements.txt").write_text("package-that-is-nowhere\n")
    environ = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    arguments = ("--venv", tmp_path / "environment", "--python", sys.executable)
    for _ in range(2):
        done = run(checkout, *arguments, environ=environ)
        assert done.returncode == 1
        assert "package-that-is-nowhere" in done.stderr
        assert "pip could not install" in done.stderr


# The service and the scripts.


def test_service_is_confined() -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed (apt-get install systemd)")
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", UNIT],
        capture_output=True,
        text=True,
        check=True,
    )
    exposure = re.search(
        r"Overall exposure level for avatar-server\.service: ([\d.]+)", done.stdout
    )
    assert exposure is not None, done.stdout
    assert float(exposure[1]) < 3.0


def test_service_writes_only_to_folders_that_are_made(checkout: Path, prefix: Path) -> None:
    install(checkout, prefix)
    values = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
    home = values["WorkingDirectory"]
    writable = [Path(path).relative_to(home) for path in values["ReadWritePaths"].split()]
    assert {str(path) for path in writable} == {"videos", "models", "logs", "cache", "jobs"}
    assert all((prefix / path).is_dir() for path in writable)
    interpreter, script, flag, config = values["ExecStart"].split()
    assert flag == "--config"
    assert all((prefix / Path(p).relative_to(home)).exists() for p in (interpreter, script, config))


@pytest.mark.parametrize("script", ["install.sh", ".ci/run"])
def test_scripts_are_sound(script: str) -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed (apt-get install shellcheck)")
    done = subprocess.run([shellcheck, ROOT / script], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0
    assert os.access(ROOT / script, os.X_OK)


def test_help_names_every_option() -> None:
    done = run(ROOT, "--help")
    assert done.returncode == 0
    options = set(
        re.findall(
            r"^    (?:-\w \| )?((?:--[\w-]+(?: \| )?)+)\)",
            (ROOT / "install.sh").read_text(),
            re.MULTILINE,
        )
    )
    names = {name for group in options for name in group.split(" | ")}
    assert {"--prefix", "--venv", "--purge", "--help"} <= names
    assert all(name in done.stdout for name in names)
