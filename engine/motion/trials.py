"""Trying bridges on small grey pictures, and making the chosen ones at full size."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from engine.motion.bridges import Picture, bridge, grey_bridge, variance_of_laplacian
from engine.motion.features import FaceFinder, step
from engine.motion.flow import Flow, Motion, aligning_flows, motion_between
from engine.motion.graph import Jump, JumpKind, MotionSettings
from engine.motion.nodes import ClipSource, PreparedClip

MIN_TRUST = 0.45
"""Share of consistent flow below which a morph would be a mess, and a short bridge is better."""

_LONGER = 0.05
"""What a longer bridge must gain for each of its pictures."""

_LOST_SCORE = 0.1
_STEP_PER_DIFFERENCE = 1.6
"""Largest step of a bridge of n pictures, times n + 1, over the step of a hard cut (measured)."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a bridge is like, found out on small grey pictures.

    Attributes:
        steps: From exit to entry.
        trust: Share of consistent flow.
        sharpness: Smallest, as a share of the ends' mean.
    """

    steps: tuple[float, ...]
    trust: float
    sharpness: float

    def cost(self, natural_step: float, max_step: float) -> float:
        """Return the price of the bridge; 1 is just good."""
        size = (max(self.steps) / (max_step * natural_step)) ** 2
        return size + 2.0 * max(0.0, 0.6 - self.trust)


def initial_flows(
    first: PreparedClip, exit_: int, second: PreparedClip, entry: int
) -> tuple[Flow, Flow] | None:
    """Return flows that bring the landmarks of two pictures together, where both have a face."""
    marks = first.features.landmarks, second.features.landmarks
    if marks[0] is None or marks[1] is None:
        return None
    return aligning_flows(marks[0][exit_], marks[1][entry], first.features.grey.shape[1:3])


def motion_of(first: PreparedClip, exit_: int, second: PreparedClip, entry: int) -> Motion:
    """Compute the dense motion from an exit to an entry.

    Where it cannot be trusted at all (another person, another place) it is set to none, so that
    one picture gives way to the other quickly instead of being smeared.
    """
    motion = motion_between(
        first.features.grey[exit_],
        second.features.grey[entry],
        initial_flows(first, exit_, second, entry),
    )
    if motion.trusted >= MIN_TRUST:
        return motion
    none = np.zeros_like(motion.forward)
    return replace(motion, forward=none, backward=none)


def render(
    jump: Jump, clips: Sequence[PreparedClip], sources: Sequence[ClipSource]
) -> list[Picture]:
    """Return the bridge pictures of a jump at full size."""
    motion = motion_of(clips[jump.source], jump.exit, clips[jump.target], jump.entry)
    first = sources[jump.source].pictures[jump.exit]
    second = sources[jump.target].pictures[jump.entry]
    return bridge(first, second, motion, jump.length)


def _try(
    first: PreparedClip,
    exit_: int,
    second: PreparedClip,
    entry: int,
    length: int,
    motion: Motion,
) -> Trial:
    ends = first.features.grey[exit_], second.features.grey[entry]
    between = grey_bridge(*ends, motion, length)
    row = [ends[0], *between, ends[1]]
    steps = tuple(step(before, after) for before, after in pairwise(row))
    sharp = [variance_of_laplacian(picture) for picture in row]
    share = min(sharp[1:-1]) / max((sharp[0] + sharp[-1]) / 2, 1e-6)
    return Trial(steps, motion.trusted, share)


def best_jump(
    kind: JumpKind,
    first: PreparedClip,
    exit_: int,
    second: PreparedClip,
    entries: Iterable[int],
    settings: MotionSettings,
    lengths: Sequence[int],
    faces: FaceFinder | None,
) -> Jump:
    """Try entries in order until a bridge is good; return the best that was seen.

    Args:
        kind: Of the jump; loops are made as short as may be.
        first, exit_: Where it leaves.
        second, entries: Where it may go, the likeliest first; at least one.
        settings: How jumps are made.
        lengths: Of bridges that may be tried, ascending.
        faces: Checks that faces stay faces; optional.

    Returns:
        A jump whose clip numbers are still to be set.
    """
    natural = max(first.node.natural_step, second.node.natural_step)
    limit = settings.max_step * natural
    best: Jump | None = None
    for entry in entries:
        motion = motion_of(first, exit_, second, entry)
        cut = step(first.features.grey[exit_], second.features.grey[entry])
        length = _length_for(0.9 * _STEP_PER_DIFFERENCE * cut / limit, lengths)
        if kind is JumpKind.LOOP or motion.trusted < MIN_TRUST:
            length = lengths[0]
        found: Jump | None = None
        while True:
            trial = _try(first, exit_, second, entry, length, motion)
            cost = trial.cost(natural, settings.max_step)
            if found is None or cost + _LONGER * (length - found.length) < found.cost:
                found = _jump(kind, exit_, entry, length, cost, trial, natural)
            longer = _length_for(max(trial.steps) * (length + 1) / limit, lengths)
            if cost <= 1.0 or longer <= length or motion.trusted < MIN_TRUST:
                break
            length = longer
        if faces is not None and _face_lost(first, second, found, motion, faces):
            found = replace(found, cost=found.cost + 2.0)
        if best is None or found.cost < best.cost:
            best = found
        if best.cost <= 1.0:
            break
    if best is None:
        raise ValueError("no entry to try")
    return best


def _face_lost(
    first: PreparedClip, second: PreparedClip, jump: Jump, motion: Motion, faces: FaceFinder
) -> bool:
    """Return whether a bridge picture looks much less like a face than both of its ends."""
    ends = first.features.grey[jump.exit], second.features.grey[jump.entry]
    row = [*ends, *grey_bridge(*ends, motion, jump.length)]
    scores = [0.0 if found is None else found[0] for found in map(faces.find, row)]
    return min(scores[2:]) < min(scores[:2]) - _LOST_SCORE


def _length_for(steps: float, lengths: Sequence[int]) -> int:
    """Return the shortest bridge that divides a way into so many steps, or the longest."""
    return next((length for length in lengths if length + 1 >= steps), lengths[-1])


def _jump(
    kind: JumpKind, exit_: int, entry: int, length: int, cost: float, trial: Trial, natural: float
) -> Jump:
    return Jump(
        kind=kind,
        source=0,
        exit=exit_,
        target=0,
        entry=entry,
        length=length,
        cost=round(cost, 4),
        steps=tuple(round(value, 3) for value in trial.steps),
        natural_step=natural,
        trust=round(trial.trust, 3),
        sharpness=round(trial.sharpness, 3),
    )
