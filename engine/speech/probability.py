"""How likely a short piece of sound is speech: the interface, and the answer by energy alone."""

import math
from collections import deque
from typing import Protocol

import numpy as np

from engine.speech.sound import Samples

WINDOW = 512
"""Samples of one piece: 32 ms at 16 kHz."""

_MEMORY = 78  # windows: 2.5 s; longer than the longest stretch of speech without a soft moment
_SMOOTHING = 0.6  # of the energy whose minimum is the floor: one window's share of the past
_LEAST_DB = -38.0  # dBFS; speech is normalised to about -19 LUFS, so it lies far above
_MARGIN_DB = 8.0  # above the floor
_SLOPE_DB = 3.0
_LOWEST_BIN = 4  # of 31.25 Hz
_TINY = 1e-12  # energy of what counts as digital silence


class SpeechProbability(Protocol):
    """Judges sound window by window; holds the state of one utterance."""

    @property
    def window(self) -> int:
        """Samples that ``feed`` takes, at 16 kHz."""

    def feed(self, samples: Samples) -> float:
        """Return how likely the next window is speech.

        Args:
            samples: ``float32[window]``, mono, 16 kHz, -1..1: the piece right after the last one.

        Returns:
            0..1.
        """


class NoiseFloor:
    """The energy of the steady part of a sound: the least smoothed energy of the last windows.

    After R. Martin, "Noise power spectral density estimation based on optimal smoothing and
    minimum statistics", IEEE Trans. Speech and Audio Processing 2001, for one band and without
    bias correction: speech has soft moments again and again, steady noise and hum have none.

    Args:
        memory: Windows after which a soft moment is forgotten.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._number = 0
        self._smoothed: float | None = None
        # Windows that are softer than all later ones, softest first: the head is the minimum.
        self._softest: deque[tuple[int, float]] = deque()

    @property
    def is_known(self) -> bool:
        """Whether there has been a window."""
        return self._number > 0

    @property
    def energy(self) -> float:
        """Mean square of the floor; 0 before the first window."""
        return self._softest[0][1] if self._softest else 0.0

    def update(self, energy: float) -> None:
        """Take the mean square of the next window."""
        if self._smoothed is None:
            self._smoothed = energy
        self._smoothed += (1 - _SMOOTHING) * (energy - self._smoothed)
        while self._softest and self._softest[-1][1] >= self._smoothed:
            self._softest.pop()
        self._softest.append((self._number, self._smoothed))
        self._number += 1
        if self._softest[0][0] < self._number - self._memory:
            self._softest.popleft()


class EnergyProbability:
    """Calls speech whatever is clearly audible and not steady.

    A window counts when its energy from 125 Hz on lies well above the noise floor of the last
    2.5 s, and is loud at all. Steady noise and tones therefore count for 2.5 s from their
    beginning; mains hum and rumble, and what is soft, do not count.
    """

    window = WINDOW

    def __init__(self) -> None:
        self._taper = np.hanning(WINDOW).astype(np.float32)
        self._scale = 2 / (WINDOW * float(np.dot(self._taper, self._taper)))
        # An utterance begins out of silence: what is there from the first moment is sound too.
        self._floor = NoiseFloor(_MEMORY)
        self._floor.update(0.0)

    def feed(self, samples: Samples) -> float:
        """See ``SpeechProbability``."""
        spectrum = np.fft.rfft(samples * self._taper)[_LOWEST_BIN:].view(np.float32)
        energy = float(np.dot(spectrum, spectrum)) * self._scale
        level = 10 * math.log10(energy + _TINY)
        floor = 10 * math.log10(self._floor.energy + _TINY)
        self._floor.update(energy)
        above = level - max(_LEAST_DB, floor + _MARGIN_DB)
        return 1 / (1 + math.exp(-above / _SLOPE_DB))
