"""The sound of a video that is made anew: copied as it is, or encoded where it has to be."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Protocol

import av.error
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from engine.media.container_names import FileKind
from engine.media.containers import SOUND_CODECS
from engine.media.tracks import TrackCopy

_RATE = 48_000
_BIT_RATE = 128_000
# What sound that a container cannot hold is encoded to: codec, format and number of samples of its
# frames.
_AAC = ("aac", "fltp", 1024)
_ENCODERS = {"mp4": _AAC, "mov": _AAC, "webm": ("libopus", "flt", 960)}


class Sound(Protocol):
    """Takes the packets of some tracks."""

    def mux(self, packet: "Packet[Stream]") -> None:
        """Take a packet, of any of the tracks, in order."""

    def finish(self) -> None:
        """Write what is left."""


def sound_into(
    kind: FileKind, output: OutputContainer, tracks: Sequence[Stream], start: float
) -> Sound:
    """Add streams for the tracks of sound to a file.

    Args:
        kind: The file's container.
        output: The file; its picture's stream was added already.
        tracks: Of sound.
        start: The second of the old file that is zero in the new one.
    """
    if kind not in SOUND_CODECS:
        return TrackCopy(output, tracks, start)
    taken, encoder = SOUND_CODECS[kind], _ENCODERS[kind]
    kept = [track for track in tracks if track.codec_context.name in taken]
    others = [track for track in tracks if track not in kept]
    return _Mixed(
        TrackCopy(output, kept, start),
        {track.index: _Encoded(output, track, encoder, start) for track in others},
    )


class _Mixed:
    """Some tracks are copied, the others encoded."""

    def __init__(self, copy: TrackCopy, encoded: "dict[int, _Encoded]") -> None:
        self._copy = copy
        self._encoded = encoded

    def mux(self, packet: "Packet[Stream]") -> None:
        encoded = self._encoded.get(packet.stream.index)
        if encoded is None:
            self._copy.mux(packet)
        else:
            encoded.mux(packet)

    def finish(self) -> None:
        for encoded in self._encoded.values():
            encoded.finish()


class _Encoded:
    """One track, decoded and encoded; it keeps its beginning, gaps in it are closed."""

    def __init__(
        self,
        output: OutputContainer,
        track: Stream,
        encoder: tuple[str, str, int],
        start: float,
    ) -> None:
        codec, form, size = encoder
        self._output = output
        self._start = start
        mono = getattr(track.codec_context, "channels", 2) == 1
        layout = "mono" if mono else "stereo"
        stream: Any = output.add_stream(codec, rate=_RATE)
        stream.bit_rate = _BIT_RATE
        stream.codec_context.layout = layout
        stream.codec_context.format = form
        stream.metadata.update(track.metadata)
        self._stream = stream
        self._resampler = AudioResampler(form, layout, _RATE, size)
        self._next: int | None = None

    def mux(self, packet: "Packet[Stream]") -> None:
        try:
            frames: Any = packet.decode()
        except av.error.FFmpegError:
            return
        for frame in frames:
            if not isinstance(frame, AudioFrame):
                continue
            if self._next is None:
                began = float((frame.pts or 0) * (frame.time_base or Fraction(1, _RATE)))
                self._next = max(0, round((began - self._start) * _RATE))
            # The resampler would otherwise refuse times that do not follow each other.
            frame.pts = None
            self._encode(self._resampler.resample(frame))

    def finish(self) -> None:
        """Write what decoder, resampler and encoder still hold."""
        if self._next is not None:
            self._encode(self._resampler.resample(None))
            self._output.mux(self._stream.encode(None))

    def _encode(self, frames: Sequence[AudioFrame]) -> None:
        for frame in frames:
            frame.pts, frame.time_base = self._next, Fraction(1, _RATE)
            self._next = (self._next or 0) + frame.samples
            self._output.mux(self._stream.encode(frame))
