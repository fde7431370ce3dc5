"""Small drawn clips for the tests of motion graphs: a disc with eyes that sways over a pattern."""

from collections.abc import Callable, Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.motion.building import link
from engine.motion.graph import MotionGraph, MotionSettings
from engine.motion.nodes import ClipSource, PreparedClip, prepare

Picture = NDArray[np.uint8]
SIDE = 128
FPS = 25.0
SETTINGS = MotionSettings(keyframe_interval=10, bridge_lengths=(2, 3, 5), tries=1, loops_per_clip=6)


@cache
def _pattern(seed: int) -> Picture:
    noise = np.random.default_rng(seed).uniform(60.0, 180.0, (SIDE, SIDE)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 4.0)
    spread = (soft - soft.mean()) * 6.0 + 120.0
    return np.asarray(np.clip(spread, 30, 220), np.uint8)


def drawn(sway: float, lift: float = 0.0, seed: int = 1) -> Picture:
    """Draw one I420 picture; sway and lift are in pixels."""
    grey = _pattern(seed).copy()
    x, y = 64.0 + sway, 64.0 + lift
    for dx, dy, radius, level in ((0, 0, 26, 190), (-9, -6, 4, 40), (9, -6, 4, 40), (0, 11, 5, 90)):
        centre = (round((x + dx) * 16), round((y + dy) * 16))
        cv2.circle(grey, centre, radius * 16, level, -1, cv2.LINE_AA, 4)
    colour = np.full((SIDE // 2, SIDE), 128, np.uint8)
    return np.concatenate([grey, colour])


def swaying(count: int, width: float = 8.0, period: float = 25.0, seed: int = 1) -> list[Picture]:
    """Draw a clip that sways evenly, so that it loops well."""
    turn = 2.0 * np.pi / period
    return [
        drawn(width * float(np.sin(turn * n)), 2.0 * float(np.cos(turn * n)), seed)
        for n in range(count)
    ]


def source(
    name: str, pictures: Sequence[Picture], action: bool = False, state: str = ""
) -> ClipSource:
    return ClipSource(
        name=name,
        state=None if action else state or name,
        action=name if action else None,
        fingerprint=f"{name}-{len(pictures)}",
        pictures=pictures,
    )


def prepared(*sources: ClipSource, settings: MotionSettings = SETTINGS) -> list[PreparedClip]:
    return [prepare(clip, FPS, settings) for clip in sources]


def built(*sources: ClipSource, settings: MotionSettings = SETTINGS) -> MotionGraph:
    return link(prepared(*sources, settings=settings), settings)


def changed(
    pictures: Sequence[Picture], where: range, how: Callable[[Picture], Picture]
) -> list[Picture]:
    return [how(p) if n in where else p for n, p in enumerate(pictures)]
