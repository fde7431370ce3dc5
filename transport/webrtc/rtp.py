"""RTP of one stream of media: packets, retransmission, reports; no coroutine per packet."""

import asyncio
import logging
import random
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor

from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpSendParameters
from aiortc.rtp import (
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    AnyRtcpPacket,
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
)
from aiortc.stats import RTCStatsReport

from engine.stats import Lateness
from transport.webrtc import internals
from transport.webrtc.media_clock import MediaClock

_log = logging.getLogger(__name__)

VIDEO_CLOCK_RATE = 90_000
"""Ticks per second of RTP timestamps for video (RFC 3551)."""

_HEADER = struct.Struct(">BBHLL")
_SEQUENCE = struct.Struct(">H")
_VERSION = 0x80
_EXTENSION = 0x10
_MARKER = 0x80
_ONE_BYTE_EXTENSIONS = 0xBEDE
_MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"

HISTORY = 1024
"""Packets kept for retransmission: over two seconds at 4 Mbit/s."""

REPORT_INTERVAL = 1.0


@dataclass(slots=True)
class SenderStatistics:
    """What one sender did and what its viewer reports. Times are in seconds."""

    pictures: int = 0
    packets: int = 0
    bytes: int = 0
    retransmitted: int = 0
    keyframe_requests: int = 0
    round_trip: float | None = None
    fraction_lost: float = 0.0
    packets_lost: int = 0
    jitter: float = 0.0
    lateness: Lateness = field(default_factory=Lateness)

    def add(self, other: "SenderStatistics") -> None:
        """Add another sender's totals."""
        self.pictures += other.pictures
        self.packets += other.packets
        self.bytes += other.bytes
        self.retransmitted += other.retransmitted
        self.keyframe_requests += other.keyframe_requests
        self.lateness.merge(other.lateness)


