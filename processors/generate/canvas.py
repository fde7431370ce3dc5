"""The one size, format and colour of a video that is drawn on and encoded."""

from dataclasses import dataclass
from typing import Self

from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from processors.generate.blending import FORMATS

_USUAL_FORMAT = "yuv420p"
_HD_LINES = 720
_BT709, _BT601_SYSTEM_M, _TELEVISION = 1, 6, 1


@dataclass(frozen=True, slots=True)
class Canvas:
    """Numbers are FFmpeg's, which are those of ITU-T H.273.

    Attributes:
        width: Even where two pixels share their colour.
        height: So is this.
        format: One that can be drawn on.
        matrix: Matrix coefficients.
        range: 1 television, 2 full.
        primaries: Colour primaries.
        transfer: Transfer characteristics.
    """

    width: int
    height: int
    format: str
    matrix: int
    range: int
    primaries: int
    transfer: int

    @classmethod
    def like(cls, frame: VideoFrame) -> Self:
        """Return what loses least of pictures like this one."""
        fits = FORMATS.match(frame.format.name) is not None
        name = frame.format.name if fits else _USUAL_FORMAT
        matrix, full = int(frame.colorspace), int(frame.color_range)
        if not fits:
            matrix = _BT709 if frame.height >= _HD_LINES else _BT601_SYSTEM_M
            full = _TELEVISION
        return cls(
            frame.width if "444" in name else max(2, frame.width & ~1),
            max(2, frame.height & ~1) if "420" in name else frame.height,
            name,
            matrix,
            full,
            int(frame.color_primaries),
            int(frame.color_trc),
        )

    def describe(self, stream: VideoStream) -> None:
        """Set up an encoder's stream for it."""
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, self.format
        context = stream.codec_context
        context.colorspace, context.color_range = self.matrix, self.range
        context.color_primaries, context.color_trc = self.primaries, self.transfer

    def take(self, frame: VideoFrame) -> VideoFrame:
        """Return a picture as it has to be, to be written into; its time is that of the other."""
        pts, time_base = frame.pts, frame.time_base
        if FORMATS.match(frame.format.name) is None:
            frame = frame.reformat(
                self.width,
                self.height,
                self.format,
                dst_colorspace=self.matrix,
                dst_color_range=self.range,
            )
        elif (frame.width, frame.height, frame.format.name) != (
            self.width,
            self.height,
            self.format,
        ):
            frame = frame.reformat(self.width, self.height, self.format)
        # Decoders predict later pictures from the memory of this one.
        frame.make_writable()
        # Else the encoder would make keyframes where the old video has them.
        frame.pict_type = PictureType.NONE
        frame.pts, frame.time_base = pts, time_base
        return frame
