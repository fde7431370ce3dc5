"""Draws subtitles into a video's pictures; the sound is copied, every picture keeps its time."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.clips.filtering import picture_key
from engine.media.containers import choose_container
from engine.media.h264 import add_h264
from engine.media.source_video import opened_video
from engine.speech.captions import Cue
from processors.generate.blending import Ink
from processors.generate.declaration import Context
from processors.generate.drawable import Drawable
from processors.generate.fonts import FontFile, find_font
from processors.generate.lettering import Layer, Lettering
from processors.generate.subtitle_files import lines_of
from processors.generate.subtitles import SubtitleParameters
from processors.generate.video_pictures import remake


def burn(
    source: Path,
    context: Context,
    cues: Sequence[Cue],
    params: SubtitleParameters,
    metadata: Mapping[str, str],
    progress: Callable[[float], None],
) -> Path:
    """Write a copy of a video with the cues drawn into it, as H.264.

    Pictures are stored upright, with the colours and the depth that they had.

    Args:
        source: A video.
        context: For the folder in which ``video.mp4`` or ``video.mkv`` is made, and previews.
        cues: From the start of the file.
        params: Style, quality, container.
        metadata: Tags of the new file, besides those of the old one.
        progress: Told the share that is done after each picture; may raise.

    Raises:
        ClipError: The video cannot be read.
        ContainerUnfit: See ``choose_container``.
        MissingDependency: Pillow is not installed.
    """
    text = "".join(line for cue in cues for line in lines_of(cue))
    font = find_font(params.style.font, text, params.style.bold)
    with opened_video(source) as video:
        kind = choose_container(params.container, "h264", video.sounds)
        target = context.folder / f"video.{kind}"
        remake(
            video,
            target,
            kind,
            _Burning(params, font, cues, context),
            threads=context.place.threads,
            metadata=metadata,
            progress=progress,
        )
    return target


class CueDrawer:
    """Draws the cue that is due into pictures, in order of their times.

    Args:
        lettering: Draws the letters.
        cues: In order; none overlaps the next.
    """

    def __init__(self, lettering: Lettering, cues: Sequence[Cue]) -> None:
        self._lettering = lettering
        self._cues = deque(cues)
        self._drawn: tuple[Cue, Layer | None] | None = None
        self._inks: dict[tuple[object, ...], Ink] = {}

    def draw(self, frame: VideoFrame, seconds: float) -> None:
        """Draw into a writable picture what is to be read at this second."""
        while self._cues and self._cues[0].end <= seconds:
            self._cues.popleft()
        if not self._cues or self._cues[0].start > seconds:
            return
        cue = self._cues[0]
        if self._drawn is None or self._drawn[0] is not cue:
            self._drawn = (cue, self._lettering.layer(lines_of(cue)))
            self._inks.clear()
        layer = self._drawn[1]
        if layer is None:
            return
        key = picture_key(frame)
        if key not in self._inks:
            self._inks[key] = Ink(layer, frame)
        self._inks[key].apply(frame)


class _Burning:
    """Implements ``PictureChange``."""

    def __init__(
        self, params: SubtitleParameters, font: FontFile, cues: Sequence[Cue], context: Context
    ) -> None:
        self._params = params
        self._font = font
        self._cues = cues
        self._context = context
        self._drawable: Drawable | None = None
        self._drawer: CueDrawer | None = None

    def begin(
        self, first: VideoFrame, output: OutputContainer, rate: Fraction, pixel_aspect: Fraction
    ) -> VideoStream:
        """Set up encoder and letters for pictures like the first one."""
        encoder = add_h264(output, rate, self._params.crf, self._params.preset)
        self._drawable = Drawable.like(first)
        self._drawable.describe(encoder)
        size = (self._drawable.width, self._drawable.height)
        lettering = Lettering(self._params.style, self._font, size, pixel_aspect)
        self._drawer = CueDrawer(lettering, self._cues)
        return encoder

    def change(self, frame: VideoFrame, seconds: float) -> VideoFrame:
        """Draw the cue that is due."""
        assert self._drawable is not None
        assert self._drawer is not None
        drawn = self._drawable.take(frame)
        self._drawer.draw(drawn, seconds)
        if self._context.wants_preview():
            self._context.preview(np.asarray(drawn.to_ndarray(format="bgr24"), np.uint8))
        return drawn
