"""Each fault that ``doctor`` knows is provoked, and its fix is named."""

import argparse
import errno
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.errors import NotFound
from engine.pipeline.model_settings import ModelSettings, RuntimeSettings
from engine.settings import Settings
from processors.models.library import ModelLibrary
from transport.commands import doctor as command
from transport.commands.checks import devices, gpu, media, network, packages, storage
from transport.commands.checks.finding import Finding, fault, ok, warning
from transport.commands.checks.models import check_models

YUNET = Path(__file__).resolve().parents[2] / "shared" / "models" / "yunet_n_dynamic.onnx"
AUTO = RuntimeSettings()
ON_CUDA = RuntimeSettings(provider="cuda")
CPU_BUILD = gpu.Build("onnxruntime", "1.31.1", "", ("CPUExecutionProvider",))
CUDA_BUILD = gpu.Build("onnxruntime-gpu", "1.31.1", "12.8", ("CUDAExecutionProvider",))


def test_python() -> None:
    assert packages.check_python((3, 11, 2)).level == "ok"
    found = packages.check_python((3, 9, 1))
    assert (found.level, found.text) == ("fault", "3.9.1 is too old.")


def by_topic(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.topic: finding for finding in findings}


def test_packages_that_overwrite_each_other() -> None:
    found = by_topic(
        packages.check_packages(
            {
                "onnxruntime": "1.31.1",
                "onnxruntime-gpu": "1.31.1",
                "opencv-python-headless": "5.0",
                "opencv-python": "5.0",
            }
        )
    )
    both = found["onnxruntime package"]
    assert both.level == "fault"
    assert both.fix == (
        "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu"
    )
    assert found["OpenCV package"].fix.endswith("then pip install opencv-python")
    assert found["uvloop"].text.startswith("not installed (optional")


def test_packages_as_they_should_be() -> None:
    found = by_topic(packages.check_packages({"onnxruntime-gpu": "1.31.1", "opencv-python": "5"}))
    assert found["onnxruntime package"] == ok("onnxruntime package", "onnxruntime-gpu 1.31.1")
    missing = by_topic(packages.check_packages({}))
    assert missing["onnxruntime package"].level == "warning"


def test_the_packages_of_this_python() -> None:
    assert packages.installed_packages()["pytest"] == pytest.__version__


LIBRARIES = frozenset(gpu.needed_libraries("12.8"))


@pytest.mark.parametrize(
    ("build", "driver", "libraries", "settings", "level", "text"),
    [
        (None, False, (), AUTO, "warning", "onnxruntime is missing"),
        (None, False, (), ON_CUDA, "fault", "onnxruntime is missing"),
        (CPU_BUILD, False, (), AUTO, "ok", "runs models on the CPU"),
        (CPU_BUILD, False, (), ON_CUDA, "fault", "has no CUDA"),
        (CPU_BUILD, True, (), AUTO, "warning", "There is an NVIDIA GPU, but"),
        (CPU_BUILD, True, (), RuntimeSettings(provider="cpu"), "ok", "not used"),
        (CUDA_BUILD, False, LIBRARIES, AUTO, "warning", "no driver is loaded"),
        (CUDA_BUILD, False, LIBRARIES, ON_CUDA, "fault", "no driver is loaded"),
        (CUDA_BUILD, True, LIBRARIES, AUTO, "ok", "with CUDA 12.8 and cuDNN 9"),
        (CUDA_BUILD, True, (), RuntimeSettings(provider="cpu"), "ok", "not used"),
        (CUDA_BUILD, True, LIBRARIES - {"libcudnn.so.9"}, AUTO, "fault", "no libcudnn.so.9"),
        (
            CUDA_BUILD,
            True,
            LIBRARIES,
            RuntimeSettings(provider="tensorrt"),
            "fault",
            "no libnvinfer.so.10",
        ),
    ],
)
def test_gpu(
    build: gpu.Build | None,
    driver: bool,
    libraries: frozenset[str],
    settings: RuntimeSettings,
    level: str,
    text: str,
) -> None:
    found = gpu.check_gpu(build, driver, libraries, settings)
    assert found.level == level
    assert text in found.text
    assert bool(found.fix) == (level != "ok")


def test_another_version_of_cuda_is_named() -> None:
    old = {name.replace(".so.12", ".so.11") for name in LIBRARIES} - {"libcudnn.so.9"}
    found = gpu.check_gpu(CUDA_BUILD, True, old | {"libcudnn.so.8"}, AUTO)
    assert found.level == "fault"
    assert "needs CUDA 12.8 and cuDNN 9" in found.text
    assert "Another version is there: libcublas.so.11" in found.text
    assert "libcudnn.so.8" in found.text


def test_the_libraries_of_cuda_13() -> None:
    assert "libcufft.so.12" in gpu.needed_libraries("13.0")
    assert "libcufft.so.11" in gpu.needed_libraries("12.8")


def test_what_this_machine_has() -> None:
    build = gpu.onnxruntime_build()
    assert build is not None
    assert "CPUExecutionProvider" in build.providers
    assert any(name.startswith("libc.so") for name in gpu.installed_libraries())


