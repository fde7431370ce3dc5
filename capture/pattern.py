"""A moving test chart whose pictures say which frame they are and when they were made.

The upper 5/16 of the picture is a grid of 16 x 5 black and white blocks, read row by row from the
upper left: 8 bits that never change (to tell a chart from any other picture), 24 bits frame number,
32 bits milliseconds, 16 bits check sum (CRC-16/CCITT). Blocks are so large that the code survives
scaling and lossy coding; a code that was damaged reads as None, not as another number.
"""

import binascii
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from capture.metronome import Metronome
from engine.clock import Clock, monotonic
from engine.pipeline.frame import Frame, Image

COLUMNS, ROWS = 16, 5
"""Blocks of the code."""

GRID = 16
"""The picture is this many blocks wide and high."""

MAGIC = 0b10110010
MILLISECONDS = 1 << 32
"""The time code is in milliseconds modulo this."""

LEAST_CONTRAST = 40.0
"""Between the darkest and the brightest block, of 255."""


def write_code(image: Image, number: int, time_ms: int) -> None:
    """Draw the code into a picture.

    Args:
        image: ``uint8[h, w, 3]``, at least 32x32; its upper 5/16 is overwritten.
        number: Frame number, modulo 2^24.
        time_ms: Milliseconds, modulo 2^32.
    """
    payload = (
        bytes([MAGIC]) + (number % (1 << 24)).to_bytes(3) + (time_ms % MILLISECONDS).to_bytes(4)
    )
    coded = payload + binascii.crc_hqx(payload, 0xFFFF).to_bytes(2)
    bits = np.unpackbits(np.frombuffer(coded, np.uint8)).reshape(ROWS, COLUMNS)
    rows, columns = _edges(image.shape[0]), _edges(image.shape[1])
    for row in range(ROWS):
        line = np.repeat(bits[row] * np.uint8(255), np.diff(columns))
        image[rows[row] : rows[row + 1]] = line[np.newaxis, :, np.newaxis]


def read_code(image: npt.NDArray[np.uint8]) -> tuple[int, int] | None:
    """The frame number and the milliseconds in a picture of the chart.

    Args:
        image: ``uint8[h, w, 3]`` or ``uint8[h, w]``, the whole chart at any size.

    Returns:
        ``(number, time_ms)``, or None where there is no code or it is damaged.
    """
    height, width = image.shape[:2]
    if height < 2 * GRID or width < 2 * GRID:
        return None
    rows, columns = _edges(height), _edges(width)
    means = np.empty((ROWS, COLUMNS))
    for row in range(ROWS):
        for column in range(COLUMNS):
            means[row, column] = _middle(image, rows[row : row + 2], columns[column : column + 2])
    low, high = float(means.min()), float(means.max())
    if high - low < LEAST_CONTRAST:
        return None
    coded = np.packbits(means > (low + high) / 2).tobytes()
    payload, check = coded[:8], int.from_bytes(coded[8:])
    if payload[0] != MAGIC or binascii.crc_hqx(payload, 0xFFFF) != check:
        return None
    return int.from_bytes(payload[1:4]), int.from_bytes(payload[4:8])


class PatternSource:
    """The test chart as a live source: frames it is late for are skipped, as by a camera.

    Args:
        width: Pixels.
        height: Pixels.
        fps: Frames per second.
        count: Frames after which it ends; None goes on for ever.
        clock: Seconds; the time code is this clock in milliseconds.
        metronome: Waits; tests hand in one that does not.
    """

    live = True
    problem: str | None = None

    def __init__(
        self,
        width: int = 1280,
        height: int = 720,
        fps: float = 30.0,
        count: int | None = None,
        clock: Clock = monotonic,
        metronome: Metronome | None = None,
    ) -> None:
        self.name = "pattern:"
        self._fps = Fraction(fps).limit_denominator(1001)
        self._count = count
        self._clock = clock
        self._metronome = metronome or Metronome(clock)
        self._chart = draw_background(width, height)
        self._start: float | None = None
        self._next = 0

    def open(self) -> None:
        """The first frame is due now."""
        self._start = self._clock()

    def read(self) -> Frame | None:
        """The next frame, when it is due."""
        if self._start is None:
            self.open()
        assert self._start is not None
        if self._count is not None and self._next >= self._count:
            return None
        late = int((self._clock() - self._start) * self._fps)
        number = max(self._next, late) if self._count is None else self._next
        due = self._start + float(number / self._fps)
        if not self._metronome.until(due):
            return None
        self._next = number + 1
        return Frame(
            draw_chart(self._chart, number, round(due * 1000)), number, number, 1 / self._fps, due
        )

    def interrupt(self) -> None:
        """End reading."""
        self._metronome.interrupt()

    def close(self) -> None:
        """Nothing to release."""


def draw_background(width: int, height: int) -> Image:
    """The part of the chart that does not move: colour bars above a grey ramp.

    Args:
        width: Pixels, at least 32.
        height: Pixels, at least 32.
    """
    chart = np.zeros((height, width, 3), np.uint8)
    bars = [(235, 235, 235), (16, 235, 235), (235, 235, 16), (16, 235, 16)]
    bars += [(235, 16, 235), (16, 16, 235), (235, 16, 16), (16, 16, 16)]
    rows, columns = _edges(height), np.linspace(0, width, len(bars) + 1).astype(int)
    for index, colour in enumerate(bars):
        chart[rows[ROWS] : rows[11], columns[index] : columns[index + 1]] = colour
    ramp = np.linspace(16, 235, width).astype(np.uint8)
    chart[rows[11] :] = ramp[np.newaxis, :, np.newaxis]
    return chart


def draw_chart(background: Image, number: int, time_ms: int) -> Image:
    """A new picture of the chart: the code, a disc on its way, and the numbers in figures."""
    import cv2

    image = background.copy()
    height, width = image.shape[:2]
    write_code(image, number, time_ms)
    radius = max(2, height // 16)
    x = radius + number * max(1, width // 120) % max(1, width - 2 * radius)
    cv2.circle(image, (x, height * 10 // 16), radius, (255, 255, 255), -1, cv2.LINE_AA)
    cv2.circle(image, (x, height * 10 // 16), radius, (0, 0, 0), 2, cv2.LINE_AA)
    seconds, milliseconds = divmod(time_ms, 1000)
    hours, minutes = divmod(seconds // 60, 60)
    label = f"#{number} {hours:02d}:{minutes:02d}:{seconds % 60:02d}.{milliseconds:03d}"
    scale = height / 400.0
    at = (width // 32, height * 15 // 16)
    cv2.putText(image, label, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 8, cv2.LINE_AA)
    cv2.putText(image, label, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 2, cv2.LINE_AA)
    return image


def _edges(size: int) -> npt.NDArray[np.intp]:
    return np.linspace(0, size, GRID + 1).round().astype(np.intp)


def _middle(
    image: npt.NDArray[np.uint8], rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
) -> float:
    """The mean of the middle half of a block, away from what coding does to its edges."""
    quarter = [(int(span[1]) - int(span[0])) // 4 for span in (rows, columns)]
    block = image[
        rows[0] + quarter[0] : rows[1] - quarter[0],
        columns[0] + quarter[1] : columns[1] - quarter[1],
    ]
    return float(block.mean())
