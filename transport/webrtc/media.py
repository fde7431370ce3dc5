"""What a peer sends: the part of a stream that differs between played and processed ones."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from engine.avatar.cuts import CutWalk
from engine.avatar.pack import Pack
from engine.avatar.player import Picture, Player
from engine.avatar.walks import WalkMaker
from engine.clock import Clock
from engine.motion.step import REST_STATE
from engine.speech.speaker import Speaker
from transport.webrtc.media_clock import MediaClock
from transport.webrtc.payload import PayloadCache
from transport.webrtc.played import PlayedSender
from transport.webrtc.rtp import RtpSender
from transport.webrtc.sound import SoundSender

Notify = Callable[[str, dict[str, Any]], None]
"""Sends an event (subject, payload) to the viewer."""


class Media(Protocol):
    """What one stream sends to its viewer."""

    @property
    def codecs(self) -> Sequence[str]:
        """``H264`` and ``VP8`` in any combination."""

    @property
    def profile_level_id(self) -> str:
        """Of the H.264 stream, as SDP wants it; empty without H.264."""

    @property
    def sender(self) -> RtpSender:
        """Sends the pictures."""

    @property
    def sound(self) -> SoundSender | None:
        """Sends the sound, where there is any."""

    @property
    def state(self) -> str:
        """What plays, or will play first."""

    @property
    def skipped(self) -> int:
        """Pictures left out because the server was late."""

    def bind(self, notify: Notify) -> None:
        """Take the way to the viewer's ear; called once, by the peer."""

    def request(self, name: str) -> str:
        """Go to a state or play an action; return what plays.

        Raises:
            AvatarServerError: This media has no such state.
        """

    async def close(self) -> None:
        """The stream has ended."""


class SharedByStreams:
    """What streams of the same avatar need only once: payloads and routes."""

    def __init__(self) -> None:
        self.payloads = PayloadCache()
        self.walks = WalkMaker()

    def prepare(self, packs: Sequence[Pack]) -> None:
        """Make it ahead of the first stream; slow the first time, so it belongs in a thread."""
        for pack in packs:
            for codec in pack.codecs:
                self.payloads.get(pack, codec)
            if pack.graph is not None:
                self.walks.prepare(pack)


class PlayedMedia:
    """A played avatar.

    Args:
        packs: The compiled avatar, the best pack first; the first that has the viewer's codec is
            played.
        seed: Of the choices while it plays.
        shared: What all streams share.
        clock: Monotonic seconds.
        speaker: Says what is said, if the avatar has a voice.
        on_late: Told how late each picture was sent, in seconds.
    """

    def __init__(
        self,
        packs: Sequence[Pack],
        seed: int,
        shared: SharedByStreams,
        clock: Clock,
        speaker: Speaker | None = None,
        on_late: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._packs = packs
        self._seed = seed
        self._shared = shared
        self._pending: str | None = None
        self._notify: Notify = lambda subject, payload: None
        self.codecs: Sequence[str] = tuple(dict.fromkeys(c for p in packs for c in p.codecs))
        h264 = next((p.codecs["H264"] for p in packs if "H264" in p.codecs), None)
        self.profile_level_id = h264.profile_level_id if h264 is not None else ""
        time_line = MediaClock(clock)
        self._speaker = speaker
        self.sound = SoundSender(speaker, time_line) if speaker is not None else None
        self.sender = PlayedSender(
            lambda codec: shared.payloads.get(self._pack(codec), codec),
            self._make_player,
            time_line,
            self._on_picture,
            speaker.follow if speaker is not None else lambda due: None,
            on_late,
        )

    @property
    def state(self) -> str:
        """The state or action that plays, or will play first."""
        player = self.sender.player
        return player.state if player is not None else (self._pending or REST_STATE)

    @property
    def skipped(self) -> int:
        """Pictures left out because the server was late."""
        return self.sender.player.skipped if self.sender.player is not None else 0

    def bind(self, notify: Notify) -> None:
        """Take the way to the viewer's ear."""
        self._notify = notify

    def request(self, name: str) -> str:
        """Go to a state or play an action; before the connection is up it is kept for then.

        Raises:
            StateNotFound: There is no such state or action.
        """
        player = self.sender.player
        if player is None:
            CutWalk(self._packs[-1], self._seed).request(name)
            self._pending = name
            return name
        player.request(name)
        return player.state

    async def close(self) -> None:
        """Fall silent; the peer ends the senders."""
        if self.sound is not None:
            self.sound.close()

    def _pack(self, codec: str) -> Pack:
        return next(pack for pack in self._packs if codec in pack.codecs)

    def _make_player(self, codec: str, start: float) -> Player:
        pack = self._pack(codec)
        player = Player(self._shared.walks.make(pack, self._seed), pack.fps, start)
        if self._pending is not None:
            player.request(self._pending)
        if self._speaker is not None and self.sound is not None:
            self._speaker.move(player)
            self.sound.run()
        return player

    def _on_picture(self, picture: Picture, timestamp: int) -> None:
        if picture.finished is not None:
            self._notify("stream/done", {"action": picture.finished})
        if picture.entered:
            self._notify("stream/state", {"state": picture.state, "rtp_timestamp": timestamp})
