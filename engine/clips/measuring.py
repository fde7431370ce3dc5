"""One pass over a clip that measures what matters for an avatar, on small pictures."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame

from engine.clips.decoding import decoded
from engine.clips.framing import Face, FaceFinder
from engine.clips.info import ClipInfo
from engine.clips.planes import Plane, colours, planes
from engine.clips.rendering import Renderer
from engine.clips.stabilise import CameraPath, Pose

THUMBNAIL = 32
"""Side of the pictures that are kept for comparing; together they are the only thing that grows."""

MAX_THUMBNAILS = 3000
"""Pictures from the beginning that are kept and whose camera is followed: 2 min at 25 fps, 3 MB."""

BLACK = 0.97
"""The dark part from which a picture counts as black."""

_WIDTH = 160
_FACE_WIDTH = 640
_FACE_SAMPLES = 24
_BRIGHT = 234
_DARK = 20


@dataclass(slots=True)
class Measures:
    """What was measured, one entry per picture; luma goes from 16 (black) to 235 (white).

    Attributes:
        times: Seconds since the first picture.
        levels: Mean luma.
        dark: Part of the picture that is black, 0 to 1.
        bright: Part of the picture that is white, 0 to 1.
        steps: Mean difference of luma to the picture before; 0 for the first.
        thumbnails: Luma, 32 x 32, of the first pictures.
        poses: The camera's pose at the first pictures.
        faces: The faces found in each sample, largest first; empty without a face model.
    """

    times: list[float] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)
    dark: list[float] = field(default_factory=list)
    bright: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    thumbnails: list[Plane] = field(default_factory=list)
    poses: list[Pose] = field(default_factory=list)
    faces: list[list[Face]] = field(default_factory=list)

    def add(self, time: float, luma: Plane, before: Plane | None) -> None:
        """Take the next picture."""
        self.times.append(time)
        self.levels.append(float(luma.mean()))
        self.dark.append(float((luma <= _DARK).mean()))
        self.bright.append(float((luma >= _BRIGHT).mean()))
        self.steps.append(0.0 if before is None else _difference(luma, before))

    def content(self) -> tuple[int, int]:
        """First picture and the one after the last, without black at the start and the end."""
        shown = np.flatnonzero(np.array(self.dark) < BLACK)
        return (int(shown[0]), int(shown[-1]) + 1) if shown.size else (0, len(self.times))


def _difference(one: Plane, other: Plane) -> float:
    """Mean absolute difference of two pictures of the same size."""
    return float(np.abs(one.astype(np.int16) - other).mean())


def measure(
    path: Path, info: ClipInfo, face_model: Path | None = None, threads: int = 1
) -> Measures:
    """Measure all pictures of a clip.

    Raises:
        ClipError: The clip cannot be decoded.
        MissingDependency: A face model is given and cannot be used, or OpenCV is not there.
    """
    import cv2

    camera = CameraPath()
    measures = Measures(poses=camera.poses)
    small = Renderer(_fitted(info, _WIDTH), info.upright_pixel_aspect, threads=threads)
    sampler = _FaceSampler(info, face_model, threads) if face_model else None
    before: Plane | None = None
    for number, picture in enumerate(decoded(path, threads=threads)):
        luma = planes(small.render(picture.frame))[0].copy()
        measures.add(picture.time, luma, before)
        before = luma
        if number < MAX_THUMBNAILS:
            side = (THUMBNAIL, THUMBNAIL)
            thumbnail = cv2.resize(luma, side, interpolation=cv2.INTER_AREA)
            measures.thumbnails.append(np.asarray(thumbnail, np.uint8))
            camera.add(luma)
        if sampler is not None and number % sampler.every == 0:
            measures.faces.append(sampler.find(picture.frame))
    return measures


class _FaceSampler:
    """Looks for faces in some of the pictures."""

    def __init__(self, info: ClipInfo, model: Path, threads: int) -> None:
        self.every = max(1, info.frames // _FACE_SAMPLES)
        self._finder = FaceFinder(model)
        self._renderer = Renderer(
            _fitted(info, _FACE_WIDTH), info.upright_pixel_aspect, threads=threads
        )

    def find(self, frame: VideoFrame) -> list[Face]:
        return self._finder.find(colours(self._renderer.render(frame)))


def _fitted(info: ClipInfo, width: int) -> tuple[int, int]:
    """The displayed shape with this width; both sides even."""
    height = width / min(4.0, max(0.25, info.aspect))
    return width, 2 * round(height / 2)
