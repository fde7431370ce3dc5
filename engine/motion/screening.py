"""Which pictures of a clip can be played: no black starts, flashes, cuts or frozen stretches."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.motion.features import ClipFeatures
from engine.motion.graph import Part

BoolArray = NDArray[np.bool_]

MIN_NATURAL_STEP = 1.5
"""Levels. Below this no step is seen, so a still clip's steps are not compared with zero."""

_BLANK_CONTRAST = 0.25
_BLANK_LEVELS = 6.0
_FLASH_LEVELS = 12.0
_FLASH_SECONDS = 0.5
_FROZEN_STEP = 0.05
_FROZEN_SECONDS = 0.4
_CUT_LEVELS = 4.0
_CUT_SHARE = 0.6
_CUT_TIMES = 2.5
_CUT_NEIGHBOURS = 4
_MIN_PART_SECONDS = 0.5
_SHORT_CLIP_SECONDS = 2.0
_OTHER_SCENE = 30.0


@dataclass(frozen=True, slots=True)
class Screening:
    """What of a clip is played, and why the rest is not.

    Attributes:
        parts: At least one, in order.
        natural_step: 95th percentile of the steps inside the parts, at least 1.5 levels.
        warnings: Sentences for the clip's owner.
    """

    parts: tuple[Part, ...]
    natural_step: float
    warnings: tuple[str, ...]


