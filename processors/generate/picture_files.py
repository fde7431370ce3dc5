"""Reading and writing pictures with all that belongs to them: transparency and colour profile."""

import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import InvalidInput, MissingDependency
from processors.generate.whole_file import whole_file

Bytes = npt.NDArray[np.uint8]

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_COMPRESSION = 4
"""Of zlib: the files are a few percent larger than at its usual 6, and written in half the time."""


class BadPicture(InvalidInput):
    """A picture's file cannot be decoded."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, upright.

    Attributes:
        colour: ``uint8[h, w, 3]``, BGR.
        alpha: ``uint8[h, w]``, 255 is opaque, colours not multiplied by it; None: all is opaque.
        profile: ICC profile of the colours; None: sRGB is meant.
    """

    colour: Bytes
    alpha: Bytes | None = None
    profile: bytes | None = None


def read_picture(path: Path) -> Picture:
    """Read a PNG, JPEG, WebP or BMP; 16 bit become 8, grey and CMYK become BGR.

    Its size has been checked before, see ``inputs.check_file``.

    Raises:
        BadPicture: It is damaged.
        MissingDependency: Pillow is not installed.
    """
    image_module, ops = _pillow()
    try:
        with warnings.catch_warnings():
            # Sizes are limited elsewhere, and by less.
            warnings.simplefilter("ignore", image_module.DecompressionBombWarning)
            with image_module.open(path, formats=_FORMATS) as file:
                profile = file.info.get("icc_profile")
                colours = file.mode not in ("CMYK", "L", "LA", "I", "I;16", "1")
                image = _eight_bit(ops.exif_transpose(file), image_module)
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise BadPicture(
            f"The picture '{path.name}' is damaged: {error}.", "Save it again as PNG or JPEG."
        ) from error
    pixels = np.asarray(image, np.uint8)
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    colour = np.ascontiguousarray(pixels[..., 2::-1])
    # A profile of grey or CMYK says nothing about what they were converted to.
    return Picture(colour, alpha, profile if colours else None)


def write_png(path: Path, picture: Picture) -> None:
    """Write a picture; the same one always gives the same bytes.

    Raises:
        OSError: It cannot be written, e.g. as the disk is full.
        MissingDependency: Pillow is not installed.
    """
    image_module, _ = _pillow()
    pixels = picture.colour[..., ::-1]
    if picture.alpha is not None:
        pixels = np.dstack((pixels, picture.alpha))
    _save(path, image_module.fromarray(np.ascontiguousarray(pixels)), picture.profile)


def write_grey(path: Path, grey: Bytes) -> None:
    """Write ``uint8[h, w]`` as a PNG of one channel.

    Raises:
        OSError, MissingDependency: As for ``write_png``.
    """
    _save(path, _pillow()[0].fromarray(np.ascontiguousarray(grey)), None)


def _save(path: Path, image: Any, profile: bytes | None) -> None:
    with whole_file(path) as part:
        image.save(part, "PNG", compress_level=_COMPRESSION, icc_profile=profile)


def _eight_bit(image: Any, image_module: Any) -> Any:
    """Return it as RGB or RGBA."""
    if image.mode.startswith("I"):
        # Pillow would clip 16 bit at 255.
        return image_module.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    clear = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    return image.convert("RGBA" if clear else "RGB")


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingDependency(
            "Reading pictures needs Pillow, which is not installed.",
            "Run: pip install -r requirements-ai.txt.",
        ) from error
    return Image, ImageOps
