"""The report's drawings as SVG that follows the page's colours."""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import groupby

from engine.avatar.measures import Played
from engine.motion.graph import ClipNode, Jump, MotionGraph
from engine.motion.trials import MIN_TRUST

WIDTH = 1080
_LEFT, _RIGHT = 92, 12

_Scale = Callable[[float], float]
"""From the number of a picture to its place on the drawing."""

_Row = Callable[[int], float]
"""From the number of a clip to the top of its bar."""

FAIR, ROUGH = 1.0, 2.6
"""Costs of jumps: up to which nothing is seen, and from which something is (at the default
``max_step``, a step of 1.3 times the natural one)."""

GRADES = {
    "fine": "very smooth",
    "good": "smooth",
    "fair": "visible to a close look",
    "rough": "can be seen",
}


def grade(jump: Jump) -> str:
    """Return how well a jump is hidden, by its cost and its flow: one of ``GRADES``."""
    if jump.cost > ROUGH or jump.trust < MIN_TRUST:
        return "rough"
    if jump.cost > FAIR:
        return "fair"
    return "good" if jump.cost > FAIR / 2 else "fine"


def steps_plot(played: Played, fps: float, natural: float, top: float, label: str) -> str:
    """Draw how much each picture differs from the one before, over time.

    Args:
        played: What was measured.
        fps: Pictures per second.
        natural: The step that is natural at most, drawn as a line.
        top: The largest value of the axis.
        label: Says what it is to those who cannot see it.
    """
    height, foot = 236, 44
    seconds = len(played.steps) / fps

    def x(number: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * number / fps / seconds

    def y(value: float) -> float:
        return 10 + (height - foot - 10) * (1 - min(value, top) / top)

    line = " ".join(f"{x(n):.1f},{y(v):.1f}" for n, v in enumerate(played.steps) if n)
    parts = [_svg(height, label)]
    parts.append(
        f'<rect class="natural" x="{_LEFT}" y="{y(natural):.1f}" '
        f'width="{WIDTH - _LEFT - _RIGHT}" height="{y(0) - y(natural):.1f}"/>'
    )
    for tick in _ticks(top, 4):
        parts.append(_text(_LEFT - 8, y(tick) + 4, f"{tick:g}", "end"))
    for tick in _ticks(seconds, 10):
        parts.append(_text(x(tick * fps), height - 26, f"{tick:g} s", "middle"))
    parts += [f'<polyline class="steps" points="{line}"/>']
    for seam in played.seams:
        parts.append(
            f'<circle class="{"over" if seam.ratio > 1 else "under"}" r="3.2"'
            f' cx="{x(seam.number):.1f}" cy="{y(seam.step):.1f}"><title>'
            f"{seam.number / fps:.2f} s: {escape(seam.source)} to {escape(seam.target)},"
            f" {seam.ratio:.2f} of the natural step</title></circle>"
        )
    names = tuple(dict.fromkeys(played.states))
    number = 0
    for state, run in groupby(played.states):
        count = len(list(run))
        wide = x(count) - x(0)
        parts.append(
            f'<rect class="state state-{names.index(state) % 4}" x="{x(number):.1f}"'
            f' y="{height - 18}" width="{max(1.0, wide - 1):.1f}" height="16" rx="3"/>'
        )
        if wide > 7 * len(state) + 8:
            parts.append(_text(x(number) + 6, height - 6, state, "start", "state-name"))
        number += count
    parts.append(_text(_LEFT - 8, height - 6, "playing", "end"))
    return "".join([*parts, "</svg>"])


def graph_plot(graph: MotionGraph, fps: float) -> str:
    """Draw the clips as bars over time, and the jumps as arcs between them."""
    pitch, bar, above = 158, 20, 74
    height = above + pitch * (len(graph.clips) - 1) + bar + 62
    longest = max(clip.count for clip in graph.clips)

    def x(picture: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * picture / longest

    def y(clip: int) -> float:
        return above + pitch * clip

    parts = [_svg(height, "The clips and the jumps between their pictures")]
    # The worst are drawn last, on top of the others.
    for jump in sorted(graph.jumps, key=lambda jump: jump.cost):
        parts.append(
            f'<path class="jump kind-{jump.kind} grade-{grade(jump)}"'
            f' d="{_arc(jump, x, y, bar, longest)}"><title>{escape(describe(graph, jump, fps))}'
            "</title></path>"
        )
    for number, clip in enumerate(graph.clips):
        parts.extend(_bar(clip, x, y(number), bar))
    for tick in _ticks(longest / fps, 10):
        parts.append(_text(x(tick * fps), height - 6, f"{tick:g} s", "middle"))
    return "".join([*parts, "</svg>"])


def sharpness_plot(jumps: Sequence[Jump], goal: float) -> str:
    """Draw how many bridges are how sharp, against their neighbours."""
    low, high, bins, height = 0.6, 1.3, 35, 190
    counts = [0] * bins
    for jump in jumps:
        place = int((jump.sharpness - low) / (high - low) * bins)
        counts[min(bins - 1, max(0, place))] += 1
    top = max(1, *counts)

    def x(value: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (value - low) / (high - low)

    parts = [_svg(height, "How sharp the bridges are")]
    wide = (x(high) - x(low)) / bins
    for number, count in enumerate(counts):
        if count:
            tall = (height - 46) * count / top
            value = low + (high - low) * (number + 0.5) / bins
            parts.append(
                f'<rect class="{"over" if value < goal else "column"}" rx="2"'
                f' x="{x(low) + wide * number + 1:.1f}" y="{height - 28 - tall:.1f}"'
                f' width="{wide - 2:.1f}" height="{tall:.1f}"><title>{count} bridges</title></rect>'
            )
    parts.append(
        f'<line class="goal" x1="{x(goal):.1f}" x2="{x(goal):.1f}" y1="8" y2="{height - 28}"/>'
    )
    parts.append(_text(x(goal) + 6, 18, f"goal: {goal:g} or more", "start"))
    for tick in (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3):
        parts.append(_text(x(tick), height - 8, f"{tick:g}", "middle"))
    parts.append(_text(_LEFT - 8, 18, f"{top} bridges", "end"))
    return "".join([*parts, "</svg>"])


def describe(graph: MotionGraph, jump: Jump, fps: float) -> str:
    """Return where a jump leads and how well it is hidden."""
    source, target = graph.clips[jump.source], graph.clips[jump.target]
    return (
        f"{source.name} {jump.exit / fps:.2f} s to {target.name} {jump.entry / fps:.2f} s:"
        f" {GRADES[grade(jump)]}, largest step {jump.largest_step:.2f} of the natural one"
    )


def _arc(jump: Jump, x: _Scale, y: _Row, bar: float, longest: int) -> str:
    start, end = x(jump.exit + 1), x(jump.entry)
    if jump.source == jump.target:
        top = y(jump.source)
        tall = 16 + 76 * abs(jump.exit - jump.entry) / longest
        # A cubic curve rises to three quarters of its control points.
        return (
            f"M{start:.1f},{top}C{start:.1f},{top - tall:.1f}"
            f" {end:.1f},{top - tall:.1f} {end:.1f},{top}"
        )
    down = jump.target > jump.source
    leave = y(jump.source) + (bar if down else 0)
    arrive = y(jump.target) + (0 if down else bar)
    middle = (leave + arrive) / 2
    return (
        f"M{start:.1f},{leave}C{start:.1f},{middle:.1f} {end:.1f},{middle:.1f} {end:.1f},{arrive}"
    )


def _bar(clip: ClipNode, x: _Scale, top: float, tall: float) -> Iterator[str]:
    kind = "action" if clip.is_action else "clip"
    yield (
        f'<rect class="unplayed" x="{x(0):.1f}" y="{top}" rx="4"'
        f' width="{x(clip.count) - x(0):.1f}" height="{tall}"/>'
    )
    for part in clip.parts:
        yield (
            f'<rect class="{kind}" x="{x(part.start):.1f}" y="{top}" rx="4"'
            f' width="{x(part.stop) - x(part.start):.1f}" height="{tall}">'
            f"<title>{escape(clip.name)}</title></rect>"
        )
    for keyframe in clip.keyframes:
        at = f"{x(keyframe):.1f}"
        yield f'<line class="entry" x1="{at}" x2="{at}" y1="{top + 4}" y2="{top + tall - 4}"/>'
    yield _text(_LEFT - 10, top + 9, clip.group, "end", "name")
    yield _text(_LEFT - 10, top + 23, _shortened(clip.name), "end")


def _ticks(top: float, about: int) -> list[float]:
    unit = next((u for u in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 60) if top / u <= about), 120)
    return [unit * n for n in range(int(top / unit + 1e-6) + 1)]


def _shortened(name: str) -> str:
    return name if len(name) <= 14 else name[:13] + "…"


def _svg(height: float, label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label)}">'


def _text(x: float, y: float, text: str, anchor: str, style: str = "tick") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{style}" {place}>{escape(text)}</text>'
