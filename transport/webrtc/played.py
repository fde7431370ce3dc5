"""Sends a played avatar's pictures, on time."""

import asyncio
from collections.abc import Callable

from engine.avatar.player import Picture, Player
from transport.webrtc.media_clock import MediaClock
from transport.webrtc.payload import Payloads
from transport.webrtc.rtp import RtpSender

PlayerFactory = Callable[[str, float], Player]
"""Makes the player when sending starts, given the codec and that moment."""


class PlayedSender(RtpSender):
    """Plays a pack; a timer per stream, and nothing else, drives it.

    Args:
        payloads: Returns the payloads of a codec, given its name (``H264``, ``VP8``).
        make_player: Called when the connection is up; the first picture leaves at once.
        clock: The stream's time line.
        on_picture: Called with a picture that begins a state or ends an action, and its RTP
            timestamp.
        before_picture: Called with the time that the next picture is due at, before it is chosen.
        on_late: Told how late each picture was sent, in seconds.
    """

    def __init__(
        self,
        payloads: Callable[[str], Payloads],
        make_player: PlayerFactory,
        clock: MediaClock,
        on_picture: Callable[[Picture, int], None],
        before_picture: Callable[[float], None] = lambda due: None,
        on_late: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        super().__init__(clock)
        self._choose_payloads = payloads
        self._make_player = make_player
        self._on_picture = on_picture
        self._before_picture = before_picture
        self._on_late = on_late
        self._payloads: Payloads = ()
        self._timer: asyncio.TimerHandle | None = None
        self.player: Player | None = None

    def _begin(self, now: float) -> None:
        assert self.codec is not None
        self._payloads = self._choose_payloads(self.codec)
        self.player = self._make_player(self.codec, self._clock.start())
        self._tick()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _keyframe_wanted(self) -> None:
        """The timeline has a keyframe at least every half second: the next one is the answer."""

    def _tick(self) -> None:
        assert self.player is not None
        player, lateness = self.player, self.statistics.lateness
        try:
            while player.due() <= (now := self._clock.now()):
                self._before_picture(player.due())
                picture = player.advance(now)
                assert picture is not None
                lateness.add(now - picture.due)
                self._on_late(now - picture.due)
                if picture.entered or picture.finished:
                    self._on_picture(picture, self._timestamp(picture.timestamp))
                if self._enabled:
                    self._send_payloads(self._payloads[picture.index], picture.timestamp)
        except ConnectionError:
            self._halt()
            return
        except Exception:
            # Half a stream would look connected and stand still: rather end it, and say why.
            self._halt()
            raise
        delay = max(0.0, player.due() - self._clock.now())
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)
