"""The local window: its keys without a display, and a real one under Xvfb driven by xdotool."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import InvalidInput
from engine.pipeline.control import PipelineControl
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.settings import (
    CaptureSettings,
    DisplaySettings,
    OutputSettings,
    PipelineSettings,
)
from tests.pipeline_fakes import (
    CollectingSink,
    FunctionTransform,
    QueueSource,
    eventually,
    make_frame,
    picture,
)
from transport.outputs.keys import KEYS, Action, action_of
from transport.outputs.live import LiveKeys, LiveRun, UnknownOutput
from transport.outputs.window import NoWindow, annotate, check_import_order, check_window

PROJECT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (ord("q"), Action.QUIT),
        (27, Action.QUIT),
        (ord("H"), Action.HELP),
        (ord("="), Action.BATCH_UP),
        (ord(" "), Action.PAUSE),
        (ord("z"), None),
        (-1, None),
        (0x100000 | ord("m"), Action.MIRROR),
    ],
)
def test_keys(code: int, action: Action | None) -> None:
    assert action_of(code) is action


def test_every_action_has_a_key_and_no_key_two() -> None:
    assert {action for _, _, action in KEYS} == set(Action)
    characters = "".join(keys for keys, _, _ in KEYS)
    assert len(set(characters)) == len(characters)


@pytest.mark.parametrize("size", [(1280, 720), (320, 240), (31, 17)])
def test_help_and_notice_are_drawn_on_a_copy(size: tuple[int, int]) -> None:
    image = picture(*size, value=120)
    drawn = annotate(image, [("h", "help"), ("q", "quit")], "recording")
    assert drawn.shape == image.shape
    assert (image == 120).all()
    assert (drawn != 120).any()


class Bench:
    """A running pipeline with what its keys do."""

    def __init__(self, folder: Path) -> None:
        settings = PipelineSettings(display=DisplaySettings(pace=False))
        self.source, self.sink = QueueSource(), CollectingSink()
        self.pipeline = Pipeline(self.source, FunctionTransform(), [self.sink], settings)
        control = PipelineControl(
            self.pipeline, (), lambda spec: QueueSource(), lambda names: FunctionTransform()
        )
        self.control = control
        self.keys = LiveKeys(
            control,
            ("none", "anonymise"),
            OutputSettings(folder=folder),
            lambda: datetime(2026, 1, 2, 3, 4, 5),
        )
        self.pipeline.start()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "recordings")
    yield bench
    bench.pipeline.stop()


def test_what_the_keys_do(bench: Bench) -> None:
    image = picture()
    assert bench.keys(Action.PAUSE, image) == "paused"
    assert bench.keys(Action.PAUSE, image) == "going on"
    assert bench.keys(Action.MIRROR, image) == "mirror on"
    assert bench.keys(Action.OVERLAY, image) is None
    assert bench.control.processors == ("mirror", "overlay")
    assert bench.keys(Action.BATCH_DOWN, image) == "batch of up to 1"
    assert bench.keys(Action.BATCH_UP, image) == "batch of up to 2"
    assert bench.keys(Action.NEXT_PROCESSOR, image) == "processor: none"
    assert bench.keys(Action.NEXT_PROCESSOR, image) == "processor: anonymise"


def test_a_snapshot_is_the_picture(bench: Bench, tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    bench.keys(Action.SNAPSHOT, image)
    path = tmp_path / "recordings" / "2026-01-02_03-04-05.000000.png"
    assert np.array_equal(cv2.imread(str(path)), image)


def test_recording_starts_and_ends(bench: Bench, tmp_path: Path) -> None:
    notice = bench.keys(Action.RECORD, picture())
    assert notice is not None
    assert "recording" in notice
    for n in range(5):
        bench.source.push(make_frame(n, image=picture(64, 48)))
        bench.sink.wait_for(n + 1)
    assert bench.keys(Action.RECORD, picture()) == "recording ended"
    assert (tmp_path / "recordings" / "2026-01-02_03-04-05.000000.mp4").stat().st_size > 500
    assert bench.pipeline.sinks.names == ("collecting",)


def test_a_key_that_cannot_be_obeyed_says_why(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("a file, not a folder")
    notice = bench.keys(Action.RECORD, picture())
    assert notice is not None
    assert "cannot be written" in notice


def test_without_a_display_the_error_is_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(NoWindow):
        check_window()


def test_pyav_must_not_be_imported_before_opencv() -> None:
    check_import_order(["sys", "cv2", "av"])
    check_import_order(["sys", "cv2"])
    for order in (["sys", "av", "cv2"], ["av"]):
        with pytest.raises(NoWindow, match="import cv2 must come first"):
            check_import_order(order)


def live_settings(**capture: object) -> PipelineSettings:
    return PipelineSettings(
        capture=CaptureSettings.model_validate(
            {"source": "pattern:", "width": 320, "height": 240, **capture}
        )
    )


def test_other_outputs_go_on_without_a_display(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    path = tmp_path / "a.mp4"
    live = LiveRun(live_settings(), ["window", f"record:{path}"], OutputSettings(), lambda _: {})
    assert live.window is None
    stop = threading.Event()
    runner = threading.Thread(target=live.run, args=(stop,))
    runner.start()
    eventually(lambda: live.pipeline.snapshot().shown >= 5)
    stop.set()
    runner.join(10.0)
    assert not runner.is_alive()
    capture = cv2.VideoCapture(str(path))
    assert capture.read()[0]
    capture.release()


def test_a_window_alone_without_a_display_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(NoWindow):
        LiveRun(live_settings(), ["window"], OutputSettings(), lambda _: {})


def test_an_unknown_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownOutput, match="virtual-camera"):
        LiveRun(
            live_settings(),
            [f"record:{tmp_path / 'a.mp4'}", "printer"],
            OutputSettings(),
            lambda _: {},
        )


def test_a_live_run_ends_with_its_file_and_raises_what_went_wrong(tmp_path: Path) -> None:
    settings = live_settings(source=f"file:{tmp_path / 'missing.mp4'}")
    live = LiveRun(settings, [f"record:{tmp_path / 'a.mp4'}"], OutputSettings(), lambda _: {})
    with pytest.raises(InvalidInput):
        live.run(threading.Event())


@pytest.fixture
def screen() -> Iterator[dict[str, str]]:
    """The environment of a virtual X display."""
    for tool in ("Xvfb", "xdotool"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (apt install xvfb xdotool)")
    if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
        pytest.skip("opencv-python-headless is installed, which has no windows")
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "1000x700x24", "-nolisten", "tcp"],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        number = pipe.readline().strip()
    yield {**os.environ, "DISPLAY": f":{number}", "QT_LOGGING_RULES": "*=false"}
    server.terminate()
    server.wait()


PROGRAM = """
import cv2  # before anything that imports PyAV
import sys, threading
from pathlib import Path
from engine.pipeline.settings import CaptureSettings, OutputSettings, PipelineSettings
from engine.pipeline.settings import ProcessorSettings
from processors.registry import ProcessorContext, processor_factories
from transport.outputs.keys import Action
from transport.outputs.live import LiveRun

