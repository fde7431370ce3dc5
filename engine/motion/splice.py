"""Encoding the pictures of a motion graph so that bridges cost little.

A bridge that begins with a keyframe would cost more than all its other pictures. So it goes on
from its exit picture instead: the clip's pictures from the last keyframe to the exit are encoded
once more with the bridge behind them. An encoder that looks at no later picture writes the same
bytes for them again (this is checked), so what it writes for the bridge decodes exactly after the
exit picture of the clip, and only that is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.errors import PackError
from engine.motion.bridges import Picture
from engine.motion.graph import Jump, MotionGraph

EncodeGroup = Callable[[Sequence[Picture]], Sequence[bytes]]
"""Encodes pictures (I420) with a new encoder, the first and only the first as a keyframe, into one
access unit each. Equal beginnings must give equal bytes: no look-ahead, no wall clock, one
thread."""


@dataclass(frozen=True, slots=True)
class SplicedPictures:
    """The encoded pictures of a graph.

    Attributes:
        access_units: In the order of ``MotionGraph.numbering()``.
        keyframes: Numbers of those that a decoder can start at.
    """

    access_units: tuple[bytes, ...]
    keyframes: frozenset[int]


def encode_graph(
    graph: MotionGraph,
    picture: Callable[[int, int], Picture],
    bridge: Callable[[Jump], Sequence[Picture]],
    encode: EncodeGroup,
    keyframe_limit: int,
    on_progress: Callable[[float], None] = lambda _: None,
) -> SplicedPictures:
    """Encode all pictures of a graph.

    Args:
        graph: The graph.
        picture: Returns a picture by clip number and number within the clip.
        bridge: Returns the pictures of a jump's bridge.
        encode: Encodes one group of pictures.
        keyframe_limit: A bridge begins with a keyframe only where there would be more pictures
            than this from the last keyframe before it to the next one after it.
        on_progress: Takes how much is done, from 0 to 1.

    Raises:
        PackError: The encoder does not write the same bytes again.
    """
    groups = _groups(graph)
    units: list[bytes] = []
    keyframes: set[int] = set()
    starts: dict[tuple[int, int], int] = {}
    encoded: dict[tuple[int, int], Sequence[bytes]] = {}
    for number, (clip, start, stop) in enumerate(groups):
        group = encode([picture(clip, index) for index in range(start, stop)])
        keyframes.add(len(units))
        units.extend(group)
        encoded[clip, start] = group
        starts.update({(clip, index): start for index in range(start, stop)})
        on_progress(0.3 * (number + 1) / len(groups))
    for number, jump in enumerate(graph.jumps):
        start = starts[jump.source, jump.exit]
        lead_in = [picture(jump.source, index) for index in range(start, jump.exit + 1)]
        if jump.exit > start and len(lead_in) + jump.length > keyframe_limit:
            keyframes.add(len(units))
            units.extend(encode(bridge(jump)))
        else:
            group = encode([*lead_in, *bridge(jump)])
            if list(group[: len(lead_in)]) != list(encoded[jump.source, start][: len(lead_in)]):
                raise PackError("The encoder looks ahead, so bridges cannot go on from clips.")
            units.extend(group[len(lead_in) :])
        on_progress(0.3 + 0.7 * (number + 1) / len(graph.jumps))
    return SplicedPictures(tuple(units), frozenset(keyframes))


def _groups(graph: MotionGraph) -> list[tuple[int, int, int]]:
    """Return (clip, first picture, end) of each group of pictures, in pack order."""
    groups: list[tuple[int, int, int]] = []
    for number, clip in enumerate(graph.clips):
        for part in clip.parts:
            starts = [picture for picture in clip.keyframes if picture in part]
            ends = [*starts[1:], part.stop]
            groups.extend((number, a, b) for a, b in zip(starts, ends, strict=True))
    return groups
