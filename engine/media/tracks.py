"""The tracks of a video, and copying them as they are into a new file."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from engine.clips.opening import decode_frames, opened, stream_pixel_aspect
from engine.clips.orientation import Orientation
from engine.errors import ClipError


def display_size(path: Path) -> tuple[int, int] | None:
    """Return width and height of a video as it is seen, in square pixels; None: it has no picture.

    A first picture that says how it is to be turned is decoded.
    """
    try:
        with opened(path) as (container, stream):
            width, height = stream.codec_context.width, stream.codec_context.height
            orientation = next(
                (Orientation.of_frame(frame) for frame in decode_frames(container, stream)),
                Orientation(),
            )
            seen = round(width * stream_pixel_aspect(stream)), height
            return orientation.size(*seen)
    except ClipError:
        return None


def sound_offset(path: Path) -> float:
    """Return how many seconds after the start of a video its sound begins; 0 without a picture."""
    try:
        with opened(path) as (container, _):
            sound = container.streams.best("audio")
            if sound is None or sound.start_time is None or sound.time_base is None:
                return 0.0
            return max(0.0, float(sound.start_time * sound.time_base) - start_of(container))
    except ClipError:
        return 0.0


def start_of(container: InputContainer) -> float:
    """Return the second that a file's timestamps begin at; 0 where they begin earlier."""
    return max(0.0, (container.start_time or 0) / av.time_base)


def sound_tracks(container: InputContainer) -> list[Stream]:
    """Return the sound tracks that can be copied."""
    return [stream for stream in container.streams.audio if stream.codec_context is not None]


def seconds_of(container: InputContainer, stream: VideoStream) -> float | None:
    """Return the length of a video if its file tells."""
    if container.duration:
        return container.duration / av.time_base
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return None


def packets_of(container: InputContainer, tracks: Sequence[Stream]) -> "Iterator[Packet[Stream]]":
    """Yield the packets of some tracks, as far as the file can be read."""
    packets = container.demux(*tracks)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        yield packet


class TrackCopy:
    """Packets of some tracks into another file.

    Args:
        output: Where they go.
        tracks: Those that are copied.
        start: The second of the old file that is zero in the new one.
    """

    def __init__(self, output: OutputContainer, tracks: Iterable[Stream], start: float) -> None:
        self._output = output
        self._start = start
        self._to: dict[int, Any] = {}
        self._unframed: dict[int, BitStreamFilterContext] = {}
        for track in tracks:
            copied = output.add_stream_from_template(track)
            copied.metadata.update(track.metadata)
            self._to[track.index] = copied
            if track.codec_context.name == "aac" and not track.codec_context.extradata:
                # MPEG-TS has a header in each packet, other containers have one for all; some of
                # FFmpeg's ways to write MP4 refuse the first form.
                self._unframed[track.index] = BitStreamFilterContext("aac_adtstoasc", track)

    def mux(self, packet: "Packet[Stream]") -> None:
        """Copy a packet."""
        shift = round(self._start / (packet.time_base or Fraction(1)))
        if packet.dts is not None:
            packet.dts -= shift
        if packet.pts is not None:
            packet.pts -= shift
        index = packet.stream.index
        unframed = self._unframed.get(index)
        for one in [packet] if unframed is None else unframed.filter(packet):
            one.stream = self._to[index]
            self._output.mux(one)

    def finish(self) -> None:
        """Nothing is left: packets are written as they come."""
