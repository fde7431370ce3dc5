"""What a clip is: its facts and its fingerprint.

Everything here streams: a clip is never held in memory, whatever its length.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from engine.clips.opening import (
    MAX_PIXELS,
    ClipTruncated,
    check_size,
    damaged,
    decode_frames,
    missing,
    opened,
    stream_pixel_aspect,
    too_short,
)
from engine.clips.orientation import Orientation
from engine.clips.timeline import LONGEST_STILL

HDR_TRANSFERS = frozenset({16, 18})
"""FFmpeg's numbers of the transfer curves PQ (SMPTE ST 2084) and HLG (ARIB STD-B67)."""


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """The facts of one clip, as its packets and its first pictures tell them.

    Attributes:
        path: Where the clip is.
        container: Short name of the container, e.g. ``mp4``.
        codec: Short name of the codec, e.g. ``h264``.
        pixel_format: FFmpeg's name of the pixel format, e.g. ``yuv420p10le``.
        width: Width in pixels as displayed: after rotation, with square pixels.
        height: Height in pixels as displayed.
        orientation: How the stored pictures are turned to be displayed.
        pixel_aspect: Width of a stored pixel divided by its height.
        fps: Average pictures per second.
        variable_rate: The steps between pictures are not all alike.
        duration: Seconds from the first picture to the end of the last.
        frames: Number of pictures.
        has_audio: The file also holds sound.
        size_bytes: Size of the file.
        interlaced: The pictures are made of two fields.
        bit_depth: Bits of one colour component.
        hdr: The transfer curve is one of HDR (PQ or HLG).
        colorspace: FFmpeg's number of the YCbCr matrix (0 RGB, 1 BT.709, 2 not said, 5 and 6
            BT.601, 9 BT.2020).
        full_range: Components use all of their range (as in JPEG), not the television range.
        complete: The file holds all that its container promises.
    """

    path: Path
    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    orientation: Orientation
    pixel_aspect: Fraction
    fps: Fraction
    variable_rate: bool
    duration: float
    frames: int
    has_audio: bool
    size_bytes: int
    interlaced: bool
    bit_depth: int
    hdr: bool
    colorspace: int
    full_range: bool
    complete: bool

    @property
    def aspect(self) -> float:
        """Width of the displayed picture divided by its height."""
        return self.width / self.height

    @property
    def upright_pixel_aspect(self) -> Fraction:
        """Width of a pixel divided by its height once the picture is turned upright."""
        return 1 / self.pixel_aspect if self.orientation.lying else self.pixel_aspect


