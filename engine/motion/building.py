"""Building the motion graph of an avatar from its prepared clips."""

from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from dataclasses import replace

import numpy as np

from engine.motion import loops
from engine.motion.features import FaceFinder
from engine.motion.graph import Jump, JumpKind, MotionGraph, MotionSettings, Part
from engine.motion.nodes import PreparedClip
from engine.motion.pairs import EXIT_PRICE, PairTask
from engine.motion.step import SPEAKING_STATE
from engine.motion.trials import MIN_TRUST

_ROUGHEST_STEP = 1.0
_USUAL_LENGTH = 2.6
_SHORT_LENGTH = 2.3
_EXITS_MORE = 1.12
"""Keyframes are exits too, which makes this many times more of them than the spacing asks for."""


def _run(task: PairTask) -> list[Jump]:
    return task.run()


Mapper = Callable[[Callable[[PairTask], list[Jump]], list[PairTask]], Iterable[list[Jump]]]
"""Like ``map``: ``ThreadPoolExecutor.map`` spreads the pairs over cores."""


def link(
    clips: Sequence[PreparedClip],
    settings: MotionSettings,
    faces: FaceFinder | None = None,
    mapper: Mapper = map,
    cache: MutableMapping[str, list[Jump]] | None = None,
) -> MotionGraph:
    """Link all pairs of clips into a graph.

    Args:
        clips: At least one of a state.
        settings: How jumps are made.
        faces: Checks the faces of bridges; optional. It is not shared between threads: leave it
            out when ``mapper`` uses several.
        mapper: Runs the pairs.
        cache: Results of pairs by key; filled with those that are missing.
    """
    found = {} if cache is None else cache
    settings, spacings, warnings = fitted(clips, settings)
    tasks = list(_tasks(clips, settings, spacings, faces))
    missing = [task for task in tasks if task.key not in found]
    for task, jumps in zip(missing, mapper(_run, missing), strict=True):
        found[task.key] = jumps
    jumps = [
        replace(jump, source=task.source, target=task.target)
        for task in tasks
        for jump in found[task.key]
    ]
    jumps = _affordable(clips, _pruned(clips, jumps, spacings), _largest_share(clips, settings))
    jumps.sort(key=lambda jump: (jump.source, jump.exit, jump.target, jump.entry))
    warnings += [text for clip in clips for text in clip.node.warnings]
    warnings += list(_jump_warnings(clips, jumps))
    return MotionGraph(tuple(clip.node for clip in clips), tuple(jumps), tuple(warnings))


