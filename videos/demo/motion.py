"""How the character moves: a pose for every moment of every clip.

All clips share one resting layer (breath, sway) that starts and ends at rest and repeats without a
seam; speech, glances, blinks and hands come on top and are back at zero at both ends of a clip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from curves import blink, breath, glance, pulse, wander
from pose import REST_SMILE, REST_WIDTH, Hand, Pose
from speech import mouth

FPS = 25


def rest(t: float, length: float) -> Pose:
    """The layer under every clip: breath and a slow sway of head and body."""
    air = breath(t, length)
    yaw = 0.055 * wander(t, length, 1)
    pitch = 0.022 * wander(t, length, 2) + 0.012 * air
    roll = 0.028 * wander(t, length, 3, (1, 2))
    return Pose(
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        head_x=0.018 * wander(t, length, 4, (1, 2)),
        head_y=0.006 * air,
        torso_x=0.016 * wander(t, length, 5, (1, 2)),
        torso_y=0.020 * air,
        torso_z=0.014 * air,
        breath=air,
        shoulder_left=0.026 * air + 0.006 * wander(t, length, 6),
        shoulder_right=0.026 * air + 0.006 * wander(t, length, 7),
        squint=0.10 * max(wander(t, length, 8, (2, 3)), 0.0),
        brow_left=0.010 * wander(t, length, 9, (2, 3)),
        brow_right=0.010 * wander(t, length, 10, (2, 3)),
        smile_left=REST_SMILE + 0.012 * wander(t, length, 11, (1, 3)),
        smile_right=REST_SMILE + 0.012 * wander(t, length, 12, (1, 2)),
        mouth_width=REST_WIDTH + 0.006 * wander(t, length, 13, (1, 2)),
    )


def look(pose: Pose, x: float, y: float, lids: float) -> Pose:
    """Eyes on the viewer plus a glance: they turn against the head, and the lids follow them."""
    return replace(
        pose,
        gaze_x=x - 0.85 * pose.yaw,
        gaze_y=y - 0.85 * pose.pitch,
        blink=min(1.0, lids + max(0.0, -y) * 0.8),
        brow_left=pose.brow_left - 0.014 * lids + 0.10 * y,
        brow_right=pose.brow_right - 0.014 * lids + 0.10 * y,
        squint=pose.squint + 0.3 * lids,
    )


IDLE_LENGTH = 9.6
IDLE_BLINKS = (1.35, 4.62, 5.02, 8.05)
IDLE_GLANCES = (
    (0.9, 0.035, 0.010),
    (1.40, -0.02, 0.0),
    (2.7, -0.10, 0.03),
    (3.25, -0.085, 0.02),
    (4.65, 0.02, -0.01),
    (6.1, 0.09, -0.02),
    (6.75, 0.03, 0.015),
    (8.08, -0.015, 0.01),
    (8.9, 0.0, 0.0),
)


def idle(t: float) -> Pose:
    """Waiting, friendly, mouth closed."""
    pose = rest(t, IDLE_LENGTH)
    x, y = glance(t, IDLE_GLANCES)
    # The head follows the eyes late and slowly, and is back before the clip ends.
    after, _ = glance(t, IDLE_GLANCES, 0.70)
    warm = pulse(t, 5.6, 0.9, 0.9, 1.2)
    lift = pulse(t, 2.6, 0.5, 0.5, 0.8)
    pose = replace(
        pose,
        yaw=pose.yaw + 0.45 * after,
        smile_left=pose.smile_left + 0.030 * warm,
        smile_right=pose.smile_right + 0.024 * warm,
        mouth_width=pose.mouth_width + 0.018 * warm,
        squint=pose.squint + 0.35 * warm,
        brow_left=pose.brow_left + 0.014 * lift,
        brow_right=pose.brow_right + 0.030 * lift,
    )
    return look(pose, x, y, blink(t, IDLE_BLINKS))


GESTURE_LENGTH = 9.6
ACCENTS = (0.72, 1.75, 3.75, 4.7, 6.35, 7.3)
GESTURE_BLINKS = (0.30, 2.62, 5.60, 8.55)
GESTURE_GLANCES = (
    (0.3, 0.01, 0.0),
    (1.9, -0.05, 0.02),
    (2.62, 0.0, 0.0),
    (3.6, 0.12, -0.06),
    (4.5, 0.0, 0.0),
    (5.62, -0.09, 0.05),
    (6.3, 0.0, 0.0),
    (7.1, 0.03, 0.0),
    (8.57, 0.0, 0.0),
)

HandKey = tuple[float, Hand]
BELOW = Hand((1.45, -3.7, 0.75), yaw=-0.2, pitch=0.1, roll=-0.3, curl=0.6, fan=0.06, thumb=0.8)

# Each list starts and ends below the picture; the lists of one clip do not overlap in time.
RIGHT_HAND: tuple[HandKey, ...] = (
    (2.95, BELOW),
    (3.70, Hand((0.98, -1.98, 0.95), -0.22, 0.02, -0.30, 0.26, 0.14, 0.20)),
    (4.25, Hand((1.02, -2.02, 1.10), -0.05, 0.26, -0.78, 0.15, 0.18, 0.05)),
    (4.72, Hand((0.96, -1.92, 1.00), -0.20, 0.08, -0.52, 0.25, 0.15, 0.20)),
    (5.25, Hand((1.04, -2.08, 1.00), -0.10, 0.20, -0.70, 0.30, 0.12, 0.30)),
    (6.10, BELOW),
)
BOTH_HANDS: tuple[HandKey, ...] = (
    (6.12, BELOW),
    (6.80, Hand((0.82, -2.14, 1.00), -0.35, 0.18, -0.52, 0.28, 0.14, 0.20)),
    (7.30, Hand((0.98, -2.10, 1.10), -0.05, 0.36, -0.92, 0.15, 0.18, 0.05)),
    (7.85, Hand((0.92, -2.18, 1.00), -0.20, 0.26, -0.78, 0.26, 0.14, 0.20)),
    (8.75, BELOW),
)
WAVING_HAND: tuple[HandKey, ...] = (
    (0.10, BELOW),
    (0.72, Hand((1.27, -1.68, 0.80), -0.18, -0.04, -0.05, 0.16, 0.16, 0.10)),
    (0.95, Hand((1.33, -1.70, 0.80), -0.12, -0.06, -0.44, 0.13, 0.19, 0.05)),
    (1.20, Hand((1.25, -1.68, 0.80), -0.20, -0.04, 0.14, 0.20, 0.16, 0.15)),
    (1.45, Hand((1.33, -1.70, 0.80), -0.12, -0.06, -0.44, 0.13, 0.19, 0.05)),
    (1.70, Hand((1.25, -1.69, 0.80), -0.20, -0.04, 0.10, 0.20, 0.16, 0.15)),
    (1.94, Hand((1.30, -1.76, 0.80), -0.15, -0.04, -0.34, 0.20, 0.15, 0.15)),
    (2.56, BELOW),
)


def hand_at(t: float, keys: Sequence[HandKey], mirror: bool = False) -> tuple[Hand, ...]:
    """The hand between its keys (smooth in speed), or none while it is out of the picture."""
    times = np.array([key[0] for key in keys])
    if not times[0] < t < times[-1]:
        return ()
    rows = np.array(
        [(*h.wrist, h.yaw, h.pitch, h.roll, h.curl, h.fan, h.thumb, h.cup) for _, h in keys]
    )
    slopes = np.zeros_like(rows)
    slopes[1:-1] = 0.75 * (rows[2:] - rows[:-2]) / (times[2:] - times[:-2])[:, None]
    # A hand that arrives or leaves does not overshoot: its way in and out would set the slope.
    slopes[1] *= 0.25
    slopes[-2] *= 0.25
    i = int(np.searchsorted(times, t)) - 1
    span = times[i + 1] - times[i]
    u = (t - times[i]) / span
    row = (
        (2 * u**3 - 3 * u**2 + 1) * rows[i]
        + (u**3 - 2 * u**2 + u) * span * slopes[i]
        + (3 * u**2 - 2 * u**3) * rows[i + 1]
        + (u**3 - u**2) * span * slopes[i + 1]
    )
    return (Hand((row[0], row[1], row[2]), *row[3:], mirror=mirror),)


def gesture(t: float) -> Pose:
    """Speaking: three phrases, nods and brows on the accents, and the hands twice."""
    pose = rest(t, GESTURE_LENGTH)
    x, y = glance(t, GESTURE_GLANCES)
    shape, speech = mouth(t)
    jaw, width, up, low, pucker, tongue = shape
    nod = sum(pulse(t, at - 0.26, 0.30, 0.02, 0.56) for at in ACCENTS)
    brow = sum(pulse(t, at - 0.22, 0.22, 0.12, 0.50) for at in ACCENTS[::2])
    aside = pulse(t, 3.2, 0.8, 0.9, 1.0) - 0.8 * pulse(t, 5.5, 0.6, 0.2, 0.8)
    tilt = pulse(t, 1.3, 0.6, 0.5, 0.9) - pulse(t, 6.2, 0.7, 0.9, 0.9)
    talk = pulse(t, 0.35, 0.5, 7.9, 0.7)
    bob = speech * math.sin(t * 7.1) * 0.012
    glad = pulse(t, 0.5, 0.5, 1.6, 0.8) + pulse(t, 7.6, 0.6, 0.6, 0.7)
    shrug = pulse(t, 6.35, 0.5, 0.9, 0.8)
    reach = pulse(t, 3.0, 0.7, 1.6, 0.9)
    pose = replace(
        pose,
        yaw=pose.yaw + 0.15 * aside + 0.02 * math.sin(2.2 * t) * talk,
        pitch=pose.pitch - 0.068 * nod + 0.03 * talk * math.sin(1.7 * t) + bob,
        roll=pose.roll - 0.055 * tilt - 0.03 * aside,
        head_z=0.05 * talk + 0.05 * nod,
        head_x=pose.head_x + 0.03 * aside,
        torso_x=pose.torso_x + 0.035 * aside,
        torso_y=pose.torso_y - 0.012 * nod + 0.012 * talk,
        shoulder_left=pose.shoulder_left + 0.07 * shrug,
        shoulder_right=pose.shoulder_right + 0.07 * shrug + 0.05 * reach,
        brow_left=pose.brow_left + 0.038 * brow,
        brow_right=pose.brow_right + 0.044 * brow,
        brow_inner=0.022 * shrug,
        squint=pose.squint + 0.15 * talk + 0.40 * glad,
        jaw=jaw,
        lip_up=up,
        lip_low=low,
        pucker=pucker,
        tongue=tongue,
        mouth_width=pose.mouth_width + (width - REST_WIDTH) + 0.014 * glad,
        smile_left=pose.smile_left * (1 - 0.45 * pucker) + 0.020 * glad,
        smile_right=pose.smile_right * (1 - 0.45 * pucker) + 0.022 * glad,
        hands=hand_at(t, RIGHT_HAND) + hand_at(t, BOTH_HANDS) + hand_at(t, BOTH_HANDS, mirror=True),
    )
    return look(pose, x, y, blink(t, GESTURE_BLINKS))


WAVE_LENGTH = 2.8


def wave(t: float) -> Pose:
    """A wave of the hand with a wide smile; begins and ends where idle begins."""
    pose = rest(t, WAVE_LENGTH)
    glad = pulse(t, 0.25, 0.5, 1.1, 0.8)
    up = pulse(t, 0.15, 0.5, 1.2, 0.75)
    shift = -0.05 * math.sin(math.tau * (t - 0.72) / 0.5) * pulse(t, 0.5, 0.4, 0.8, 0.5)
    pose = replace(
        pose,
        yaw=0.06 * up,
        pitch=0.4 * pose.pitch + 0.03 * up,
        roll=-0.085 * up + 0.2 * shift,
        head_x=-0.02 * up,
        shoulder_right=pose.shoulder_right + 0.10 * up,
        brow_left=pose.brow_left + 0.020 * glad,
        brow_right=pose.brow_right + 0.022 * glad,
        squint=pose.squint + 0.55 * glad,
        jaw=0.030 * glad,
        lip_up=0.026 * glad,
        lip_low=0.050 * glad,
        mouth_width=pose.mouth_width + 0.045 * glad,
        smile_left=pose.smile_left + 0.035 * glad,
        smile_right=pose.smile_right + 0.035 * glad,
        hands=hand_at(t, WAVING_HAND),
    )
    return look(pose, 0.0, 0.0, blink(t, (0.16, 2.15)))
