"""XMP metadata in exported pictures and videos: what they are made of.

Where it goes: XMP Specification Part 3 (ISO 16684-1 names the properties): an APP1 segment in JPEG,
an ``iTXt`` chunk in PNG, a ``uuid`` box at the top level of MP4. The property is IPTC's
``DigitalSourceType`` (IPTC Photo Metadata Standard, IPTC Video Metadata Hub).
"""

import struct
import zlib
from pathlib import Path
from typing import Final
from xml.sax.saxutils import quoteattr

from engine.errors import InvalidInput

TOOL: Final = "avatar-server"
"""What exported files say made them."""

_JPEG_HEAD: Final = b"http://ns.adobe.com/xap/1.0/\0"
_PNG_KEYWORD: Final = b"XML:com.adobe.xmp"
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_MP4_UUID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_JPEG_LONGEST: Final = 65_533 - len(_JPEG_HEAD)


class CannotDeclare(InvalidInput):
    """A file has no place for metadata, or is no such file."""


def xmp_packet(source_type: str, tool: str) -> bytes:
    """An XMP packet.

    Args:
        source_type: The URI of an IPTC digital source type.
        tool: What made the file.
    """
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about=""'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        f" Iptc4xmpExt:DigitalSourceType={quoteattr(source_type)}"
        f" xmp:CreatorTool={quoteattr(tool)}/>"
        "</rdf:RDF></x:xmpmeta>"
        '<?xpacket end="r"?>'
    ).encode()


def with_xmp(picture: bytes, packet: bytes) -> bytes:
    """A JPEG or PNG with an XMP packet.

    Args:
        picture: A file without one, as encoders write it.
        packet: See ``xmp_packet``.

    Raises:
        CannotDeclare: It is neither.
    """
    if picture.startswith(_PNG_SIGNATURE):
        return _into_png(picture, packet)
    if picture.startswith(b"\xff\xd8") and len(packet) <= _JPEG_LONGEST:
        return _into_jpeg(picture, packet)
    raise CannotDeclare("Metadata can be written into JPEG and PNG pictures only.")


def append_to_mp4(path: Path, packet: bytes) -> None:
    """Write an XMP packet behind the last box of a finished MP4 file."""
    box = struct.pack(">I4s", 8 + len(_MP4_UUID) + len(packet), b"uuid") + _MP4_UUID + packet
    with path.open("ab") as file:
        file.write(box)


def _into_png(picture: bytes, packet: bytes) -> bytes:
    # Keyword, not compressed, no language, no translated keyword.
    body = b"iTXt" + _PNG_KEYWORD + b"\0\0\0\0\0" + packet
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    (length,) = struct.unpack_from(">I", picture, len(_PNG_SIGNATURE))
    end_of_header = len(_PNG_SIGNATURE) + 12 + length
    return picture[:end_of_header] + chunk + picture[end_of_header:]


def _into_jpeg(picture: bytes, packet: bytes) -> bytes:
    """Behind the JFIF segment, which must be the first."""
    at = 2
    if picture[at : at + 2] == b"\xff\xe0":
        at += 2 + struct.unpack_from(">H", picture, at + 2)[0]
    body = _JPEG_HEAD + packet
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    return picture[:at] + segment + picture[at:]