def test_a_model_that_does_not_run() -> None:
    (found,) = gpu.check_runs(NotFound("No provider.", "Install it."), AUTO)
    assert found == fault("model run", "No provider.", "Install it.")
    assert [each.level for each in gpu.check_runs("cuda", AUTO)] == ["ok"]
    assert list(gpu.check_runs(None, AUTO)) == []


def test_codecs() -> None:
    assert list(media.check_codecs(lambda name, mode: True)) == [
        ok("codecs", "H.264, VP8, Opus and AAC")
    ]
    found = list(media.check_codecs(lambda name, mode: name not in ("libx264", "libopus")))
    assert [(each.level, each.text.split(",")[0]) for each in found] == [
        ("fault", "FFmpeg has no encoder libx264"),
        ("warning", "FFmpeg has no encoder libopus"),
    ]
    assert "--only-binary=av" in found[0].fix

    def broken(name: str, mode: str) -> bool:
        raise ImportError("libavcodec.so.62: cannot open shared object file")

    (found_fault,) = media.check_codecs(broken)
    assert found_fault.level == "fault"
    assert "libavcodec" in found_fault.text


def test_the_codecs_of_this_pyav() -> None:
    assert media.has_codec("libx264", "w")
    assert media.has_codec("h264", "r")
    assert not media.has_codec("no_such_codec", "r")


BUILD = """
  GUI:                           QT5
  Video I/O:
    FFMPEG:                      YES
    v4l/v4l2:                    YES (linux/videodev2.h)
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BUILD, []),
        (BUILD.replace("QT5", "NONE"), ["has no windows"]),
        (BUILD.replace("FFMPEG:                      YES", "FFMPEG: NO"), ["reads no H.264"]),
        (BUILD.replace("YES (linux", "NO (linux"), ["reads no cameras"]),
    ],
)
def test_opencv(text: str, expected: list[str]) -> None:
    found = [each for each in media.check_opencv(lambda: text) if each.level == "warning"]
    assert [
        each.text[: len(start)] for each, start in zip(found, expected, strict=True)
    ] == expected


def test_opencv_that_cannot_be_loaded() -> None:
    def broken() -> str:
        raise ImportError("libGL.so.1: cannot open shared object file")

    (found,) = media.check_opencv(broken)
    assert found.level == "fault"
    assert "apt install libgl1" in found.fix


def test_this_opencv() -> None:
    assert all(each.level != "fault" for each in media.check_opencv(media.opencv_build))
    assert "GUI" in media.opencv_build()


def test_voice() -> None:
    here = {"espeak-ng": "/usr/bin/espeak-ng"}.get
    assert media.check_voice(here) == ok("voice", "/usr/bin/espeak-ng")
    assert media.check_voice(lambda program: None).fix == "sudo apt install espeak-ng"


def test_cameras() -> None:
    first = devices.Device(Path("/dev/video0"), True, "video")
    second = devices.Device(Path("/dev/video1"), False, "video")
    assert [each.level for each in devices.check_cameras([], "camera:0")] == ["ok"]
    assert list(devices.check_cameras([first], "camera:0")) == [ok("camera", "/dev/video0")]
    closed, opened = devices.check_cameras([first, second], "camera:0")
    assert (closed.level, opened.text) == ("warning", "/dev/video0")
    assert "usermod -aG video" in closed.fix
    assert [each.level for each in devices.check_cameras([second], "camera:1")] == ["fault"]


def test_devices_are_found(tmp_path: Path) -> None:
    for name in ("video0", "video12", "videofoo", "vbi0"):
        (tmp_path / name).touch()
    found = devices.video_devices(tmp_path)
    assert [device.path.name for device in found] == ["video0", "video12"]
    assert all(device.usable and device.group for device in found)


def refuse(number: int) -> Callable[[str, int], None]:
    def listen(host: str, port: int) -> None:
        raise OSError(number, os.strerror(number))

    return listen


@pytest.mark.parametrize(
    ("number", "port", "ours", "level", "text"),
    [
        (errno.EADDRINUSE, 8765, True, "warning", "An avatar-server is running"),
        (errno.EADDRINUSE, 8765, False, "fault", "in use by nginx (process 7)"),
        (errno.EACCES, 80, False, "fault", "reserved for the system's administrator"),
        (errno.EADDRNOTAVAIL, 8765, False, "fault", "not possible to listen at 10.9.9.9:8765"),
    ],
)
def test_port(number: int, port: int, ours: bool, level: str, text: str) -> None:
    found = network.check_port(
        "10.9.9.9",
        port,
        refuse(number),
        is_ours=lambda host, port: ours,
        who=lambda port: "nginx (process 7)",
    )
    assert found.level == level
    assert text in found.text
    assert found.fix


@pytest.fixture
def answering() -> Iterator[int]:
    """The port of something that answers as this server does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"status": "ok"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="answering")
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_real_port(answering: int) -> None:
    assert network.check_port("127.0.0.1", 0).level == "ok"
    found = network.check_port("0.0.0.0", answering)
    assert (found.level, "avatar-server" in found.text) == ("warning", True)
    assert f"(process {os.getpid()})" in network.who_listens(answering)


