"""The one size, format and colour of a video that is drawn on and encoded."""

from dataclasses import dataclass
from typing import Self

from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from engine.media.colours import Colours
from processors.generate.blending import FORMATS

_USUAL_FORMAT = "yuv420p"


@dataclass(frozen=True, slots=True)
class Drawable:
    """What pictures have to be so that they can be drawn on as they are stored.

    Attributes:
        width: Even where two pixels share their colour.
        height: So is this.
        format: One that can be drawn on.
        colours: Of the pictures.
    """

    width: int
    height: int
    format: str
    colours: Colours

    @classmethod
    def like(cls, frame: VideoFrame) -> Self:
        """Return what loses least of pictures like this one."""
        fits = FORMATS.match(frame.format.name) is not None
        name = frame.format.name if fits else _USUAL_FORMAT
        return cls(
            frame.width if "444" in name else max(2, frame.width & ~1),
            max(2, frame.height & ~1) if "420" in name else frame.height,
            name,
            Colours.said_by(frame) if fits else Colours.of(frame),
        )

    def describe(self, stream: VideoStream) -> None:
        """Set up an encoder's stream for it."""
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, self.format
        self.colours.describe(stream)

    def take(self, frame: VideoFrame) -> VideoFrame:
        """Return a picture as it has to be, to be written into; its time is that of the other."""
        pts, time_base = frame.pts, frame.time_base
        if FORMATS.match(frame.format.name) is None:
            frame = self.colours.converted(frame, self.format, (self.width, self.height))
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
