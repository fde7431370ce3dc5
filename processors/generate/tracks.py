"""Copying a video's tracks as they are into a new file that begins at zero."""

import os
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from engine.clips.opening import decode_frames, opened, stream_pixel_aspect
from engine.clips.orientation import Orientation
from engine.errors import ClipError, InvalidInput
from processors.generate.declaration import ContainerName

FileKind = Literal["mp4", "mkv", "webm", "mov"]

_MP4_VIDEO = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mjpeg"})
_MP4_SOUND = frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "opus", "flac", "alac"})
_FORMATS = {"mp4": "mp4", "mkv": "matroska", "webm": "webm", "mov": "mov"}

_TECHNICAL = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration"})
"""Tags that describe the old file and not what is in it."""


class ContainerUnfit(InvalidInput):
    """A container cannot hold the tracks of a video."""


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


def choose_container(
    wanted: ContainerName, picture: str, sounds: Sequence[Stream]
) -> Literal["mp4", "mkv"]:
    """Return what to write.

    Args:
        wanted: As asked for.
        picture: Name of the video codec.
        sounds: The tracks of sound.

    Raises:
        ContainerUnfit: MP4 is wanted and cannot hold them.
    """
    codecs = [sound.codec_context.name for sound in sounds]
    unfit = [name for name in codecs if name not in _MP4_SOUND]
    unfit += [] if picture in _MP4_VIDEO else [picture]
    if wanted == "mp4" and unfit:
        raise ContainerUnfit(
            f"An MP4 file cannot hold {', '.join(unfit)} as it is.", "Set container: mkv, or auto."
        )
    if wanted == "auto":
        return "mkv" if unfit else "mp4"
    return wanted


def tags_of(container: InputContainer) -> dict[str, str]:
    """Return a file's tags, but those that would be wrong for another file."""
    return {
        key: value for key, value in container.metadata.items() if key.lower() not in _TECHNICAL
    }


def create(path: Path, kind: FileKind, metadata: Mapping[str, str]) -> OutputContainer:
    """Create a video file: the same packets make the same bytes.

    Args:
        path: Where.
        kind: The container.
        metadata: Tags of the whole file.
    """
    # Else Matroska would draw numbers at random.
    options = {"fflags": "+bitexact"}
    if kind in ("mp4", "mov"):
        options["movflags"] = "+faststart"
    output = av.open(os.fspath(path), "w", format=_FORMATS[kind], options=options)
    output.metadata.update(metadata)
    return output


class TrackCopy:
    """Packets of some tracks into another file, with their times from zero.

    Args:
        source: Where they come from.
        output: Where they go.
        tracks: Those that are copied.
    """

    def __init__(
        self, source: InputContainer, output: OutputContainer, tracks: Iterable[Stream]
    ) -> None:
        self._output = output
        self._start = start_of(source)
        self._to: dict[int, Any] = {}
        for track in tracks:
            copied = output.add_stream_from_template(track)
            copied.metadata.update(track.metadata)
            self._to[track.index] = copied

    def mux(self, packet: "Packet[Stream]") -> None:
        """Copy a packet."""
        shift = round(self._start / (packet.time_base or Fraction(1)))
        if packet.dts is not None:
            packet.dts -= shift
        if packet.pts is not None:
            packet.pts -= shift
        packet.stream = self._to[packet.stream.index]
        self._output.mux(packet)

    def finish(self) -> None:
        """Nothing is left: packets are written as they come."""


def seconds_of(container: InputContainer, stream: VideoStream) -> float | None:
    """Return the length of a video if its file tells."""
    if container.duration:
        return container.duration / av.time_base
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return None
