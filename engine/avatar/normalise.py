"""Any clip in, even pictures out: one size, one constant frame rate, one kind of colour.

Colour is BT.709 in the television range, which is what every browser shows right. Where a clip
does not say its matrix the usual convention holds: BT.709 from 720 lines on, BT.601 below.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from av.video.frame import VideoFrame
from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.avatar.clips import read_info
from engine.avatar.decoding import decoded
from engine.avatar.opening import ClipTooShort, damaged
from engine.avatar.rendering import Look, Renderer
from engine.avatar.timeline import Picture, cadence

Progress = Callable[[float], None]
"""Is told how much is done, from 0 to 1."""

Side = Annotated[int, Field(ge=16, le=4096, multiple_of=2)]


class Preparation(BaseModel):
    """What is to be made of a clip.

    Attributes:
        size: Width and height in pixels, even; the picture is scaled to cover it and cropped.
        fps: Constant frame rate, pictures per second.
        start: Seconds to leave out at the beginning.
        duration: Seconds to keep from there; the rest of the clip where it is not given.
        max_seconds: Never keep more than this.
        brightness: -1 (black) to 1 (white), added to the luma; 0 changes nothing.
        contrast: Factor about mid grey; 1 changes nothing.
        saturation: Factor of the colour's strength; 0 is grey, 1 changes nothing.
        sharpen: Strength of an unsharp mask on the luma; 0 changes nothing, above 1 is harsh.
        stabilize: Hold the background still, for a camera that was held by hand.
        crop: ``center``, or ``face`` to frame head and shoulders by the face that is found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: tuple[Side, Side] = (512, 512)
    fps: Fraction = Field(default=Fraction(25), gt=0, le=120)
    start: float = Field(default=0.0, ge=0.0)
    duration: float | None = Field(default=None, gt=0.0)
    max_seconds: float | None = Field(default=None, gt=0.0)
    brightness: float = Field(default=0.0, ge=-1.0, le=1.0)
    contrast: float = Field(default=1.0, ge=0.0, le=4.0)
    saturation: float = Field(default=1.0, ge=0.0, le=4.0)
    sharpen: float = Field(default=0.0, ge=0.0, le=3.0)
    stabilize: bool = False
    crop: Literal["center", "face"] = "center"

    @field_validator("fps")
    @classmethod
    def _plain_fraction(cls, fps: Fraction) -> Fraction:
        """29.97 means 2997/100, not the binary number nearest to it."""
        return fps.limit_denominator(1001)

    @property
    def seconds(self) -> float | None:
        """The longest part of the clip that is kept; None where nothing limits it."""
        limits = [limit for limit in (self.duration, self.max_seconds) if limit is not None]
        return min(limits, default=None)


def pictures(
    path: Path,
    preparation: Preparation,
    on_progress: Progress | None = None,
    *,
    threads: int = 1,
    allow_truncated: bool = False,
) -> Iterator[VideoFrame]:
    """The pictures of a clip, normalised, one at a time.

    Damaged pictures inside the clip are left out; the one before stays on screen.

    Args:
        path: Any clip.
        preparation: What to make of it.
        on_progress: Is told the part done, once per picture.
        threads: Threads for the decoder and the filters.
        allow_truncated: Of a clip whose end is missing, give what is there.

    Yields:
        ``yuv420p`` pictures of exactly ``preparation.size``, BT.709, television range, square
        pixels, with ``time_base`` 1/fps and ``pts`` 0, 1, 2 and so on. Each is its own object.

    Raises:
        ClipError: The clip cannot be read, or no part of it lies after ``start``.
    """
    info = read_info(path, allow_truncated=allow_truncated)
    expected = _expected_pictures(info.duration, preparation)
    look = Look(
        preparation.brightness,
        preparation.contrast,
        preparation.saturation,
        preparation.sharpen,
    )
    renderer = Renderer(preparation.size, info.upright_pixel_aspect, look=look, threads=threads)
    count = 0
    for picture in ticks(path, preparation, threads):
        frame = renderer.render(picture.frame)
        frame.time_base = 1 / preparation.fps
        frame.pts = count
        frame.duration = 1
        count += 1
        yield frame
        if on_progress is not None:
            on_progress(min(1.0, count / expected))
    if count == 0:
        if preparation.start < info.duration:
            raise damaged(path)
        raise _after_the_end(path, preparation.start, info.duration)


def ticks(path: Path, preparation: Preparation, threads: int = 1) -> Iterator[Picture]:
    """The decoded picture of each tick of the output, as it is stored but upright."""
    end = None
    if preparation.seconds is not None:
        end = preparation.start + preparation.seconds
    return cadence(
        decoded(path, preparation.start, threads), preparation.fps, preparation.start, end
    )


def _expected_pictures(clip_seconds: float, preparation: Preparation) -> int:
    seconds = clip_seconds - preparation.start
    if preparation.seconds is not None:
        seconds = min(seconds, preparation.seconds)
    return max(1, round(seconds * preparation.fps))


def _after_the_end(path: Path, start: float, duration: float) -> ClipTooShort:
    return ClipTooShort(
        f"The clip '{path}' is {duration:.1f} s long, so nothing of it comes after {start:g} s.",
        f"Choose a start below {duration:.1f} s.",
    )
