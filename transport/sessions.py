"""The streams that exist: their limits, their secrets, and when they end by themselves."""

import asyncio
import hmac
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from engine.avatar.library import AvatarLibrary
from engine.clock import Clock, monotonic
from engine.errors import Conflict, Forbidden, NotFound, Unavailable
from engine.settings import StreamSettings, WebRtcSettings
from transport.processed import ProcessedStreams, Shared, SwapWish
from transport.speech.studio import SpeechStudio
from transport.speech.voice import Voice
from transport.webrtc.media import Media, PlayedMedia, SharedByStreams
from transport.webrtc.peer import Peer
from transport.webrtc.rtp import SenderStatistics

_log = logging.getLogger(__name__)

CHECK_INTERVAL = 1.0


class StreamNotFound(NotFound):
    """No stream has this id, or it has ended."""


class WrongSession(Forbidden):
    """The session_id is missing or not the stream's."""


class TooManyStreams(Unavailable):
    """The server serves as many streams as it may."""


class NoVoice(Conflict):
    """The stream has no voice."""


@dataclass(slots=True)
class Stream:
    """One viewer's stream.

    Attributes:
        id: Names it in the API.
        session_id: The secret that every call on it must carry.
        source: The avatar that it plays, or the source that it shows (``camera:0``).
        media: What is sent.
        peer: The connection.
        created: When, in seconds on the registry's clock.
        ends: When it ends by itself, or None.
        shared: The pipeline that it watches, if it is a processed stream.
        voice: Says what it is given, if it is a played stream.
    """

    id: str
    session_id: str
    source: str
    media: Media
    peer: Peer
    created: float
    ends: float | None
    shared: Shared | None = None
    voice: Voice | None = None

    def speaking(self) -> Voice:
        """Return the voice.

        Raises:
            NoVoice: It has none.
        """
        if self.voice is None:
            raise NoVoice(
                "This stream has no voice.",
                "Played avatars have one where speech.enabled is true; processed ones have none.",
            )
        return self.voice


