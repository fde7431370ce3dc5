"""Any clip in, even pictures out: one size, one constant frame rate, one kind of colour.

Colour is BT.709 in the television range, which is what every browser shows right. Where a clip
does not say its matrix the usual convention holds: BT.709 from 720 lines on, BT.601 below.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from av.video.frame import PictureType, VideoFrame
from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.clips.decoding import decoded
from engine.clips.framing import Face, FaceFinder, head_and_shoulders
from engine.clips.info import ClipInfo, read_info
from engine.clips.opening import ClipTooShort, damaged
from engine.clips.planes import colours, planes
from engine.clips.rendering import WHOLE, Look, Renderer, Window, shown_part
from engine.clips.stabilise import CameraPath, Steadier
from engine.clips.timeline import Picture, cadence
from engine.errors import ClipError

Progress = Callable[[float], None]
"""Is told how much is done, from 0 to 1."""

DEFAULT_SHARPEN = 0.6
"""The strength of sharpening where only the wish is given."""

_FACE_SAMPLES = 24

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
    start: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    duration: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
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
    face_model: Path | None = None,
    allow_truncated: bool = False,
) -> Iterator[VideoFrame]:
    """The pictures of a clip, normalised, one at a time.

    Damaged pictures inside the clip are left out; the one before stays on screen.

    Args:
        path: Any clip.
        preparation: What to make of it.
        on_progress: Is told the part done, once per picture.
        threads: Threads for the decoder and the filters.
        face_model: YuNet in ONNX form, which ``crop="face"`` needs.
        allow_truncated: Of a clip whose end is missing, give what is there.

    Yields:
        ``yuv420p`` pictures of exactly ``preparation.size``, BT.709, television range, square
        pixels, with ``time_base`` 1/fps and ``pts`` 0, 1, 2 and so on. Each is its own object.

    Raises:
        ClipError: The clip cannot be read, no part of it lies after ``start``, or it shows no face
            where one is asked for.
        MissingDependency: ``crop="face"`` or ``stabilize`` without OpenCV, or no face model.
    """
    info = read_info(path, allow_truncated=allow_truncated)
    job = _Job(path, preparation, info, threads, on_progress or _ignore)
    window = _find_window(job, face_model) if preparation.crop == "face" else WHOLE
    made = _steady(job, window) if preparation.stabilize else _render(job, window)
    count = 0
    for frame in made:
        frame.time_base = 1 / preparation.fps
        frame.pts = count
        frame.duration = 1
        frame.pict_type = PictureType.NONE
        count += 1
        yield frame
    if count == 0:
        if preparation.start < info.duration:
            raise damaged(path)
        raise _after_the_end(path, preparation.start, info.duration)


@dataclass(frozen=True, slots=True)
class _Job:
    path: Path
    preparation: Preparation
    info: ClipInfo
    threads: int
    on_progress: Progress

    def frames(self, since: float, until: float) -> Iterator[VideoFrame]:
        """The decoded picture of each tick; progress goes from ``since`` to ``until``."""
        expected = _expected_pictures(self.info.duration, self.preparation)
        for count, picture in enumerate(ticks(self.path, self.preparation, self.threads), 1):
            yield picture.frame
            self.on_progress(since + (until - since) * min(1.0, count / expected))

    def renderer(self, size: tuple[int, int], window: Window, look: Look | None) -> Renderer:
        return Renderer(size, self.info.upright_pixel_aspect, window, look, self.threads)

    @property
    def look(self) -> Look:
        wanted = self.preparation
        return Look(wanted.brightness, wanted.contrast, wanted.saturation, wanted.sharpen)


def _render(job: _Job, window: Window) -> Iterator[VideoFrame]:
    renderer = job.renderer(job.preparation.size, window, job.look)
    for frame in job.frames(0.0, 1.0):
        yield renderer.render(frame)


def _steady(job: _Job, window: Window) -> Iterator[VideoFrame]:
    """As ``_render``, in two passes: one that measures the camera's path, and one that evens it."""
    small = job.renderer(_small_size(job.info, 400), WHOLE, None)
    camera = CameraPath()
    for frame in job.frames(0.0, 0.4):
        camera.add(planes(small.render(frame))[0])
    if not camera.poses:
        return
    width, height = job.preparation.size
    part = shown_part(window, job.info.aspect, width / height)
    steadier = Steadier(
        camera.poses, 1 / (part[2] - part[0]), job.preparation.fps, job.preparation.size
    )
    renderer = job.renderer(steadier.padded, window, job.look)
    for index, frame in enumerate(job.frames(0.4, 1.0)):
        yield steadier.steady(renderer.render(frame), index)


def _find_window(job: _Job, face_model: Path | None) -> Window:
    """Where the face is in samples of the whole clip."""
    finder = FaceFinder(face_model)
    expected = _expected_pictures(job.info.duration, job.preparation)
    rate = job.preparation.fps * min(Fraction(1), Fraction(_FACE_SAMPLES, expected))
    samples = job.preparation.model_copy(update={"fps": rate})
    small = job.renderer(_small_size(job.info, 640), WHOLE, None)
    faces: list[Face] = []
    count = 0
    for picture in ticks(job.path, samples, job.threads):
        found = finder.find(colours(small.render(picture.frame)))
        faces += found[:1]
        count += 1
    if not faces or len(faces) < count / 4:
        raise ClipError(
            f"No face was found in {count - len(faces)} of {count} samples of '{job.path}'.",
            "Use --crop center, or a part of the clip that shows the face (--start, --duration).",
        )
    wanted = job.preparation.size[0] / job.preparation.size[1]
    return head_and_shoulders(faces, job.info.aspect, wanted)


def _small_size(info: ClipInfo, longest: int) -> tuple[int, int]:
    """The displayed size, even and not above ``longest``."""
    shrink = min(1.0, longest / max(info.width, info.height))
    return 2 * max(8, round(info.width * shrink / 2)), 2 * max(8, round(info.height * shrink / 2))


def _ignore(_: float) -> None:
    """Progress that nobody asked for."""


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
