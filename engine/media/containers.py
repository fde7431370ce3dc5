"""The kinds of video files that are made, and what each can hold."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from engine.errors import InvalidInput
from engine.media.container_names import ContainerName, FileKind

SOUND_CODECS: dict[FileKind, frozenset[str]] = {
    "mp4": frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "opus", "flac", "alac"}),
    "webm": frozenset({"opus", "vorbis"}),
    "mov": frozenset({"aac", "mp3", "ac3", "alac", "pcm_s16le", "pcm_s24le"}),
}
"""What can be copied into a file; MKV holds everything."""

_MP4_VIDEO = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mjpeg"})
_FORMATS: dict[FileKind, str] = {"mp4": "mp4", "mkv": "matroska", "webm": "webm", "mov": "mov"}

_TECHNICAL = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration"})
"""Tags that describe the old file and not what is in it."""


class ContainerUnfit(InvalidInput):
    """A container cannot hold the tracks of a video."""


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
    unfit = [name for name in codecs if name not in SOUND_CODECS["mp4"]]
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
