"""Building the motion graph: clips are prepared one by one, then linked pair by pair.

Both steps are pure functions of what they are given, so either can be cached and spread over cores.
"""

from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from engine.avatar import loops
from engine.avatar.bridges import (
    Motion,
    Picture,
    aligning_flows,
    bridge,
    grey_bridge,
    motion_between,
    variance_of_laplacian,
)
from engine.avatar.features import (
    ClipFeatures,
    FaceFinder,
    describe,
    motion_distances,
    pair_key,
    step,
)
from engine.avatar.motion import ClipNode, Jump, JumpKind, MotionGraph, MotionSettings, Part
from engine.avatar.screening import screen

_EXIT_PRICE = 0.1
_ACTION_START_SECONDS = 0.4
_GOOD_LOOP = 1.0
_LAST_LOOPS = 3
_MIN_TRUST = 0.45
_STEP_PER_DIFFERENCE = 1.6
"""Largest step of a bridge of n pictures, times n + 1, over the step of a hard cut (measured)."""


class Pictures(Protocol):
    """Pictures of a clip by number: I420, uint8, shape (height * 3 // 2, width)."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int) -> Picture:
        """Return one; it is not changed."""


@dataclass(frozen=True, slots=True)
class ClipSource:
    """A clip to be built into a graph.

    Attributes:
        name: For people.
        state, action: What it is shown for; exactly one is not None.
        fingerprint: Names the content of its pictures.
        pictures: All of them, normalised.
    """

    name: str
    state: str | None
    action: str | None
    fingerprint: str
    pictures: Pictures


@dataclass(frozen=True, slots=True)
class PreparedClip:
    """A clip that can be linked.

    Attributes:
        node: Its place in the graph.
        features: Of all its pictures.
        fingerprint: As in ``ClipSource``.
        fps: Pictures per second.
        end_cost: The highest cost of going on at the end of one of its parts.
    """

    node: ClipNode
    features: ClipFeatures
    fingerprint: str
    fps: float
    end_cost: float

    @property
    def played(self) -> list[int]:
        """All pictures of the parts."""
        return [picture for part in self.node.parts for picture in range(part.start, part.stop)]

    def entries(self) -> list[int]:
        """Keyframes at which the clip may be entered."""
        node = self.node
        if node.is_action:
            part = node.parts[0]
            last = part.start + min(round(_ACTION_START_SECONDS * self.fps), len(part) // 3)
            return [picture for picture in node.keyframes if picture <= last]
        return [
            picture
            for picture in node.keyframes
            if node.part_of(picture).stop - picture
            > min(loops.tail_of(node.part_of(picture), self.fps), 2)
        ] or [part.start for part in node.parts]


@dataclass(frozen=True, slots=True)
class Trial:
    """What a bridge is like, found out on small grey pictures.

    Attributes:
        steps: From exit to entry.
        trust: Share of consistent flow.
        sharpness: Smallest, as a share of the ends' mean.
        face_lost: Largest drop of the face's score below the worse end's; 0 without a detector.
    """

    steps: tuple[float, ...]
    trust: float
    sharpness: float
    face_lost: float = 0.0

    def cost(self, natural_step: float, max_step: float) -> float:
        """Return the price of the bridge; 1 is just good."""
        size = (max(self.steps) / (max_step * natural_step)) ** 2
        return size + 2.0 * max(0.0, 0.6 - self.trust) + (2.0 if self.face_lost > 0.1 else 0.0)


def prepare(
    clip: ClipSource, fps: float, settings: MotionSettings, faces: FaceFinder | None = None
) -> PreparedClip:
    """Look at a clip and decide what of it is played and where it may be entered.

    Args:
        clip: At least one picture.
        fps: Pictures per second.
        settings: How jumps are made.
        faces: Finds landmarks for aligning; optional.
    """
    features = describe((clip.pictures[index] for index in range(len(clip.pictures))), faces)
    screening = screen(clip.name, features, fps)
    parts, end_cost = screening.parts, 0.0
    warnings = list(screening.warnings)
    if clip.action is None:
        parts, end_cost = loops.trimmed(
            features, parts, screening.natural_step, settings.max_step, fps
        )
    else:
        parts = tuple(part for part in parts if len(part) > 1) or parts
    node = ClipNode(
        name=clip.name,
        state=clip.state,
        action=clip.action,
        count=len(features),
        parts=parts,
        keyframes=loops.choose_keyframes(features, parts, settings.keyframe_interval, fps),
        natural_step=screening.natural_step,
        steps=tuple(round(float(value), 3) for value in features.steps),
        warnings=tuple(warnings),
    )
    return PreparedClip(node, features, clip.fingerprint, fps, end_cost)


def initial_flows(
    first: PreparedClip, exit_: int, second: PreparedClip, entry: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return flows that bring the landmarks of two pictures together, where both have a face."""
    marks = first.features.landmarks, second.features.landmarks
    if marks[0] is None or marks[1] is None:
        return None
    return aligning_flows(marks[0][exit_], marks[1][entry], first.features.grey.shape[1:3])


