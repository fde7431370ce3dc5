"""Processed frames to viewers: each frame is encoded once, however many watch."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final, Protocol

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from engine.avatar.encode import level_for
from engine.clock import Clock, monotonic
from engine.errors import Conflict
from engine.pipeline.frame import Frame
from engine.pipeline.ring import DropPolicy
from engine.settings import LiveSettings
from transport.outputs.sink_thread import SinkThread
from transport.webrtc.media_clock import MediaClock
from transport.webrtc.payload import PAYLOADS
from transport.webrtc.rtp import VIDEO_CLOCK_RATE, RtpSender

KEYFRAME_PAUSE: Final = 0.3
"""Seconds between two keyframes that were asked for: many viewers may ask at once."""

LIVE_PROFILE_LEVEL: Final = "42c028"
"""Announced before the size is known: constrained baseline, level 4.0, enough for 1080p30."""

_TIME_BASE = Fraction(1, VIDEO_CLOCK_RATE)


class LiveEncoder:
    """A sink of a pipeline that encodes for all viewers of it.

    Frames arrive on the display thread, are encoded on a thread of this object and handed to the
    viewers' senders on the event loop. The newest frame wins where encoding is slower. Nothing is
    encoded while nobody watches.

    Args:
        name: Of its thread and in statistics.
        loop: Where the senders live.
        settings: Bit rate and the like.
        clock: Monotonic seconds, the pipeline's clock.
    """

    def __init__(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop,
        settings: LiveSettings,
        clock: Clock = monotonic,
    ) -> None:
        self.name = name
        self.epoch = clock()
        self._loop = loop
        self._settings = settings
        self._clock = clock
        self._senders: tuple[LiveSender, ...] = ()
        self._wanted: frozenset[str] = frozenset()
        self._encoders: dict[str, _Encoder] = {}
        self._ask_keyframe = threading.Event()
        self._last_keyframe = float("-inf")
        self._thread = SinkThread(
            f"{name}-encode", self._encode, self._encoders.clear, 2, DropPolicy.LATEST
        )

    # On the display thread.

    def show(self, frame: Frame) -> None:
        """Take a frame without waiting."""
        if self._wanted:
            self._thread.put(frame)

    def close(self) -> None:
        """End the thread."""
        self._thread.close()

    # On the event loop.

    def add(self, sender: "LiveSender") -> None:
        """Send to one more viewer, from a fresh keyframe on."""
        self._senders = (*self._senders, sender)
        self._update()
        self._ask_keyframe.set()

    def remove(self, sender: "LiveSender") -> None:
        """Stop sending to a viewer."""
        self._senders = tuple(other for other in self._senders if other is not sender)
        self._update()

    def want_keyframe(self) -> None:
        """Make the next picture a keyframe, at most one each ``KEYFRAME_PAUSE``."""
        self._ask_keyframe.set()

    def _update(self) -> None:
        self._wanted = frozenset(s.codec for s in self._senders if s.codec is not None)

    def _deliver(self, codec: str, payloads: Sequence[bytes], at: int, keyframe: bool) -> None:
        for sender in self._senders:
            if sender.codec == codec:
                sender.deliver(payloads, at, keyframe)

    # On the encoding thread.

    def _encode(self, frame: Frame) -> None:
        shown = frame.stamps[-1][1] if frame.stamps else frame.captured_at
        at = max(0, int((shown - self.epoch) * VIDEO_CLOCK_RATE))
        now = self._clock()
        keyframe = self._ask_keyframe.is_set() and now - self._last_keyframe >= KEYFRAME_PAUSE
        if keyframe:
            self._ask_keyframe.clear()
            self._last_keyframe = now
        picture: av.VideoFrame | None = None
        for codec in self._wanted:
            if picture is None:
                picture = _to_yuv(frame)
            encoder = self._encoder(codec, frame.size)
            for unit, is_keyframe in encoder.encode(picture, at, keyframe):
                payloads = PAYLOADS[codec](unit)
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody watches
                    self._loop.call_soon_threadsafe(self._deliver, codec, payloads, at, is_keyframe)

    def _encoder(self, codec: str, size: tuple[int, int]) -> "_Encoder":
        encoder = self._encoders.get(codec)
        if encoder is None or encoder.size != size:
            encoder = self._encoders[codec] = _Encoder(codec, size, self._settings)
        return encoder


class _Encoder:
    """One codec at one size; every picture comes out at once."""

    def __init__(self, codec: str, size: tuple[int, int], settings: LiveSettings) -> None:
        self.size = size
        library, options = (
            _x264_options(size, settings) if codec == "H264" else _libvpx_options(settings)
        )
        context = av.CodecContext.create(library, "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height = size[0] & ~1, size[1] & ~1
        context.pix_fmt = "yuv420p"
        context.time_base = _TIME_BASE
        context.framerate = Fraction(30)
        context.bit_rate = settings.bitrate
        context.thread_count = settings.encoder_threads
        context.options = options
        if codec == "H264":
            context.profile = "Baseline"
        self._context = context
        self._last = -1

    def encode(self, picture: av.VideoFrame, at: int, keyframe: bool) -> list[tuple[bytes, bool]]:
        """Return the encoded picture (none or one) with whether it is a keyframe."""
        # Encoders want rising timestamps; two frames within a tick would be an error.
        self._last = max(at, self._last + 1)
        picture.pts, picture.time_base = self._last, _TIME_BASE
        picture.pict_type = PictureType.I if keyframe else PictureType.NONE
        return [(bytes(packet), packet.is_keyframe) for packet in self._context.encode(picture)]


def _x264_options(size: tuple[int, int], settings: LiveSettings) -> tuple[str, dict[str, str]]:
    seconds = settings.keyframe_seconds
    return "libx264", {
        "preset": settings.preset,
        "tune": "zerolatency",
        "level": max("4.0", level_for(size, 30, settings.bitrate)),
        "maxrate": str(settings.bitrate),
        "bufsize": str(settings.bitrate // 2),
        "forced-idr": "1",
        "g": str(int(30 * seconds)),
        "x264-params": "scenecut=0:bframes=0:colorprim=bt709:transfer=bt709:colormatrix=bt709",
    }


def _libvpx_options(settings: LiveSettings) -> tuple[str, dict[str, str]]:
    return "libvpx", {
        "deadline": "realtime",
        "cpu-used": "8",
        "lag-in-frames": "0",
        "error-resilient": "1",
        "g": str(int(30 * settings.keyframe_seconds)),
    }


def _to_yuv(frame: Frame) -> av.VideoFrame:
    """Convert BGR to yuv420p, BT.709; an odd last row or column is cut off."""
    height, width = frame.image.shape[0] & ~1, frame.image.shape[1] & ~1
    picture = av.VideoFrame.from_ndarray(frame.image[:height, :width], format="bgr24")
    return picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")


class LiveSender(RtpSender):
    """Sends to one viewer what a ``LiveEncoder`` encodes.

    Args:
        encoder: Encodes; shared by all viewers of a pipeline.
        clock: The stream's time line; pictures carry the encoder's.
    """

    def __init__(self, encoder: LiveEncoder, clock: MediaClock) -> None:
        super().__init__(clock)
        self._encoder = encoder
        self._waiting = True

    def deliver(self, payloads: Sequence[bytes], at: int, keyframe: bool) -> None:
        """Send one picture; those before the first keyframe are of no use and are left out."""
        if not self._enabled or (self._waiting and not keyframe):
            return
        self._waiting = False
        try:
            self._send_payloads(payloads, at)
        except ConnectionError:
            self._halt()

    def _begin(self, now: float) -> None:
        self._encoder.add(self)

    def _end(self) -> None:
        self._encoder.remove(self)

    def _media_time(self, now: float) -> int:
        return max(0, int((now - self._encoder.epoch) * VIDEO_CLOCK_RATE))

    def _keyframe_wanted(self) -> None:
        self._encoder.want_keyframe()


class NoStates(Conflict):
    """A processed stream has no states to go to."""


class States(Protocol):
    """A source that has states: an avatar."""

    @property
    def state(self) -> str:
        """What plays."""

    def request(self, name: str) -> str:
        """Go to a state or play an action."""


class ProcessedMedia:
    """A processed stream for one viewer.

    Args:
        encoder: Of the pipeline that is watched.
        release: Called once when this viewer is gone.
        states: Returns what can be asked for a state, if the source has any (an avatar).
        clock: Monotonic seconds.
    """

    codecs: Sequence[str] = ("H264", "VP8")
    profile_level_id = LIVE_PROFILE_LEVEL
    sound = None
    skipped = 0

    def __init__(
        self,
        encoder: LiveEncoder,
        release: Callable[[], None],
        states: Callable[[], States | None] = lambda: None,
        clock: Clock = monotonic,
    ) -> None:
        self.sender = LiveSender(encoder, MediaClock(clock))
        self._states = states
        self._release: Callable[[], None] | None = release

    @property
    def state(self) -> str:
        """What plays; ``live`` where the source has no states."""
        states = self._states()
        return states.state if states is not None else "live"

    def bind(self, notify: object) -> None:
        """This media sends no events of its own."""

    def request(self, name: str) -> str:
        """Ask the source for a state.

        Raises:
            NoStates: It has none.
            StateNotFound: It has others.
        """
        states = self._states()
        if states is not None:
            return states.request(name)
        raise NoStates("A processed stream has no states.", "Use PATCH /streams/{id} to change it.")

    async def close(self) -> None:
        """Let go of the pipeline."""
        release, self._release = self._release, None
        if release is not None:
            release()
