"""The command line, as a user runs it: processes, exit codes, messages."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import ClientSession

import server
from capture.pattern import read_code
from tests.fakes import flat_clip
from tests.processes import ROOT, ServerProcess
from tests.serving import make_demo, server_flags
from tests.viewer import Viewer
from transport.commands.configuration import load_settings
from transport.commands.grammar import make_parser


def run(*arguments: str, cwd: Path = ROOT, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "server.py"), *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        cwd=cwd,
        env=os.environ | environ,
    )


@pytest.fixture
def running(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that is not started yet, with its folders in ``tmp_path``."""
    process = ServerProcess("--port", "0", *server_flags(tmp_path))
    yield process
    process.stop_if_running()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["check-config"],
        ["clips"],
        ["clips", "prepare"],
        ["clips", "inspect"],
        ["live"],
        ["render"],
    ],
)
def test_help_is_there(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        server.main([*arguments, "--help"])
    assert end.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_check_config_accepts_the_shipped_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert server.main(["check-config"]) == 0
    assert "config.yaml: valid" in capsys.readouterr().out


def test_check_config_shows_what_is_in_force() -> None:
    done = run("--set", "server.port=9000", "check-config", "--show", AVATAR_LOG__LEVEL="debug")
    assert done.returncode == 0
    shown = json.loads(done.stdout.partition("\n")[2])
    assert shown["server"]["port"] == 9000
    assert shown["log"]["level"] == "debug"


def test_check_config_names_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("server:\n  prot: 9000\n")
    assert server.main(["check-config", "--config", str(path)]) == 2
    message = capsys.readouterr().err
    assert "other.yaml:2: unknown key 'server.prot'; did you mean 'port'?" in message


@pytest.mark.parametrize("value", ["server.port", "nonsense"])
def test_a_bad_set_flag_is_explained(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert server.main(["--set", value]) == 2
    assert "expected SECTION.KEY=VALUE" in capsys.readouterr().err


def test_relative_folders_are_taken_from_the_config_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("avatars: {folder: mine, cache: /elsewhere}\n")
    path = str(tmp_path / "c.yaml")
    options = make_parser(server.COMMANDS, "0").parse_args(["--config", path])
    found = load_settings(options)
    assert found.avatars.folder == tmp_path / "mine"
    assert found.avatars.cache == Path("/elsewhere")


def test_a_port_in_use_is_explained(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("--port", str(port), *server_flags(tmp_path))
    assert done.returncode == 2
    assert f"Port {port} is in use. Take another: --port {port + 1}" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_that_is_not_ours_is_explained(tmp_path: Path) -> None:
    done = run("--host", "203.0.113.1", *server_flags(tmp_path))
    assert done.returncode == 2
    assert "Cannot listen on 203.0.113.1" in done.stderr


async def test_sigterm_ends_streams_and_the_process(tmp_path: Path, running: ServerProcess) -> None:
    make_demo(tmp_path)
    running.start()
    async with ClientSession() as http:
        viewer = Viewer(http, running.address)
        await viewer.connect(video_id="demo")
        await viewer.frame()
        code, seconds = running.stop()
        assert code == 0
        assert seconds < 5
        while not (event := await viewer.event()).startswith("stream/closing"):
            pass
        assert "shutdown" in event
        await viewer.close()


def test_sigterm_while_an_avatar_compiles_leaves_no_worker(
    tmp_path: Path, running: ServerProcess
) -> None:
    folder = tmp_path / "videos" / "long"
    folder.mkdir(parents=True)
    for name in ("idle", "gesture"):
        flat_clip(folder / f"{name}.mp4", 60, 60)
    address, pid = running.start().address, running.pid
    while True:
        with urllib.request.urlopen(address + "/avatars") as response:
            if json.load(response)[0]["progress"] > 0:
                break
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert children
    code, seconds = running.stop()
    assert code == 0
    assert seconds < 5
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []


def test_clips_inspect_and_prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = flat_clip(tmp_path / "in.mp4", 90, 2.0, fps=30)
    target = tmp_path / "out.mp4"
    assert server.main(["clips", "inspect", str(source)]) in (0, 1)
    assert "in.mp4" in capsys.readouterr().out
    arguments = ["clips", "prepare", str(source), str(target), "--size", "128", "--start", "0.5"]
    assert server.main([*arguments, "--contrast", "1.1", "--sharpen"]) == 0
    assert "out.mp4: 128x128, 1.5 s" in capsys.readouterr().out
    (tmp_path / "text.mp4").write_text("not a video")
    assert server.main(["clips", "inspect", str(tmp_path / "text.mp4"), "--json"]) == 1
    assert "text.mp4" in json.loads(capsys.readouterr().out)[0]["error"]
    assert server.main([*arguments[:4], "--size", "big"]) == 2
    assert "expected 512 or 1280x720" in capsys.readouterr().err


def test_importing_the_server_loads_no_heavy_package() -> None:
    heavy = ("cv2", "torch", "onnxruntime")
    code = f"import sys, server; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


def test_sigterm_while_a_viewer_waits_for_a_compilation(
    tmp_path: Path, running: ServerProcess
) -> None:
    folder = tmp_path / "videos" / "long"
    folder.mkdir(parents=True)
    for name in ("idle", "gesture"):
        flat_clip(folder / f"{name}.mp4", 60, 60)
    address = running.start().address
    body = json.dumps({"video_id": "long"}).encode()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(lambda: urllib.request.urlopen(address + "/streams", data=body))
        while urllib.request.urlopen(address + "/avatars").read().find(b'"progress": 0.0,') >= 0:
            pass
        code, seconds = running.stop()
        assert (code, seconds < 5) == (0, True)
        with pytest.raises(urllib.error.HTTPError) as refused:
            waiting.result()
    assert refused.value.code == 503
    refused.value.close()


def test_render_keeps_every_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = flat_clip(tmp_path / "in.mp4", 90, 1.0), tmp_path / "out.mp4"
    command = ["render", str(source), str(target), "--processor", "mirror"]
    assert server.main(command) == 0
    assert "out.mp4: 25 frames, done" in capsys.readouterr().out
    assert server.main(command) == 1
    assert "out.mp4" in capsys.readouterr().err
    assert server.main([*command, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--source", "screen:", "--output", "record:x.mp4"], "'screen:' is not a source"),
        (["--source", "pattern:", "--output", "record:none/x.mp4"], "there is no folder none"),
        (["--source", "pattern:", "--output", "record:x.txt"], "is an MP4 file"),
        (["--source", "pattern:", "--output", "printer"], "'printer' is not an output"),
        (["--source", "pattern:", "--processor", "sharpen"], "no processor 'sharpen'"),
        (["--source", "file:none.mp4", "--output", "record:x.mp4"], "none.mp4"),
    ],
)
def test_live_explains_what_cannot_be_used(
    arguments: list[str], expected: str, tmp_path: Path
) -> None:
    done = run("live", *arguments, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


async def test_live_is_watched_like_an_avatar(tmp_path: Path) -> None:
    flags = ["live", "--port", "0", *server_flags(tmp_path), "--source", "pattern:"]
    size = ["--set", "pipeline.capture.width=320", "--set", "pipeline.capture.height=240"]
    process = ServerProcess(*flags, *size, "--output", "webrtc").start()
    try:
        async with ClientSession() as http:
            listed = await (await http.get(process.address + "/avatars")).json()
            assert listed[0]["id"] == "live"
            viewer = Viewer(http, process.address)
            await viewer.connect(video_id="live")
            codes = [read_code((await viewer.frame()).to_ndarray(format="bgr24")) for _ in "ab"]
            assert all(codes)
            await viewer.close()
        code, seconds = process.stop()
        assert (code, seconds < 5) == (0, True)
    finally:
        process.stop_if_running()
