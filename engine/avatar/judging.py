"""What the measures of a clip mean for an avatar, and what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.avatar.clips import ClipInfo
from engine.avatar.measuring import Measures

Level = Literal["error", "warning", "note"]

_SHORTEST, _SHORT, _LONG = 1.0, 3.0, 60.0
_STANDARD_RATES = (24, 25, 30, 48, 50, 60)
_BLACK = 0.97
_FROZEN_STEP = 0.02
_FROZEN_SECONDS = 0.5
_CUT_STEP = 16.0
_FLASH_LEVEL = 18.0
_FLASH_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a clip that matters for an avatar.

    Attributes:
        level: ``error``: it cannot serve; ``warning``: it will look bad; ``note``: good to know.
        problem: What it is.
        advice: What to do about it.
        options: The options of ``clips prepare`` that mend it; later findings override earlier.
    """

    level: Level
    problem: str
    advice: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Loop:
    """Where a clip would loop best.

    Attributes:
        start: Second of the first picture.
        end: Second after the last picture.
        jump: Difference of the picture after the last to the first, in mean steps of the clip; 1 is
            no more than the clip's own movement.
        whole_jump: The same for the whole clip as it is.
    """

    start: float
    end: float
    jump: float
    whole_jump: float


def judge_facts(info: ClipInfo) -> Iterator[Finding]:
    """Findings that the facts alone give."""
    yield from _judge_file(info)
    yield from _judge_duration(info)
    yield from _judge_rate(info)
    yield from _judge_size(info)
    yield from _judge_colour(info)


def judge_pictures(info: ClipInfo, measures: Measures) -> Iterator[Finding]:
    """Findings that need the pictures."""
    missing = info.frames - len(measures.times)
    if missing > 2:
        yield Finding(
            "warning",
            f"{missing} of {info.frames} pictures are damaged and cannot be decoded.",
            "The picture before each stays on screen; export the clip again if that shows.",
        )
    yield from _judge_edges(info, measures)
    yield from _judge_stills(measures)
    yield from _judge_jumps(measures)
    yield from _judge_light(measures)
    yield from _judge_camera(info, measures)
    yield from _judge_faces(info, measures)


def judge_loop(loop: Loop) -> Iterator[Finding]:
    """How well the clip loops."""
    if loop.whole_jump <= 2.0:
        return
    better = loop.jump < 0.6 * loop.whole_jump
    yield Finding(
        "warning" if loop.whole_jump > 6.0 else "note",
        f"The last picture differs from the first {loop.whole_jump:.1f} times as much as pictures"
        " that follow one another.",
        f"The loop is blended, but from {loop.start:.2f} s to {loop.end:.2f} s it differs only"
        f" {loop.jump:.1f} times."
        if better
        else "The loop is blended; end the clip in the pose that it begins with for a better one.",
        (("--start", f"{loop.start:.2f}"), ("--duration", f"{loop.end - loop.start:.2f}"))
        if better
        else (),
    )


def content(info: ClipInfo, measures: Measures) -> tuple[int, int]:
    """First picture and the one after the last, without black at the start and the end."""
    black = np.array(measures.dark) >= _BLACK
    if black.all() or not black.any():
        return 0, len(measures.times)
    shown = np.flatnonzero(~black)
    return int(shown[0]), int(shown[-1]) + 1


def find_loop(info: ClipInfo, measures: Measures) -> Loop | None:
    """The best pair of pictures to loop between; None for a clip too short to choose."""
    first, last = content(info, measures)
    last = min(last, len(measures.thumbnails))
    count = last - first
    shortest = max(int(2.0 * info.fps), count // 2)
    if count < shortest + 2:
        return None
    flat = np.stack(measures.thumbnails[first:last]).reshape(count, -1).astype(np.float32)
    squares = (flat**2).sum(axis=1)
    apart = np.sqrt(np.maximum(0.0, squares[:, None] + squares[None, :] - 2 * flat @ flat.T))
    usual = float(np.median(np.diagonal(apart, 1))) or 1.0
    # A loop from picture a to before picture b follows b-1 by a, so b should look like a.
    allowed = np.triu(np.ones_like(apart, bool), shortest)
    a, b = np.unravel_index(np.argmin(np.where(allowed, apart, np.inf)), apart.shape)
    times = measures.times
    return Loop(
        times[first + int(a)],
        times[first + int(b)],
        float(apart[a, b]) / usual,
        float(apart[0, -1]) / usual,
    )


def _judge_file(info: ClipInfo) -> Iterator[Finding]:
    if not info.complete:
        yield Finding(
            "error",
            f"The file is cut off; {info.frames} pictures ({info.duration:.1f} s) are there.",
            "Copy it again, or keep what is there with clips prepare.",
            (("", ""),),
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
