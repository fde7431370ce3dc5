"""How the pictures of a clip are to be turned before they are shown.

A camera that was held upright stores its pictures lying and adds a *display matrix*, three by
three numbers of which four matter: where a step to the right, and a step down, in the stored
picture end up on the screen (ISO/IEC 14496-12, 8.3.2.3, and FFmpeg's ``libavutil/display.h``).
"""

import struct
from dataclasses import dataclass
from typing import Self, cast

from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame

# Signs of (step right: on x, on y; step down: on x, on y) -> filters, degrees clockwise, mirrored
_TURNS: dict[tuple[int, int, int, int], tuple[tuple[tuple[str, str], ...], int, bool]] = {
    (1, 0, 0, 1): ((), 0, False),
    (0, 1, -1, 0): ((("transpose", "clock"),), 90, False),
    (-1, 0, 0, -1): ((("hflip", ""), ("vflip", "")), 180, False),
    (0, -1, 1, 0): ((("transpose", "cclock"),), 270, False),
    (-1, 0, 0, 1): ((("hflip", ""),), 0, True),
    (0, 1, 1, 0): ((("transpose", "cclock_flip"),), 90, True),
    (1, 0, 0, -1): ((("vflip", ""),), 180, True),
    (0, -1, -1, 0): ((("transpose", "clock_flip"),), 270, True),
}


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to lay a picture on the screen.

    Attributes:
        filters: libavfilter's name and argument of each step that makes the picture upright.
        clockwise: Degrees (0, 90, 180, 270) by which the stored picture is turned.
        mirrored: The picture is also mirrored left to right (before it is turned).
    """

    filters: tuple[tuple[str, str], ...] = ()
    clockwise: int = 0
    mirrored: bool = False

    @classmethod
    def of_frame(cls, frame: VideoFrame) -> Self:
        """Read the orientation that a decoded picture carries; upright where it carries none."""
        side_data = cast(SideDataContainer, frame.side_data)
        for index in range(len(side_data)):
            data = side_data[index]
            if data.type is Type.DISPLAYMATRIX:
                return cls.of_matrix(struct.unpack("=9i", bytes(data)))
        return cls()

    @classmethod
    def of_matrix(cls, matrix: tuple[int, ...]) -> Self:
        """Read a display matrix of nine numbers in row order; odd angles go to the nearest turn."""
        right_x, right_y, _, down_x, down_y = matrix[:5]
        straight = min(abs(right_x), abs(down_y)) >= max(abs(right_y), abs(down_x))
        if straight:
            key = (_sign(right_x), 0, 0, _sign(down_y))
        else:
            key = (0, _sign(right_y), _sign(down_x), 0)
        return cls(*_TURNS[key])

    @property
    def lying(self) -> bool:
        """Width and height change places."""
        return self.clockwise in (90, 270)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The size on the screen of a picture that is stored as ``width`` x ``height``."""
        return (height, width) if self.lying else (width, height)


def _sign(value: int) -> int:
    return -1 if value < 0 else 1
