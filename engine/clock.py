"""Time comes in as an argument: logic takes a ``Clock`` or a ``now``, never the wall clock."""

import time
from collections.abc import Callable
from math import ceil, floor
from typing import Final

Clock = Callable[[], float]
"""Returns seconds on a clock that never goes back."""

monotonic: Clock = time.monotonic

GRID: Final = 0.01
"""Seconds: streams begin, and all packets of sound are due, at multiples of this on their clock.

Receivers take sound out of their jitter buffers in pieces of 10 ms (WebRTC's NetEq does). Speech
after a silence that is no whole number of them waits for the next piece: sound would fall behind
the pictures, by up to 10 ms more after each silence. And what is due together is sent together:
one waking of the loop serves many streams.
"""

_ROUNDING = 1e-6


def aligned(at: float) -> float:
    """Return the latest moment of the grid that is not after another one."""
    return floor(at / GRID + _ROUNDING) * GRID


def soonest(at: float) -> float:
    """Return the earliest moment of the grid that is not before another one."""
    return ceil(at / GRID - _ROUNDING) * GRID


def nearest(at: float) -> float:
    """Return the moment of the grid that is nearest to another one."""
    return aligned(at + GRID / 2)