class RtpSender(ABC):
    """Takes the place of aiortc's sender; a subclass decides what is sent and when.

    Args:
        clock: The stream's time line, which all its senders share.
    """

    kind = "video"
    clock_rate = VIDEO_CLOCK_RATE
    track = None

    def __init__(self, clock: MediaClock) -> None:
        self._clock = clock
        self._transport: RTCDtlsTransport | None = None
        self._ssrc = self._rtx_ssrc = 0
        self._stream_id = self._track_id = ""
        self._enabled = True
        self._sequence = random.randrange(1 << 15)
        self._rtx_sequence = random.randrange(1 << 15)
        self._timestamp_origin = random.getrandbits(32)
        self._history: list[tuple[int, int, int, bytes] | None] = [None] * HISTORY
        self._extension = b""
        self._sending = False
        self._report_timer: asyncio.TimerHandle | None = None
        self._received = 0
        self._octets = 0
        self._report_ntp = 0
        self._report_time = 0.0
        self.codec: str | None = None
        self.last_heard: float | None = None
        self.statistics = SenderStatistics()

    # What a subclass decides.

    @abstractmethod
    def _begin(self, now: float) -> None:
        """Sending may start."""

    @abstractmethod
    def _end(self) -> None:
        """Sending must end; may be called more than once."""

    def _media_time(self, now: float) -> int:
        """Return the media clock at a moment, in ticks since the start."""
        return floor(self._clock.elapsed(now) * self.clock_rate)

    @abstractmethod
    def _keyframe_wanted(self) -> None:
        """The viewer cannot decode until it gets a keyframe."""

    def _report_interval(self) -> float:
        """Return the seconds to the next report, on average."""
        return REPORT_INTERVAL

    # What aiortc calls.

    @property
    def started(self) -> bool:
        """Whether the connection is up, or was."""
        return self.codec is not None

    @property
    def transport(self) -> RTCDtlsTransport:
        """The DTLS transport that packets leave by."""
        assert self._transport is not None
        return self._transport

    def setTransport(self, transport: RTCDtlsTransport) -> None:  # noqa: N802 - aiortc's name
        """Use another transport; called before sending starts."""
        self._transport = transport

    async def send(self, parameters: RTCRtpSendParameters) -> None:
        """Start; called once the connection is up, and again after renegotiation."""
        if self.started:
            return
        codec = parameters.codecs[0]
        internals.register_sender(self, parameters)
        self._send_rtp, self._send_rtcp = internals.media_path(self.transport)
        self._configure(parameters, codec)
        now = self._clock.now()
        self.last_heard = now
        self._sending = True
        self._report()
        if self._sending:
            self._begin(now)

    async def stop(self) -> None:
        """Stop for good and say so to the viewer."""
        if self._halt():
            internals.unregister_sender(self)
            try:
                self._send_rtcp(self._sender_report() + bytes(RtcpByePacket([self._ssrc])))
            except ConnectionError:
                _log.debug("no way to say goodbye: the connection is gone")

    def listen(self, now: float) -> None:
        """Note whether anything has come from the viewer since the last call.

        Receivers leave out their reports while nothing is sent, so reports alone do not tell.
        """
        if self._transport is None or not self.started:
            return
        received = internals.packets_received(self._transport)
        if received != self._received:
            self._received = received
            self.last_heard = now

    async def getStats(self) -> RTCStatsReport:  # noqa: N802 - aiortc's name
        """Return an empty report: ``statistics`` has the figures."""
        return RTCStatsReport()

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        now = self._clock.now()
        self.last_heard = now
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            self._read_reports(packet, now)
        elif isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
            for sequence in packet.lost:
                self._retransmit(sequence)
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt in (RTCP_PSFB_PLI, RTCP_PSFB_FIR):
            self.statistics.keyframe_requests += 1
            self._keyframe_wanted()

    # Sending.

    def _configure(self, parameters: RTCRtpSendParameters, codec: RTCRtpCodecParameters) -> None:
        self.codec = codec.name
        self._payload_type = codec.payloadType
        self._cname = parameters.rtcp.cname
        self._rtx_payload_type = next(
            (
                other.payloadType
                for other in parameters.codecs
                if other.name.lower() == "rtx" and other.parameters.get("apt") == codec.payloadType
            ),
            None,
        )
        mid_id = next((e.id for e in parameters.headerExtensions if e.uri == _MID_URI), None)
        mid = (parameters.muxId or "").encode()
        # What a one-byte extension can carry (RFC 8285, 4.2).
        if mid_id is not None and 1 <= mid_id <= 14 and 1 <= len(mid) <= 16:
            element = bytes([(mid_id << 4) | (len(mid) - 1)]) + mid
            element += bytes(-len(element) % 4)
            self._extension = struct.pack(">HH", _ONE_BYTE_EXTENSIONS, len(element) // 4) + element

    def _send_payloads(
        self, payloads: Sequence[bytes], media_time: int, marker: bool = True
    ) -> int:
        """Send one picture or packet of sound and return its RTP timestamp.

        Args:
            payloads: Of its RTP packets.
            media_time: On the media clock.
            marker: Whether the last one is marked: it ends a picture, or silence was before it.

        Raises:
            ConnectionError: The connection is gone.
        """
        timestamp = self._timestamp(media_time)
        last = len(payloads) - 1
        first_byte = _VERSION | (_EXTENSION if self._extension else 0)
        sequence, sent = self._sequence, 0
        for number, payload in enumerate(payloads):
            marker_and_type = self._payload_type | (_MARKER if marker and number == last else 0)
            self._history[sequence % HISTORY] = (sequence, marker_and_type, timestamp, payload)
            header = _HEADER.pack(first_byte, marker_and_type, sequence, timestamp, self._ssrc)
            sent += self._send_rtp(header + self._extension + payload)
            self._octets += len(payload)
            sequence = (sequence + 1) & 0xFFFF
        self._sequence = sequence
        statistics = self.statistics
        statistics.pictures += 1
        statistics.packets += len(payloads)
        statistics.bytes += sent
        return timestamp

    def _timestamp(self, media_time: int) -> int:
        return (self._timestamp_origin + media_time) & 0xFFFFFFFF

    def _retransmit(self, sequence: int) -> None:
        """Answer a NACK: RFC 4588 where it was negotiated, else the packet again."""
        kept = self._history[sequence % HISTORY]
        if kept is None or kept[0] != sequence:
            return
        _, marker_and_type, timestamp, payload = kept
        ssrc = self._ssrc
        if self._rtx_payload_type is not None:
            marker_and_type = (marker_and_type & _MARKER) | self._rtx_payload_type
            payload = _SEQUENCE.pack(sequence) + payload
            sequence, ssrc = self._rtx_sequence, self._rtx_ssrc
            self._rtx_sequence = (self._rtx_sequence + 1) & 0xFFFF
        first_byte = _VERSION | (_EXTENSION if self._extension else 0)
        header = _HEADER.pack(first_byte, marker_and_type, sequence, timestamp, ssrc)
        try:
            self._send_rtp(header + self._extension + payload)
        except ConnectionError:
            return
        self.statistics.retransmitted += 1

    # Reports.

    def _report(self) -> None:
        try:
            self._send_rtcp(self._sender_report())
        except ConnectionError:
            self._halt()
            return
        delay = self._report_interval() * (0.75 + 0.5 * random.random())
        self._report_timer = asyncio.get_running_loop().call_later(delay, self._report)

    def _sender_report(self) -> bytes:
        """Return a report: the media clock now, whatever was sent last (RFC 3550, 6.4.1)."""
        now = self._clock.now()
        ntp = self._clock.ntp(now)
        report = RtcpSrPacket(
            ssrc=self._ssrc,
            sender_info=RtcpSenderInfo(
                ntp_timestamp=ntp,
                rtp_timestamp=self._timestamp(self._media_time(now)),
                packet_count=self.statistics.packets & 0xFFFFFFFF,
                octet_count=self._octets & 0xFFFFFFFF,
            ),
        )
        name = RtcpSourceInfo(ssrc=self._ssrc, items=[(1, (self._cname or "").encode())])
        self._report_ntp, self._report_time = (ntp >> 16) & 0xFFFFFFFF, now
        return bytes(report) + bytes(RtcpSdesPacket(chunks=[name]))

    def _read_reports(self, packet: RtcpRrPacket | RtcpSrPacket, now: float) -> None:
        statistics = self.statistics
        for report in packet.reports:
            if report.ssrc != self._ssrc:
                continue
            statistics.fraction_lost = report.fraction_lost / 256
            statistics.packets_lost = report.packets_lost
            statistics.jitter = report.jitter / self.clock_rate
            if report.lsr == self._report_ntp and report.dlsr:
                statistics.round_trip = max(0.0, now - self._report_time - report.dlsr / 65536)

    def _halt(self) -> bool:
        """End sending and reporting; tell whether they were going on."""
        was_sending, self._sending = self._sending, False
        if self._report_timer is not None:
            self._report_timer.cancel()
        self._report_timer = None
        if was_sending:
            self._end()
        return was_sending
