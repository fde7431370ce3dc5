"""Reading pictures of faces."""

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from processors.faces.picture import PictureError, load_face_picture, picture_size

LEFT, RIGHT = (0, 0, 255), (255, 0, 0)


def halves(height: int = 40, width: int = 80) -> npt.NDArray[np.uint8]:
    image = np.empty((height, width, 3), np.uint8)
    image[:, : width // 2], image[:, width // 2 :] = LEFT, RIGHT
    return image


def encoded(
    image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], kind: str, options: Sequence[int] = ()
) -> bytes:
    done, data = cv2.imencode(kind, image, list(options))
    assert done
    return bytes(data.tobytes())


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF segment that says nothing but how it is turned."""
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize(
    ("orientation", "shape", "red_at"),
    [(1, (40, 80), (20, 10)), (3, (40, 80), (20, 70)), (6, (80, 40), (10, 20)),
     (8, (80, 40), (70, 20)), (2, (40, 80), (20, 70))],
)  # fmt: skip
def test_the_exif_orientation_is_applied(
    orientation: int, shape: tuple[int, int], red_at: tuple[int, int]
) -> None:
    data = with_orientation(encoded(halves(), ".jpg"), orientation)
    assert picture_size(data) == (80, 40)
    image = load_face_picture(data)
    assert image.shape == (*shape, 3)
    assert np.abs(image[red_at].astype(int) - LEFT).max() < 12


@pytest.mark.parametrize("kind", [".png", ".jpg", ".webp", ".bmp"])
@pytest.mark.parametrize("size", [(80, 40), (7, 301), (1, 1)])
def test_sizes_are_read_from_headers(kind: str, size: tuple[int, int]) -> None:
    data = encoded(halves(size[1], size[0]), kind)
    assert picture_size(data) == size
    assert load_face_picture(data).shape == (size[1], size[0], 3)


def test_every_kind_of_webp() -> None:
    lossy = encoded(halves(), ".webp", (cv2.IMWRITE_WEBP_QUALITY, 50))
    lossless = encoded(halves(), ".webp", (cv2.IMWRITE_WEBP_QUALITY, 101))
    extended = b"RIFF\0\0\0\0WEBPVP8X" + struct.pack("<II", 10, 0) + b"\x4f\0\0\x27\0\0"
    assert (lossy[12:16], lossless[12:16]) == (b"VP8 ", b"VP8L")
    assert [picture_size(data) for data in (lossy, lossless, extended)] == [(80, 40)] * 3


def test_grey_alpha_and_16_bit_become_three_times_8_bit() -> None:
    grey = load_face_picture(encoded(np.full((10, 12), 90, np.uint8), ".png"))
    assert grey.shape == (10, 12, 3)
    assert (grey == 90).all()
    see_through = np.full((10, 12, 4), (10, 20, 30, 128), np.uint8)
    assert (load_face_picture(encoded(see_through, ".png")) == (10, 20, 30)).all()
    deep = np.full((10, 12, 3), 32768, np.uint16)
    image = load_face_picture(encoded(deep, ".png"))
    assert image.dtype == np.uint8
    assert (image == 128).all()
    deep_grey = load_face_picture(encoded(np.full((10, 12), 32768, np.uint16), ".png"))
    assert deep_grey.shape == (10, 12, 3)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    header = struct.pack(">II", 50_000, 50_000) + b"\x08\x02\0\0\0"
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    with pytest.raises(PictureError, match="50000x50000"):
        load_face_picture(bomb)
    with pytest.raises(PictureError, match="80x40"):
        load_face_picture(encoded(halves(), ".png"), most_pixels=3000)


@pytest.mark.parametrize("kind", [".png", ".jpg", ".webp", ".bmp"])
def test_damaged_pictures_are_errors(kind: str) -> None:
    whole = encoded(np.random.default_rng(1).integers(0, 255, (64, 64, 3)).astype(np.uint8), kind)
    for length in (0, 1, 4, 11, 13, 20, 27):
        with pytest.raises(PictureError):
            load_face_picture(whole[:length])


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff\xd9", b"hello" * 20])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(PictureError, match="no PNG, JPEG"):
        load_face_picture(data)


def test_files_are_read_and_missing_ones_named(tmp_path: Path, media: Path) -> None:
    assert load_face_picture(media / "faces" / "mona_lisa.jpg").shape == (1280, 720, 3)
    with pytest.raises(PictureError, match=r"nothing\.png cannot be read"):
        load_face_picture(tmp_path / "nothing.png")