def test_a_port_of_somebody_else() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        found = network.check_port("127.0.0.1", port, is_ours=lambda host, port: False)
    assert found.level == "fault"
    assert f"(process {os.getpid()})" in found.text


def test_folders(tmp_path: Path) -> None:
    def readonly(folder: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def check(
        path: Path,
        write: Callable[[Path], None] = storage.try_to_write,
        free: int = 10**10,
        needed: bool = True,
    ) -> Finding:
        return storage.check_folder("packs", path, needed, write, lambda folder: free)

    deep = tmp_path / "a" / "b"
    assert check(deep).level == "ok"
    assert not deep.exists()
    assert list(tmp_path.iterdir()) == []
    found = check(deep, write=readonly)
    assert found.level == "fault"
    assert f"{tmp_path} cannot be written to (Read-only file system)" in found.text
    assert check(deep, write=readonly, needed=False).level == "warning"
    (tmp_path / "file").touch()
    assert "is a file, not a folder" in check(tmp_path / "file" / "b").text
    assert check(deep, free=50_000_000).level == "fault"
    assert check(deep, free=500_000_000).level == "warning"


def test_models(tmp_path: Path) -> None:
    here = tmp_path / "models"
    found = list(check_models(ModelLibrary((here,)), False))
    assert [each.fix for each in found] == [
        "It is made by: models pull",
        "python server.py models pull yunet",
    ]
    here.mkdir()
    (here / "inswapper_128.onnx").write_bytes(b"damaged")
    found = list(check_models(ModelLibrary((here,), True), True))
    assert [each.level for each in found] == ["fault", "warning", "warning"]
    assert "wrong hash" in found[0].text
    assert "models pull inswapper_128" in found[0].fix
    assert "is refused: its licence" in found[1].text


def settings_with(tmp_path: Path, **values: object) -> SimpleNamespace:
    whole = Settings()
    folders = {"avatars": {"cache": tmp_path / "cache"}, "output": {"folder": tmp_path / "out"}}
    sections = {
        name: getattr(whole, name).model_copy(update=folders.get(name))
        for name in ("server", "pipeline", "avatars", "output")
    }
    sections["server"] = whole.server.model_copy(update={"port": 0})
    sections |= {"models": ModelSettings(folders=(tmp_path,)), "runtime": RuntimeSettings()}
    return SimpleNamespace(**(sections | values))


def test_a_whole_examination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AVATAR_MODELS", raising=False)
    if YUNET.is_file():
        (tmp_path / YUNET.name).write_bytes(YUNET.read_bytes())
    settings = settings_with(tmp_path)
    monkeypatch.setattr(command, "load_settings", lambda options: settings)
    status = command.doctor(argparse.Namespace(json=True))
    found = json.loads(capsys.readouterr().out)
    assert status == int(any(each["level"] == "fault" for each in found))
    topics = {each["topic"] for each in found}
    assert {"Python", "codecs", "OpenCV", "GPU", "models", "camera", "port", "packs"} <= topics
    assert "doctor" not in topics, "a check broke down"
    if YUNET.is_file():
        assert {"level": "ok", "topic": "models", "text": "intact: yunet", "fix": ""} in found
        (ran,) = [each for each in found if each["topic"] == "model run"]
        assert ran["text"].startswith("a model ran on ")


def test_a_provider_that_is_not_there_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not YUNET.is_file():
        pytest.skip(f"no face detector: {YUNET} does not exist")
    (tmp_path / YUNET.name).write_bytes(YUNET.read_bytes())
    settings = settings_with(tmp_path, runtime=RuntimeSettings(provider="coreml"))
    monkeypatch.setattr(command, "load_settings", lambda options: settings)
    assert command.doctor(argparse.Namespace(json=False)) == 1
    assert "CoreMLExecutionProvider" in capsys.readouterr().out


def test_a_broken_check_does_not_hide_the_others() -> None:
    def broken() -> Finding:
        raise ZeroDivisionError("division by zero")

    def wrong() -> Finding:
        raise NotFound("Gone.", "Look again.")

    found = list(command.examine([broken, wrong, lambda: [ok("a", "b")]]))
    assert [each.level for each in found] == ["fault", "fault", "ok"]
    assert "ZeroDivisionError" in found[0].text
    assert found[1].fix == "Look again."


def test_how_it_looks() -> None:
    found = [ok("Python", "3.11"), warning("GPU", "idle", "use it"), fault("port", "taken", "free")]
    assert command.describe(found, pretty=False).splitlines() == [
        "ok      Python  3.11",
        "warning GPU     idle",
        "                -> use it",
        "fault   port    taken",
        "                -> free",
        "",
        "1 fault, 1 warning.",
    ]
    assert "\033[31m✗\033[0m port" in command.describe(found, pretty=True)
    assert command.describe([], pretty=False).strip() == "no faults, no warnings."