def fingerprint(path: Path) -> str:
    """The SHA-256 of a clip's contents, in hexadecimal.

    Raises:
        ClipMissing: There is no such file.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise missing(path, error) from error


def read_info(
    path: Path, *, max_pixels: int = MAX_PIXELS, allow_truncated: bool = False
) -> ClipInfo:
    """Read the facts of a clip and check that it can serve.

    All packets are read but not decoded, so the number of pictures and the duration are counted
    and not believed; two pictures are decoded, so the codec is known to work.

    Args:
        path: The clip.
        max_pixels: Largest accepted width x height, as stored. The default accepts 8K: pictures
            are decoded and scaled down one after another, so the memory stays bounded.
        allow_truncated: Accept a clip whose end is missing; ``complete`` is then false.

    Raises:
        ClipMissing, ClipEmpty, NotAVideo, ClipWithoutPicture, ClipTooShort, ClipTooLarge,
        ClipTruncated, ClipDamaged: Each names the file and says what to do about it.
    """
    with opened(path) as (container, stream):
        check_size(path, stream.codec_context.width, stream.codec_context.height, max_pixels)
        timing = _read_timing(container, stream)
        complete = timing.complete(container, stream)
        if not (complete or allow_truncated):
            raise _truncated(path, timing, stream)
    with opened(path) as (container, stream):
        frame = _first_picture(path, decode_frames(container, stream))
        pixel_aspect = stream_pixel_aspect(stream)
        orientation = Orientation.of_frame(frame)
        width, height = orientation.size(round(frame.width * pixel_aspect), frame.height)
        return ClipInfo(
            path=path,
            container=_container_name(container, stream),
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=frame.format.name,
            width=width,
            height=height,
            orientation=orientation,
            pixel_aspect=pixel_aspect,
            fps=timing.fps,
            variable_rate=timing.variable,
            duration=timing.duration,
            frames=timing.frames,
            has_audio=bool(container.streams.audio),
            size_bytes=path.stat().st_size,
            interlaced=frame.interlaced_frame,
            bit_depth=max(component.bits for component in frame.format.components),
            hdr=int(frame.color_trc) in HDR_TRANSFERS,
            colorspace=int(frame.colorspace),
            full_range=int(frame.color_range) == 2,
            complete=complete,
        )


@dataclass(frozen=True, slots=True)
class _Timing:
    """What the packets of a stream tell without decoding one."""

    packets: int
    frames: int
    duration: float
    end: float
    fps: Fraction
    variable: bool
    broken: bool

    def complete(self, container: InputContainer, stream: VideoStream) -> bool:
        declared = _declared_end(container, stream)
        missing = declared - max(self.end, self.duration) > max(0.5, 0.02 * declared)
        return not (self.broken or missing or stream.frames > self.packets)


def _read_timing(container: InputContainer, stream: VideoStream) -> _Timing:
    times: list[int] = []
    packets = frames = last_duration = 0
    broken = cut = False
    demuxer = container.demux(stream)
    while True:
        try:
            packet = next(demuxer)
        except StopIteration:
            break
        except av.error.FFmpegError:
            broken = True
            break
        if not packet.size:
            continue
        packets += 1
        cut = packet.is_corrupt
        if packet.is_discard:
            continue
        frames += 1
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None:
            times.append(time)
            last_duration = packet.duration or 0
    rate = stream.guessed_rate or stream.average_rate or Fraction(25)
    times.sort()
    steps = np.diff(np.array(times))
    if len(times) < frames or not steps.any() or stream.time_base is None:
        seconds = float(frames / rate)
        return _Timing(packets, frames, seconds, seconds, rate, False, broken or cut)
    usual = int(np.median(steps[steps > 0]))
    # As in the timeline of the decoded pictures: steps that stand still or jump are usual ones.
    jumps = (steps == 0) | (steps > LONGEST_STILL / stream.time_base)
    variable = np.mean(np.abs(steps - usual) > 0.25 * usual) > 0.01
    end = (times[-1] + (last_duration or usual)) * stream.time_base
    span = (int(np.where(jumps, usual, steps).sum()) + (last_duration or usual)) * stream.time_base
    measured = frames / span
    near = abs(measured - rate) < rate / 100
    fps = rate if near and not variable else measured.limit_denominator(1001)
    return _Timing(packets, frames, float(span), float(end), fps, bool(variable), broken or cut)


def _declared_end(container: InputContainer, stream: VideoStream) -> float:
    """The second at which the container says that the pictures end; 0 where it does not say.

    Where it counts pictures that count is better, and where it says one duration for everything
    the sound may be what lasts so long.
    """
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    if stream.frames or len(container.streams) > 1 or not (stream.duration and stream.time_base):
        return 0.0
    return float(stream.duration * stream.time_base)


def _first_picture(path: Path, frames: Iterator[VideoFrame]) -> VideoFrame:
    """The first picture that decodes, where another one follows it."""
    first = next(frames, None)
    if first is None:
        raise damaged(path)
    if next(frames, None) is None:
        raise too_short(path)
    return first


def _container_name(container: InputContainer, stream: VideoStream) -> str:
    names = container.format.name.split(",")
    if "mp4" in names:
        return "mov" if container.metadata.get("major_brand", "").strip() == "qt" else "mp4"
    if "webm" in names:
        return "webm" if stream.codec_context.name in {"vp8", "vp9", "av1"} else "matroska"
    return names[0]


def _truncated(path: Path, timing: _Timing, stream: VideoStream) -> ClipTruncated:
    promised = f" of {stream.frames}" if stream.frames else ""
    return ClipTruncated(
        f"The clip '{path}' is cut off: {timing.frames}{promised} pictures"
        f" ({timing.duration:.1f} s) are there, the rest of the file is missing.",
        "Copy it again, or keep what is there with: python server.py clips prepare"
        f" '{path}' NEW.mp4",
        readable=timing.duration,
    )
