"""Makes a video anew: its pictures are changed and encoded as H.264 or another codec; it keeps its
sound and its times. The one loop behind ``render`` and all generators that change pictures."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.clips.opening import damaged
from engine.media.container_names import FileKind
from engine.media.sound_copy import Sound, sound_into
from engine.media.source_video import SourceVideo

_MOST_WAITING = 20_000
"""Packets of sound that may come before the first picture: several minutes of some tracks."""

Made = Iterable["VideoFrame | Packet[VideoStream]"]
"""Pictures for the encoder, with their times, or packets that are ready for the file."""


class Pictures(Protocol):
    """What becomes of a video's pictures."""

    def begin(self, first: VideoFrame, output: OutputContainer) -> VideoStream:
        """Add the stream that they are encoded into: codec, size, pixels' shape, format, colours.

        Args:
            first: The first picture as it is stored, which ``take`` is given, too.
            output: The file.
        """

    def take(self, frame: VideoFrame) -> Made:
        """Take the next picture as it is stored; return what is ready by now, in order."""

    def rest(self) -> Made:
        """Return what is left once there are no more pictures."""


class Remaking:
    """One run: decoding, changing, encoding and muxing in turn.

    Args:
        video: What is read.
        output: Where to write; not begun yet. ``run`` does not close it.
        kind: Its container.
        pictures: What becomes of the pictures.
        threads: Of decoder and encoder; 0: as many as there are cores.
    """

    def __init__(
        self,
        video: SourceVideo,
        output: OutputContainer,
        kind: FileKind,
        pictures: Pictures,
        threads: int,
    ) -> None:
        self._video = video
        self._output = output
        self._kind: FileKind = kind
        self._pictures = pictures
        self._threads = threads
        self._encoder: VideoStream | None = None
        self._sound: Sound | None = None
        self._waiting: deque[Packet[Stream]] = deque()
        video.stream.codec_context.thread_count = threads

    def run(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Make all of it.

        Args:
            stop: Asked before each picture: whether to end there. May raise.

        Returns:
            Whether it was stopped before the end.

        Raises:
            ClipDamaged: No picture can be decoded.
            ClipTooLarge: One has too many pixels.
        """
        stopped = False
        for item in self._video.items():
            if isinstance(item, Packet):
                self._pass_sound(item)
                continue
            if self._encoder is None:
                self._encoder = self._begin(item)
            stopped = stop()
            if stopped:
                break
            self._write(self._encoder, self._pictures.take(item))
        if self._encoder is None or self._sound is None:
            raise damaged(self._video.path)
        self._write(self._encoder, self._pictures.rest())
        self._output.mux(self._encoder.encode(None))
        self._sound.finish()
        return stopped

    def _begin(self, first: VideoFrame) -> VideoStream:
        video = self._video
        # The picture's stream comes first in the file, and is only known with the first picture.
        encoder = self._pictures.begin(first, self._output)
        encoder.time_base = encoder.codec_context.time_base = video.time_base
        encoder.codec_context.thread_count = self._threads
        self._sound = sound_into(self._kind, self._output, video.sounds, video.start)
        while self._waiting:
            self._sound.mux(self._waiting.popleft())
        return encoder

    def _pass_sound(self, packet: "Packet[Stream]") -> None:
        if self._sound is not None:
            self._sound.mux(packet)
        elif len(self._waiting) < _MOST_WAITING:
            self._waiting.append(packet)
        else:
            raise damaged(self._video.path)

    def _write(self, encoder: VideoStream, made: Made) -> None:
        for item in made:
            if isinstance(item, Packet):
                item.stream = encoder
                self._output.mux(item)
            else:
                self._output.mux(encoder.encode(item))
