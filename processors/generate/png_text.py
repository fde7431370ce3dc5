"""Texts in PNG files (``iTXt``), read and written without touching the picture.

Portable Network Graphics, third edition: 5.3 (chunks), 11.3.3.4 (``iTXt``).
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from processors.generate.whole_file import whole_file

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COPIED = 1 << 20


def is_png(path: Path) -> bool:
    """Tell whether a file begins as a PNG does."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


def read_text(path: Path, keyword: str, longest: int) -> str | None:
    """Return a text of a PNG file; None: there is none with this keyword.

    Args:
        path: The file.
        keyword: Latin-1, 1 to 79 characters.
        longest: Bytes of text that are read.

    Raises:
        ValueError: The file ends early, or the text is longer or damaged.
    """
    with path.open("rb") as file:
        for kind, length in _chunks(file):
            if kind != b"iTXt" or length > longest + 200:
                file.seek(length + 4, 1)
                continue
            data = file.read(length)
            file.seek(4, 1)
            if data.startswith(keyword.encode("latin-1") + b"\0"):
                return _decoded(data, longest)
    return None


def write_text(path: Path, keyword: str, text: str) -> None:
    """Put a text into a PNG file, behind its header; an earlier one of this keyword goes.

    Raises:
        ValueError: The file ends early.
        OSError: It cannot be written.
    """
    start = keyword.encode("latin-1") + b"\0"
    # Not compressed, no language, no translation of the keyword.
    new = start + b"\0\0\0\0" + text.encode()
    with path.open("rb") as source, whole_file(path) as part, part.open("wb") as target:
        target.write(_SIGNATURE)
        for kind, length in _chunks(source):
            head = struct.pack(">I", length) + kind
            if kind == b"iTXt":
                data = source.read(length + 4)
                if not data.startswith(start):
                    target.write(head + data)
                continue
            target.write(head)
            _copy(source, target, length + 4)
            if kind == b"IHDR":
                target.write(_chunk(b"iTXt", new))


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length of each chunk; whoever takes one goes behind its checksum."""
    file.seek(len(_SIGNATURE))
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("it ends early")
        length, kind = struct.unpack(">I4s", head)
        yield kind, length
        if kind == b"IEND":
            return


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _copy(source: BinaryIO, target: BinaryIO, count: int) -> None:
    while count:
        block = source.read(min(count, _COPIED))
        if not block:
            raise ValueError("it ends early")
        target.write(block)
        count -= len(block)


def _decoded(data: bytes, longest: int) -> str:
    _, _, rest = data.partition(b"\0")
    compressed, rest = rest[:1], rest[2:]
    _, _, rest = rest.partition(b"\0")
    _, _, text = rest.partition(b"\0")
    if compressed == b"\1":
        inflating = zlib.decompressobj()
        text = inflating.decompress(text, longest + 1)
    if len(text) > longest:
        raise ValueError("its text is too long")
    return text.decode()