def motion_of(first: PreparedClip, exit_: int, second: PreparedClip, entry: int) -> Motion:
    """Compute the dense motion from an exit to an entry."""
    return motion_between(
        first.features.grey[exit_],
        second.features.grey[entry],
        initial_flows(first, exit_, second, entry),
    )


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
    faces: FaceFinder | None,
) -> Trial:
    ends = first.features.grey[exit_], second.features.grey[entry]
    between = grey_bridge(*ends, motion, length)
    row = [ends[0], *between, ends[1]]
    steps = tuple(step(before, after) for before, after in zip(row, row[1:], strict=False))
    sharp = [variance_of_laplacian(picture) for picture in row]
    share = min(sharp[1:-1]) / max((sharp[0] + sharp[-1]) / 2, 1e-6)
    lost = 0.0
    if faces is not None:
        scores = [0.0 if found is None else found[0] for found in map(faces.find, row)]
        lost = min(scores[0], scores[-1]) - min(scores[1:-1])
    return Trial(steps, motion.trusted, share, lost)


def _best_jump(
    kind: JumpKind,
    first: PreparedClip,
    exit_: int,
    second: PreparedClip,
    entries: Iterable[int],
    settings: MotionSettings,
    lengths: Sequence[int],
    faces: FaceFinder | None,
) -> Jump:
    """Try entries in order until a bridge is good; return the best that was seen."""
    natural = max(first.node.natural_step, second.node.natural_step)
    best: Jump | None = None
    for entry in entries:
        cut = step(first.features.grey[exit_], second.features.grey[entry])
        guess = _STEP_PER_DIFFERENCE * cut / (0.9 * settings.max_step * natural)
        likely = [length for length in lengths if length + 1 >= guess] or [lengths[-1]]
        if kind is JumpKind.LOOP:
            likely = list(lengths)
        motion = motion_of(first, exit_, second, entry)
        if motion.trusted < _MIN_TRUST:
            likely = [lengths[0]]
        for length in likely:
            trial = _try(first, exit_, second, entry, length, motion, faces)
            cost = trial.cost(natural, settings.max_step)
            if best is None or cost < best.cost:
                best = _jump(kind, exit_, entry, length, cost, trial, natural)
            if cost <= 1.0:
                return best
    if best is None:
        raise ValueError("no entry to try")
    return best


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
            part, costs.min(axis=1), spacing, first.node.keyframes, _EXIT_PRICE
        )
        for exit_ in chosen:
            order = np.argsort(costs[exit_ - part.start], kind="stable")[: settings.tries]
            tried = [entries[int(index)] for index in order]
            jumps.append(
                _best_jump(
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
    jumps = []
    for part in first.node.parts:
        row = exits.index(part.last)
        order = np.argsort(costs[row] + future, kind="stable")
        tried = [entries[int(index)] for index in order if np.isfinite(costs[row, index])]
        jumps.extend(
            _best_jump(
                JumpKind.LOOP, first, part.last, second, [entry], settings,
                settings.bridge_lengths, faces,
            )
            for entry in tried[:_LAST_LOOPS] or entries[:1]
        )  # fmt: skip
    inner = np.where(costs <= _GOOD_LOOP, costs, np.float32(np.inf)).astype(np.float32)
    inner[[exits.index(part.last) for part in first.node.parts]] = np.inf
    for exit_, entry in loops.choose_loops(exits, entries, inner, future, limit):
        # Two pictures at most: a change of state that is asked for meanwhile must not wait longer.
        jump = _best_jump(
            JumpKind.LOOP, first, exit_, second, [entry], settings, [length], faces
        )
        if jump.cost <= _GOOD_LOOP:
            jumps.append(jump)
    return jumps


def link_passages(
    clip: PreparedClip, settings: MotionSettings, faces: FaceFinder | None = None
) -> list[Jump]:
    """Make the jumps inside an action, from each part to the next."""
    return [
        _best_jump(
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
            jumps = link_loops(
                self.first, self.second, self.loop_limit, self.settings, self.faces
            )
        return [replace(jump, source=self.source, target=self.target) for jump in jumps]


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
    jumps = _pruned(clips, jumps, spacings)
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
        seconds = len(first.played) / first.fps
        limit = max(4, round(settings.loops_per_second * seconds / siblings))
        for target, second in enumerate(clips):
            if first.node.is_action and second.node.group == first.node.group != "":
                if source != target:
                    continue
            spacing = spacings[second.node.group]
            yield PairTask(source, target, first, second, spacing, limit, settings, faces)


def fitted(
    clips: Sequence[PreparedClip], settings: MotionSettings
) -> tuple[MotionSettings, dict[str, int], list[str]]:
    """Keep the pack's size within its bound when there are many states and actions.

    Bridges are made shorter first, then actions wait longer, then states.

    Returns:
        The settings to use, the exits' spacing for each state and action, and warnings.
    """
    groups = {clip.node.group: clip.node.is_action for clip in clips}
    short = settings.model_copy(update={"bridge_lengths": settings.bridge_lengths[:1]})
    plans = [(settings, 1, 1), (short, 1, 1), *((short, times, 1) for times in (2, 4, 8))]
    plans += [(short, 8, times) for times in (2, 4, 8)]
    for chosen, action_times, state_times in plans:
        spacings = {
            group: settings.exit_spacing * (action_times if is_action else state_times)
            for group, is_action in groups.items()
        }
        if _bridge_share(clips, chosen, spacings) <= settings.max_bridge_share:
            break
    warnings = []
    slow = sorted(group for group, spacing in spacings.items() if spacing > settings.exit_spacing)
    if slow:
        warnings.append(
            f"To keep the pack small, {', '.join(slow)} may begin up to"
            f" {max(spacings.values())} pictures after the request. A higher"
            " avatars.motion.max_bridge_share makes them quicker."
        )
    return chosen, spacings, warnings


def _bridge_share(
    clips: Sequence[PreparedClip], settings: MotionSettings, spacings: dict[str, int]
) -> float:
    """Guess how many bridge pictures there will be for each picture of the clips."""
    lengths = settings.bridge_lengths
    usual = lengths[min(1, len(lengths) - 1)]
    total = 0.0
    for clip in clips:
        exits = sum(1.15 / s for group, s in spacings.items() if group != clip.node.group)
        looping = 0.0 if clip.node.is_action else settings.loops_per_second / clip.fps
        total += len(clip.played) * (exits * usual + looping * lengths[0])
    return total / max(1, sum(len(clip.played) for clip in clips))


def _pruned(
    clips: Sequence[PreparedClip], jumps: Sequence[Jump], spacings: dict[str, int]
) -> list[Jump]:
    """Where a state has several clips, keep for each exit the best, and no more exits than needed."""
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


def _needed(
    part: Part, best: dict[int, Jump], spacing: int, keyframes: Sequence[int]
) -> Iterator[Jump]:
    costs = np.array(
        [best[p].cost if p in best else np.inf for p in range(part.start, part.stop)], np.float32
    )
    for exit_ in loops.choose_exits(part, costs, spacing, keyframes, _EXIT_PRICE):
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
            jump.largest_step > 1.0 or jump.trust < _MIN_TRUST
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
