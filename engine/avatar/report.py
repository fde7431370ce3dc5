"""The report on an avatar's loops and transitions: one HTML page and two films beside it."""

from collections.abc import Callable
from pathlib import Path

from engine.avatar.measures import encoded_bytes, measure, natural_steps, repetitions
from engine.avatar.pack import Pack
from engine.avatar.preview import random_changes, write_preview
from engine.avatar.report_page import Report, page
from engine.avatar.report_words import Play
from engine.avatar.strips import sample_jumps, strips, worst_jumps
from engine.avatar.written import OutputNotWritten, written_whole
from engine.motion.graph import MotionGraph

Progress = Callable[[float], None]
"""Takes how much is done, from 0 to 1."""


def write_report(
    name: str,
    graph_pack: Pack,
    plain_pack: Pack,
    target: Path,
    seconds: float = 60.0,
    seed: int = 1,
    on_progress: Progress = lambda _: None,
) -> list[Path]:
    """Write a report on how an avatar's clips are joined.

    The page needs nothing but itself. It plays two films that are written beside it, with the
    same changes of state: one through the motion graph, one with hard cuts.

    Args:
        name: Of the avatar, for people.
        graph_pack: The pack with the motion graph.
        plain_pack: The pack without, of the same clips.
        target: The HTML file; it appears when it is whole.
        seconds: How long the avatar is played, for the figures and the films.
        seed: Of the walks and the changes of state.
        on_progress: Takes how much is done, from 0 to 1.

    Returns:
        The files that were written, the page first.

    Raises:
        OutputNotWritten: Something cannot be written there.
        ValueError: The first pack has no motion graph.
    """
    packed = graph_pack.graph
    if packed is None:
        raise ValueError("a report is on a pack with a motion graph")
    if target.suffix.lower() not in {".html", ".htm"}:
        raise OutputNotWritten(
            f"'{target}' cannot be written: reports are HTML files.",
            f"Name it '{target.with_suffix('.html').name}'.",
        )
    graph = packed.graph
    # Looked for first: without a place to write to, minutes of work would be lost.
    with written_whole(target) as temporary:
        plays = tuple(
            _play(pack, graph, film, seconds, seed, _share(on_progress, 0.45 * number, 0.45))
            for number, (pack, film) in enumerate(
                [
                    (graph_pack, target.with_suffix(".mp4")),
                    (plain_pack, target.with_name(f"{target.stem}-cuts.mp4")),
                ]
            )
        )
        worst = tuple(strips(graph_pack, packed, worst_jumps(graph)))
        on_progress(0.95)
        samples = tuple(strips(graph_pack, packed, sample_jumps(graph)))
        report = Report(
            name=name,
            size=graph_pack.size,
            fps=graph_pack.fps,
            poster=graph_pack.poster,
            graph=graph,
            spacing=packed.spacing,
            hidden=plays[0],
            cuts=plays[1],
            worst=worst,
            samples=samples,
            seconds=seconds,
            seed=seed,
        )
        temporary.write_text(page(report), encoding="utf-8")
    on_progress(1.0)
    return [target, *(target.with_name(play.film) for play in plays)]


def _play(
    pack: Pack, graph: MotionGraph, film: Path, seconds: float, seed: int, on_progress: Progress
) -> Play:
    write_preview(pack, film, seconds, seed)
    changes = random_changes(pack, seconds, seed)
    played = measure(pack, natural_steps(graph), seconds, seed, changes, on_progress)
    return Play(film.name, played, repetitions(pack, seed), encoded_bytes(pack))


def _share(on_progress: Progress, start: float, share: float) -> Progress:
    return lambda done: on_progress(start + share * done)
