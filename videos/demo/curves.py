"""Curves in time that motion is made of; times are in seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence


def ease(x: float) -> float:
    """Minimum-jerk step from 0 to 1."""
    x = min(max(x, 0.0), 1.0)
    return x * x * x * (10.0 - 15.0 * x + 6.0 * x * x)


def pulse(t: float, start: float, rise: float, hold: float, fall: float) -> float:
    """Up from `start` over `rise`, stay for `hold`, down over `fall`."""
    return ease((t - start) / rise) - ease((t - start - rise - hold) / fall)


def wander(t: float, length: float, seed: int, cycles: Sequence[int] = (1, 2, 3)) -> float:
    """Smooth aimless curve in about -1..1 that repeats every `length` and is 0 at 0."""
    total = 0.0
    for n in cycles:
        phase = math.tau * math.modf(math.sin(seed * 12.9898 + n * 78.233) * 43758.5453)[0]
        total += (math.sin(math.tau * n * t / length + phase) - math.sin(phase)) / n
    return total * 0.6


def breath(t: float, length: float) -> float:
    """0 with empty lungs .. 1; in faster than out, one breath about every 3.2 s."""
    count = max(1, round(length / 3.2))
    x = (t * count / length) % 1.0
    return pulse(x, 0.02, 0.40, 0.04, 0.50)


def blink(t: float, times: Sequence[float]) -> float:
    """Lids: shut within 80 ms, open again over 190 ms."""
    return max((pulse(t, at, 0.085, 0.035, 0.20) for at in times), default=0.0)


def glance(
    t: float, steps: Sequence[tuple[float, float, float]], takes: float = 0.08
) -> tuple[float, float]:
    """Gaze that goes to (x, y) at each time within `takes` and rests there."""
    x = y = 0.0
    for at, to_x, to_y in steps:
        share = ease((t - at) / takes)
        x += (to_x - x) * share
        y += (to_y - y) * share
    return x, y