def screen(name: str, features: ClipFeatures, fps: float) -> Screening:
    """Divide a clip into parts that can be played.

    Something is always played: a clip that is black throughout stays as it is.

    Args:
        name: Of the clip, for the warnings.
        features: Of all its pictures.
        fps: Pictures per second.
    """
    count = len(features)
    warnings: list[str] = []
    usable = np.ones(count, dtype=np.bool_)
    for reason, found in (
        ("blank or black", _blank(features)),
        ("lit by a flash", _flashes(features, fps)),
        ("frozen", _frozen(features, fps)),
    ):
        if found.any() and (usable & ~found).sum() >= max(2, count // 2):
            usable &= ~found
            warnings.append(f"{name}: {_places(found, fps)} is {reason} and is left out.")
    cuts = [int(cut) for cut in _cuts(features) if usable[cut - 1] and usable[cut]]
    inner = [cut for cut in cuts if _CUT_NEIGHBOURS <= cut <= count - _CUT_NEIGHBOURS]
    if inner:
        places = ", ".join(f"{cut / fps:.2f} s" for cut in inner[:5])
        warnings.append(
            f"{name}: the picture jumps at {places} (a cut, or lost pictures). It is bridged like a"
            " loop; a clip recorded in one go looks better."
        )
    parts = _without_crumbs(_runs(usable, cuts), fps)
    parts, dropped = _same_scene(parts, features)
    if dropped:
        warnings.append(
            f"{name}: {_seconds(dropped, fps)} shows another scene and is left out. Make a clip of"
            " its own from it if you want it."
        )
    played = np.concatenate([features.steps[part.start + 1 : part.stop] for part in parts])
    natural = float(np.percentile(played, 95)) if played.size else 0.0
    warnings.extend(_remarks(name, parts, natural, fps))
    return Screening(tuple(parts), max(natural, MIN_NATURAL_STEP), tuple(warnings))


def _remarks(name: str, parts: list[Part], natural: float, fps: float) -> Iterator[str]:
    seconds = sum(len(part) for part in parts) / fps
    if seconds < _SHORT_CLIP_SECONDS:
        yield (
            f"{name}: only {seconds:.1f} s can be played, so the same movement is seen again and"
            " again. 6 to 12 s are best."
        )
    if natural < _FROZEN_STEP:
        yield f"{name}: nothing moves, so it looks like a photograph. Record a clip of a person."


def _blank(features: ClipFeatures) -> BoolArray:
    """Pictures without content: black, white or one colour, in a clip that has content."""
    usual = float(np.median(features.contrasts))
    if usual < 2 * _BLANK_LEVELS:
        return np.zeros(len(features), dtype=np.bool_)
    return np.asarray(features.contrasts < max(_BLANK_LEVELS, _BLANK_CONTRAST * usual))


def _flashes(features: ClipFeatures, fps: float) -> BoolArray:
    """Short runs that are brighter or darker than the pictures on both sides of them."""
    half = max(1, round(_FLASH_SECONDS * fps))
    levels = features.levels
    padded = np.pad(levels, half, mode="reflect" if len(levels) > half else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    away = np.abs(levels - np.median(windows, axis=1))
    found = away > _FLASH_LEVELS
    # A cut to a darker scene is away from the median on one side only, and for longer.
    for start, stop in _true_runs(found):
        inside = start > 0 and stop < len(levels)
        if not inside or abs(levels[start - 1] - levels[stop]) > _FLASH_LEVELS:
            found[start:stop] = False
    return np.asarray(found)


def _frozen(features: ClipFeatures, fps: float) -> BoolArray:
    """Stretches of identical pictures in a clip that moves otherwise; their first one is kept."""
    still = features.steps < _FROZEN_STEP
    still[0] = False
    found = np.zeros(len(features), dtype=np.bool_)
    for start, stop in _true_runs(still):
        if stop - start >= _FROZEN_SECONDS * fps:
            found[start:stop] = True
    return found


def _cuts(features: ClipFeatures) -> NDArray[np.intp]:
    """First pictures after a cut: a single step far above those around it."""
    steps = features.steps[1:]
    moving = steps[steps >= _FROZEN_STEP]
    if moving.size < _CUT_NEIGHBOURS:
        return np.zeros(0, dtype=np.intp)
    around = np.zeros_like(steps)
    for offset in (-2, -1, 1, 2):
        beside = np.roll(steps, offset)
        # What a roll brings in from the other end says nothing.
        beside[: max(0, offset)] = 0.0
        beside[len(steps) + min(0, offset) :] = 0.0
        around = np.maximum(around, beside)
    least = max(_CUT_LEVELS, _CUT_SHARE * float(np.percentile(moving, 95)))
    return np.flatnonzero(steps > np.maximum(_CUT_TIMES * around, least)) + 1


def _runs(usable: BoolArray, cuts: list[int]) -> list[Part]:
    parts: list[Part] = []
    for start, stop in _true_runs(usable):
        edges = [start, *(cut for cut in cuts if start < cut < stop), stop]
        parts.extend(Part(a, b) for a, b in pairwise(edges))
    return parts


def _without_crumbs(parts: list[Part], fps: float) -> list[Part]:
    """Leave out what is too short to be entered and left, unless there is nothing else."""
    long = [part for part in parts if len(part) >= max(2, _MIN_PART_SECONDS * fps)]
    return long or [max(parts, key=len)]


def _same_scene(parts: list[Part], features: ClipFeatures) -> tuple[list[Part], list[Part]]:
    """Keep the longest part and those whose mean picture is of the same scene."""
    longest = max(parts, key=len)
    means = {part: features.poses[part.start : part.stop].mean(axis=0) for part in parts}
    kept: list[Part] = []
    dropped: list[Part] = []
    for part in parts:
        far = float(np.linalg.norm(means[part] - means[longest])) > _OTHER_SCENE
        (dropped if far else kept).append(part)
    return kept, dropped


def _true_runs(mask: BoolArray) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _places(mask: BoolArray, fps: float) -> str:
    return _seconds([Part(start, stop) for start, stop in _true_runs(mask)], fps)


def _seconds(parts: list[Part], fps: float) -> str:
    texts = [f"{part.start / fps:.2f} to {part.stop / fps:.2f} s" for part in parts[:5]]
    return ", ".join(texts) + (" and more" if len(parts) > 5 else "")