class StreamRegistry:
    """Creates, finds and ends streams.

    Args:
        library: Where packs come from.
        processed: Where processed streams come from.
        settings: The ``streams`` section.
        webrtc: The ``webrtc`` section.
        compile_wait: Seconds to wait for an avatar that is being compiled.
        clock: Monotonic seconds.
        studio: Gives played avatars a voice.
        on_late: Told how late each picture of a played avatar was sent, in seconds; must be quick.
    """

    def __init__(
        self,
        library: AvatarLibrary,
        processed: ProcessedStreams,
        settings: StreamSettings,
        webrtc: WebRtcSettings,
        compile_wait: float,
        clock: Clock = monotonic,
        studio: SpeechStudio | None = None,
        on_late: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._on_late = on_late
        self._library = library
        self._processed = processed
        self._settings = settings
        self._webrtc = webrtc
        self._compile_wait = compile_wait
        self._clock = clock
        self._studio = studio
        self._streams: dict[str, Stream] = {}
        self._reserved = 0
        self._closed = False
        self._shared = SharedByStreams()
        self._task: asyncio.Task[None] | None = None
        self.created_total = 0
        self.ended: dict[str, int] = {}
        self.past = SenderStatistics()

    async def start(self) -> None:
        """Begin to end streams that are over."""
        self._task = asyncio.create_task(self._watch(), name="stream-watch")

    async def close(self) -> None:
        """End every stream."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._closed = True
        await self._end_all([(stream, "shutdown") for stream in self.streams()])

    def streams(self) -> list[Stream]:
        """Return all streams, oldest first."""
        return list(self._streams.values())

    def now(self) -> float:
        """Return the present on the registry's clock."""
        return self._clock()

    @property
    def webrtc(self) -> WebRtcSettings:
        """The ``webrtc`` section."""
        return self._webrtc

    async def offer(self, avatar_id: str, session_timeout: float | None) -> tuple[Stream, str]:
        """Create a stream that plays an avatar; return it with its offer's SDP.

        Raises:
            TooManyStreams: The limit is reached.
            AvatarServerError: The avatar is unknown, not compiled yet or broken.
        """
        return await self._create(
            lambda: self._played(avatar_id, session_timeout), lambda peer: peer.offer()
        )

    async def answer(self, avatar_id: str, offer: str) -> tuple[Stream, str]:
        """Create a stream that plays an avatar for a viewer's offer.

        Returns:
            The stream and the answer's SDP.

        Raises:
            TooManyStreams: The limit is reached.
            BadSdp, NoSharedCodec: The offer cannot be used.
            AvatarServerError: The avatar is unknown, not compiled yet or broken.
        """
        return await self._create(
            lambda: self._played(avatar_id, None), lambda peer: peer.answer(offer)
        )

    async def offer_processed(
        self,
        source: str,
        processors: Sequence[str],
        session_timeout: float | None,
        wish: SwapWish | None = None,
    ) -> tuple[Stream, str]:
        """Create a stream that shows a processed source; return it with its offer's SDP.

        Args:
            source: What it shows.
            processors: The chain.
            session_timeout: Seconds after which it ends by itself.
            wish: Of its face swap; None: as the settings have it.

        Raises:
            TooManyStreams, TooManyPipelines: A limit is reached.
            AvatarServerError: The source or a processor cannot be used.
        """

        async def make() -> Stream:
            if source.startswith("avatar:"):
                await self._library.ready(source.partition(":")[2], self._compile_wait)
            media, shared = await self._processed.watch(source, processors, wish)
            stream = self._make(source, media, session_timeout)
            stream.shared = shared
            return stream

        return await self._create(make, lambda peer: peer.offer())

    async def _create(
        self,
        make: Callable[[], Awaitable[Stream]],
        describe: Callable[[Peer], Awaitable[str]],
    ) -> tuple[Stream, str]:
        limit = self._settings.max_streams
        if len(self._streams) + self._reserved >= limit:
            raise TooManyStreams(
                f"The server serves {limit} streams, its limit.", "Try again later.", retry_after=5
            )
        self._reserved += 1
        peer: Peer | None = None
        try:
            stream = await make()
            peer = stream.peer
            description = await describe(peer)
            if self._closed:
                raise TooManyStreams("The server is stopping.", retry_after=5)
            self._streams[stream.id] = stream
            self.created_total += 1
            peer = None
            return stream, description
        finally:
            self._reserved -= 1
            if peer is not None:
                await peer.close()

    async def _played(self, avatar_id: str, session_timeout: float | None) -> Stream:
        packs = await self._library.playable(avatar_id, self._compile_wait)
        await asyncio.to_thread(self._shared.prepare, packs)
        voice = Voice(self._studio) if self._studio is not None else None
        speaker = voice.speaker if voice is not None else None
        media = PlayedMedia(packs, self._seed(), self._shared, self._clock, speaker, self._on_late)
        stream = self._make(avatar_id, media, session_timeout)
        if voice is not None and media.sound is not None:
            voice.bind(media.sound, stream.peer.notify)
            stream.voice = voice
        return stream

    def _seed(self) -> int:
        seed = self._settings.seed
        return random.getrandbits(64) if seed is None else seed

    def _make(self, source: str, media: Media, session_timeout: float | None) -> Stream:
        now = self._clock()
        limits = [s for s in (session_timeout, self._settings.session_timeout) if s]
        return Stream(
            id="strm_" + secrets.token_urlsafe(12),
            session_id=secrets.token_urlsafe(24),
            source=source,
            media=media,
            peer=Peer(media, self._webrtc),
            created=now,
            ends=now + min(limits) if limits else None,
        )

    def find(self, stream_id: str, session_id: str | None) -> Stream:
        """Return a stream to somebody who knows its secret.

        Raises:
            StreamNotFound: There is no such stream.
            WrongSession: The secret is wrong.
        """
        stream = self.known(stream_id)
        given = (session_id or "").encode(errors="replace")
        if not hmac.compare_digest(given, stream.session_id.encode()):
            raise WrongSession(
                "The session_id is not this stream's.", "Send the one that POST /streams returned."
            )
        return stream

    def known(self, stream_id: str) -> Stream:
        """Return a stream by its id alone, for what reveals and changes nothing.

        Raises:
            StreamNotFound: There is no such stream.
        """
        stream = self._streams.get(stream_id)
        if stream is None:
            raise StreamNotFound(f"There is no stream {stream_id!r}.", "It may have ended.")
        return stream

    async def end(self, stream: Stream, reason: str) -> None:
        """End a stream; ending it twice does nothing.

        Args:
            reason: ``deleted``, ``timeout``, ``lost``, ``failed``, ``never_connected``,
                ``source_ended`` or ``shutdown``.
        """
        if self._streams.pop(stream.id, None) is None:
            return
        self.ended[reason] = self.ended.get(reason, 0) + 1
        self.past.add(stream.media.sender.statistics)
        _log.info("stream %s ended: %s", stream.id, reason)
        if stream.voice is not None:
            await stream.voice.close()
        stream.peer.notify("stream/closing", {"reason": reason})
        await stream.peer.close()

    def over(self, now: float) -> Iterator[tuple[Stream, str]]:
        """Yield the streams that are over at a moment, each with the reason."""
        for stream in self.streams():
            sender = stream.media.sender
            state = stream.peer.connection_state
            if state in ("failed", "closed"):
                yield stream, "failed" if state == "failed" else "lost"
            elif stream.shared is not None and stream.shared.ended.is_set():
                yield stream, "source_ended"
            elif stream.ends is not None and now >= stream.ends:
                yield stream, "timeout"
            elif sender.last_heard is None:
                if now - stream.created >= self._settings.connect_timeout:
                    yield stream, "never_connected"
            elif now - sender.last_heard >= self._settings.lost_timeout:
                yield stream, "lost"

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            now = self._clock()
            for stream in self.streams():
                stream.media.sender.listen(now)
            await self._end_all(list(self.over(now)))

    async def _end_all(self, ending: Sequence[tuple[Stream, str]]) -> None:
        """End streams together; one that fails to end keeps none of the others."""
        results = await asyncio.gather(
            *(self.end(stream, reason) for stream, reason in ending), return_exceptions=True
        )
        for result in results:
            if isinstance(result, Exception):
                _log.error("a stream did not end well", exc_info=result)
