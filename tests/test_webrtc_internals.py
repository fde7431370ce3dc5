"""A contract with the private parts of aiortc and aioice: fails when a new release changes them."""

import inspect

import pytest
from aioice import Connection
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpsender import RTCRtpSender
from aiortc.rtcrtptransceiver import RTCRtpTransceiver

from transport.webrtc import internals
from transport.webrtc.media_clock import MediaClock
from transport.webrtc.played import PlayedSender

CLOCK = MediaClock(lambda: 0.0)


@pytest.fixture
def sender() -> PlayedSender:
    return PlayedSender(lambda _: (), lambda *_: pytest.fail("not connected"), CLOCK, print)


async def test_a_transceiver_uses_the_sender_that_replaced_its_own(sender: PlayedSender) -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = peer.addTransceiver("video", direction="sendonly")
    original = transceiver.sender
    internals.replace_sender(transceiver, sender)
    assert transceiver.sender is sender
    assert sender._ssrc == original._ssrc
    offer = await peer.createOffer()
    assert f"a=ssrc:{sender._ssrc} " in offer.sdp
    assert f"{sender._stream_id} {sender._track_id}" in offer.sdp
    assert sender.transport is transceiver.receiver.transport
    await peer.close()


def test_the_sender_has_everything_that_aiortc_calls_on_its_own() -> None:
    """The names of RTCRtpSender that other modules of aiortc use."""
    used = {"_handle_rtcp_packet", "_enabled", "_ssrc", "_rtx_ssrc", "_stream_id", "_track_id"}
    used |= {"send", "stop", "setTransport", "transport", "track", "kind", "getStats"}
    for module in (RTCPeerConnection, RTCRtpTransceiver, RTCDtlsTransport):
        source = inspect.getsource(inspect.getmodule(module) or module)
        for line in source.splitlines():
            for part in line.split("sender.")[1:]:
                name = ""
                for letter in part:
                    if not (letter.isalnum() or letter == "_"):
                        break
                    name += letter
                if name and hasattr(RTCRtpSender, name):
                    used.add(name)
    ours = PlayedSender(lambda _: (), lambda *_: pytest.fail("unused"), CLOCK, print)
    optional = {"replaceTrack"}  # only called by addTrack, which the project never uses
    missing = [name for name in used - optional if not hasattr(type(ours), name)]
    assert [name for name in missing if name not in vars(ours)] == []


def test_the_path_of_packets_exists() -> None:
    """What ``media_path`` and ``use_ports`` reach for is where it was."""
    dtls = inspect.getsource(RTCDtlsTransport)
    assert "self._tx_srtp.protect(data)" in dtls
    assert "self._tx_srtp.protect_rtcp(data)" in dtls
    ice = inspect.getsource(Connection)
    assert "active_pair.protocol.send_data(data, active_pair.remote_addr)" in ice
    assert "self._nominated.get(component)" in ice
    parameters = list(inspect.signature(Connection.get_component_candidates).parameters)
    assert parameters == ["self", "component", "addresses", "timeout"]


async def test_ports_are_taken_from_the_range(sender: PlayedSender) -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    internals.replace_sender(peer.addTransceiver("video", direction="sendonly"), sender)
    internals.use_ports(peer, range(42100, 42110))
    await peer.setLocalDescription(await peer.createOffer())
    candidates = [
        line.split()[5]
        for line in peer.localDescription.sdp.splitlines()
        if line.startswith("a=candidate")
    ]
    assert candidates
    assert {int(port) for port in candidates} <= set(range(42100, 42110))
    await peer.close()


async def test_a_full_range_gives_no_candidates_and_no_exception(sender: PlayedSender) -> None:
    peers = [RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2)]
    for peer in peers:
        peer.addTransceiver("video", direction="sendonly")
        internals.use_ports(peer, range(42110, 42111))
        await peer.setLocalDescription(await peer.createOffer())
    first, second = (peer.localDescription.sdp.count("a=candidate") for peer in peers)
    assert first > 0
    assert second == 0
    for peer in peers:
        await peer.close()
