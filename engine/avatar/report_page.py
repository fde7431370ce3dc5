"""The report's page: what was measured, in words, drawings and pictures."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from pathlib import Path
from string import Template

from engine.avatar import report_plots as plots
from engine.avatar.report_plots import GRADES, grade
from engine.avatar.report_words import SHARPNESS_GOAL, Play, figures, verdict
from engine.avatar.strips import Strip, StripPicture
from engine.motion.graph import Jump, JumpKind, MotionGraph

_HERE = Path(__file__).parent
_WORST_ROWS, _BEST_ROWS = 300, 60
_KINDS = {
    JumpKind.LOOP: "loop",
    JumpKind.TRANSITION: "change",
    JumpKind.PASSAGE: "passage",
}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the page shows.

    Attributes:
        name: Of the avatar.
        size: (width, height) in pixels.
        fps: Pictures per second.
        poster: A picture of the avatar as JPEG.
        graph: Its motion graph.
        spacing: Pictures within which a change is meant to begin.
        hidden: Played through the motion graph.
        cuts: Played with hard cuts.
        worst, samples: Film strips.
        seconds: How long it was played.
        seed: Of the play.
    """

    name: str
    size: tuple[int, int]
    fps: Fraction
    poster: bytes
    graph: MotionGraph
    spacing: int
    hidden: Play
    cuts: Play
    worst: tuple[Strip, ...]
    samples: tuple[Strip, ...]
    seconds: float
    seed: int


def page(report: Report) -> str:
    """Return the report as one HTML document that refers to nothing but its two films."""
    words = verdict(report.graph, report.hidden.played)
    template = Template((_HERE / "report.html").read_text(encoding="utf-8"))
    natural = max(clip.natural_step for clip in report.graph.clips)
    top = 1.1 * max(natural, *report.hidden.played.steps, *report.cuts.played.steps)
    fps = float(report.fps)
    poster = base64.b64encode(report.poster).decode("ascii")
    return template.substitute(
        style=(_HERE / "report.css").read_text(encoding="utf-8"),
        name=escape(report.name),
        facts=escape(_facts(report)),
        poster=f"data:image/jpeg;base64,{poster}",
        level=words.level,
        verdict=escape(words.title),
        explanation=escape(words.text),
        cards="".join(_cards(report)),
        advice=_advice(report.graph),
        seconds=f"{report.seconds:g}",
        seed=report.seed,
        hidden_film=escape(report.hidden.film),
        cuts_film=escape(report.cuts.film),
        hidden_plot=plots.steps_plot(
            report.hidden.played, fps, natural, top, "Steps with loops and transitions"
        ),
        cuts_plot=plots.steps_plot(report.cuts.played, fps, natural, top, "Steps with hard cuts"),
        figures="".join(_figure_rows(report)),
        graph_plot=plots.graph_plot(report.graph, fps),
        grades="".join(_legend()),
        worst="".join(_strip(report, strip) for strip in report.worst),
        samples="".join(_strip(report, strip) for strip in report.samples),
        sharpness_plot=plots.sharpness_plot(report.graph.jumps, SHARPNESS_GOAL),
        rows="".join(_rows(report)),
    )


def _facts(report: Report) -> str:
    clips, jumps = report.graph.clips, report.graph.jumps
    seconds = sum(clip.count for clip in clips) / float(report.fps)
    width, height = report.size
    return (
        f"{_count(len(clips), 'clip')} · {seconds:.1f} s · {width}×{height} ·"
        f" {float(report.fps):g} pictures per second · {_count(len(jumps), 'jump')}"
    )


def _cards(report: Report) -> Iterator[str]:
    for figure in figures(report.hidden, report.cuts, report.graph, report.fps):
        if figure.card:
            yield (
                f'<div class="card"><p>{escape(figure.card)}</p>'
                f"<strong>{escape(figure.hidden)}</strong>"
                f"<span>{escape(figure.beside)}</span></div>"
            )


