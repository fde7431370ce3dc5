"""What the facts of a clip mean for an avatar, and what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from engine.clips.info import ClipInfo

Level = Literal["error", "warning", "note"]

_SHORTEST, _SHORT, _LONG = 1.0, 3.0, 60.0
_STANDARD_RATES = (24, 25, 30, 48, 50, 60)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a clip that matters for an avatar.

    Attributes:
        level: ``error``: it cannot serve; ``warning``: it will look bad; ``note``: good to know.
        problem: What it is.
        advice: What to do about it.
        options: The options of ``clips prepare`` that mend it, as (name, value), the value empty
            for a switch; None where preparing does not help.
    """

    level: Level
    problem: str
    advice: str
    options: tuple[tuple[str, str], ...] | None = None


def judge_facts(info: ClipInfo) -> Iterator[Finding]:
    """Findings that the facts alone give."""
    yield from _judge_file(info)
    yield from _judge_duration(info)
    yield from _judge_rate(info)
    yield from _judge_size(info)
    yield from _judge_colour(info)


def _judge_file(info: ClipInfo) -> Iterator[Finding]:
    if not info.complete:
        yield Finding(
            "error",
            f"The file is cut off; {info.frames} pictures ({info.duration:.1f} s) are there.",
            "Copy it again, or keep what is there with clips prepare.",
            (),
        )
    if info.codec not in ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4"):
        yield Finding(
            "note",
            f"The codec {info.codec} is unusual for a clip.",
            "It is converted while the avatar is compiled; nothing to do.",
        )
    if info.has_audio:
        yield Finding("note", "The clip has sound.", "It is left out; nothing to do.")
    if info.orientation.clockwise or info.orientation.mirrored:
        mirrored = " and mirrored" if info.orientation.mirrored else ""
        yield Finding(
            "note",
            f"A flag says that the picture is turned by {info.orientation.clockwise} degrees"
            f"{mirrored}.",
            "It is obeyed; nothing to do.",
        )


def _judge_duration(info: ClipInfo) -> Iterator[Finding]:
    if info.duration < _SHORT:
        yield Finding(
            "error" if info.duration < _SHORTEST else "warning",
            f"The clip lasts {info.duration:.1f} s only; its repetition will be seen.",
            "Record 6 to 12 s.",
        )
    elif info.duration > _LONG:
        yield Finding(
            "note",
            f"The clip lasts {info.duration:.0f} s, which makes a large avatar.",
            "6 to 12 s are enough; keep the best part.",
            (("--start", "0"), ("--duration", "12")),
        )


def _judge_rate(info: ClipInfo) -> Iterator[Finding]:
    fps = float(info.fps)
    if info.variable_rate:
        yield Finding(
            "note",
            f"The frame rate varies; {fps:.1f} fps on average.",
            "It is made even while compiling; a camera set to a fixed rate looks smoother.",
            (("--fps", "25"),),
        )
    elif all(abs(fps - rate) > 0.1 for rate in _STANDARD_RATES):
        yield Finding(
            "note",
            f"The frame rate is {fps:.4g} fps, which is no usual one.",
            "Some pictures are repeated or left out to make it even.",
            (("--fps", "25"),),
        )
    if fps < 20:
        yield Finding(
            "warning",
            f"{fps:.1f} fps are too few for smooth movement.",
            "Record at 25 or 30 fps: pictures that are not there cannot be made up.",
        )


def _judge_size(info: ClipInfo) -> Iterator[Finding]:
    least = min(info.width, info.height)
    if least < 480:
        yield Finding(
            "error" if least < 128 else "warning",
            f"The picture is {info.width}x{info.height}, which is blurred at 512x512.",
            "Record at 720p or more, or use a smaller avatar.",
            (("--size", str(max(64, least // 16 * 16))),),
        )
    if max(info.width, info.height) > 4096:
        yield Finding(
            "note",
            f"The picture is very large, {info.width}x{info.height}; compiling it is slow.",
            "Make a smaller copy once.",
            (("--size", "1024"),),
        )
    if info.interlaced:
        yield Finding(
            "warning",
            "The clip is interlaced.",
            "It is deinterlaced while compiling; a progressive recording is sharper.",
            (),
        )


def _judge_colour(info: ClipInfo) -> Iterator[Finding]:
    if info.hdr:
        yield Finding(
            "warning",
            "The clip is HDR; highlights are cut off when it becomes an ordinary picture.",
            "Switch HDR off in the camera; or see whether a darker copy looks better.",
            (("--brightness", "-0.05"),),
        )
    elif info.bit_depth > 8:
        yield Finding(
            "note",
            f"The colours have {info.bit_depth} bits; browsers show 8.",
            "They are converted while compiling; nothing to do.",
        )
