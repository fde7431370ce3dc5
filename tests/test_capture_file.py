"""Video files as a source: timestamps, rotation, size changes, damage, pacing."""

import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from capture.file import FileSource
from capture.metronome import Metronome
from engine.clips.opening import ClipEmpty, ClipMissing, ClipWithoutPicture, NotAVideo
from engine.pipeline.frame import Frame
from tests.clipmaking import (
    cut_off,
    nearest_quarter,
    numbered_clip,
    quartered,
    write_clip,
    write_sound,
)
from tests.pipeline_fakes import FakeClock


def read_all(source: FileSource) -> list[Frame]:
    source.open()
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    source.close()
    return frames


def unpaced(path: Path) -> FileSource:
    return FileSource(path, paced=False)


def test_every_frame_with_its_timestamp(tmp_path: Path) -> None:
    frames = read_all(unpaced(numbered_clip(tmp_path / "a.mp4", 40, fps=Fraction(30000, 1001))))
    assert [frame.sequence for frame in frames] == list(range(40))
    assert [frame.media_time for frame in frames] == pytest.approx(
        [n * 1001 / 30000 for n in range(40)], abs=1e-4
    )
    assert all(frame.image.flags.writeable for frame in frames)


def test_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 10), Fraction(1, 8), Fraction(1, 2), Fraction(2)]
    path = write_clip(tmp_path / "a.mp4", [quartered()] * 5, times=times)
    assert [frame.media_time for frame in read_all(unpaced(path))] == pytest.approx(
        [float(at) for at in times], abs=1e-4
    )


@pytest.mark.parametrize(
    ("rotation", "mirrored", "corners"),
    [
        (0, False, ["red", "green", "blue", "grey"]),
        (90, False, ["green", "grey", "red", "blue"]),
        (180, False, ["grey", "blue", "green", "red"]),
        (270, False, ["blue", "red", "grey", "green"]),
        (0, True, ["green", "red", "grey", "blue"]),
    ],
)
def test_a_clip_of_a_phone_is_turned_upright(
    tmp_path: Path, rotation: int, mirrored: bool, corners: list[str]
) -> None:
    path = write_clip(
        tmp_path / "a.mp4", [quartered((160, 120))] * 2, rotation=rotation, mirrored=mirrored
    )
    image = read_all(unpaced(path))[0].image
    assert image.shape[:2] == ((160, 120) if rotation in (90, 270) else (120, 160))
    height, width = image.shape[:2]
    seen = [
        nearest_quarter(image[height * y // 4, width * x // 4, ::-1])
        for y, x in [(1, 1), (1, 3), (3, 1), (3, 3)]
    ]
    assert seen == corners


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [quartered((160, 120))] * 2, pixel_aspect=Fraction(2))
    assert read_all(unpaced(path))[0].size == (320, 120)


def test_a_size_that_changes_midway(tmp_path: Path) -> None:
    path = tmp_path / "changing.h264"
    with path.open("wb") as file:
        for size in ((160, 120), (96, 64)):
            clip = write_clip(tmp_path / f"{size[0]}.h264", [quartered(size)] * 3)
            file.write(clip.read_bytes())
    sizes = [frame.size for frame in read_all(unpaced(path))]
    assert sizes == [(160, 120)] * 3 + [(96, 64)] * 3


@pytest.mark.parametrize(
    ("pixel_format", "picture"),
    [
        ("gray", np.full((17, 33), 90, np.uint8)),
        ("gray16le", np.full((17, 33), 90 * 257, np.uint16)),
        ("bgra", np.full((17, 33, 4), 90, np.uint8)),
        ("gbrp16le", np.full((17, 33, 3), 90 * 257, np.uint16)),
    ],
)
def test_grey_alpha_and_sixteen_bit_files(
    tmp_path: Path, pixel_format: str, picture: NDArray[Any]
) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 33, 17, pixel_format
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format=pixel_format)))
        container.mux(stream.encode(None))
    image = read_all(unpaced(path))[0].image
    assert (image.dtype, image.shape) == (np.uint8, (17, 33, 3))
    assert np.abs(image.astype(int) - 90).max() <= 2


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video at all")
    write_sound(tmp_path / "sound.m4a")
    for name, error in [
        ("missing.mp4", ClipMissing),
        ("empty.mp4", ClipEmpty),
        ("text.mp4", NotAVideo),
        ("sound.m4a", ClipWithoutPicture),
    ]:
        with pytest.raises(error):
            unpaced(tmp_path / name).open()


def test_a_truncated_file_gives_what_it_has(tmp_path: Path) -> None:
    whole = numbered_clip(tmp_path / "a.mkv", 60)
    frames = read_all(unpaced(cut_off(whole, tmp_path / "cut.mkv", 0.6)))
    assert 5 < len(frames) < 60


def test_pacing_follows_the_timestamps(tmp_path: Path) -> None:
    path = numbered_clip(tmp_path / "a.mp4", 10, fps=20)
    clock = FakeClock(50.0)
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        clock.advance(seconds)
        return False

    frames = read_all(FileSource(path, clock=clock, metronome=Metronome(clock, wait)))
    assert [frame.captured_at for frame in frames] == pytest.approx(
        [50.0 + n / 20 for n in range(10)]
    )
    assert waits == pytest.approx([0.05] * 9)


def test_a_reader_that_is_late_is_not_rushed(tmp_path: Path) -> None:
    clock = FakeClock()
    path = numbered_clip(tmp_path / "a.mp4", 4, fps=20)
    source = FileSource(path, clock=clock, metronome=Metronome(clock, lambda _: False))
    source.open()
    assert source.read() is not None
    clock.advance(3.0)
    second, third = source.read(), source.read()
    assert second is not None
    assert third is not None
    assert (second.captured_at, third.captured_at) == pytest.approx((3.0, 3.05))
    source.close()


def test_looping_goes_on_with_rising_timestamps(tmp_path: Path) -> None:
    source = FileSource(numbered_clip(tmp_path / "a.mp4", 5, fps=10), paced=False, loop=True)
    source.open()
    times = []
    for _ in range(12):
        frame = source.read()
        assert frame is not None
        times.append(frame.media_time)
    source.close()
    assert times == pytest.approx([n / 10 for n in range(12)], abs=1e-4)


def test_interrupting_a_wait(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(3600)]
    path = write_clip(tmp_path / "slow.mkv", [quartered()] * 2, times=times)
    source = FileSource(path)
    source.open()
    assert source.read() is not None
    results: list[Frame | None] = []
    thread = threading.Thread(target=lambda: results.append(source.read()))
    thread.start()
    source.interrupt()
    thread.join(5.0)
    assert results == [None]
    source.close()


def test_a_real_clip(media: Path) -> None:
    frames = read_all(unpaced(media / "avatar" / "talking_with_audio.mp4"))
    assert len(frames) == 175
    assert frames[0].size == (480, 480)
    assert frames[-1].media_time == pytest.approx(174 / 25, abs=0.01)
