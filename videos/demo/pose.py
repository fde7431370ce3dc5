"""A pose: all that the shaders need to know about one moment, down to the bones of the hands.

The unit of length is half the width of the head; x runs to the right of the picture, y up, z
towards the camera. Angles are in radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

# Where the head turns; PIVOT in figure.glsl is the same point.
NECK = np.array([0.0, -0.95, -0.20])
REST_WIDTH = 0.30
REST_SMILE = 0.050


@dataclass(frozen=True)
class Hand:
    """One hand; as given it is the one on the picture's right, `mirror` puts it on the left."""

    wrist: tuple[float, float, float]
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    curl: float = 0.25
    fan: float = 0.16
    thumb: float = 0.3
    cup: float = 0.1
    mirror: bool = False


@dataclass(frozen=True)
class Pose:
    """Everything the shaders need to know about one moment."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    head_x: float = 0.0
    head_y: float = 0.0
    head_z: float = 0.0
    torso_x: float = 0.0
    torso_y: float = 0.0
    torso_z: float = 0.0
    breath: float = 0.0
    shoulder_left: float = 0.0
    shoulder_right: float = 0.0
    blink: float = 0.0
    squint: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    brow_left: float = 0.0
    brow_right: float = 0.0
    brow_inner: float = 0.0
    brow_pinch: float = 0.0
    jaw: float = 0.0
    mouth_width: float = REST_WIDTH
    lip_up: float = 0.0
    lip_low: float = 0.0
    pucker: float = 0.0
    smile_left: float = REST_SMILE
    smile_right: float = REST_SMILE
    tongue: float = 0.0
    hands: tuple[Hand, ...] = field(default=())


def turn(yaw: float, pitch: float, roll: float) -> Vector:
    """Rotation matrix: yaw to the picture's right, pitch up, roll to the picture's left."""
    cy, sy = math.cos(yaw), math.sin(yaw)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def head_turn(pose: Pose) -> Vector:
    """Head space to world."""
    return turn(pose.yaw, pose.pitch, pose.roll)


Bone = tuple[tuple[float, ...], tuple[float, ...]]

# Finger: knuckle (x, y), lengths of its three bones, thickness at the knuckle. x to the little
# finger, y along the fingers, z out of the palm.
FINGERS = (
    ((-0.215, 0.560), (0.270, 0.175, 0.135), 0.088),
    ((-0.070, 0.590), (0.300, 0.195, 0.145), 0.091),
    ((0.072, 0.565), (0.275, 0.185, 0.140), 0.087),
    ((0.200, 0.500), (0.205, 0.135, 0.115), 0.076),
)
BONES_PER_HAND = 22
ELBOW = np.array([1.62, -3.75, 0.30])


def hand_bones(hand: Hand) -> list[Bone]:
    """Round cones (end and radius, other end and radius); cloth has a negative radius."""
    axes = turn(hand.yaw, hand.pitch, hand.roll)
    wrist = np.array(hand.wrist)
    parts: list[Bone] = []

    def add(a: Vector, ra: float, b: Vector, rb: float, *, local: bool = True) -> None:
        if local:
            a, b = wrist + axes @ a, wrist + axes @ b
        if hand.mirror:
            a, b = a * (-1, 1, 1), b * (-1, 1, 1)
        parts.append(((*a, ra), (*b, rb)))

    heel = np.array([0.0, 0.06, 0.0])
    for number, ((x, y), lengths, thick) in enumerate(FINGERS):
        spread = (number - 1.35) * hand.fan
        knuckle = np.array([x, y, hand.cup * (abs(number - 1.4) - 0.6) * 0.12])
        add(heel + np.array([x * 0.75, 0.0, 0.0]), 0.135, knuckle, 0.105)
        flat = np.array([math.sin(spread), math.cos(spread), 0.0])
        bend = hand.curl * (0.75 + 0.22 * number)
        angle = 0.0
        at = knuckle
        for step, (length, share) in enumerate(zip(lengths, (0.85, 1.1, 0.7), strict=True)):
            angle += bend * share
            to = at + length * (math.cos(angle) * flat + math.sin(angle) * np.array([0, 0, 1.0]))
            add(at, thick * (1.0 - 0.10 * step), to, thick * (0.90 - 0.10 * step))
            at = to
    base = np.array([-0.16, 0.12, 0.05])
    out = 0.95 - 0.55 * hand.thumb
    middle = base + 0.30 * np.array([-math.sin(out), math.cos(out), 0.30])
    out -= 0.22
    joint = middle + 0.22 * np.array([-math.sin(out), math.cos(out), 0.16])
    out -= 0.20
    tip = joint + 0.165 * np.array([-math.sin(out), math.cos(out), 0.10])
    add(base, 0.145, middle, 0.112)
    add(middle, 0.102, joint, 0.088)
    add(joint, 0.088, tip, 0.072)
    # Wrist and sleeve point to the elbow, which stays below the picture.
    elbow = ELBOW
    along = (elbow - wrist) / np.linalg.norm(elbow - wrist)
    add(wrist + axes @ heel, 0.155, wrist + along * 0.30, 0.150, local=False)
    add(wrist + along * 0.26, -0.225, wrist + along * 0.38, -0.225, local=False)
    add(wrist + along * 0.38, -0.215, elbow, -0.34, local=False)
    return parts


def bones(pose: Pose) -> list[Bone]:
    """Segments of all hands in the picture."""
    return [bone for hand in pose.hands for bone in hand_bones(hand)]
