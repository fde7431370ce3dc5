"""Film strips: the pictures around a jump as a viewer decodes them, small and as JPEG."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median_low

import av

from engine.avatar.pack import Pack, PackedGraph
from engine.avatar.preview import decoded, preferred
from engine.motion.graph import Jump, MotionGraph, Numbering

BESIDE = 2
"""Pictures shown before the exit and after the entry."""

_LONGER_SIDE = 152
_JPEG_QUALITY = 80
_WORST, _SAMPLES = 12, 12
_APART = 12


@dataclass(frozen=True, slots=True)
class StripPicture:
    """One picture of a strip.

    Attributes:
        clip: Number of its clip in the graph; None for a bridge picture.
        picture: Its number within the clip or within the bridge.
        uri: The picture as a ``data:`` address.
    """

    clip: int | None
    picture: int
    uri: str


@dataclass(frozen=True, slots=True)
class Strip:
    """The pictures around one jump, in the order of play."""

    jump: Jump
    pictures: tuple[StripPicture, ...]


def worst_jumps(graph: MotionGraph, limit: int = _WORST) -> list[Jump]:
    """Return the costliest jumps, the worst first, of neighbouring ones only one."""
    chosen: list[Jump] = []
    for jump in sorted(graph.jumps, key=lambda jump: -jump.cost):
        if len(chosen) == limit:
            break
        if not any(_alike(jump, other) for other in chosen):
            chosen.append(jump)
    return chosen


def sample_jumps(graph: MotionGraph, limit: int = _SAMPLES) -> list[Jump]:
    """Return a jump of middling cost for each kind and each way between states and actions."""
    ways: dict[tuple[str, str, str], list[Jump]] = {}
    for jump in graph.jumps:
        groups = graph.clips[jump.source].group, graph.clips[jump.target].group
        ways.setdefault((jump.kind, *groups), []).append(jump)
    middles = []
    for jumps in ways.values():
        middle = median_low([jump.cost for jump in jumps])
        middles.append(next(jump for jump in jumps if jump.cost == middle))
    return middles[:limit]


def strips(pack: Pack, packed: PackedGraph, jumps: Iterable[Jump]) -> Iterator[Strip]:
    """Make the strips of jumps.

    Args:
        pack: The avatar.
        packed: Its motion graph.
        jumps: Of this graph.
    """
    graph = packed.graph
    numbering = graph.numbering()
    numbers = {jump: number for number, jump in enumerate(graph.jumps)}
    access_units = preferred(pack).access_units
    for jump in jumps:
        places, first = _places(graph, numbering, numbers[jump], packed.keyframes)
        units = (access_units[index] for _, _, index in places)
        frames = list(decoded(pack, units))
        yield Strip(
            jump,
            tuple(
                StripPicture(clip, picture, _uri(frame))
                for (clip, picture, _), frame in zip(places[first:], frames[first:], strict=True)
            ),
        )


_Place = tuple[int | None, int, int]


def _places(
    graph: MotionGraph, numbering: Numbering, number: int, keyframes: frozenset[int]
) -> tuple[Sequence[_Place], int]:
    """Return what to decode, from a keyframe on, and which of it is shown first."""
    jump = graph.jumps[number]
    leaving = graph.clips[jump.source].part_of(jump.exit)
    entering = graph.clips[jump.target].part_of(jump.entry)
    shown = max(leaving.start, jump.exit - BESIDE)
    start = shown
    while numbering.place(jump.source, start) not in keyframes:
        start -= 1
    bridge = numbering.bridges[number]
    lead_in = numbering.place(jump.source, start) - start
    lead_out = numbering.place(jump.target, jump.entry) - jump.entry
    after = range(jump.entry, min(jump.entry + BESIDE + 1, entering.stop))
    places: list[_Place] = [(jump.source, p, lead_in + p) for p in range(start, jump.exit + 1)]
    places += [(None, p, bridge + p) for p in range(jump.length)]
    places += [(jump.target, p, lead_out + p) for p in after]
    return places, shown - start


def _alike(one: Jump, other: Jump) -> bool:
    ways = (one.source, one.target) == (other.source, other.target)
    return ways and abs(one.exit - other.exit) < _APART


def _uri(frame: av.VideoFrame) -> str:
    import cv2

    scale = _LONGER_SIDE / max(frame.width, frame.height)
    small = frame.reformat(
        width=max(2, round(frame.width * scale)),
        height=max(2, round(frame.height * scale)),
        format="bgr24",
        src_colorspace="ITU709",
        interpolation="AREA",
    )
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", small.to_ndarray(), quality)
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
