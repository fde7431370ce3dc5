"""Chains of libavfilter filters over decoded pictures."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import av.error
from av.filter import Graph
from av.video.frame import VideoFrame

MICROSECOND = Fraction(1, 1_000_000)
"""The time base of every picture inside a chain."""

Step = tuple[str, str]
"""A filter's name and its arguments."""


def picture_key(frame: VideoFrame) -> tuple[object, ...]:
    """What a chain is built for: pictures whose keys differ need chains of their own."""
    return (
        frame.width,
        frame.height,
        frame.format.name,
        int(frame.colorspace),
        int(frame.color_range),
        int(frame.color_primaries),
        int(frame.color_trc),
    )


def build_graph(frame: VideoFrame, steps: Sequence[Step], threads: int = 1) -> Graph:
    """A chain for pictures that are like ``frame`` in size, format and colour."""
    graph = Graph()
    graph.threads = threads
    source = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base=f"{MICROSECOND.numerator}/{MICROSECOND.denominator}",
        pixel_aspect="1/1",
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
    )
    filters = [graph.add(name, arguments) for name, arguments in steps]
    graph.link_nodes(source, *filters, graph.add("buffersink")).configure()
    return graph


def pull_all(graph: Graph) -> Iterator[VideoFrame]:
    """The pictures that a chain has ready."""
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
