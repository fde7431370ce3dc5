"""Where a clip loops best, and how well."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.clips.findings import Finding
from engine.clips.info import ClipInfo
from engine.clips.measuring import Measures

_SHORTEST_SECONDS = 3.0
_SHORTEST_PART = 0.6


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


def find_loop(info: ClipInfo, measures: Measures) -> Loop | None:
    """The best pair of pictures to loop between; None for a clip too short to choose."""
    first, last = measures.content()
    last = min(last, len(measures.thumbnails))
    count = last - first
    shortest = max(int(_SHORTEST_SECONDS * info.fps), int(_SHORTEST_PART * count))
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
        else None,
    )
