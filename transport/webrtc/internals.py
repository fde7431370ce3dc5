"""The only module that touches private parts of aiortc and aioice.

``tests/test_webrtc_internals.py`` fails loudly when a new release changes one of them.
"""

import asyncio
import errno
import functools
import ipaddress
import random
from collections.abc import Callable
from typing import Any, Protocol

from aioice import Candidate, Connection
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, server_reflexive_candidate
from aiortc import RTCPeerConnection
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpSendParameters
from aiortc.rtcrtptransceiver import RTCRtpTransceiver
from aiortc.rtp import AnyRtcpPacket


class MediaSender(Protocol):
    """What aiortc calls on the sender of a transceiver."""

    kind: str
    track: None
    transport: RTCDtlsTransport
    _ssrc: int
    _rtx_ssrc: int
    _stream_id: str
    _track_id: str
    _enabled: bool

    def setTransport(self, transport: RTCDtlsTransport) -> None: ...  # noqa: N802
    async def send(self, parameters: RTCRtpSendParameters) -> None: ...
    async def stop(self) -> None: ...
    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None: ...


def replace_sender(transceiver: RTCRtpTransceiver, sender: MediaSender) -> None:
    """Let ``sender`` take the place, the SSRCs and the transport of a transceiver's sender."""
    original = transceiver.sender
    for name in ("_ssrc", "_rtx_ssrc", "_stream_id", "_track_id"):
        setattr(sender, name, getattr(original, name))
    sender.setTransport(original.transport)
    transceiver._RTCRtpTransceiver__sender = sender


def register_sender(sender: MediaSender, parameters: RTCRtpSendParameters) -> None:
    """Have RTCP packets about the sender's SSRC handed to it."""
    sender.transport._register_rtp_sender(sender, parameters)


def unregister_sender(sender: MediaSender) -> None:
    """Undo ``register_sender``."""
    sender.transport._unregister_rtp_sender(sender)


def media_path(
    transport: RTCDtlsTransport,
) -> tuple[Callable[[bytes], int], Callable[[bytes], int]]:
    """Return two functions that encrypt and send one RTP or one RTCP packet at once.

    Both return the bytes handed to the socket and raise ConnectionError when there is no
    nominated candidate pair. They skip three coroutines a packet of the usual way.
    """
    connection = transport.transport._connection
    session = transport._tx_srtp
    nominated = connection._nominated

    def through(protect: Callable[[bytes], bytes]) -> Callable[[bytes], int]:
        def send(packet: bytes) -> int:
            pair = nominated.get(1)
            if pair is None or pair.protocol.transport.is_closing():
                raise ConnectionError("The connection is gone.")
            data = protect(packet)
            pair.protocol.transport.sendto(data, pair.remote_addr)
            return len(data)

        return send

    return through(session.protect), through(session.protect_rtcp)


def packets_received(transport: RTCDtlsTransport) -> int:
    """Return how many packets have come over a transport, of whatever kind."""
    report = transport._get_stats()
    return sum(stats.packetsReceived for stats in report.values())


def use_ports(peer: RTCPeerConnection, ports: range) -> None:
    """Bind the UDP sockets of a peer connection within a range of ports.

    Call it when the transceivers are there and before candidates are gathered, which is when the
    local description is set.
    """
    for transport in peer._RTCPeerConnection__iceTransports:
        connection: Connection = transport._connection
        original = connection.get_component_candidates
        connection.get_component_candidates = functools.partial(
            _candidates_within, connection, original, ports
        )


async def _candidates_within(
    connection: Connection,
    original: Callable[..., Any],
    ports: range,
    component: int,
    addresses: list[str],
    timeout: int = 5,  # noqa: ASYNC109 - aioice passes it by this name
) -> list[Candidate]:
    candidates = []
    for address in addresses:
        protocol = await _bind_within(connection, address, ports)
        if protocol is None:
            continue
        host, port = protocol.transport.get_extra_info("sockname")[:2]
        protocol.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", host),
            component=component,
            transport="udp",
            priority=candidate_priority(component, "host"),
            host=host,
            port=port,
            type="host",
        )
        connection._protocols.append(protocol)
        candidates.append(protocol.local_candidate)
    if connection.stun_server is not None:
        candidates += await _reflexive(connection, candidates, timeout)
    return candidates + await original(component=component, addresses=[], timeout=timeout)


async def _reflexive(
    connection: Connection, hosts: list[Candidate], seconds: int
) -> list[Candidate]:
    """Ask the STUN server how our bound sockets look from outside."""
    protocols = [p for p in connection._protocols if p.local_candidate in hosts]
    asked = [
        asyncio.create_task(server_reflexive_candidate(protocol, connection.stun_server))
        for protocol in protocols
        if ipaddress.ip_address(protocol.local_candidate.host).version == 4
    ]
    if not asked:
        return []
    done, late = await asyncio.wait(asked, timeout=seconds)
    for task in late:
        task.cancel()
    return [task.result()[0] for task in done if task.exception() is None]


async def _bind_within(connection: Connection, address: str, ports: range) -> StunProtocol | None:
    loop = asyncio.get_running_loop()
    first = random.randrange(len(ports))
    for offset in range(len(ports)):
        port = ports[(first + offset) % len(ports)]
        try:
            _, protocol = await loop.create_datagram_endpoint(
                lambda: StunProtocol(connection), local_addr=(address, port)
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            return None  # not an address of this machine any more
        return protocol
    return None
