"""A picture on its way through the pipeline, with the times it passed each stage.

Ownership: a frame's image has one owner at a time, whoever holds the frame. A source hands out a
buffer that it does not keep; a processor may write into the images it is given or return others;
once a frame has left the processors its image is read-only (numpy refuses to write), because all
sinks share it. Nothing on the way copies an image merely to hand it on.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""A picture: ``uint8[height, width, 3]``, channels in the order blue, green, red, C-contiguous.

BGR because OpenCV's capture, drawing, window and face models and most swap models use it; PyAV
converts from and to it in one step.
"""

FED = "fed"
TAKEN = "taken"
PROCESSED = "processed"
SHOWN = "shown"
STAGES = (FED, TAKEN, PROCESSED, SHOWN)
"""The stamps in the order in which a frame gets them; capture is ``captured_at``."""

MICROSECONDS = Fraction(1, 1_000_000)
"""The time base of sources whose frames carry no timestamps of their own."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture and what is known about it.

    Attributes:
        image: See ``Image``. A source may hand in others (grey, alpha, 16 bit); the feeder
            makes them conform or refuses them.
        sequence: Position in the stream, rising; the pipeline numbers frames anew, so that it
            goes on rising when the source is changed.
        pts: Presentation time of the source in units of ``time_base``.
        time_base: Seconds per unit of ``pts``.
        captured_at: When the picture was taken, in seconds of the pipeline's clock.
        stamps: ``(stage, seconds)`` for every stage passed, in order.
        stale: The source gives nothing new; this is its last picture, marked as such.
    """

    image: Image
    sequence: int
    pts: int
    time_base: Fraction
    captured_at: float
    stamps: tuple[tuple[str, float], ...] = ()
    stale: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]

    @property
    def media_time(self) -> float:
        """The presentation time in seconds."""
        return float(self.pts * self.time_base)

    def stamped(self, stage: str, at: float) -> "Frame":
        """This frame with one more stamp."""
        return Frame(
            self.image,
            self.sequence,
            self.pts,
            self.time_base,
            self.captured_at,
            (*self.stamps, (stage, at)),
            self.stale,
        )

    def stamp(self, stage: str) -> float | None:
        """When the frame passed ``stage``; None if it has not."""
        for name, at in self.stamps:
            if name == stage:
                return at
        return None

    def with_image(self, image: Image) -> "Frame":
        """This frame with another picture."""
        return Frame(
            image,
            self.sequence,
            self.pts,
            self.time_base,
            self.captured_at,
            self.stamps,
            self.stale,
        )
