"""One viewer: a peer connection that sends a stream's media and has a channel for events."""

import asyncio
import json
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceCandidate,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError, OperationError
from aiortc.rtcconfiguration import RTCBundlePolicy
from aiortc.sdp import candidate_from_sdp

from engine.errors import Conflict, InvalidInput
from engine.settings import WebRtcSettings
from transport.webrtc import internals, sdp
from transport.webrtc.media import Media

_log = logging.getLogger(__name__)

Listener = Callable[[str, dict[str, Any]], None]
"""Hears a stream's events: subject and payload."""

# What the library's parser lets out when a session description is malformed.
_UNREADABLE = (
    ValueError,
    AssertionError,
    LookupError,
    AttributeError,
    TypeError,
    RuntimeError,
)

_UFRAG = re.compile(r"^a=ice-ufrag:(\S+)", re.MULTILINE)

EVENTS_LABEL = "events"
MAX_CHANNELS = 4
CLOSE_SECONDS = 3.0
FLUSH_SECONDS = 0.2
FLUSH_STEP = 0.01


class BadSdp(InvalidInput):
    """A session description cannot be read or does not belong to the offer."""

    http_status = 406


class NoSharedCodec(InvalidInput):
    """The viewer can decode none of the codecs that the avatar was compiled for."""

    http_status = 406


class BadCandidate(InvalidInput):
    """An ICE candidate cannot be read."""


class AlreadyAnswered(Conflict):
    """The offer has been answered before."""


