"""Cameras with scripted devices: vanishing, coming back, busy, silent, changing size."""

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from capture import camera as camera_module
from capture.camera import CameraBusy, CameraDevice, CameraNotFound, CameraSource
from capture.metronome import Metronome
from engine.pipeline.frame import Image
from engine.pipeline.settings import CaptureSettings
from tests.pipeline_fakes import FakeClock, picture

SETTINGS = CaptureSettings(retry_initial_s=0.5, retry_max_s=2.0)


class ScriptedDevice:
    """Gives pictures; None in the script is a failed read, "quiet" no picture for now."""

    def __init__(self, clock: FakeClock, script: list[Image | str | None]) -> None:
        self._clock = clock
        self._script = script
        self.released = False

    def wait(self, timeout: float) -> bool:
        if self._script and isinstance(self._script[0], str):
            if self._script[0] == "quiet":
                self._script.pop(0)
                self._clock.advance(timeout)
                return False
            raise OSError(self._script.pop(0))
        return True

    def read(self) -> Image | None:
        item = self._script.pop(0) if self._script else None
        assert not isinstance(item, str)
        return item

    def release(self) -> None:
        self.released = True


class Bench:
    """A camera source, its clock, and what happened."""

    def __init__(self, openings: list[list[Image | str | None] | Exception]) -> None:
        self.clock = FakeClock()
        self.openings = openings
        self.devices: list[ScriptedDevice] = []
        self.waits: list[float] = []
        self.source = CameraSource(
            0, SETTINGS, self.clock, self.open_device, Metronome(self.clock, self.wait)
        )

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.clock.advance(seconds)
        return False

    def open_device(self, index: int, settings: CaptureSettings) -> CameraDevice:
        opening = self.openings.pop(0)
        if isinstance(opening, Exception):
            raise opening
        self.devices.append(ScriptedDevice(self.clock, opening))
        return self.devices[-1]


def test_frames_are_stamped_and_numbered() -> None:
    bench = Bench([[picture(), picture()]])
    bench.source.open()
    first = bench.source.read()
    bench.clock.advance(0.25)
    second = bench.source.read()
    assert first is not None
    assert second is not None
    assert (first.sequence, second.sequence) == (0, 1)
    assert second.captured_at == 0.25
    assert second.media_time == pytest.approx(0.25)


def test_a_camera_that_vanishes_is_retried_with_backoff_until_it_is_back() -> None:
    gone = CameraNotFound("There is no camera 0.")
    bench = Bench([[picture()], gone, gone, gone, gone, [picture(value=5)]])
    bench.source.open()
    assert bench.source.read() is not None
    frame = bench.source.read()
    assert frame is not None
    assert frame.image[0, 0, 0] == 5
    assert bench.waits == [0.5, 1.0, 2.0, 2.0, 2.0]
    assert bench.devices[0].released
    assert bench.source.problem is None
    assert bench.source.lost == 1


def test_the_problem_is_told_while_the_camera_is_away() -> None:
    problems: list[str | None] = []
    bench = Bench([[picture()], CameraBusy("Camera 0 cannot be opened."), [picture()]])
    original = bench.wait

    def wait(seconds: float) -> bool:
        problems.append(bench.source.problem)
        return original(seconds)

    bench.source = CameraSource(
        0, SETTINGS, bench.clock, bench.open_device, Metronome(bench.clock, wait)
    )
    bench.source.open()
    bench.source.read()
    bench.source.read()
    assert problems[0] == "camera:0 was lost (it stopped giving pictures); looking for it"
    assert problems[1] is not None
    assert "cannot be opened" in problems[1]


def test_the_backoff_starts_again_after_a_frame() -> None:
    gone = CameraNotFound("There is no camera 0.")
    bench = Bench([[picture()], gone, [picture()], [picture()]])
    bench.source.open()
    for _ in range(3):
        assert bench.source.read() is not None
    assert bench.waits == [0.5, 1.0, 0.5]


def test_a_camera_that_falls_silent_counts_as_lost() -> None:
    bench = Bench([[picture(), *["quiet"] * 40], [picture()]])
    bench.source.open()
    bench.source.read()
    assert bench.source.read() is not None
    assert bench.source.lost == 1
    assert len(bench.waits) == 1


def test_an_error_of_the_driver_counts_as_lost() -> None:
    bench = Bench([[picture(), "no such device"], [picture()]])
    bench.source.open()
    bench.source.read()
    assert bench.source.read() is not None
    assert bench.source.lost == 1


def test_a_camera_that_gives_nothing_when_opened_is_busy() -> None:
    bench = Bench([["quiet"] * 60])
    with pytest.raises(CameraBusy, match="gives no picture"):
        bench.source.open()
    assert bench.devices[0].released


def test_a_camera_that_changes_size_goes_on() -> None:
    bench = Bench([[picture(64, 48), picture(32, 24)]])
    bench.source.open()
    sizes = [frame.size for frame in (bench.source.read(), bench.source.read()) if frame]
    assert sizes == [(64, 48), (32, 24)]


def test_reading_is_interrupted_while_waiting_for_a_camera_to_return() -> None:
    waiting = threading.Event()
    metronome = Metronome(FakeClock())
    opened = 0

    def open_device(index: int, settings: CaptureSettings) -> CameraDevice:
        nonlocal opened
        opened += 1
        if opened > 1:
            raise CameraNotFound("There is no camera 0.")
        return ScriptedDevice(FakeClock(), [picture()])

    class Telling(Metronome):
        def until(self, at: float) -> bool:
            waiting.set()
            return super().until(1e9)

    source = CameraSource(0, SETTINGS, FakeClock(), open_device, Telling(FakeClock()))
    source.open()
    source.read()
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(source.read()))
    thread.start()
    assert waiting.wait(5.0)
    source.interrupt()
    thread.join(5.0)
    assert results == [None]
    assert not metronome.interrupted


def test_a_missing_camera_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(CameraNotFound, match="No camera is connected"):
        camera_module._check_device(0, tmp_path)
    (tmp_path / "video2").touch()
    (tmp_path / "video10").touch()
    with pytest.raises(CameraNotFound, match="camera:2, camera:10"):
        camera_module._check_device(0, tmp_path)


@pytest.mark.parametrize(
    ("code", "hint"), [(errno.EBUSY, "Close other programs"), (errno.EACCES, "group 'video'")]
)
def test_a_camera_that_may_not_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, hint: str
) -> None:
    (tmp_path / "video0").touch()

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(camera_module.os, "open", refuse)
    with pytest.raises(CameraBusy, match=hint):
        camera_module._check_device(0, tmp_path)


def test_the_real_backend_without_a_camera() -> None:
    if Path("/dev/video63").exists():
        pytest.skip("there is a camera 63")
    with pytest.raises(CameraNotFound):
        CameraSource(63, SETTINGS).open()


def test_a_picture_is_passed_on_as_it_is() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    bench = Bench([[image]])
    bench.source.open()
    frame = bench.source.read()
    assert frame is not None
    assert frame.image is image
