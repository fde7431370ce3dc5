"""RTP payloads of encoded pictures, made once per pack and shared by every viewer.

H.264: RFC 6184, packetization mode 1 (single NAL unit, STAP-A and FU-A). VP8: RFC 7741 with the
one-byte payload descriptor.
"""

import struct
from collections import OrderedDict
from collections.abc import Iterable

from engine.avatar.encode import split_nal_units
from engine.avatar.pack import Pack

MAX_PAYLOAD = 1160
"""Bytes of one payload: with RTP, SRTP, UDP and IPv6 headers it fits an MTU of 1280."""

_STAP_A = 24
_FU_A = 28
_LENGTH = struct.Struct(">H")

Payloads = tuple[tuple[bytes, ...], ...]
"""For each picture of a pack, the payloads of its RTP packets in order."""


def h264_payloads(access_unit: bytes) -> tuple[bytes, ...]:
    """Split one Annex B access unit into RTP payloads."""
    payloads: list[bytes] = []
    small: list[bytes] = []

    def flush() -> None:
        if len(small) == 1:
            payloads.append(small[0])
        elif small:
            header = max(nal[0] & 0x60 for nal in small) | _STAP_A
            body = b"".join(_LENGTH.pack(len(nal)) + nal for nal in small)
            payloads.append(bytes([header]) + body)
        small.clear()

    for nal in split_nal_units(access_unit):
        if len(nal) > MAX_PAYLOAD:
            flush()
            payloads.extend(_fragments(nal))
            continue
        if sum(len(n) + 2 for n in small) + len(nal) + 3 > MAX_PAYLOAD:
            flush()
        small.append(nal)
    flush()
    return tuple(payloads)


def _fragments(nal: bytes) -> Iterable[bytes]:
    indicator = (nal[0] & 0xE0) | _FU_A
    kind = nal[0] & 0x1F
    parts = list(_even_parts(nal[1:], MAX_PAYLOAD - 2))
    for number, part in enumerate(parts):
        start = 0x80 if number == 0 else 0
        end = 0x40 if number == len(parts) - 1 else 0
        yield bytes([indicator, start | end | kind]) + part


def vp8_payloads(picture: bytes) -> tuple[bytes, ...]:
    """Split one VP8 picture into RTP payloads."""
    parts = _even_parts(picture, MAX_PAYLOAD - 1)
    return tuple(bytes([0x10 if number == 0 else 0x00]) + part for number, part in enumerate(parts))


def _even_parts(data: bytes, limit: int) -> Iterable[bytes]:
    """Cut into the fewest parts, of nearly equal length."""
    count = -(-len(data) // limit)
    length, longer = divmod(len(data), count)
    start = 0
    for number in range(count):
        end = start + length + (number < longer)
        yield data[start:end]
        start = end


PAYLOADS = {"H264": h264_payloads, "VP8": vp8_payloads}
"""By codec, what cuts one encoded picture into payloads."""


class PayloadCache:
    """Keeps the payloads of the packs used last.

    Args:
        capacity: How many (pack, codec) pairs to keep.
    """

    def __init__(self, capacity: int = 32) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[tuple[str, str], Payloads] = OrderedDict()

    def get(self, pack: Pack, codec: str) -> Payloads:
        """Return the payloads of all pictures of a pack in one of its codecs."""
        key = (pack.key, codec)
        if key not in self._kept:
            make = PAYLOADS[codec]
            self._kept[key] = tuple(make(unit) for unit in pack.codecs[codec].access_units)
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
