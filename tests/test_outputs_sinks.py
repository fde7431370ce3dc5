"""Recorder, virtual camera, the crossing to an event loop, and fitting pictures."""

import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import AvatarServerError, MissingDependency
from engine.media.fitting import even_size, fit
from engine.pipeline.frame import MICROSECONDS, Frame
from engine.pipeline.ring import DropPolicy
from engine.pipeline.settings import OutputSettings
from tests.pipeline_fakes import make_frame, picture
from transport.outputs import virtual_camera as virtual_camera_module
from transport.outputs.recorder import TIME_BASE, CannotRecord, Recorder, Timeline
from transport.outputs.virtual_camera import NoVirtualCamera, VirtualCamera, load_pyvirtualcam

SETTINGS = OutputSettings()


def decode(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def record(path: Path, frames: list[Frame]) -> Recorder:
    recorder = Recorder(path, SETTINGS, DropPolicy.WAIT)
    for frame in frames:
        recorder.show(frame)
    recorder.close()
    return recorder


def test_a_recording_keeps_every_frame_and_its_time(tmp_path: Path) -> None:
    times = [5.0, 5.1, 5.15, 5.4, 6.0]
    frames = [make_frame(n, at, picture(64, 48, 40 * n)) for n, at in enumerate(times)]
    record(tmp_path / "sub" / "a.mp4", frames)
    decoded = decode(tmp_path / "sub" / "a.mp4")
    assert [float(frame.time) for frame in decoded] == pytest.approx([at - 5.0 for at in times])
    grey = [frame.to_ndarray(format="gray").mean() for frame in decoded]
    assert grey == pytest.approx([40 * n for n in range(5)], abs=4)


def test_odd_and_changing_sizes_fit_into_the_first(tmp_path: Path) -> None:
    sizes = [(65, 49), (200, 30), (10, 100)]
    record(
        tmp_path / "a.mp4", [make_frame(n, image=picture(*size)) for n, size in enumerate(sizes)]
    )
    assert {(frame.width, frame.height) for frame in decode(tmp_path / "a.mp4")} == {(64, 48)}


def test_a_recording_without_frames_leaves_no_file(tmp_path: Path) -> None:
    record(tmp_path / "a.mp4", [])
    assert not (tmp_path / "a.mp4").exists()


def test_stale_pictures_are_not_recorded(tmp_path: Path) -> None:
    fresh = make_frame(0)
    stale = Frame(fresh.image, 0, 0, fresh.time_base, 0.0, stale=True)
    assert record(tmp_path / "a.mp4", [fresh, stale]).written == 1


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotRecord):
        Recorder(tmp_path / "file" / "a.mp4", SETTINGS)


def test_an_error_while_writing_is_raised_to_the_display(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mp4", SETTINGS, DropPolicy.WAIT)
    (tmp_path / "a.mp4").unlink()
    tmp_path.joinpath("a.mp4").mkdir()

    def show_many() -> None:
        for n in range(100_000):
            recorder.show(make_frame(n))

    with pytest.raises(AvatarServerError):
        show_many()
    with pytest.raises(AvatarServerError):
        recorder.close()


def test_a_recording_plays_although_the_program_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "killed.mp4"
    program = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from engine.pipeline.ring import DropPolicy\n"
        "from engine.pipeline.settings import OutputSettings\n"
        "from tests.pipeline_fakes import make_frame\n"
        "from transport.outputs.recorder import Recorder\n"
        "recorder = Recorder(Path(sys.argv[1]), OutputSettings(keyframe_s=0.5), DropPolicy.WAIT)\n"
        "noise = np.random.default_rng(1)\n"
        "for n in range(10**9):\n"
        "    image = noise.integers(0, 256, (48, 64, 3)).astype(np.uint8)\n"
        "    recorder.show(make_frame(n, image=image))\n"
        "    if n == 150:\n"
        "        print('ready', flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[1],
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert len(decode(path)) >= 60


@given(st.lists(st.tuples(st.floats(-20, 20), st.floats(0, 0.2)), min_size=1, max_size=40))
def test_the_timeline_of_a_recording_always_rises(steps: list[tuple[float, float]]) -> None:
    timeline = Timeline()
    media, captured, placed = 0.0, 0.0, []
    for media_step, captured_step in steps:
        media, captured = media + media_step, captured + captured_step
        pts = round(media / MICROSECONDS)
        placed.append(timeline.place(Frame(picture(), 0, pts, MICROSECONDS, captured)))
    assert placed[0] == 0
    assert all(after > before for before, after in pairwise(placed))
    assert placed[-1] * TIME_BASE < 10.5 * len(steps)


class FakeCamera:
    def __init__(self, width: int, height: int, fps: float, fmt: str) -> None:
        self.width, self.height, self.fps, self.fmt = width, height, fps, fmt
        self.sent: list[tuple[int, ...]] = []
        self.sent_one = threading.Event()
        self.closed = False

    def send(self, image: np.ndarray[Any, Any]) -> None:
        self.sent.append(image.shape)
        self.sent_one.set()

    def close(self) -> None:
        self.closed = True


class FakeLibrary:
    class PixelFormat:
        BGR = "bgr"

    def __init__(self, error: Exception | None = None) -> None:
        self.cameras: list[FakeCamera] = []
        self._error = error
        self.opened = threading.Event()

    def Camera(self, **options: Any) -> FakeCamera:
        if self._error is not None:
            self.opened.set()
            raise self._error
        self.cameras.append(FakeCamera(**options))
        self.opened.set()
        return self.cameras[-1]


def test_the_virtual_camera_keeps_its_first_size() -> None:
    library = FakeLibrary()
    camera = VirtualCamera(30.0, library)
    camera.show(make_frame(0, image=picture(65, 48)))
    assert library.opened.wait(10.0)
    assert library.cameras[0].sent_one.wait(10.0)
    camera.show(make_frame(1, image=picture(30, 30)))
    camera.close()
    fake = library.cameras[0]
    assert (fake.width, fake.height, fake.fps, fake.fmt) == (64, 48, 30.0, "bgr")
    assert fake.sent == [(48, 64, 3), (48, 64, 3)]
    assert fake.closed


def test_no_device_for_the_virtual_camera_says_what_to_do() -> None:
    library = FakeLibrary(RuntimeError("no devices"))
    camera = VirtualCamera(30.0, library)
    camera.show(make_frame(0))
    assert library.opened.wait(10.0)
    with pytest.raises(NoVirtualCamera, match="v4l2loopback"):
        camera.close()


def test_without_pyvirtualcam_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(MissingDependency, match="pip install pyvirtualcam"):
        load_pyvirtualcam()
    assert virtual_camera_module.VirtualCamera.name == "virtual-camera"


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (64, 48)])
def test_any_picture_fits_into_any_size(size: tuple[int, int]) -> None:
    fitted = fit(picture(*size, value=200), (64, 48))
    assert fitted.shape == (48, 64, 3)
    assert fitted.max() == 200
    same = picture(64, 48)
    assert fit(same, (64, 48)) is same
    assert even_size(picture(1, 1)) == (2, 2)
    assert even_size(picture(641, 481)) == (640, 480)
