"""A browser, OBS or GStreamer as the camera: receives one video track and hands on its frames."""

import asyncio
import logging
from fractions import Fraction

from aiortc import RTCRtpTransceiver
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import VideoFrame

from capture.pushed import PushedFeed
from engine.clock import Clock, monotonic
from engine.settings import WebRtcSettings
from transport.webrtc import internals, sdp
from transport.webrtc.peer import (
    CLOSE_SECONDS,
    BadSdp,
    NoSharedCodec,
    connection,
    read_candidate,
    read_description,
    ufrags,
    write_answer,
)

_log = logging.getLogger(__name__)


class Publisher:
    """Receives one camera.

    Args:
        feed: Where frames are put.
        settings: The ``webrtc`` section.
        clock: Monotonic seconds.
    """

    def __init__(
        self, feed: PushedFeed, settings: WebRtcSettings, clock: Clock = monotonic
    ) -> None:
        self._feed = feed
        self._settings = settings
        self._clock = clock
        self._connection = connection(settings)
        self._connection.on("track", self._on_track)
        self._task: asyncio.Task[None] | None = None
        self.created = clock()
        self.last_heard: float | None = None
        self._candidates = 0
        self.remote_ufrags: frozenset[str] = frozenset()
        self.ended = asyncio.Event()

    @property
    def connection_state(self) -> str:
        """``new``, ``connecting``, ``connected``, ``failed`` or ``closed``."""
        return str(self._connection.connectionState)

    async def answer(self, offer: str) -> str:
        """Take the sender's offer and return the answer's SDP.

        Raises:
            BadSdp: The offer cannot be read, or sends no video.
            NoSharedCodec: It offers neither H.264 nor VP8.
        """
        if "m=video " not in offer:
            raise BadSdp("The offer sends no video.")
        await read_description(
            self._connection, "offer", offer, NoSharedCodec("The server takes H.264 and VP8.")
        )
        self.remote_ufrags = ufrags(offer)
        if self._settings.port_range is not None:
            internals.use_ports(self._connection, self._settings.port_range)
        await write_answer(self._connection, keep=(self._video(),))
        text = self._connection.localDescription.sdp
        return sdp.announce_addresses(text, self._settings.public_addresses)

    async def add_candidate(
        self, candidate: str | None, mid: str | None, index: int | None
    ) -> None:
        """Take one of the sender's candidates.

        Raises:
            BadCandidate: It cannot be read.
        """
        parsed = read_candidate(candidate, mid, index)
        self._candidates += parsed is not None
        if parsed is not None and self._candidates <= sdp.MAX_CANDIDATES:
            await self._connection.addIceCandidate(parsed)

    def _video(self) -> RTCRtpTransceiver | None:
        transceivers = self._connection.getTransceivers()
        return next((t for t in transceivers if t.kind == "video"), None)

    async def close(self) -> None:
        """End the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._feed.end()
        self.ended.set()
        try:
            await asyncio.wait_for(self._connection.close(), CLOSE_SECONDS)
        except TimeoutError:
            _log.warning("a connection did not close within %g s", CLOSE_SECONDS)

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video" and self._task is None:
            self._task = asyncio.create_task(self._receive(track), name="publisher-receive")

    async def _receive(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                assert isinstance(frame, VideoFrame)
                self.last_heard = self._clock()
                self._feed.push(frame, frame.pts or 0, frame.time_base or Fraction(1))
        except MediaStreamError:
            _log.debug("the track has ended")
        finally:
            self.ended.set()