class Peer:
    """Connects one viewer to one stream's media.

    Args:
        media: What is sent; closed with the peer.
        settings: The ``webrtc`` section.
    """

    def __init__(self, media: Media, settings: WebRtcSettings) -> None:
        self.media = media
        self._settings = settings
        self._channels: list[RTCDataChannel] = []
        self._early: list[RTCIceCandidate] | None = []
        self._answered = False
        self._candidates = 0
        self.remote_ufrags: frozenset[str] = frozenset()
        self._listeners: list[Listener] = []
        self.closed = False
        media.bind(self.notify)
        self._connection = connection(settings)
        self._connection.on("datachannel", self._add_channel)

    @property
    def connection_state(self) -> str:
        """``new``, ``connecting``, ``connected``, ``failed`` or ``closed``."""
        return str(self._connection.connectionState)

    async def offer(self) -> str:
        """Gather candidates and return the offer's SDP."""
        self._send_pictures()
        self._send_sound()
        self._add_channel(self._connection.createDataChannel(EVENTS_LABEL))
        self._limit_ports()
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return self._announced()

    async def answer(self, offer: str) -> str:
        """Take a viewer's offer and return the answer's SDP.

        Raises:
            BadSdp: The offer cannot be read, or has no video section that receives.
            NoSharedCodec: The viewer has none of the media's codecs.
        """
        if "m=video " not in offer:
            raise BadSdp("The offer has no video section.")
        pictures = self._send_pictures()
        sound = self._send_sound() if "m=audio " in offer else None
        self._limit_ports()
        await self._set_remote("offer", offer)
        self._answered, self._early = True, None
        await write_answer(self._connection, keep=(pictures, sound))
        if pictures.currentDirection != "sendonly":
            raise BadSdp("The offer has no video section that receives.")
        return self._announced()

    async def accept(self, answer: str) -> None:
        """Take the viewer's answer; the connection is then made in the background.

        Raises:
            AlreadyAnswered: There was an answer before.
            BadSdp: The answer cannot be read or does not fit the offer.
            NoSharedCodec: The viewer accepted none of the offered codecs.
        """
        if self._answered:
            raise AlreadyAnswered("This offer has been answered already.", "Create a new stream.")
        self._answered = True
        try:
            await self._set_remote("answer", answer)
        except InvalidInput:
            self._answered = False
            raise
        early, self._early = self._early or [], None
        for candidate in early:
            await self._connection.addIceCandidate(candidate)

    async def add_candidate(
        self, candidate: str | None, mid: str | None, index: int | None
    ) -> None:
        """Take one of the viewer's candidates, before or after its answer.

        Raises:
            BadCandidate: It cannot be read.
        """
        parsed = read_candidate(candidate, mid, index)
        if parsed is None:
            return
        self._candidates += 1
        if self._candidates > sdp.MAX_CANDIDATES:
            return
        if self._early is not None:
            self._early.append(parsed)
            return
        await self._connection.addIceCandidate(parsed)

    def listen(self, listener: Listener) -> None:
        """Hand every event to a listener, too."""
        self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        """Undo ``listen``; may be called more than once."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def notify(self, subject: str, payload: dict[str, Any]) -> None:
        """Send an event to the viewer on every open channel, and to all listeners."""
        for listener in tuple(self._listeners):
            listener(subject, payload)
        text = _event(subject, payload)
        for channel in self._channels:
            if channel.readyState == "open":
                channel.send(text)

    async def close(self) -> None:
        """End the connection; may be called at any time and more than once."""
        self.closed = True
        await self._flush()
        try:
            await asyncio.wait_for(self._connection.close(), CLOSE_SECONDS)
        except TimeoutError:
            _log.warning("a connection did not close within %g s", CLOSE_SECONDS)
        finally:
            await self.media.close()

    async def _flush(self) -> None:
        """Give the last events a moment to leave: closing drops what is still queued."""
        if self.connection_state != "connected":
            return
        waits = int(FLUSH_SECONDS / FLUSH_STEP)
        for _ in range(waits):
            await asyncio.sleep(FLUSH_STEP)
            if not any(c.bufferedAmount for c in self._channels if c.readyState == "open"):
                return

    def _send_pictures(self) -> RTCRtpTransceiver:
        transceiver = self._connection.addTransceiver("video", direction="sendonly")
        transceiver.setCodecPreferences(self._codec_preferences())
        internals.replace_sender(transceiver, self.media.sender)
        return transceiver

    def _send_sound(self) -> RTCRtpTransceiver | None:
        if self.media.sound is None:
            return None
        transceiver = self._connection.addTransceiver("audio", direction="sendonly")
        opus = [
            codec
            for codec in RTCRtpSender.getCapabilities("audio").codecs
            if codec.mimeType.lower() == "audio/opus"
        ]
        transceiver.setCodecPreferences(opus)
        internals.replace_sender(transceiver, self.media.sound)
        return transceiver

    def _codec_preferences(self) -> list[Any]:
        wanted = {"video/H264": "H264", "video/VP8": "VP8"}
        chosen = []
        for codec in RTCRtpSender.getCapabilities("video").codecs:
            if codec.mimeType == "video/rtx":
                chosen.append(codec)
            elif wanted.get(codec.mimeType) in self.media.codecs:
                profile = str(codec.parameters.get("profile-level-id", "42e01f"))
                if profile == "42e01f":
                    chosen.append(codec)
        return sorted(chosen, key=lambda codec: codec.mimeType != "video/H264")

    def _limit_ports(self) -> None:
        if self._settings.port_range is not None:
            internals.use_ports(self._connection, self._settings.port_range)

    def _announced(self) -> str:
        text = self._connection.localDescription.sdp
        if self.media.profile_level_id:
            text = sdp.announce_h264(text, self.media.profile_level_id)
        return sdp.announce_addresses(text, self._settings.public_addresses)

    async def _set_remote(self, kind: str, text: str) -> None:
        refusal = NoSharedCodec(
            f"The viewer takes none of {', '.join(self.media.codecs)}.",
            "Use a browser with H.264 or VP8.",
        )
        await read_description(self._connection, kind, text, refusal)
        self.remote_ufrags = ufrags(text)

    def _add_channel(self, channel: RTCDataChannel) -> None:
        if len(self._channels) >= MAX_CHANNELS:
            channel.close()
            return
        self._channels.append(channel)
        if channel.readyState == "open":
            # The viewer's own channel: it hears of it before it can have set a handler.
            asyncio.get_running_loop().call_soon(self._greet, channel)
        else:
            channel.on("open", lambda: self._greet(channel))

    def _greet(self, channel: RTCDataChannel) -> None:
        if channel.readyState == "open":
            channel.send(_event("stream/ready", {"state": self.media.state}))


def connection(settings: WebRtcSettings) -> RTCPeerConnection:
    """Make a peer connection with the settings' servers, everything on one transport."""
    servers = [RTCIceServer(list(s.urls), s.username, s.credential) for s in settings.ice_servers]
    return RTCPeerConnection(
        RTCConfiguration(iceServers=servers, bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
    )


def read_candidate(
    candidate: str | None, mid: str | None, index: int | None
) -> RTCIceCandidate | None:
    """Parse a candidate; None for the end mark and for those that are of no use here.

    Raises:
        BadCandidate: It cannot be read.
    """
    if not candidate or sdp.is_mdns(candidate):
        return None
    try:
        parsed = candidate_from_sdp(candidate.removeprefix("a=").removeprefix("candidate:"))
    except (AssertionError, ValueError, IndexError):
        raise BadCandidate("The candidate cannot be read.") from None
    if parsed.protocol.lower() != "udp":
        return None
    parsed.sdpMid = mid
    parsed.sdpMLineIndex = 0 if mid is None and index is None else index
    return parsed


def ufrags(text: str) -> frozenset[str]:
    """Return the ICE user fragments of a session description."""
    return frozenset(_UFRAG.findall(text))


async def read_description(
    peer: RTCPeerConnection, kind: str, text: str, no_codec: NoSharedCodec
) -> None:
    """Set a remote description.

    Args:
        peer: Takes it.
        kind: ``offer`` or ``answer``.
        text: SDP; its ``.local`` candidates are dropped.
        no_codec: Raised when the two ends share no codec.

    Raises:
        BadSdp: It cannot be read or does not fit the state.
        NoSharedCodec: See ``no_codec``.
    """
    try:
        await peer.setRemoteDescription(
            RTCSessionDescription(sdp.with_directions(sdp.reachable_candidates_only(text)), kind)
        )
    except OperationError:
        raise no_codec from None
    except InvalidStateError:
        raise BadSdp("The connection is closed.") from None
    except _UNREADABLE:
        _log.debug("bad SDP", exc_info=True)
        raise BadSdp(f"The {kind} is not a session description that fits.") from None


async def write_answer(peer: RTCPeerConnection, keep: Sequence[RTCRtpTransceiver | None]) -> None:
    """Answer an offer that was set before.

    Args:
        peer: Its local description is set.
        keep: The only transceivers that are used. The library would receive and decode all
            others into queues that nobody reads.

    Raises:
        BadSdp: The offer cannot be answered.
    """
    for transceiver in peer.getTransceivers():
        if transceiver not in keep:
            transceiver.direction = "inactive"
    try:
        await peer.setLocalDescription(await peer.createAnswer())
    except InvalidStateError:
        raise BadSdp("The connection is closed.") from None
    except _UNREADABLE:
        _log.debug("bad SDP", exc_info=True)
        raise BadSdp("The offer is not a session description that fits.") from None


def _event(subject: str, payload: dict[str, Any]) -> str:
    return f"{subject}:{json.dumps(payload, separators=(',', ':'))}"
