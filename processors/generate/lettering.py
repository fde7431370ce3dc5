"""Draws the lines of a subtitle with Pillow: letters, their outline and a box behind them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from processors.generate.fonts import FontFile
from processors.generate.subtitles import SubtitleStyle

_WIDEST = 0.92
"""Part of the picture's width that a line may take."""

_BOX_PADDING = 0.22
"""Of the letters' size."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A picture to be laid over another.

    Attributes:
        left: Pixels from the left edge.
        top: Pixels from the top.
        pixels: ``uint8[h, w, 4]``: red, green, blue (not premultiplied) and opacity.
    """

    left: int
    top: int
    pixels: npt.NDArray[np.uint8]


class Lettering:
    """Draws texts for pictures of one size.

    Args:
        style: How they look.
        font: With which letters.
        size: Width and height of the stored picture.
        pixel_aspect: Width of a stored pixel divided by its height.
    """

    def __init__(
        self,
        style: SubtitleStyle,
        font: FontFile,
        size: tuple[int, int],
        pixel_aspect: Fraction = Fraction(1),
    ) -> None:
        self._style = style
        self._stored = size
        self._width = max(2, round(size[0] * pixel_aspect))
        self._height = size[1]
        self._letters = style.size / 100 * min(self._width, self._height)
        self._font = font.load(max(4.0, self._letters))
        self._stroke = round(self._letters * style.outline / 100)

    def layer(self, lines: Sequence[str]) -> Layer | None:
        """Draw lines, broken where they are wider than the picture; None: there is nothing."""
        fitting = [part for line in lines for part in wrapped(line, self._fits)]
        if not fitting:
            return None
        picture, left, top = self._drawn(fitting)
        if self._stored[0] != self._width:
            scale = self._stored[0] / self._width
            picture = picture.resize((max(1, round(picture.width * scale)), picture.height))
            left = round(left * scale)
        return _clipped(Layer(left, top, np.asarray(picture, np.uint8)), self._stored)

    def _fits(self, text: str) -> bool:
        return bool(self._font.getlength(text) + 2 * self._stroke <= self._width * _WIDEST)

    def _drawn(self, lines: Sequence[str]) -> tuple[Any, int, int]:
        """Return an RGBA picture and where its left upper corner is."""
        from PIL import Image, ImageDraw

        ascent, descent = self._font.getmetrics()
        step = ascent + descent
        widths = [self._font.getlength(line) for line in lines]
        border = self._stroke + round(self._letters * _BOX_PADDING)
        width = round(max(widths)) + 2 * border
        height = step * len(lines) + 2 * border
        picture = Image.new("RGBA", (width, height), (0, 0, 0, 0))
        if self._style.box:
            draw = ImageDraw.Draw(picture)
            colour = (*_rgb(self._style.box_colour), round(255 * self._style.box))
            draw.rounded_rectangle((0, 0, width - 1, height - 1), border // 2, fill=colour)
        letters = Image.new("RGBA", picture.size, (*_rgb(self._style.outline_colour), 0))
        draw = ImageDraw.Draw(letters)
        for stroked in (True, False):
            # All outlines first: none may cover a letter of the line above.
            if stroked and not self._stroke:
                continue
            for number, line in enumerate(lines):
                draw.text(
                    (width / 2, border + number * step + ascent),
                    line,
                    font=self._font,
                    anchor="ms",
                    fill=_rgb(self._style.outline_colour if stroked else self._style.colour),
                    stroke_width=self._stroke if stroked else 0,
                )
        picture.alpha_composite(letters)
        return picture, round((self._width - width) / 2), self._top(height)

    def _top(self, height: int) -> int:
        margin = round(self._height * self._style.margin / 100)
        if self._style.position == "top":
            return margin
        if self._style.position == "middle":
            return (self._height - height) // 2
        return self._height - margin - height


def wrapped(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Break a line at spaces, and words that are too wide before any character.

    Args:
        text: One line.
        fits: Whether a text is narrow enough.
    """
    lines: list[str] = []
    current = ""
    for word in text.split():
        longer = f"{current} {word}" if current else word
        if fits(longer):
            current = longer
            continue
        if current:
            lines.append(current)
        current = ""
        for char in word:
            if current and not fits(current + char):
                lines.append(current)
                current = ""
            current += char
    return [*lines, current] if current else lines


def _clipped(layer: Layer, size: tuple[int, int]) -> Layer | None:
    """Leave out what is beyond the picture's edges."""
    height, width = layer.pixels.shape[:2]
    left, top = max(0, layer.left), max(0, layer.top)
    right, bottom = min(size[0], layer.left + width), min(size[1], layer.top + height)
    if left >= right or top >= bottom:
        return None
    inner = layer.pixels[
        top - layer.top : bottom - layer.top, left - layer.left : right - layer.left
    ]
    return Layer(left, top, inner)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
