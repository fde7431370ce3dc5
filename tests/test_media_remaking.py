"""Videos made anew: sound that files cannot hold, headers of sound, colours, the same bytes."""

import os
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.resampler import AudioResampler

from engine.media.colours import Colours
from engine.media.render import render
from engine.media.render_notes import RenderOptions
from engine.media.upright import Turner, exact_bgr
from processors.chain import Chain
from processors.generate.transparent_video import TransparentStream
from tests.clipmaking import luma_of, numbered, numbered_clip, quartered, read_quarters, write_clip

ROOT = Path(__file__).resolve().parents[1]


def rendered(source: Path, target: Path) -> Path:
    options = RenderOptions(processors=("none",))
    render(source, target, Chain([]), options, threading.Event(), lambda _: None)
    return target


def sound(path: Path) -> tuple[str, int, float]:
    """Codec, samples per channel, and the second of the first one."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
    start = float(frames[0].pts * frames[0].time_base)
    return stream.codec_context.name, sum(frame.samples for frame in frames), start


def clip_with_pcm(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        tone = container.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        samples = (8000 * np.sin(np.arange(44_100) / 20)).astype(np.int16).repeat(2)[None]
        given = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        given.sample_rate = 44_100
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for frame in AudioResampler("s16", "stereo", 44_100).resample(given):
            container.mux(tone.encode(frame))
        container.mux(tone.encode(None))
    return path


def test_sound_that_mp4_cannot_hold_is_encoded(tmp_path: Path) -> None:
    made = rendered(clip_with_pcm(tmp_path / "in.mkv"), tmp_path / "out.mp4")
    codec, samples, start = sound(made)
    assert codec == "aac"
    assert samples == pytest.approx(48_000, abs=2048)
    assert start == pytest.approx(0, abs=0.03)


def test_sound_of_a_transport_stream_is_copied(tmp_path: Path) -> None:
    source = numbered_clip(tmp_path / "in.ts", 25, sound=1.0)
    made = rendered(source, tmp_path / "out.mp4")
    assert sound(made)[:2] == sound(source)[:2]
    with av.open(str(made)) as container:
        assert len(container.streams.audio[0].codec_context.extradata) >= 2


PROGRAM = """
import hashlib, io, sys
from fractions import Fraction
import av, numpy as np
from engine.media.h264 import add_h264
rows = np.random.default_rng(1).integers(0, 256, (15, 20, 3)).astype(np.uint8)
picture = rows.repeat(16, axis=0).repeat(16, axis=1)
target = io.BytesIO()
with av.open(target, "w", format="matroska", options={"fflags": "+bitexact"}) as output:
    stream = add_h264(output, Fraction(25), 18, "fast")
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    stream.codec_context.thread_count = 1
    for number in range(8):
        shifted = np.roll(picture, 5 * number, axis=1)
        frame = av.VideoFrame.from_ndarray(shifted, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))
print(hashlib.sha256(target.getvalue()).hexdigest())
"""


def test_the_same_pictures_make_the_same_bytes_whatever_memory_holds() -> None:
    made = set()
    for filling in ("0", "85"):
        environment = {**os.environ, "MALLOC_PERTURB_": filling}
        made.add(
            subprocess.run(
                [sys.executable, "-c", PROGRAM],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
    assert len(made) == 1


@pytest.mark.parametrize("transparent", [False, True])
def test_colours_of_changed_pictures_stay_within_rounding(
    tmp_path: Path, transparent: bool
) -> None:
    source = write_clip(tmp_path / "in.mp4", [quartered()], options={"crf": "1"})
    with av.open(str(source)) as container:
        (before,) = container.decode(video=0)
    picture, colours = exact_bgr(before), Colours.of(before)
    if transparent:
        opaque = np.full(picture.shape[:2], 255, np.uint8)
        after = TransparentStream("webm", colours, 18).encoded(picture, opaque)
    else:
        after = colours.encoded(picture)
    assert np.abs(luma_of(before).astype(int) - luma_of(after)).mean() < 0.1


def test_turning_keeps_format_and_time(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "in.mkv",
        [quartered()] * 2,
        pixel_format="yuv420p10le",
        rotation=90,
        pixel_aspect=Fraction(4, 3),
    )
    turner = Turner()
    with av.open(str(source)) as container:
        for stored in container.decode(video=0):
            time = stored.time
            turned = turner.turn(stored)
            assert (turned.width, turned.height, turned.format.name) == (120, 160, "yuv420p10le")
            assert turned.time == stored.time == time
            assert read_quarters(turned) == ("green", "grey", "red", "blue")
    assert turner.pixel_aspect(Fraction(4, 3)) == Fraction(3, 4)
