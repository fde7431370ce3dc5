"""Reading, writing and resizing pictures; the part of a picture that is painted anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.errors import InvalidInput
from processors.faces.picture import load_face_picture
from processors.generate.diffusion.decoding import Picture
from processors.generate.inputs import MAX_PIXELS
from processors.generate.resizing import resized

Mask = npt.NDArray[np.uint8]
"""``uint8[height, width]``: 255 where it is painted, else 0."""

Size = tuple[int, int]
"""Width and height in pixels."""

_WHITE = 128
_LONGEST = 2048
_LEAST = 32


class EmptyMask(InvalidInput):
    """A mask names nothing to be painted."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a picture, in pixels: columns ``left`` to ``right``, rows ``top`` to ``bottom``,
    the last ones not included.
    """

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        """For arrays ``[height, width, ...]``."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, slots=True)
class Canvas:
    """What a model paints on: a region at another size, continued at the right and bottom edge.

    Attributes:
        width: A multiple of 8.
        height: A multiple of 8.
        inner: Width and height of the region on it.
    """

    width: int
    height: int
    inner: tuple[int, int]

    def put(self, pixels: Picture) -> Picture:
        """Return a region on this canvas."""
        return np.pad(resized(pixels, self.inner), (*self._rest, (0, 0)), mode="edge")

    def put_mask(self, mask: Mask) -> Mask:
        """Return a region's mask on this canvas; nothing outside of the region is painted."""
        return np.pad(_resized_mask(mask, self.inner), self._rest)

    def take(self, pixels: Picture, region: Region) -> Picture:
        """Return what was painted, in the region's size."""
        width, height = self.inner
        return resized(pixels[:height, :width], (region.width, region.height))

    @property
    def _rest(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return (0, self.height - self.inner[1]), (0, self.width - self.inner[0])


def read_picture(path: Path) -> Picture:
    """Read a picture, upright; transparency is dropped.

    Raises:
        PictureError: It is none, damaged, or too large.
    """
    return np.ascontiguousarray(load_face_picture(path, MAX_PIXELS)[..., ::-1])


def read_mask(path: Path, size: tuple[int, int], grow: int) -> Mask:
    """Read a mask: white is painted.

    Args:
        path: A picture of any size.
        size: Width and height that it is brought to.
        grow: Pixels by which the white grows on each side.

    Raises:
        EmptyMask: Nothing in it is white.
        PictureError: It is no picture, damaged, or too large.
    """
    import cv2

    grey = cv2.cvtColor(load_face_picture(path, MAX_PIXELS), cv2.COLOR_BGR2GRAY)
    mask = _resized_mask(np.where(grey >= _WHITE, 255, 0).astype(np.uint8), size)
    if not mask.any():
        raise EmptyMask(
            f"Nothing in the mask '{path.name}' is white.", "Paint white what shall be painted."
        )
    if grow:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
        mask = np.asarray(cv2.dilate(mask, disc), np.uint8)
    return mask


def region_around(mask: Mask, margin: float, least: int) -> Region:
    """Return the part of a picture that a model has to see.

    Args:
        mask: Of the whole picture.
        margin: What is seen around the white, in shares of its longer side.
        least: Width and height that it has at least, where the picture has as much.
    """
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    around = round(max(np.ptp(rows), np.ptp(columns)) * margin)
    left, right = _stretch(int(columns[0]), int(columns[-1]) + 1, around, least, width)
    top, bottom = _stretch(int(rows[0]), int(rows[-1]) + 1, around, least, height)
    return Region(left, top, right, bottom)


def canvas_for(region: Region, pixels: int) -> Canvas:
    """Return a canvas of a region's shape with about so many pixels, each side at most 2048."""
    scale = (pixels / (region.width * region.height)) ** 0.5
    scale = min(scale, _LONGEST / max(region.width, region.height))
    inner = (max(1, round(region.width * scale)), max(1, round(region.height * scale)))
    return Canvas(max(_LEAST, _up(inner[0])), max(_LEAST, _up(inner[1])), inner)


def canvas_within(region: Region, size: tuple[int, int]) -> Canvas:
    """Return a canvas of a given size that a region fits into."""
    scale = min(size[0] / region.width, size[1] / region.height)
    inner = (max(1, int(region.width * scale)), max(1, int(region.height * scale)))
    return Canvas(*size, inner)


def paste(picture: Picture, painted: Picture, mask: Mask, region: Region, feather: int) -> Picture:
    """Return a picture with a painted region; where the mask is black, not a bit changes.

    Args:
        picture: The whole one.
        painted: Of the region's size.
        mask: Of the whole picture.
        region: Where it belongs.
        feather: Pixels inside the white over which the old goes over into the new.
    """
    import cv2

    part = mask[region.slices]
    # Outside of the picture there is nothing to fade into, so its edge is no edge of the mask.
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)[region.slices]
    share = np.where(part > 0, np.clip(distance / (feather + 1), 0, 1), 0)[..., None]
    made = picture.copy()
    old = picture[region.slices].astype(np.float32)
    mixed = np.rint(old + (painted.astype(np.float32) - old) * share)
    made[region.slices] = np.where(part[..., None] > 0, mixed, old).astype(np.uint8)
    return made


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a PNG file: of RGB, or of RGB with transparency where there are four channels."""
    import cv2

    how = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    return bytes(cv2.imencode(".png", cv2.cvtColor(pixels, how))[1])


def write_pictures(pictures: Sequence[Picture], folder: Path) -> tuple[Path, ...]:
    """Write ``picture.png``, or ``picture-1.png`` and so on; return the files."""
    files = []
    for number, picture in enumerate(pictures, 1):
        path = folder / ("picture.png" if len(pictures) == 1 else f"picture-{number}.png")
        path.write_bytes(png(picture))
        files.append(path)
    return tuple(files)


def within(size: Size, side: int) -> Size:
    """Return a size of the same shape with at most ``side**2`` pixels."""
    scale = (side * side / (size[0] * size[1])) ** 0.5
    return size if scale >= 1 else scaled(size, scale)


def scaled(size: Size, scale: float) -> Size:
    """Return a size that is so many times as large, in multiples of 8."""
    width, height = (max(_LEAST, round(side * scale / 8) * 8) for side in size)
    return width, height


def named(size: Size) -> str:
    """Return a size for people, e.g. ``1024x768``."""
    return f"{size[0]}x{size[1]}"


def read_answer(data: bytes) -> Picture:
    """Read a picture that a server sent.

    Raises:
        PictureError: It is none.
    """
    return np.ascontiguousarray(load_face_picture(data)[..., ::-1])


def _resized_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    import cv2

    height, width = mask.shape
    if (width, height) == size:
        return mask
    # Thin lines must not vanish: whatever has some white in it is white.
    smooth = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    return np.where(smooth > 0, 255, 0).astype(np.uint8)


def _stretch(first: int, last: int, around: int, least: int, size: int) -> tuple[int, int]:
    """Grow an interval on both sides, and to a least length, within 0 to ``size``."""
    first, last = first - around, last + around
    short = max(0, least - (last - first))
    first, last = first - short // 2, last + (short - short // 2)
    # What is cut off at one end is given at the other.
    if first < 0:
        first, last = 0, last - first
    if last > size:
        first, last = first - (last - size), size
    return max(0, first), min(size, last)


def _up(value: int) -> int:
    return -(-value // 8) * 8
