"""Makes small clips for tests: any codec, any timing, any rotation, with pictures that can be read.

Two kinds of picture carry their meaning in their pixels: ``numbered`` says which picture it is, and
``quartered`` says which way is up.
"""

import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""Height x width x 3, RGB."""

BITS = 8
QUARTERS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "grey": (200,) * 3}


def numbered(number: int, size: tuple[int, int] = (160, 120)) -> Picture:
    """A grey picture with ``number`` (below 256) as eight upright bars, the highest bit left."""
    width, height = size
    picture = np.full((height, width, 3), 96, np.uint8)
    for bit in range(BITS):
        left, right = (width * (bit + 1) // 10, width * (bit + 2) // 10)
        picture[height // 4 : 3 * height // 4, left:right] = 235 * (number >> (7 - bit) & 1)
    return picture


def read_number(frame: av.VideoFrame) -> int:
    """The number of a picture that ``numbered`` made, however it was scaled."""
    luma = luma_of(frame)
    row = luma[luma.shape[0] // 2 - 2 : luma.shape[0] // 2 + 2].mean(axis=0)
    centres = [int(row.size * (bit + 1.5) / 10) for bit in range(BITS)]
    return sum(int(row[centre] > 126) << (7 - bit) for bit, centre in enumerate(centres))


def quartered(size: tuple[int, int] = (160, 120)) -> Picture:
    """Red and green above, blue and grey below."""
    width, height = size
    picture = np.empty((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = QUARTERS["red"]
    picture[: height // 2, width // 2 :] = QUARTERS["green"]
    picture[height // 2 :, : width // 2] = QUARTERS["blue"]
    picture[height // 2 :, width // 2 :] = QUARTERS["grey"]
    return picture


def read_quarters(frame: av.VideoFrame) -> tuple[str, str, str, str]:
    """The names of the colours above left, above right, below left and below right."""
    picture = frame.to_ndarray(format="rgb24")
    height, width = picture.shape[:2]
    spots = [(1, 1), (1, 3), (3, 1), (3, 3)]
    names = [nearest_quarter(picture[height * y // 4, width * x // 4]) for y, x in spots]
    return names[0], names[1], names[2], names[3]


def nearest_quarter(pixel: NDArray[np.uint8]) -> str:
    """The name of the quarter's colour that a pixel is nearest to."""
    return min(
        QUARTERS,
        key=lambda name: int(np.abs(pixel.astype(int) - np.array(QUARTERS[name])).sum()),
    )


def luma_of(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The luma plane without its padding."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def write_clip(
    path: Path,
    pictures: Iterable[Picture | av.VideoFrame],
    *,
    fps: Fraction | int = 25,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    times: Sequence[Fraction] | None = None,
    rotation: float = 0,
    mirrored: bool = False,
    pixel_aspect: Fraction | None = None,
    colour: tuple[int, int, int] | None = None,
    sound: float = 0.0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode pictures, all of one size, into a clip.

    Args:
        path: Its suffix chooses the container.
        pictures: RGB arrays, or frames as they are.
        times: Second of each picture, instead of an even cadence of ``fps``.
        rotation: Degrees counter-clockwise that the display matrix says.
        mirrored: The display matrix also mirrors left to right.
        pixel_aspect: Width of a pixel divided by its height.
        colour: FFmpeg's numbers of the matrix, the primaries and the transfer to write down.
        sound: Seconds of a quiet tone to add; none at 0.
    """
    frames = (as_frame(picture) for picture in pictures)
    first = next(frames)
    if codec == "libx264":
        options = {"preset": "ultrafast", "crf": "12", **(options or {})}
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=options or {})
        stream.width, stream.height = first.width, first.height
        stream.pix_fmt = pixel_format
        stream.codec_context.thread_count = 1
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 90_000)
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if colour is not None:
            context = stream.codec_context
            context.colorspace, context.color_primaries, context.color_trc = colour
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        tone = container.add_stream("aac", rate=48_000, layout="mono") if sound else None
        for count, frame in enumerate(itertools.chain([first], frames)):
            if times is None:
                frame.time_base, frame.pts = 1 / Fraction(fps), count
            else:
                frame.time_base = Fraction(1, 90_000)
                frame.pts = round(times[count] * 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            _write_tone(container, tone, sound)
    return path


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    """A file that holds nothing but a tone."""
    with av.open(str(path), "w") as container:
        _write_tone(container, container.add_stream("aac", rate=48_000, layout="mono"), seconds)
    return path


def cut_off(source: Path, target: Path, keep: float) -> Path:
    """Copy the first part of a file, ``keep`` from 0 to 1 of its bytes."""
    contents = source.read_bytes()
    target.write_bytes(contents[: int(len(contents) * keep)])
    return target


def numbered_clip(
    path: Path, count: int, size: tuple[int, int] = (160, 120), **how: object
) -> Path:
    """A clip of ``numbered`` pictures 0, 1, 2 and so on; ``how`` goes to ``write_clip``."""
    return write_clip(path, (numbered(index % 256, size) for index in range(count)), **how)  # type: ignore[arg-type]  # passed on unread


def joined(target: Path, *parts: Path) -> Path:
    """The bytes of several files one after another, as MPEG transport streams allow."""
    target.write_bytes(b"".join(part.read_bytes() for part in parts))
    return target


def as_frame(picture: Picture | av.VideoFrame) -> av.VideoFrame:
    """An RGB array as a frame; a frame as it is."""
    if isinstance(picture, av.VideoFrame):
        return picture
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")


def _write_tone(
    container: av.container.OutputContainer, stream: av.AudioStream, seconds: float
) -> None:
    wave = np.sin(np.arange(1024) * 2 * np.pi * 16 / 1024) * 0.1
    for block in range(max(1, int(seconds * 48_000 / 1024))):
        frame = av.AudioFrame.from_ndarray(
            wave.astype(np.float32)[None, :], format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = 48_000, block * 1024
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
