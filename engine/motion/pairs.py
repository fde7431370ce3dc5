"""Linking two clips: every jump from one to the other."""

from dataclasses import dataclass, replace

import numpy as np

from engine.motion import loops
from engine.motion.features import FaceFinder, motion_distances, pair_key
from engine.motion.graph import Jump, JumpKind, MotionSettings
from engine.motion.nodes import PreparedClip
from engine.motion.trials import best_jump

EXIT_PRICE = 0.3
"""What one more exit costs, in the unit of jumps' costs."""

_GOOD_LOOP = 1.0
_FAIR_LOOP = 1.5
_SPARSE = 6
_LAST_LOOPS = 3


def link_transitions(
    first: PreparedClip,
    second: PreparedClip,
    spacing: int,
    settings: MotionSettings,
    faces: FaceFinder | None = None,
) -> list[Jump]:
    """Make jumps from everywhere in one clip into another of another state.

    Returns:
        Jumps whose clip numbers are still to be set; from any picture of the first clip one
        begins within ``spacing`` pictures.
    """
    entries = second.entries()
    lead = settings.bridge_lengths[min(1, len(settings.bridge_lengths) - 1)]
    natural = max(first.node.natural_step, second.node.natural_step)
    jumps = []
    for part in first.node.parts:
        exits = list(range(part.start, part.stop))
        distance = motion_distances(
            first.features.poses, exits, second.features.poses, entries, lead + 1
        )
        costs = loops.predicted_cost(distance, lead, natural, settings.max_step)
        chosen = loops.choose_exits(
            part, costs.min(axis=1), spacing, first.node.keyframes, EXIT_PRICE
        )
        for exit_ in chosen:
            order = np.argsort(costs[exit_ - part.start], kind="stable")[: settings.tries]
            tried = [entries[int(index)] for index in order]
            jumps.append(
                best_jump(
                    JumpKind.TRANSITION, first, exit_, second, tried, settings,
                    settings.bridge_lengths, faces,
                )
            )  # fmt: skip
    return jumps


def link_loops(
    first: PreparedClip,
    second: PreparedClip,
    limit: int,
    settings: MotionSettings,
    faces: FaceFinder | None = None,
) -> list[Jump]:
    """Make jumps within a state: from a clip to itself, or to another clip of the state.

    Args:
        first, second: The same clip twice, or two of a state.
        limit: Most jumps besides those that lead away from the last pictures of parts.

    Returns:
        Jumps whose clip numbers are still to be set.
    """
    exits, entries = first.played, second.entries()
    length = settings.bridge_lengths[0]
    natural = max(first.node.natural_step, second.node.natural_step)
    distance = motion_distances(
        first.features.poses, exits, second.features.poses, entries, length + 1
    )
    costs = loops.predicted_cost(distance, length, natural, settings.max_step)
    future = np.zeros(len(entries), dtype=np.float32)
    if first is second:
        costs = loops.loop_costs(first.features, exits, entries, length, costs)
        own = loops.future_costs(first.node.parts, exits, entries, costs)
        future = own[np.searchsorted(exits, entries)]
    jumps: list[Jump] = []
    for part in first.node.parts:
        row = exits.index(part.last)
        order = np.argsort(costs[row] + future, kind="stable")
        tried = [entries[int(index)] for index in order if np.isfinite(costs[row, index])]
        jumps.extend(
            best_jump(
                JumpKind.LOOP, first, part.last, second, [entry], settings,
                settings.bridge_lengths, faces,
            )
            for entry in tried[:_LAST_LOOPS] or entries[:1]
        )  # fmt: skip
    jumps += _inner_loops(first, second, costs, future, limit, _GOOD_LOOP, 3, settings, faces)
    taken = [exits.index(jump.exit) for jump in jumps]
    for row in taken:
        costs[max(0, row - _SPARSE) : row + _SPARSE + 1] = np.inf
    jumps += _inner_loops(first, second, costs, future, limit, _FAIR_LOOP, _SPARSE, settings, faces)
    return jumps


def _inner_loops(
    first: PreparedClip,
    second: PreparedClip,
    costs: loops.FloatArray,
    future: loops.FloatArray,
    limit: int,
    good: float,
    spacing: int,
    settings: MotionSettings,
    faces: FaceFinder | None,
) -> list[Jump]:
    """Make loop jumps from elsewhere than the ends of parts, of at most a given cost."""
    exits, entries = first.played, second.entries()
    inner = np.where(costs <= good, costs, np.float32(np.inf)).astype(np.float32)
    inner[[exits.index(part.last) for part in first.node.parts]] = np.inf
    # Short bridges only: a change of state that is asked for meanwhile must not wait longer.
    short = settings.bridge_lengths[:1]
    made = [
        best_jump(JumpKind.LOOP, first, exit_, second, [entry], settings, short, faces)
        for exit_, entry in loops.choose_loops(exits, entries, inner, future, limit, spacing)
    ]
    return [jump for jump in made if jump.cost <= good]


def link_passages(
    clip: PreparedClip, settings: MotionSettings, faces: FaceFinder | None = None
) -> list[Jump]:
    """Make the jumps inside an action, from each part to the next."""
    return [
        best_jump(
            JumpKind.PASSAGE, clip, before.last, clip, [after.start], settings,
            settings.bridge_lengths, faces,
        )
        for before, after in zip(clip.node.parts, clip.node.parts[1:], strict=False)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class PairTask:
    """One pair of clips to be linked; ``run`` depends on nothing else."""

    source: int
    target: int
    first: PreparedClip
    second: PreparedClip
    spacing: int
    loop_limit: int
    settings: MotionSettings
    faces: FaceFinder | None

    @property
    def key(self) -> str:
        """Names everything that the result depends on."""
        own = f"{self.spacing} {self.loop_limit} {self.faces is not None} {self.first.fps}"
        roles = f"{self.first.node.group} {self.second.node.group} {self.source == self.target}"
        text = f"{self.settings.model_dump_json()} {own} {roles}"
        return pair_key(self.first.fingerprint, self.second.fingerprint, text)

    def run(self) -> list[Jump]:
        """Return the jumps of the pair, with their clip numbers."""
        if self.first.node.group != self.second.node.group:
            jumps = link_transitions(
                self.first, self.second, self.spacing, self.settings, self.faces
            )
        elif self.first.node.is_action:
            jumps = link_passages(self.first, self.settings, self.faces)
        else:
            jumps = link_loops(self.first, self.second, self.loop_limit, self.settings, self.faces)
        return [replace(jump, source=self.source, target=self.target) for jump in jumps]
