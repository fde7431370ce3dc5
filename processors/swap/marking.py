"""The visible mark of a picture that was made with AI."""

from typing import Final, Literal

import numpy as np

from engine.pipeline.frame import Image
from processors.swap.backend import Remembered

Corner = Literal["top_left", "top_right", "bottom_left", "bottom_right"]

FINER: Final = 4
"""The mark is drawn this many times as large and averaged down: soft edges at any size."""

LEAST: Final = 16
"""Height in pixels below which the letters cannot be read."""

SHADE: Final = 165
"""How much of the picture the panel covers, of 255."""


class Mark:
    """Draws letters on a dark panel with a light rim, readable on any background.

    Args:
        corner: Of the picture.
        size: Height of the mark as a part of the picture's shorter side.
        text: What it says.
    """

    def __init__(
        self, corner: Corner = "bottom_right", size: float = 0.05, text: str = "AI"
    ) -> None:
        self._corner = corner
        self._size = size
        self._text = text
        self._panels: Remembered[int, tuple[Image, Image]] = Remembered(self._draw, 4)

    def apply(self, image: Image) -> None:
        """Draw it, in place.

        Args:
            image: ``uint8[h, w, 3]``.
        """
        import cv2

        shorter = min(image.shape[:2])
        height = max(LEAST, round(shorter * self._size))
        colour, kept = self._panels(height)
        margin = max(1, round(height * 0.5))
        top = margin if self._corner.startswith("top") else image.shape[0] - margin - height
        right = image.shape[1] - margin - colour.shape[1]
        left = margin if self._corner.endswith("left") else right
        part = image[max(0, top) : max(0, top) + height, max(0, left) :][:, : colour.shape[1]]
        there = (slice(0, part.shape[0]), slice(0, part.shape[1]))
        cv2.add(cv2.multiply(part, kept[there], scale=1 / 255), colour[there], dst=part)

    def _draw(self, height: int) -> tuple[Image, Image]:
        """The mark's own colour, and how much of the picture remains behind it."""
        import cv2

        tall = height * FINER
        font, thick = cv2.FONT_HERSHEY_DUPLEX, max(1, round(tall * 0.085))
        scale = cv2.getFontScaleFromHeight(font, round(tall * 0.52), thick)
        (text_wide, text_tall), _ = cv2.getTextSize(self._text, font, scale, thick)
        wide = -(-(text_wide + round(tall * 0.6)) // FINER) * FINER
        panel = _rounded(wide, tall, 0)
        rim = cv2.subtract(panel, _rounded(wide, tall, max(1, round(tall * 0.05))))
        ink = np.zeros((tall, wide), np.uint8)
        at = ((wide - text_wide) // 2, (tall + text_tall) // 2)
        cv2.putText(ink, self._text, at, font, scale, 255, thick, cv2.LINE_AA)
        light = cv2.max(ink, rim)
        cover = cv2.max(np.round(panel * (SHADE / 255)).astype(np.uint8), light)
        small = (wide // FINER, height)
        light = cv2.resize(light, small, interpolation=cv2.INTER_AREA)
        cover = cv2.resize(cover, small, interpolation=cv2.INTER_AREA)
        colour = np.asarray(cv2.cvtColor(light, cv2.COLOR_GRAY2BGR), np.uint8)
        kept = np.asarray(cv2.cvtColor(cv2.bitwise_not(cover), cv2.COLOR_GRAY2BGR), np.uint8)
        return colour, kept


def _rounded(wide: int, tall: int, inset: int) -> Image:
    """A filled rectangle with round corners: ``uint8[tall, wide]``."""
    import cv2

    shape = np.zeros((tall, wide), np.uint8)
    radius = max(1, round(tall * 0.28) - inset)
    low, right, bottom = inset + radius, wide - 1 - inset - radius, tall - 1 - inset - radius
    for x in (low, right):
        for y in (low, bottom):
            cv2.circle(shape, (x, y), radius, 255, -1)
    cv2.rectangle(shape, (low, inset), (right, tall - 1 - inset), 255, -1)
    cv2.rectangle(shape, (inset, low), (wide - 1 - inset, bottom), 255, -1)
    return shape