def _tasks(
    clips: Sequence[PreparedClip],
    settings: MotionSettings,
    spacings: dict[str, int],
    faces: FaceFinder | None,
) -> Iterator[PairTask]:
    for source, first in enumerate(clips):
        siblings = sum(clip.node.group == first.node.group for clip in clips)
        limit = max(1, settings.loops_per_clip // siblings)
        for target, second in enumerate(clips):
            same = second.node.group == first.node.group
            if same and first.node.is_action and source != target:
                continue
            spacing = spacings[second.node.group]
            yield PairTask(source, target, first, second, spacing, limit, settings, faces)


def fitted(
    clips: Sequence[PreparedClip], settings: MotionSettings
) -> tuple[MotionSettings, dict[str, int], list[str]]:
    """Keep the pack's size within its bound when there are many states and actions.

    First speech waits as long as any change of state, then bridges are made as short as their
    steps allow, then actions wait longer, then states.

    Returns:
        The settings to use, the exits' spacing for each state and action, and warnings.
    """
    groups = {clip.node.group: clip.node.is_action for clip in clips}
    rougher = settings.model_copy(update={"max_step": max(settings.max_step, _ROUGHEST_STEP)})
    spacing = settings.exit_spacing
    quick = {SPEAKING_STATE: min(spacing, settings.speech_spacing)}
    plans = [(settings, 1, 1, quick), (settings, 1, 1, {})]
    plans += [(rougher, times, 1, {}) for times in (1, 2, 4, 8)]
    plans += [(rougher, 8, times, {}) for times in (2, 4, 8)]
    for chosen, action_times, state_times, own in plans:
        spacings = {
            group: own.get(group, spacing * (action_times if is_action else state_times))
            for group, is_action in groups.items()
        }
        usual = _USUAL_LENGTH if chosen is settings else _SHORT_LENGTH
        if _bridge_share(clips, chosen, spacings, usual) <= _largest_share(clips, settings):
            break
    warnings = []
    slow = sorted(group for group, within in spacings.items() if within > spacing)
    if slow:
        warnings.append(
            f"To keep the pack small, {', '.join(slow)} may begin up to"
            f" {max(spacings.values())} pictures after the request. A higher"
            " motion.max_bridge_share makes them quicker."
        )
    return chosen, spacings, warnings


def _largest_share(clips: Sequence[PreparedClip], settings: MotionSettings) -> float:
    """Return how many bridge pictures there may be for each picture of the clips."""
    others = len({clip.node.group for clip in clips}) - 1
    return settings.max_bridge_share * max(1, others)


def _bridge_share(
    clips: Sequence[PreparedClip],
    settings: MotionSettings,
    spacings: dict[str, int],
    usual: float,
) -> float:
    """Guess how many bridge pictures there will be for each picture of the clips."""
    total = 0.0
    for clip in clips:
        exits = sum(_EXITS_MORE / s for group, s in spacings.items() if group != clip.node.group)
        looping = 0 if clip.node.is_action else settings.loops_per_clip * settings.bridge_lengths[0]
        total += len(clip.played) * exits * usual + looping
    return total / max(1, sum(len(clip.played) for clip in clips))


def _pruned(
    clips: Sequence[PreparedClip], jumps: Sequence[Jump], spacings: dict[str, int]
) -> list[Jump]:
    """Where a state has several clips: keep the best of each exit, and only the exits needed."""
    kept = [jump for jump in jumps if jump.kind is not JumpKind.TRANSITION]
    for source, clip in enumerate(clips):
        for group, spacing in spacings.items():
            best: dict[int, Jump] = {}
            for jump in jumps:
                if jump.source != source or jump.kind is not JumpKind.TRANSITION:
                    continue
                if clips[jump.target].node.group != group:
                    continue
                if jump.exit not in best or jump.cost < best[jump.exit].cost:
                    best[jump.exit] = jump
            for part in clip.node.parts if best else ():
                kept.extend(_needed(part, best, spacing, clip.node.keyframes))
    return kept


def _affordable(
    clips: Sequence[PreparedClip], jumps: Sequence[Jump], max_share: float
) -> list[Jump]:
    """Leave out the costliest loops, at most half of them, while bridges take too much room."""
    inner = [
        jump
        for jump in jumps
        if jump.kind is JumpKind.LOOP
        and jump.exit != clips[jump.source].node.part_of(jump.exit).last
    ]
    room = max_share * sum(len(clip.played) for clip in clips) - sum(j.length for j in jumps)
    dropped: set[Jump] = set()
    for jump in sorted(inner, key=lambda jump: -jump.cost)[: len(inner) // 2]:
        if room >= 0:
            break
        dropped.add(jump)
        room += jump.length
    return [jump for jump in jumps if jump not in dropped]


def _needed(
    part: Part, best: dict[int, Jump], spacing: int, keyframes: Sequence[int]
) -> Iterator[Jump]:
    costs = np.array(
        [best[p].cost if p in best else np.inf for p in range(part.start, part.stop)], np.float32
    )
    for exit_ in loops.choose_exits(part, costs, spacing, keyframes, EXIT_PRICE):
        yield best[exit_]


def _jump_warnings(clips: Sequence[PreparedClip], jumps: Sequence[Jump]) -> Iterator[str]:
    for number, clip in enumerate(clips):
        ends = {part.last for part in clip.node.parts}
        loops_ = [jump for jump in jumps if jump.source == number and jump.kind is JumpKind.LOOP]
        for last in sorted(ends):
            onward = [jump.largest_step for jump in loops_ if jump.exit == last]
            if onward and min(onward) > 1.0:
                yield (
                    f"{clip.node.name}: no good place to go on from {last / clip.fps:.1f} s, so the"
                    " restart may be seen. Record it so that it ends in the pose it begins with."
                )
    groups = dict.fromkeys((jump.source, clips[jump.target].node.group) for jump in jumps)
    for source, group in groups:
        rough = [
            jump.largest_step > 1.0 or jump.trust < MIN_TRUST
            for jump in jumps
            if jump.kind is JumpKind.TRANSITION
            and (jump.source, clips[jump.target].node.group) == (source, group)
        ]
        if rough and sum(rough) > 0.2 * len(rough):
            yield (
                f"{clips[source].node.name}: most changes to '{group}' can be seen, because the"
                " pictures differ too much (framing, light or person). Record both in one go,"
                " with the camera left where it is."
            )
