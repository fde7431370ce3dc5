"""A played avatar as a source of frames, for processors that change it (``use_ai``)."""

import threading
from fractions import Fraction

import av

from capture.metronome import Metronome
from engine.avatar.cuts import CutWalk
from engine.avatar.pack import Pack
from engine.avatar.player import VIDEO_CLOCK_RATE, Player
from engine.clock import Clock, monotonic
from engine.errors import PackError
from engine.pipeline.frame import Frame

_DECODERS = {"H264": "h264", "VP8": "vp8"}


class AvatarSource:
    """Plays a pack as a viewer would see it, decoded.

    Args:
        name: What the user calls it, e.g. ``avatar:demo``.
        pack: The compiled avatar.
        seed: Of the choice among several clips of a state.
        clock: Monotonic seconds.
        metronome: Waits for the time of each picture.
    """

    live = True
    problem: str | None = None

    def __init__(
        self,
        name: str,
        pack: Pack,
        seed: int,
        clock: Clock = monotonic,
        metronome: Metronome | None = None,
    ) -> None:
        self.name = name
        self._pack = pack
        self._seed = seed
        self._clock = clock
        self._metronome = metronome or Metronome(clock)
        self._lock = threading.Lock()
        self._walk = CutWalk(pack, seed)
        self._player: Player | None = None

    @property
    def state(self) -> str:
        """The state or action that plays or is about to."""
        with self._lock:
            return self._walk.state

    def request(self, name: str) -> str:
        """Go to a state or play an action; from any thread.

        Raises:
            StateNotFound: There is no state or action of this name.
        """
        with self._lock:
            self._walk.request(name)
            return self._walk.state

    def open(self) -> None:
        """Get the decoder ready.

        Raises:
            PackError: The pack holds no codec that can be decoded.
        """
        for codec, library in _DECODERS.items():
            if codec in self._pack.codecs:
                self._units = self._pack.codecs[codec].access_units
                self._decoder = av.CodecContext.create(library, "r")
                # Frame threads would hold pictures back.
                self._decoder.thread_count = 1
                return
        raise PackError("The pack holds neither H.264 nor VP8.", "Compile the avatar again.")

    def read(self) -> Frame | None:
        """Return the next picture when it is due; None when interrupted."""
        if self._player is None:
            self._player = Player(self._walk, self._pack.fps, self._clock())
        while self._metronome.until(self._player.due()):
            with self._lock:
                picture = self._player.advance(self._clock())
            if picture is None:
                continue
            for frame in self._decoder.decode(av.Packet(self._units[picture.index])):
                return Frame(
                    image=frame.to_ndarray(format="bgr24"),
                    sequence=picture.number,
                    pts=picture.timestamp,
                    time_base=Fraction(1, VIDEO_CLOCK_RATE),
                    captured_at=picture.due,
                )
        return None

    def interrupt(self) -> None:
        """Make ``read`` return None."""
        self._metronome.interrupt()

    def close(self) -> None:
        """Nothing is held."""