def _figure_rows(report: Report) -> Iterator[str]:
    for figure in figures(report.hidden, report.cuts, report.graph, report.fps):
        mark = "" if figure.met is None else ("reached" if figure.met else "missed")
        yield (
            f'<tr><th scope="row">{escape(figure.name)}</th>'
            f"<td>{escape(figure.hidden)}</td><td>{escape(figure.cuts)}</td>"
            f'<td>{escape(figure.goal)}</td><td class="{mark}">{mark}</td></tr>'
        )


def _advice(graph: MotionGraph) -> str:
    if not graph.warnings:
        return (
            '<p class="nothing">Nothing. Nothing was found in the clips that would keep them from'
            " being joined well.</p>"
        )
    return f'<ul class="advice">{"".join(f"<li>{escape(w)}</li>" for w in graph.warnings)}</ul>'


def _legend() -> Iterator[str]:
    for key, words in GRADES.items():
        yield f'<span class="key grade-{key}">{words}</span>'


def _strip(report: Report, strip: Strip) -> str:
    graph, jump, fps = report.graph, strip.jump, float(report.fps)
    pictures, moment = [], 0
    for picture in strip.pictures:
        after_exit = picture.clip is None or moment > 0
        moment += after_exit
        step = jump.steps[moment - 1] if 0 < moment <= len(jump.steps) else None
        pictures.append(_strip_picture(graph, jump, picture, step, fps))
    return (
        f'<article class="strip grade-{grade(jump)}"><header><h3>{_way(graph, jump, fps)}</h3>'
        f'<p><span class="key grade-{grade(jump)}">{GRADES[grade(jump)]}</span>'
        f" cost {jump.cost:.2f} · sharpness {jump.sharpness:.0%}"
        f" · motion trusted in {jump.trust:.0%}</p></header>"
        f'<div class="film">{"".join(pictures)}</div></article>'
    )


def _strip_picture(
    graph: MotionGraph, jump: Jump, picture: StripPicture, step: float | None, fps: float
) -> str:
    made = picture.clip is None
    label = f"made {picture.picture + 1}"
    if picture.clip is not None:
        label = f"{graph.clips[picture.clip].group} {picture.picture / fps:.2f} s"
    ratio = "" if step is None else f"<b>{step / jump.natural_step:.2f}×</b>"
    return (
        f"<figure{' class=made' if made else ''}>"
        f'<img src="{picture.uri}" alt="{escape(label)}">'
        f"<figcaption>{escape(label)}{ratio}</figcaption></figure>"
    )


def _rows(report: Report) -> Iterator[str]:
    jumps = sorted(report.graph.jumps, key=lambda jump: -jump.cost)
    shown: Sequence[Jump] = jumps
    left_out = len(jumps) - _WORST_ROWS - _BEST_ROWS
    if left_out > 0:
        shown = jumps[:_WORST_ROWS]
    yield from (_row(report, jump) for jump in shown)
    if left_out > 0:
        yield f'<tr class="gap"><td colspan="7">{_count(left_out, "jump")} between these</td></tr>'
        yield from (_row(report, jump) for jump in jumps[-_BEST_ROWS:])


def _row(report: Report, jump: Jump) -> str:
    return (
        f'<tr class="kind-{jump.kind} grade-{grade(jump)}">'
        f'<td><span class="key grade-{grade(jump)}">{GRADES[grade(jump)]}</span></td>'
        f"<td>{_KINDS[jump.kind]}</td>"
        f"<td>{_way(report.graph, jump, float(report.fps))}</td>"
        f"<td>{jump.length}</td><td>{jump.cost:.2f}</td><td>{jump.largest_step:.2f}×</td>"
        f"<td>{jump.sharpness:.0%}</td></tr>"
    )


def _way(graph: MotionGraph, jump: Jump, fps: float) -> str:
    source, target = graph.clips[jump.source], graph.clips[jump.target]
    return (
        f"{escape(source.name)} <em>{jump.exit / fps:.2f} s</em> →"
        f" {escape(target.name)} <em>{jump.entry / fps:.2f} s</em>"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
