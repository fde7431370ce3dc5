"""What the user writes, and frames that are pushed in."""

import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from capture.camera import CameraSource
from capture.file import FileSource
from capture.pattern import PatternSource
from capture.pushed import PushedFeed, PushedSource
from capture.sources import UnknownSource, parse_source
from engine.errors import PathNotAllowed
from engine.pipeline.frame import Frame
from engine.pipeline.settings import CaptureSettings
from tests.pipeline_fakes import FakeClock, picture

SETTINGS = CaptureSettings()
TIME_BASE = Fraction(1, 90_000)


@pytest.mark.parametrize(
    ("spec", "kind", "live"),
    [
        ("camera:1", CameraSource, True),
        ("file:clip.mp4", FileSource, False),
        ("pattern:", PatternSource, True),
    ],
)
def test_what_the_user_writes(spec: str, kind: type, live: bool) -> None:
    source = parse_source(spec, SETTINGS)
    assert isinstance(source, kind)
    assert source.live is live
    assert source.name == spec


@pytest.mark.parametrize(
    "spec", ["", "camera", "camera:", "camera:x", "camera:-1", "file:", "ftp:x", "pattern:9"]
)
def test_anything_else_is_refused(spec: str) -> None:
    with pytest.raises(UnknownSource, match="camera:0"):
        parse_source(spec, SETTINGS)


def test_files_outside_the_folders_are_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "a.mp4").touch()
    (outside / "b.mp4").touch()
    (inside / "link.mp4").symlink_to(outside / "b.mp4")
    assert parse_source(f"file:{inside / 'a.mp4'}", SETTINGS, folders=[inside]).name == "file:a.mp4"
    for path in (outside / "b.mp4", inside / ".." / "out" / "b.mp4", inside / "link.mp4"):
        with pytest.raises(PathNotAllowed):
            parse_source(f"file:{path}", SETTINGS, folders=[inside])


def test_pushed_frames_come_out_in_order() -> None:
    source = PushedSource("webrtc", FakeClock(7.0))
    assert source.problem is not None
    assert source.push(picture(value=1), 0, TIME_BASE)
    assert source.push(picture(value=2), 3000, TIME_BASE, captured_at=6.5)
    first, second = source.read(), source.read()
    assert first is not None
    assert second is not None
    assert (first.sequence, first.captured_at, first.image[0, 0, 0]) == (0, 7.0, 1)
    assert (second.sequence, second.captured_at, second.pts) == (1, 6.5, 3000)
    assert source.problem is None


def test_decoded_pictures_are_converted_where_they_are_read() -> None:
    source = PushedSource("webrtc")
    rgb = np.zeros((16, 32, 3), np.uint8)
    rgb[:, :, 0] = 200
    source.push(av.VideoFrame.from_ndarray(rgb, format="rgb24"), 0, TIME_BASE)
    frame = source.read()
    assert frame is not None
    assert frame.image.shape == (16, 32, 3)
    assert frame.image[0, 0].tolist() == [0, 0, 200]


def test_pushing_faster_than_reading_drops_the_oldest() -> None:
    source = PushedSource("webrtc")
    for value in range(5):
        source.push(picture(value=value), value, TIME_BASE)
    assert source.dropped == 3
    frame = source.read()
    assert frame is not None
    assert frame.image[0, 0, 0] == 3


def test_the_end_comes_after_what_was_pushed() -> None:
    source = PushedSource("webrtc")
    source.push(picture(), 0, TIME_BASE)
    source.end()
    assert source.read() is not None
    assert source.read() is None
    assert not source.push(picture(), 1, TIME_BASE)


def test_interrupting_a_blocked_read() -> None:
    source = PushedSource("webrtc")
    results: list[Frame | None] = []
    thread = threading.Thread(target=lambda: results.append(source.read()))
    thread.start()
    source.interrupt()
    thread.join(5.0)
    assert results == [None]
    source.close()


def test_readers_of_the_same_decoded_frames_do_not_get_in_each_others_way() -> None:
    feed = PushedFeed("webrtc:x")
    sources = [feed.subscribe(), feed.subscribe()]
    together = threading.Barrier(3, timeout=20)
    read: list[list[int]] = [[], []]

    def reader(number: int) -> None:
        for _ in range(200):
            together.wait()
            frame = sources[number].read()
            assert frame is not None
            read[number].append(int(frame.image[8, 8, 0]))

    threads = [threading.Thread(target=reader, args=(n,), daemon=True) for n in range(2)]
    for thread in threads:
        thread.start()
    for number in range(200):
        grey = np.full((96, 64), 16 + number, np.uint8)
        feed.push(av.VideoFrame.from_ndarray(grey, format="yuv420p"), number, Fraction(1, 30))
        together.wait()
    for thread in threads:
        thread.join(20)
    assert [len(values) for values in read] == [200, 200]
    assert read[0] == read[1]
