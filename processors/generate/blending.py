"""Lays a drawn layer over video pictures as they are stored: only what it covers is changed.

Converting whole pictures to RGB and back would cost time and change every pixel. The conversion of
colours is that of ITU-T H.273, 8.3 (matrix coefficients), in the picture's own range and depth.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

from processors.generate.lettering import Layer

FORMATS = re.compile(r"^yuvj?(420|422|444)p(10le)?$")
"""Pixel formats that can be drawn on."""

# H.273: matrix coefficients -> shares of red and blue in the luma.
_SHARES = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593), 7: (0.212, 0.087)}
_BT601 = (0.299, 0.114)
_BT709 = _SHARES[1]
_UNSAID = (0, 2, 3)
_HD_LINES = 720
_FULL_RANGE = 2

# Signal of a white that does not dazzle: 203 cd/m2 (ITU-R BT.2408), by transfer characteristics.
_WHITE = {16: 0.58, 18: 0.75}

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Part:
    """What is laid over one plane: ``plane * keep + add``."""

    left: int
    top: int
    keep: Weights
    add: Weights


class Ink:
    """A layer, made ready for pictures of one size and format.

    Args:
        layer: What to lay over them.
        frame: One of the pictures; its format matches ``FORMATS``.
    """

    def __init__(self, layer: Layer, frame: VideoFrame) -> None:
        match = FORMATS.match(frame.format.name)
        assert match is not None, frame.format.name
        self._kind: type[np.unsignedinteger] = np.uint16 if match[2] else np.uint8
        x_step, y_step = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}[match[1]]
        rgba = _padded(layer, x_step, y_step, frame)
        opacity = rgba[..., 3] / 255.0
        left, top = layer.left - layer.left % x_step, layer.top - layer.top % y_step
        self._parts = []
        for number, values in enumerate(_converted(rgba[..., :3] / 255.0, frame, bool(match[2]))):
            x, y = (x_step, y_step) if number else (1, 1)
            keep = _shrunk(1.0 - opacity, x, y)
            add = _shrunk(values * opacity, x, y)
            self._parts.append(_Part(left // x, top // y, keep, add + np.float32(0.5)))

    def apply(self, frame: VideoFrame) -> None:
        """Lay it over a picture, which must be writable."""
        for plane, part in zip(frame.planes, self._parts, strict=True):
            height, width = part.keep.shape
            view = _view(plane, self._kind)
            view = view[part.top : part.top + height, part.left : part.left + width]
            kept = part.keep[: view.shape[0], : view.shape[1]]
            added = part.add[: view.shape[0], : view.shape[1]]
            view[:] = (view * kept + added).astype(self._kind)


def _padded(layer: Layer, x_step: int, y_step: int, frame: VideoFrame) -> npt.NDArray[np.float32]:
    """Return the pixels, beginning and ending where samples of colour do."""
    height, width = layer.pixels.shape[:2]
    left, top = layer.left % x_step, layer.top % y_step
    right, bottom = -(left + width) % x_step, -(top + height) % y_step
    return np.pad(layer.pixels, ((top, bottom), (left, right), (0, 0))).astype(np.float32)


def _converted(
    rgb: npt.NDArray[np.floating], frame: VideoFrame, deep: bool
) -> Iterator[npt.NDArray[np.floating]]:
    """Yield luma, blue and red difference as numbers of the picture's range and depth."""
    matrix = int(frame.colorspace)
    usual = _BT709 if frame.height >= _HD_LINES else _BT601
    red, blue = usual if matrix in _UNSAID else _SHARES.get(matrix, _BT601)
    scaled = rgb * _WHITE.get(int(frame.color_trc), 1.0)
    luma = red * scaled[..., 0] + (1 - red - blue) * scaled[..., 1] + blue * scaled[..., 2]
    bits = 10 if deep else 8
    full = frame.format.name.startswith("yuvj") or int(frame.color_range) == _FULL_RANGE
    unit = float(1 << (bits - 8))
    most = float((1 << bits) - 1)
    yield luma * most if full else (16 + 219 * luma) * unit
    for channel, share in ((2, blue), (0, red)):
        difference = (scaled[..., channel] - luma) / (2 * (1 - share))
        # In the full range, the strongest blue and red are half a step above the largest number.
        yield np.minimum(difference * (most if full else 224 * unit) + 128 * unit, most)


def _shrunk(values: npt.NDArray[np.floating], x_step: int, y_step: int) -> Weights:
    height, width = values.shape
    blocks = values.reshape(height // y_step, y_step, width // x_step, x_step)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def _view(plane: VideoPlane, kind: type[np.unsignedinteger]) -> npt.NDArray[np.unsignedinteger]:
    rows = np.frombuffer(memoryview(plane), kind)
    return rows.reshape(plane.height, plane.line_size // rows.itemsize)[:, : plane.width]
