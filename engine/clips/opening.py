"""Opening a clip, and everything that can be wrong with it.

No other file and no network address is ever read, whatever a clip names.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.errors import ClipError

MAX_PIXELS = 8192 * 4320
"""The largest picture that is accepted: 8K in both of its usual widths (7680 and 8192)."""

# Only containers that hold their own pictures: a playlist could name other files or addresses.
_CONTAINERS = ",".join(
    (
        *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpegts", "mpeg"),
        *("mpegvideo", "flv", "ogg", "asf", "mxf", "nut", "ivf", "gif", "apng", "yuv4mpegpipe"),
        *("h264", "hevc", "av1", "obu", "m4v", "mjpeg", "dv", "rm", "wtv", "gxf", "jpeg_pipe"),
        *("png_pipe", "webp_pipe", "bmp_pipe", "mp3", "wav", "flac", "aac", "aiff", "caf"),
    )
)
_READABLE = "Use a video file such as MP4, MOV, WebM, MKV or AVI."


class ClipMissing(ClipError):
    """There is no file at the clip's path, or it may not be read."""


class ClipEmpty(ClipError):
    """The file holds no bytes."""


class NotAVideo(ClipError):
    """The file is no video that can be read here."""


class ClipWithoutPicture(ClipError):
    """The file holds sound only."""


class ClipTooShort(ClipError):
    """The clip holds fewer than two pictures."""


class ClipTooLarge(ClipError):
    """A picture of the clip has more pixels than allowed."""


class ClipTruncated(ClipError):
    """The file ends before the clip does.

    Args:
        readable: Seconds from the beginning that are there.
    """

    def __init__(self, description: str, hint: str = "", readable: float = 0.0) -> None:
        super().__init__(description, hint)
        self.readable = readable


class ClipDamaged(ClipError):
    """The file is a video, but its pictures cannot be decoded."""


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a clip and choose its moving picture.

    Raises:
        ClipMissing, ClipEmpty, NotAVideo, ClipTruncated, ClipWithoutPicture, ClipDamaged: Each
            names the file and says what to do about it.
    """
    _check_file(path)
    try:
        container = av.open(
            f"file:{path}",
            options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except av.error.FFmpegError as error:
        raise _unreadable(path, error) from error
    with container:
        yield container, _moving_picture(path, container)


def decode_frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Decode from the container's present position; damaged packets and pictures are left out."""
    demuxer = container.demux(stream)
    while True:
        try:
            packet = next(demuxer)
        except (StopIteration, av.error.FFmpegError):
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        for frame in frames:
            if not frame.is_corrupt:
                yield frame


def check_size(path: Path, width: int, height: int, max_pixels: int = MAX_PIXELS) -> None:
    """Refuse pictures of more pixels than allowed.

    Raises:
        ClipTooLarge: ``width * height`` is above ``max_pixels``.
    """
    if width * height > max_pixels:
        raise ClipTooLarge(
            f"The pictures of the clip '{path}' have {width}x{height} pixels, and at most"
            f" {max_pixels / 1e6:.1f} million pixels are allowed.",
            "Export it at 3840x2160 or smaller.",
        )


def too_short(path: Path) -> ClipTooShort:
    """The error for a clip of one picture, or of none that is left."""
    return ClipTooShort(
        f"The clip '{path}' holds a single picture, and a clip needs at least 2.",
        "Record a few seconds of movement; 6 to 12 s are best.",
    )


def stream_pixel_aspect(stream: VideoStream) -> Fraction:
    """Width of a stored pixel divided by its height; 1 where it is not said or makes no sense."""
    aspect = stream.sample_aspect_ratio
    if not aspect or not Fraction(1, 8) <= aspect <= 8:
        return Fraction(1)
    return Fraction(aspect)


def damaged(path: Path) -> ClipDamaged:
    """The error for a clip none of whose pictures can be decoded."""
    return ClipDamaged(
        f"No picture of the clip '{path}' can be decoded.",
        "The file is damaged: copy or export it again.",
    )


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise missing(path, error) from error
    if path.is_dir():
        raise NotAVideo(f"'{path}' is a folder, not a video file.", _READABLE)
    if not path.is_file():
        raise NotAVideo(f"'{path}' is a device or a pipe, not a video file.", _READABLE)
    if size == 0:
        raise ClipEmpty(
            f"The clip '{path}' is empty (0 bytes).",
            "Copy it again; the copy or download was probably interrupted.",
        )


def missing(path: Path, error: OSError) -> ClipMissing:
    """The error for a clip that the system does not give out."""
    if isinstance(error, PermissionError):
        return ClipMissing(
            f"The clip '{path}' may not be read.", f"Allow it, e.g. chmod a+r '{path}'."
        )
    return ClipMissing(f"There is no clip '{path}'.", "Check the name and the folder.")


def _unreadable(path: Path, error: av.error.FFmpegError) -> ClipError:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in {b"ftyp", b"mdat", b"wide", b"moov"}:
        return ClipTruncated(
            f"The clip '{path}' is cut off: the index at its end is missing, so nothing of it"
            " can be decoded.",
            "Copy, download or export it again.",
        )
    if isinstance(error, PermissionError):
        return missing(path, error)
    return NotAVideo(f"'{path}' is not a video that can be read.", _READABLE)


def _moving_picture(path: Path, container: InputContainer) -> VideoStream:
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails)
    ]
    if not streams:
        if container.streams.audio:
            raise ClipWithoutPicture(
                f"The clip '{path}' holds sound but no moving picture.",
                "Choose a file with video; sound is not needed.",
            )
        raise NotAVideo(f"'{path}' holds no moving picture.", _READABLE)
    stream = max(streams, key=lambda stream: bool(stream.disposition & Disposition.default))
    if stream.codec_context is None:
        raise NotAVideo(
            f"The pictures of '{path}' are in a codec that cannot be decoded here.",
            "Export it as H.264 in an MP4 file.",
        )
    return stream
