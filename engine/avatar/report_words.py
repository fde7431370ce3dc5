"""What the figures of a report mean, in words for people who do not read plots."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from engine.avatar.measures import Played
from engine.avatar.report_plots import grade
from engine.motion.graph import MotionGraph

SHARPNESS_GOAL = 0.8
STEP_GOAL, LARGEST_STEP_GOAL = 1.0, 1.3
REPETITION_GOAL = 3
SIZE_GOAL = 3.0

_FEW, _MANY = 0.05, 0.2


@dataclass(frozen=True, slots=True)
class Play:
    """One way of playing an avatar, measured.

    Attributes:
        film: Name of the MP4 file beside the page.
        played: The figures of the film.
        repetitions: How often the most frequent 3 s come in 10 minutes of rest.
        size: Of all its encoded pictures, in bytes.
    """

    film: str
    played: Played
    repetitions: int
    size: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """How good an avatar is, in one glance.

    Attributes:
        level: ``good``, ``fair`` or ``rough``.
        title: In one short sentence.
        text: What that means.
    """

    level: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table of figures.

    Attributes:
        name: What is measured.
        hidden: With loops and transitions.
        cuts: With hard cuts.
        goal: What it should be; empty where there is no goal.
        met: Whether that is reached; None without a goal.
        card: Its short name among the most important figures; empty if it is not one of them.
        beside: What is said below it there.
    """

    name: str
    hidden: str
    cuts: str
    goal: str = ""
    met: bool | None = None
    card: str = ""
    beside: str = ""


def verdict(graph: MotionGraph, played: Played) -> Verdict:
    """Judge an avatar by all its jumps, and by the seams of the time it was played."""
    seen = sum(grade(jump) == "rough" for jump in graph.jumps) / max(1, len(graph.jumps))
    usual, largest = played.ratio(95), played.ratio(100)
    joins = (
        f"It was played with {len(played.seams)} joins between pictures that were not recorded one"
        f" after the other. The largest was {largest:.1f} times the quickest movement that is"
        " natural in the clips"
    )
    if seen <= _FEW and usual <= STEP_GOAL and largest <= LARGEST_STEP_GOAL:
        text = (
            f"{joins}: in size it passes for a movement of the person. The film strips below show"
            " what no figure does."
        )
        return Verdict("good", "The joins between the clips are well hidden.", text)
    if seen <= _MANY and usual <= LARGEST_STEP_GOAL:
        text = f"{joins}. {seen:.0%} of all possible joins can be seen by those who look for them."
        return Verdict("fair", "Most joins are hidden; a few can be seen.", text)
    text = f"{joins}. {seen:.0%} of all possible joins can be seen. What helps is listed below."
    return Verdict("rough", "Some joins can be seen.", text)


def figures(hidden: Play, cuts: Play, graph: MotionGraph, fps: Fraction) -> Iterator[Figure]:
    """Yield the figures of a report, the most important ones first."""
    ratios = [(play.played.ratio(95), play.played.ratio(100)) for play in (hidden, cuts)]
    yield Figure(
        name="Largest step at a join, in natural steps",
        hidden=f"{ratios[0][1]:.2f}×",
        cuts=f"{ratios[1][1]:.2f}×",
        goal=f"{LARGEST_STEP_GOAL:g}× or less",
        met=ratios[0][1] <= LARGEST_STEP_GOAL,
        card="Largest join",
        beside=f"of the natural step; hard cuts: {ratios[1][1]:.2f}×",
    )
    yield Figure(
        name="The same, for 95% of the joins",
        hidden=f"{ratios[0][0]:.2f}×",
        cuts=f"{ratios[1][0]:.2f}×",
        goal=f"{STEP_GOAL:g}× or less",
        met=ratios[0][0] <= STEP_GOAL,
    )
    sharpness = min((jump.sharpness for jump in graph.jumps), default=1.0)
    yield Figure(
        name="Sharpness of the softest made picture, against its neighbours",
        hidden=f"{sharpness:.0%}",
        cuts="none made",
        goal=f"{SHARPNESS_GOAL:.0%} or more",
        met=sharpness >= SHARPNESS_GOAL,
        card="Softest made picture",
        beside="as sharp as its neighbours",
    )
    yield Figure(
        name="Most frequent 3 seconds in 10 minutes of rest",
        hidden=_times(hidden.repetitions),
        cuts=_times(cuts.repetitions),
        goal=f"{REPETITION_GOAL} times or less",
        met=hidden.repetitions <= REPETITION_GOAL,
        card="Same 3 seconds at rest",
        beside=f"in 10 minutes; hard cuts: {_times(cuts.repetitions)}",
    )
    waits = [max(play.played.waits, default=0) for play in (hidden, cuts)]
    yield Figure(
        name="Longest wait until a requested change began",
        hidden=_pictures(waits[0]),
        cuts=_pictures(waits[1]),
        card="Longest wait for a change",
        beside=f"{waits[0] / float(fps):.2f} seconds",
    )
    ratio = hidden.size / max(1, cuts.size)
    yield Figure(
        name="Size of the pictures, against the clips alone",
        hidden=f"{hidden.size / 1e6:.1f} MB ({ratio:.1f}×)",
        cuts=f"{cuts.size / 1e6:.1f} MB",
        goal=f"{SIZE_GOAL:g}× or less for two clips",
        met=None if len(graph.groups) > 2 else ratio <= SIZE_GOAL,
    )


def _pictures(number: int) -> str:
    return f"{number} picture{'' if number == 1 else 's'}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
