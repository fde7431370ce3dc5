"""How an avatar plays: the figures of a report, measured on the pictures that viewers decode."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from engine.avatar.pack import Pack
from engine.avatar.preview import Changes, preferred, viewed, walked
from engine.motion.features import small_grey, step
from engine.motion.graph import MotionGraph
from engine.motion.step import Step

REPEAT_SECONDS, REPEAT_WINDOW = 600.0, 3.0
"""Repetitions are counted in so many seconds of rest, in windows of this many seconds."""

ClipKey = tuple[str, str | None, str | None]
"""File name, state and action of a clip: the same in a pack with a motion graph and without."""


@dataclass(frozen=True, slots=True)
class Seam:
    """A place where pictures follow that did not follow each other when they were recorded.

    Attributes:
        number: Of the picture with the largest step, from the start of play.
        step: The largest step from the last picture before it to the first of the next clip.
        natural_step: That of the livelier of the two clips.
        source, target: File names of the clips.
    """

    number: int
    step: float
    natural_step: float
    source: str
    target: str

    @property
    def ratio(self) -> float:
        """The step as a share of the natural one: up to 1 it is like any other."""
        return self.step / self.natural_step


@dataclass(frozen=True, slots=True)
class Played:
    """Some time of play, measured.

    Attributes:
        steps: For each picture, root-mean-square difference to the one before (grey 256x256,
            levels of 0 to 255); 0 for the first.
        states: For each picture, the state or action it belongs to.
        seams: In the order of play.
        waits: For each request that was served, pictures from it to the first changed one.
    """

    steps: tuple[float, ...]
    states: tuple[str, ...]
    seams: tuple[Seam, ...]
    waits: tuple[int, ...]

    def ratio(self, percentile: float) -> float:
        """Return a percentile of the seams' ratios; 0 where there is no seam."""
        ratios = [seam.ratio for seam in self.seams]
        return float(np.percentile(ratios, percentile)) if ratios else 0.0


def natural_steps(graph: MotionGraph) -> Mapping[ClipKey, float]:
    """Return the 95th percentile of the steps inside each clip."""
    return {(clip.name, clip.state, clip.action): clip.natural_step for clip in graph.clips}


def measure(
    pack: Pack,
    natural: Mapping[ClipKey, float],
    seconds: float,
    seed: int,
    changes: Changes,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Played:
    """Play a pack, decode what is played and measure it.

    Args:
        pack: With a motion graph or without.
        natural: From ``natural_steps`` of the avatar's graph.
        seconds, seed, changes: As for ``viewed``.
        on_progress: Takes how much is done, from 0 to 1.
    """
    total = max(1, round(seconds * pack.fps))
    path: list[Step] = []
    steps: list[float] = []
    before = None
    for shown, frame in viewed(pack, seconds, seed, changes):
        grey = small_grey(np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8))
        steps.append(0.0 if before is None else step(before, grey))
        before = grey
        path.append(shown)
        on_progress(len(path) / total)
    return Played(
        tuple(steps),
        tuple(shown.state for shown in path),
        tuple(_seams(pack, natural, path, steps)),
        tuple(_waits(path, changes)),
    )


def repetitions(pack: Pack, seed: int) -> int:
    """Return how often the most frequent 3 s come in 10 minutes without a request."""
    order = [shown.index for shown in walked(pack, REPEAT_SECONDS, seed, {})]
    window = round(REPEAT_WINDOW * pack.fps)
    # One window each place; those of a clip that repeats itself are equal.
    seen = Counter(tuple(order[at : at + window]) for at in range(len(order) - window + 1))
    return max(seen.values())


def encoded_bytes(pack: Pack) -> int:
    """Return the size of all pictures in the preferred codec."""
    return sum(len(unit) for unit in preferred(pack).access_units)


def _seams(
    pack: Pack, natural: Mapping[ClipKey, float], path: list[Step], steps: list[float]
) -> Iterator[Seam]:
    clips = {
        index: clip for clip in pack.clips for index in range(clip.first, clip.first + clip.count)
    }
    begun: int | None = None
    left = clips[path[0].index]
    for number, (before, after) in enumerate(pairwise(path), start=1):
        source, target = clips.get(before.index), clips.get(after.index)
        left = source or left
        if source is not None and target is source and after.index == before.index + 1:
            continue
        begun = number if begun is None else begun
        if target is None:
            continue
        keys = [(clip.name, clip.state, clip.action) for clip in (left, target)]
        largest = max(range(begun, number + 1), key=steps.__getitem__)
        yield Seam(
            number=largest,
            step=steps[largest],
            natural_step=max(natural[key] for key in keys),
            source=left.name,
            target=target.name,
        )
        begun = None


def _waits(path: list[Step], changes: Changes) -> Iterator[int]:
    ends = [*sorted(changes)[1:], len(path)]
    for number, end in zip(sorted(changes), ends, strict=True):
        for wait, shown in enumerate(path[number:end], start=1):
            if shown.state == changes[number]:
                yield wait
                break
