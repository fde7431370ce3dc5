"""The test chart and its code: exact, robust, and None rather than wrong."""

from fractions import Fraction
from io import BytesIO

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.metronome import Metronome
from capture.pattern import PatternSource, draw_background, draw_chart, read_code, write_code
from engine.pipeline.frame import Image
from tests.pipeline_fakes import FakeClock


@given(
    st.integers(0, 2**24 - 1), st.integers(0, 2**32 - 1), st.integers(32, 300), st.integers(32, 300)
)
@settings(max_examples=80, deadline=None)
def test_any_code_can_be_read_at_any_size(
    number: int, time_ms: int, width: int, height: int
) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    write_code(image, number, time_ms)
    assert read_code(image) == (number, time_ms)


@pytest.mark.parametrize(("codec", "crf"), [("libx264", 40), ("libvpx", 50)])
def test_the_code_survives_lossy_coding(codec: str, crf: int) -> None:
    background = draw_background(640, 480)
    target = BytesIO()
    with av.open(target, "w", format="matroska") as container:
        options = {
            "libx264": {"crf": str(crf), "preset": "ultrafast"},
            "libvpx": {"deadline": "realtime", "cpu-used": "8"},
        }[codec]
        stream = container.add_stream(codec, rate=Fraction(30), options=options)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        stream.bit_rate = 200_000
        for n in range(8):
            frame = av.VideoFrame.from_ndarray(
                draw_chart(background, n, 40_000 + n), format="bgr24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    target.seek(0)
    with av.open(target) as container:
        codes = [read_code(f.to_ndarray(format="bgr24")) for f in container.decode(video=0)]
    assert codes == [(n, 40_000 + n) for n in range(8)]


@pytest.mark.parametrize("size", [(320, 240), (1280, 720), (161, 97)])
def test_the_code_survives_scaling_and_noise(size: tuple[int, int]) -> None:
    image = draw_chart(draw_background(640, 480), 1234, 567_890)
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    noise = np.random.default_rng(1).normal(0, 20, scaled.shape)
    spoiled = np.clip(scaled * 0.6 + 30 + noise, 0, 255).astype(np.uint8)
    assert read_code(spoiled) == (1234, 567_890)


@given(st.integers(0, 15), st.integers(0, 4))
@settings(max_examples=80, deadline=None)
def test_a_damaged_block_is_noticed(column: int, row: int) -> None:
    image = draw_chart(draw_background(160, 160), 77, 88)
    block = image[row * 10 : row * 10 + 10, column * 10 : column * 10 + 10]
    block[:] = 255 - block
    assert read_code(image) is None


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((480, 640, 3), np.uint8),
        np.full((480, 640, 3), 255, np.uint8),
        np.random.default_rng(2).integers(0, 256, (480, 640, 3)).astype(np.uint8),
        np.zeros((4, 4, 3), np.uint8),
        draw_chart(draw_background(640, 480), 5, 6)[:, ::-1],
    ],
)
def test_other_pictures_have_no_code(image: Image) -> None:
    assert read_code(image) is None


def test_frames_come_at_their_times_with_rising_numbers() -> None:
    clock = FakeClock(100.0)

    def wait(seconds: float) -> bool:
        clock.advance(seconds)
        return False

    source = PatternSource(64, 64, 25.0, clock=clock, metronome=Metronome(clock, wait))
    source.open()
    for n in range(5):
        frame = source.read()
        assert frame is not None
        assert frame.captured_at == pytest.approx(100.0 + n / 25)
        assert clock.now == pytest.approx(100.0 + n / 25)
        assert read_code(frame.image) == (n, 100_000 + 40 * n)
        assert frame.media_time == pytest.approx(n / 25)


def test_frames_that_are_late_are_skipped_as_by_a_camera() -> None:
    clock = FakeClock()
    source = PatternSource(64, 64, 25.0, clock=clock, metronome=Metronome(clock, lambda _: False))
    source.open()
    assert source.read() is not None
    clock.advance(1.0)
    frame = source.read()
    assert frame is not None
    assert frame.sequence == 25


def test_it_ends_after_its_count_and_when_interrupted() -> None:
    clock = FakeClock()
    source = PatternSource(
        64, 64, count=2, clock=clock, metronome=Metronome(clock, lambda _: False)
    )
    frames = [source.read(), source.read(), source.read()]
    assert [frame is not None for frame in frames] == [True, True, False]
    endless = PatternSource(64, 64, fps=0.001)
    endless.open()
    assert endless.read() is not None
    endless.interrupt()
    assert endless.read() is None
