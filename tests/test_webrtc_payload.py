"""RTP payloads, checked against the WebRTC library's own reader."""

import dataclasses

import pytest
from aiortc.codecs.h264 import h264_depayload
from aiortc.codecs.vpx import vp8_depayload
from hypothesis import given
from hypothesis import strategies as st

from engine.avatar.encode import split_nal_units
from tests.fakes import bare_pack, grey_pack
from transport.webrtc.payload import MAX_PAYLOAD, PayloadCache, h264_payloads, vp8_payloads

START = b"\0\0\0\1"


def nal_units() -> st.SearchStrategy[list[bytes]]:
    """NAL units without start codes inside, as emulation prevention guarantees."""
    sizes = st.one_of(st.integers(1, 30), st.integers(1100, 1200), st.integers(2000, 9000))
    return st.lists(
        st.builds(
            lambda kind, size, fill: bytes([kind]) + bytes([fill]) * size,
            st.sampled_from([0x67, 0x68, 0x65, 0x41, 0x01]),
            sizes,
            st.integers(1, 255),
        ),
        min_size=1,
        max_size=14,
    )


@given(nal_units())
def test_h264_comes_out_as_it_went_in(units: list[bytes]) -> None:
    access_unit = b"".join(START + unit for unit in units)
    payloads = h264_payloads(access_unit)
    assert all(len(payload) <= MAX_PAYLOAD for payload in payloads)
    assert b"".join(h264_depayload(payload) for payload in payloads) == access_unit


@given(st.binary(min_size=1, max_size=9000))
def test_vp8_comes_out_as_it_went_in(picture: bytes) -> None:
    payloads = vp8_payloads(picture)
    assert all(len(payload) <= MAX_PAYLOAD for payload in payloads)
    assert b"".join(vp8_depayload(payload) for payload in payloads) == picture
    assert [payload[0] for payload in payloads] == [0x10] + [0] * (len(payloads) - 1)


def test_fragments_are_of_nearly_equal_length() -> None:
    payloads = h264_payloads(START + b"\x65" + b"\1" * 3000)
    assert max(map(len, payloads)) - min(map(len, payloads)) <= 1


def test_parameter_sets_travel_together() -> None:
    sets_and_slice = b"".join(START + bytes([kind]) + b"\1" * 20 for kind in (0x67, 0x68, 0x65))
    (payload,) = h264_payloads(sets_and_slice)
    assert payload[0] & 0x1F == 24


def test_both_kinds_of_start_codes_are_understood() -> None:
    assert list(split_nal_units(b"\0\0\1\x65ab\0\0\0\1\x41cd\0\0\1\x41e")) == [
        b"\x65ab",
        b"\x41cd",
        b"\x41e",
    ]


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_every_picture_of_a_pack_has_payloads(codec: str) -> None:
    pack = grey_pack({"idle": 90}, seconds=0.4)
    payloads = PayloadCache().get(pack, codec)
    assert len(payloads) == 10
    assert all(payloads)


def test_the_cache_keeps_the_packs_used_last() -> None:
    cache = PayloadCache(capacity=1)
    pack = bare_pack({"idle": [4]})
    first = cache.get(pack, "H264")
    assert cache.get(pack, "H264") is first
    for key in ("1", "2"):
        other = dataclasses.replace(pack, key=key)
        payloads = cache.get(other, "H264")
        assert cache.get(other, "H264") is payloads
    assert cache.get(pack, "H264") == first
    assert cache.get(pack, "H264") is not first