settings = PipelineSettings(
    capture=CaptureSettings(source="pattern:", width=640, height=480), processors=("overlay",)
)
live = LiveRun(
    settings, ["window"], OutputSettings(folder=Path(sys.argv[1])),
    lambda statistics: processor_factories(
        ProcessorSettings(), ProcessorContext(statistics.snapshot)
    ),
    choices=("none", "anonymise"),
)
act = live.window._on_action
def told(action, picture):
    notice = act(action, picture)
    print(action.name, notice, flush=True)
    return notice
live.window._on_action = told
print("READY", flush=True)
live.run(threading.Event())
print("ENDED", live.pipeline.ended, flush=True)
"""


@pytest.mark.display
def test_a_real_window_driven_by_keys(screen: dict[str, str], tmp_path: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=PROJECT,
        env=screen,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "READY\n"

    def xdotool(*words: str) -> str:
        done = subprocess.run(
            ["xdotool", *words], env=screen, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def press(key: str, answer: str) -> str:
        xdotool("key", "--window", window, key)
        assert program.stdout is not None
        line = program.stdout.readline()
        assert line.startswith(answer), line
        return line

    window = xdotool("search", "--sync", "--onlyvisible", "--name", "avatar-server").splitlines()[0]
    xdotool("windowfocus", window)
    try:
        press("m", "MIRROR mirror on")
        press("plus", "BATCH_UP batch of up to 2")
        press("minus", "BATCH_DOWN batch of up to 1")
        press("n", "NEXT_PROCESSOR processor: none")
        press("r", "RECORD recording")
        press("s", "SNAPSHOT saved")
        press("r", "RECORD recording ended")
        press("o", "OVERLAY None")
        press("o", "OVERLAY None")
        xdotool("key", "--window", window, "h")
        press("space", "PAUSE paused")
        folder = os.environ.get("AVATAR_SCREENSHOTS")
        if folder and shutil.which("import"):
            subprocess.run(
                ["import", "-window", "root", f"{folder}/window.png"], env=screen, check=True
            )
        xdotool("key", "--window", window, "q")
        assert program.stdout.readline() == "ENDED True\n"
        assert program.wait(10.0) == 0
    finally:
        program.kill()
        program.wait()
        program.stdout.close()
    snapshot = cv2.imread(str(next(tmp_path.glob("*.png"))))
    assert snapshot is not None
    assert snapshot.shape == (480, 640, 3)
    assert next(tmp_path.glob("*.mp4")).stat().st_size > 1000
