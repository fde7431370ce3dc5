"""Reading the picture of a face that a user hands in."""

import struct
from pathlib import Path

import numpy as np

from engine.errors import InvalidInput
from engine.pipeline.frame import Image

MOST_PIXELS = 64_000_000
MOST_BYTES = 64 << 20

_JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


class PictureError(InvalidInput):
    """A picture cannot be read, or is too large."""


def load_face_picture(source: bytes | Path, most_pixels: int = MOST_PIXELS) -> Image:
    """A picture as the rest of the program wants it: ``uint8[h, w, 3]``, BGR, upright.

    Grey becomes three equal channels, 16 bit become 8, alpha is dropped, the EXIF orientation is
    applied. The size is read from the header before anything is decoded, so that a small file
    cannot fill the memory.

    Args:
        source: A PNG, JPEG, WebP or BMP, or the path of one.
        most_pixels: Width times height that is still read.

    Raises:
        PictureError: It is none of these, damaged, or too large.
    """
    import cv2

    name = "The picture" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else _read(source)
    try:
        size = picture_size(data)
    except (struct.error, IndexError):
        size = None
    if size is None:
        raise PictureError(f"{name} is no PNG, JPEG, WebP or BMP.", "Convert it to PNG or JPEG.")
    if size[0] * size[1] > most_pixels:
        raise PictureError(
            f"{name} has {size[0]}x{size[1]} pixels.",
            f"Make it smaller than {most_pixels // 1_000_000} million pixels.",
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise PictureError(f"{name} is damaged.", "Save it again as PNG or JPEG.")
    return np.ascontiguousarray(image, np.uint8)


def picture_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) as the file's header says, before any rotation; None for other formats.

    Raises:
        struct.error, IndexError: The header is cut short.
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _pair(struct.unpack_from(">II", data, 16))
    if data[:2] == b"BM":
        width, height = struct.unpack_from("<ii", data, 18)
        return abs(width), abs(height)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_size(data)
    if data[:2] == b"\xff\xd8":
        return _jpeg_size(data)
    return None


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PictureError(
                f"{path} is larger than {MOST_BYTES >> 20} MiB.", "Save it smaller, e.g. as JPEG."
            )
        return path.read_bytes()
    except OSError as error:
        raise PictureError(
            f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at < len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE_MARKERS:
            at += 2
        elif marker in _JPEG_SIZE_MARKERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        low = struct.unpack_from("<HBHB", data, 24)
        return 1 + low[0] + (low[1] << 16), 1 + low[2] + (low[3] << 16)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    return values[0], values[1]
