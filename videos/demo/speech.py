"""How the mouth moves in speech: sounds in time become smooth lip and jaw shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pose import REST_WIDTH, Vector


@dataclass(frozen=True)
class Viseme:
    """Mouth shape of one group of sounds; `pull` says how strongly it holds against neighbours."""

    jaw: float
    width: float
    up: float
    low: float
    pucker: float = 0.0
    tongue: float = 0.0
    pull: float = 1.0


VISEMES = {
    "_": Viseme(0.000, 0.300, 0.000, 0.000, pull=0.8),
    "m": Viseme(0.005, 0.285, 0.000, 0.000, 0.15, pull=2.6),
    "a": Viseme(0.150, 0.300, 0.030, 0.165),
    "e": Viseme(0.075, 0.330, 0.030, 0.090),
    "i": Viseme(0.040, 0.350, 0.036, 0.058),
    "o": Viseme(0.105, 0.225, 0.045, 0.115, 0.75),
    "u": Viseme(0.050, 0.175, 0.030, 0.050, 1.00, pull=1.2),
    "f": Viseme(0.020, 0.305, 0.034, 0.004, pull=1.9),
    "l": Viseme(0.065, 0.305, 0.028, 0.080, 0.0, 0.9),
    "s": Viseme(0.022, 0.325, 0.034, 0.042, pull=1.2),
    "r": Viseme(0.045, 0.235, 0.034, 0.055, 0.50),
}

# Phrases: start, seconds per sound, sounds; an underscore is a short close of the mouth.
PHRASES = (
    (0.55, 0.105, "hai_ims_ogladtusiyu"),
    (3.15, 0.108, "letmisouyusamfing_niu"),
    (6.05, 0.112, "its_ril_isimpl_ouvrhir"),
)
SOUNDS = {
    "h": "e",
    "b": "m",
    "p": "m",
    "d": "l",
    "t": "l",
    "n": "l",
    "g": "e",
    "k": "e",
    "v": "f",
    "y": "i",
    "w": "u",
    "z": "s",
}


def score() -> list[tuple[float, Viseme]]:
    """Times and shapes of everything said, with a closed mouth before and after each phrase."""
    out: list[tuple[float, Viseme]] = [(-1.0, VISEMES["_"])]
    for start, step, sounds in PHRASES:
        t = start
        out += [(t - gap, VISEMES["_"]) for gap in (0.45, 0.30, 0.15)]
        for sound in sounds:
            shape = VISEMES[SOUNDS.get(sound, sound)]
            out.append((t, shape))
            t += step * (1.35 if sound in "ao" else 0.85 if sound in "lsfr" else 1.0)
        out += [(t + gap, VISEMES["_"]) for gap in (0.08, 0.20, 0.35)]
    out.append((99.0, VISEMES["_"]))
    return out


SCORE = score()


def mouth(t: float) -> tuple[Vector, float]:
    """(jaw, width, up, low, pucker, tongue) and how much speech there is, with coarticulation.

    Every sound pulls on the mouth around its moment; shapes blend by the strength of their pull.
    """
    total = np.zeros(6)
    weight = 1e-9
    speech = 0.0
    for at, v in SCORE:
        w = v.pull * math.exp(-(((t - at) / 0.068) ** 2))
        total += w * np.array([v.jaw, v.width, v.up, v.low, v.pucker, v.tongue])
        weight += w
        speech += w if v is not VISEMES["_"] else 0.0
    quiet = math.exp(-weight * 12.0)
    still = np.array([0.0, REST_WIDTH, 0.0, 0.0, 0.0, 0.0])
    return total / weight * (1 - quiet) + still * quiet, speech / weight * (1 - quiet)
