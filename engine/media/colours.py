"""The colours of a video, kept from file to file.

Pictures become BGR on the way. Which numbers of Y'CbCr mean which BGR is the *matrix*'s business
(ITU-T H.273, 8.3), so what was decoded by one matrix has to be encoded by the same, and the new
file has to say so.
"""

from dataclasses import dataclass, replace
from typing import Self

from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.media.upright import EXACT
from engine.pipeline.frame import Image

_BT709, _UNSAID, _BT601 = 1, 2, 6
_TELEVISION, _FULL = 1, 2
_HD_LINES = 720
_MATRICES = frozenset({_BT709, 4, 5, _BT601, 7, 9})
"""Those that can be converted: BT.709, FCC, BT.470BG, BT.601, SMPTE 240M, BT.2020."""


@dataclass(frozen=True, slots=True)
class Colours:
    """Numbers are FFmpeg's, which are those of ITU-T H.273.

    Attributes:
        matrix: Matrix coefficients; 2: not said, and BT.601 is meant.
        range: 0 not said, 1 television, 2 full.
        primaries: Colour primaries.
        transfer: Transfer characteristics.
    """

    matrix: int
    range: int
    primaries: int
    transfer: int

    @classmethod
    def said_by(cls, frame: VideoFrame) -> Self:
        """Return what a decoded picture says, for pictures that are encoded as they are stored."""
        return cls(
            int(frame.colorspace),
            int(frame.color_range),
            int(frame.color_primaries),
            int(frame.color_trc),
        )

    @classmethod
    def of(cls, frame: VideoFrame) -> Self:
        """Return those for pictures that are converted: those of a decoded one, or, of RGB, what
        is usual at its height.
        """
        primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
        matrix, span = int(frame.colorspace), int(frame.color_range)
        if frame.format.is_rgb:
            matrix = _BT709 if frame.height >= _HD_LINES else _BT601
            return cls(matrix, _TELEVISION, primaries, transfer)
        if matrix not in _MATRICES:
            matrix = _UNSAID
        if frame.format.name.startswith("yuvj"):
            span = _FULL
        return cls(matrix, span, primaries, transfer)

    def at_height(self, lines: int, before: int) -> Self:
        """Return those for pictures of another height.

        Players take a video of many lines for BT.709 if it does not say otherwise.

        Args:
            lines: The new height.
            before: The old one.
        """
        if self.matrix == _UNSAID and before < _HD_LINES <= lines:
            return replace(self, matrix=_BT601)
        return self

    def describe(self, stream: VideoStream) -> None:
        """Have an encoder's stream say so."""
        context = stream.codec_context
        context.colorspace, context.color_range = self.matrix, self.range
        context.color_primaries, context.color_trc = self.primaries, self.transfer

    def encoded(self, image: Image) -> VideoFrame:
        """Return a picture as encoders take it: ``yuv420p``.

        Args:
            image: ``uint8[h, w, 3]``, BGR; both sides even.
        """
        return self.converted(VideoFrame.from_ndarray(image, format="bgr24"), "yuv420p")

    def converted(
        self, frame: VideoFrame, pixel_format: str, size: tuple[int, int] | None = None
    ) -> VideoFrame:
        """Return a picture in another format, and these colours.

        Args:
            frame: In whatever colours it says that it has.
            pixel_format: FFmpeg's name of one with Y'CbCr.
            size: Width and height, where they are to be others.
        """
        width, height = size or (frame.width, frame.height)
        return frame.reformat(
            width,
            height,
            pixel_format,
            dst_colorspace=_BT601 if self.matrix == _UNSAID else self.matrix,
            dst_color_range=self.range or _TELEVISION,
            interpolation=EXACT,
        )
