"""The cameras that are sent in by WHIP: their secrets, and when they end by themselves."""

import asyncio
import hmac
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from engine.clock import Clock, monotonic
from engine.errors import Forbidden, NotFound, Unavailable
from engine.settings import StreamSettings, WebRtcSettings
from transport.processed import ProcessedStreams
from transport.webrtc.ingest import Publisher

_log = logging.getLogger(__name__)

CHECK_INTERVAL = 1.0


class CameraNotFound(NotFound):
    """No camera is sent in under this id, or not any more."""


class WrongSecret(Forbidden):
    """The secret of the address is not the camera's."""


class TooManyCameras(Unavailable):
    """As many cameras are sent in as may be."""


@dataclass(slots=True)
class Camera:
    """One camera that is sent in.

    Attributes:
        id: Viewers watch ``webrtc:ID``.
        secret: Part of the address at which it is ended.
        publisher: Receives it.
    """

    id: str
    secret: str
    publisher: Publisher


class PublisherRegistry:
    """Creates, finds and ends cameras.

    Args:
        processed: Where their frames go.
        limits: The ``streams`` section: its limit and its times hold for cameras too.
        webrtc: The ``webrtc`` section.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        processed: ProcessedStreams,
        limits: StreamSettings,
        webrtc: WebRtcSettings,
        clock: Clock = monotonic,
    ) -> None:
        self._processed = processed
        self._limits = limits
        self._webrtc = webrtc
        self._clock = clock
        self._cameras: dict[str, Camera] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to end cameras that are over."""
        self._task = asyncio.create_task(self._watch(), name="camera-watch")

    async def close(self) -> None:
        """End every camera."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await asyncio.gather(*map(self.end, self.cameras()), return_exceptions=True)

    def cameras(self) -> list[Camera]:
        """Return all cameras, oldest first."""
        return list(self._cameras.values())

    async def create(self, offer: str) -> tuple[Camera, str]:
        """Take a camera's offer; return it with the answer's SDP.

        Raises:
            TooManyCameras: The limit is reached.
            BadSdp, NoSharedCodec: The offer cannot be used.
        """
        if len(self._cameras) >= self._limits.max_streams:
            raise TooManyCameras("Too many cameras are sent in.", "Try again later.", 5)
        camera_id = secrets.token_urlsafe(9)
        publisher = Publisher(self._processed.publish(camera_id), self._webrtc, self._clock)
        camera = Camera(camera_id, secrets.token_urlsafe(18), publisher)
        self._cameras[camera_id] = camera
        try:
            return camera, await publisher.answer(offer)
        except BaseException:
            await self.end(camera)
            raise

    def find(self, camera_id: str, secret: str) -> Camera:
        """Return a camera to somebody who knows its secret.

        Raises:
            CameraNotFound: There is none of this id.
            WrongSecret: The secret is wrong.
        """
        camera = self._cameras.get(camera_id)
        if camera is None:
            raise CameraNotFound(f"There is no camera {camera_id!r}.", "It may have ended.")
        if not hmac.compare_digest(secret.encode(errors="replace"), camera.secret.encode()):
            raise WrongSecret("The secret is not this camera's.")
        return camera

    async def end(self, camera: Camera) -> None:
        """End a camera; ending it twice does nothing."""
        if self._cameras.pop(camera.id, None) is None:
            return
        self._processed.unpublish(camera.id)
        await camera.publisher.close()

    def over(self, now: float) -> Iterator[Camera]:
        """Yield the cameras that are over at a moment."""
        for camera in self.cameras():
            publisher = camera.publisher
            if publisher.ended.is_set() or publisher.connection_state in ("failed", "closed"):
                yield camera
            elif publisher.last_heard is None:
                if now - publisher.created >= self._limits.connect_timeout:
                    yield camera
            elif now - publisher.last_heard >= self._limits.lost_timeout:
                yield camera

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            ending = list(self.over(self._clock()))
            results = await asyncio.gather(*map(self.end, ending), return_exceptions=True)
            for camera, result in zip(ending, results, strict=True):
                _log.info("camera %s ended", camera.id)
                if isinstance(result, Exception):
                    _log.error("a camera did not end well", exc_info=result)
