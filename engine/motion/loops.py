"""Where a clip is entered and left, and how it goes on without an end.

After *Video Textures* (Schödl, Szeliski, Salesin and Essa, SIGGRAPH 2000): jumps are priced by how
well motion matches, the price of what must follow a jump is added to it (the future cost, found by
value iteration as in Q-learning), and only jumps at local minima are kept.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.motion.features import ClipFeatures, motion_distances, pose_distances
from engine.motion.graph import Part

FloatArray = NDArray[np.float32]

MAX_CANDIDATES = 256
"""Pictures of one clip that are considered as entries, so that work grows linearly with length."""

_DECAY = 0.997
_LOST_PICTURES = 2.0
_MIN_KEPT = 0.5
_MIN_KEYFRAME_GAP = 4
_EXTRA_KEYFRAMES = 1.1
_STEP_PER_DISTANCE = 2.0
"""Largest step of a bridge of n pictures, times n + 1, over the poses' distance (measured)."""


def predicted_cost(
    distance: FloatArray, length: int, natural_step: float, max_step: float
) -> FloatArray:
    """Guess the cost of bridges from distances of motion; 1 is just good."""
    guess = _STEP_PER_DISTANCE * distance / (length + 1)
    return np.square(guess / (max_step * natural_step)).astype(np.float32)


