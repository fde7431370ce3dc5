"""The One-Euro filter (Casiez, Roussel and Vogel, "1€ Filter: A Simple Speed-based Low-pass Filter
for Noisy Input in Interactive Systems", CHI 2012).
"""

import math

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


class OneEuro:
    """Smooths values the more, the slower they change.

    While only a few values have come, each counts as much as those before it, so that the first one
    does not linger.

    Args:
        first: The first values, of any shape.
        min_cutoff: Cut-off frequency in Hz for values that stand still.
        beta: Hz by which the cut-off rises per unit of speed.
        speed_cutoff: Cut-off frequency in Hz of the speed itself.
    """

    def __init__(
        self, first: npt.ArrayLike, min_cutoff: float, beta: float, speed_cutoff: float = 1.0
    ) -> None:
        self._min_cutoff, self._beta, self._speed_cutoff = min_cutoff, beta, speed_cutoff
        self._value: Values = np.array(first, np.float64)
        self._raw = self._value
        self._speed: Values = np.zeros_like(self._value)
        self._count = 1

    @property
    def value(self) -> Values:
        """The smoothed values."""
        return self._value

    def update(self, values: npt.ArrayLike, seconds: float) -> Values:
        """Take in new values.

        Args:
            values: Of the shape of those before.
            seconds: Since the last ones.

        Returns:
            The smoothed values.
        """
        new = np.asarray(values, np.float64)
        seconds = max(seconds, 1e-4)
        speed = (new - self._raw) / seconds
        self._speed = self._speed + _gain(self._speed_cutoff, seconds) * (speed - self._speed)
        self._raw = new
        self._count += 1
        cutoff = self._min_cutoff + self._beta * np.abs(self._speed)
        gain = np.maximum(_gain(cutoff, seconds), 1 / self._count)
        self._value = self._value + gain * (new - self._value)
        return self._value

    def shift(self, by: Values) -> None:
        """Move everything by ``by`` because the frame of reference moved."""
        self._value = self._value + by
        self._raw = self._raw + by


def _gain(cutoff: npt.ArrayLike, seconds: float) -> Values:
    turns = 2 * math.pi * np.asarray(cutoff, np.float64) * seconds
    return np.asarray(turns / (turns + 1.0))