def tail_of(part: Part, fps: float) -> int:
    """Return how many pictures must be left after an entry, so that play does not stutter."""
    return min(round(0.6 * fps), len(part) // 3)


def loop_costs(
    features: ClipFeatures,
    exits: Sequence[int],
    entries: Sequence[int],
    length: int,
    costs: FloatArray,
) -> FloatArray:
    """Forbid jumps within a clip that hardly lead away: they would look like a stutter.

    Args:
        features: Of the clip.
        exits, entries: Pictures of the clip.
        length: Of the bridges.
        costs: Shape (len(exits), len(entries)).

    Returns:
        The costs, infinite where forbidden.
    """
    reach = max(2, min(10, len(features) // 4))
    onward = np.asarray(entries)[None, :] - np.asarray(exits)[:, None] - length - 1
    return np.where(np.abs(onward) < reach, np.float32(np.inf), costs).astype(np.float32)


def future_costs(
    parts: Sequence[Part], exits: Sequence[int], entries: Sequence[int], costs: FloatArray
) -> FloatArray:
    """Return the cost of all that must follow, for each exit.

    Args:
        parts: What is played.
        exits: All pictures of the parts, ascending.
        entries: A subset of them.
        costs: Of jumping from each exit to each entry, shape (len(exits), len(entries)).

    Returns:
        Shape (len(exits),): the discounted cost from the moment that the picture is shown.
    """
    lasts = {part.last for part in parts}
    place = {picture: number for number, picture in enumerate(exits)}
    arrive = np.array([place[entry] for entry in entries])
    future = np.zeros(len(exits), dtype=np.float32)
    for _ in range(30):
        before = future.copy()
        leave = (costs + _DECAY * future[arrive][None, :]).min(axis=1)
        for number in range(len(exits) - 1, -1, -1):
            best = leave[number]
            if exits[number] not in lasts:
                best = min(best, _DECAY * future[number + 1])
            future[number] = best
        if np.allclose(before, future, rtol=1e-3, atol=1e-4):
            break
    return future


def trimmed(
    features: ClipFeatures, parts: Sequence[Part], natural_step: float, max_step: float, fps: float
) -> tuple[tuple[Part, ...], float]:
    """End each part at the picture from which it goes on best.

    Args:
        features: Of the clip.
        parts: What can be played.
        natural_step, max_step: As in ``predicted_cost``.
        fps: Pictures per second.

    Returns:
        The shortened parts and the highest cost that remains at one of their ends.
    """
    exits = [picture for part in parts for picture in range(part.start, part.stop)]
    stride = max(3, -(-len(exits) // MAX_CANDIDATES))
    entries = [
        picture
        for part in parts
        for picture in range(part.start, part.stop - tail_of(part, fps), stride)
    ]
    length = 3
    distance = motion_distances(features.poses, exits, features.poses, entries, length + 1)
    costs = loop_costs(
        features, exits, entries, length, predicted_cost(distance, length, natural_step, max_step)
    )
    future = future_costs(parts, exits, entries, costs)
    arrive = np.searchsorted(exits, entries)
    onward = (costs + _DECAY * future[arrive][None, :]).min(axis=1)
    kept, worst, first = [], 0.0, 0
    for part in parts:
        least = min(len(part) - 1, max(2, round(_MIN_KEPT * len(part))))
        ends = np.arange(least, len(part))
        lost = _LOST_PICTURES * (len(part) - 1 - ends) / len(part)
        best = int(ends[np.argmin(onward[first + ends] + lost)])
        worst = max(worst, float(costs[first + best].min()))
        kept.append(Part(part.start, part.start + best + 1))
        first += len(part)
    return tuple(kept), worst


def choose_keyframes(
    features: ClipFeatures, parts: Sequence[Part], interval: int, fps: float
) -> tuple[int, ...]:
    """Choose keyframes so that every pose of a clip has an entry that resembles it.

    A greedy solution of the facility location problem: each keyframe in turn is the picture that
    brings all pictures nearest to their nearest keyframe. Gaps are filled evenly. It depends on
    one clip alone, so the jumps of a pair stay valid when another clip changes.

    Args:
        features: Of the clip.
        parts: What is played of it.
        interval: Most pictures from one keyframe to the next.
        fps: Pictures per second.

    Returns:
        Ascending; the first picture of each part is one, the last is none unless it is the first.
    """
    played = [picture for part in parts for picture in range(part.start, part.stop)]
    chosen = [part.start for part in parts]
    limit = int(_EXTRA_KEYFRAMES * sum(-(-len(part) // interval) for part in parts)) + 1
    candidates = [
        picture
        for part in parts
        for picture in range(part.start, part.stop - max(2, tail_of(part, fps)))
    ]
    candidates = candidates[:: max(1, len(candidates) // MAX_CANDIDATES)]
    stride = max(1, len(played) // (2 * MAX_CANDIDATES))
    demand = features.poses[played[::stride]]
    near = pose_distances(demand, features.poses[chosen]).min(axis=1) ** 2
    offers = pose_distances(demand, features.poses[candidates]) ** 2 if candidates else None
    while offers is not None:
        free = [_is_free(picture, chosen) for picture in candidates]
        gains = np.where(free, np.maximum(near[:, None] - offers, 0.0).sum(axis=0), -1.0)
        best = int(np.argmax(gains))
        if gains[best] <= 0.0 or len(_filled(parts, [*chosen, candidates[best]], interval)) > limit:
            break
        chosen.append(candidates[best])
        near = np.minimum(near, offers[:, best])
    return tuple(_filled(parts, chosen, interval))


def _is_free(picture: int, chosen: Sequence[int]) -> bool:
    return all(abs(picture - other) >= _MIN_KEYFRAME_GAP for other in chosen)


def _filled(parts: Sequence[Part], chosen: Sequence[int], interval: int) -> list[int]:
    """Add keyframes evenly where two are further apart than the interval."""
    result: list[int] = []
    for part in parts:
        inside = sorted(picture for picture in chosen if picture in part)
        for start, stop in zip(inside, [*inside[1:], part.stop], strict=True):
            pieces = max(1, -(-(stop - start) // interval))
            result.extend(start + (stop - start) * piece // pieces for piece in range(pieces))
    return result


def choose_exits(
    part: Part, costs: FloatArray, spacing: int, forced: Sequence[int], price: float
) -> list[int]:
    """Choose exits so that from any picture one is at most ``spacing - 1`` pictures away.

    Args:
        part: What is played.
        costs: Of leaving after each of its pictures.
        spacing: Most pictures from one exit to the next.
        forced: Pictures that must be exits; the last of the part always is one.
        price: What one more exit costs, in the unit of the costs.

    Returns:
        Pictures of the clip, ascending; the cheapest choice, by dynamic programming.
    """
    must = {picture - part.start for picture in forced if picture in part} | {len(part) - 1}
    total = np.full(len(part), np.inf)
    previous = np.full(len(part), -1)
    for here in range(len(part)):
        own = min(float(costs[here]), 1e6) + price
        if here < spacing and not any(picture < here for picture in must):
            total[here] = own
        for before in range(max(0, here - spacing), here):
            skipped = any(picture in must for picture in range(before + 1, here))
            if not skipped and total[before] + own < total[here]:
                total[here], previous[here] = total[before] + own, before
    chosen, here = [], len(part) - 1
    while here >= 0:
        chosen.append(part.start + here)
        here = int(previous[here])
    return chosen[::-1]


def choose_loops(
    exits: Sequence[int],
    entries: Sequence[int],
    costs: FloatArray,
    future: FloatArray,
    limit: int,
    spacing: int,
) -> list[tuple[int, int]]:
    """Choose loop jumps: cheap ones, spread over exits and entries.

    Args:
        exits, entries: Pictures that may be left and entered.
        costs: Shape (len(exits), len(entries)); infinite where forbidden.
        future: Cost of all that follows each entry, shape (len(entries),).
        limit: Most jumps.
        spacing: Least pictures from one exit to the next.

    Returns:
        (exit, entry), best first.
    """
    price = costs + _DECAY * future[None, :]
    smallest = np.minimum(
        np.pad(price, ((1, 0), (0, 0)), constant_values=np.inf)[:-1],
        np.pad(price, ((0, 1), (0, 0)), constant_values=np.inf)[1:],
    )
    minima = price <= smallest
    crowd = np.zeros(len(entries))
    chosen: list[tuple[int, int]] = []
    free = np.isfinite(price)
    while len(chosen) < limit and free.any():
        # One more jump to the same entry must be the better for it.
        rating = np.where(free, price + 0.15 * crowd[None, :] + 0.2 * ~minima, np.inf)
        row, column = divmod(int(np.argmin(rating)), len(entries))
        chosen.append((exits[row], entries[column]))
        free[np.abs(np.asarray(exits) - exits[row]) < spacing] = False
        crowd[column] += 1
    return chosen
