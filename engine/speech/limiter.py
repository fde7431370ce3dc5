"""Keeps the peaks of sound below a ceiling, without clipping."""

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from engine.speech.sound import SAMPLE_RATE, Samples

_UNIT = 24
"""Samples of one step of the gain: 0.5 ms."""

_ATTACK = 7
"""Steps in which the gain falls: 3.5 ms."""

_RELEASE_DB = 50.0 * _UNIT / SAMPLE_RATE
"""Most that the gain rises in one step: 50 dB per second, which is not heard as pumping."""

_REACH = 8
"""Samples around a point from which the sound between samples is computed."""

_LOOK_AHEAD = (1 + _ATTACK) * _UNIT + _REACH

LATENCY = _LOOK_AHEAD + _UNIT - 1
"""Most samples that are held back until later ones come: 4.6 ms."""

_ROUNDING = 1e-4
"""Share of the ceiling that is left for the rounding of 32-bit gains."""


def _between_samples() -> npt.NDArray[np.float32]:
    """Interpolation at 1/4, 1/2 and 3/4 after a sample: ``[2 * _REACH, 3]``, windowed sinc.

    Four times the rate is what ITU-R BS.1770-4, annex 2, asks of a true-peak meter.
    """
    taps = np.arange(2 * _REACH)[:, np.newaxis] - (_REACH - 1)
    distance = taps - np.array([0.25, 0.5, 0.75])
    window = np.cos(np.pi * distance / (2 * _REACH + 1)) ** 2
    kernel = np.sinc(distance) * window
    return np.asarray(kernel / kernel.sum(axis=0), np.float32)


class Limiter:
    """A look-ahead limiter of true peaks, for sound that comes in pieces.

    The gain is computed each 0.5 ms in dB: the least that any peak needs, held and averaged over
    the attack before the peak (so that it is reached in time), let go slowly behind it, and
    interpolated from sample to sample. The sound has no delay: what cannot be decided yet is
    held back, at most ``LATENCY`` samples. How it is cut into pieces makes no difference.

    Args:
        peak_db: The ceiling in dBTP. Samples never exceed it; what lies between them stays within
            about 0.1 dB of it.
    """

    def __init__(self, peak_db: float) -> None:
        self._ceiling = float(10 ** (peak_db / 20)) * (1 - _ROUNDING)
        self._kernel = _between_samples()
        # What has not been given out, behind the samples that interpolation needs of the past.
        self._held = np.zeros(_REACH - 1, np.float32)
        # The gain in dB that was held at the last steps of an attack; none before the first sound.
        self._holds: npt.NDArray[np.float64] | None = None
        self._gain = 1.0

    def feed(self, samples: Samples) -> Samples:
        """Take sound; return what is decided, ``float32[n]``."""
        self._held = np.concatenate([self._held, samples])
        return self._advance()

    def finish(self) -> Samples:
        """Return the rest: with it, as many samples came out as went in."""
        rest = len(self._held) - (_REACH - 1)
        padding = -rest % _UNIT + _LOOK_AHEAD
        self._held = np.concatenate([self._held, np.zeros(padding, np.float32)])
        return self._advance()[:rest]

    def _advance(self) -> Samples:
        known = (len(self._held) - (2 * _REACH - 1)) // _UNIT
        units = known - 1 - _ATTACK
        if units <= 0:
            return np.empty(0, np.float32)
        gains = self._gains(self._needed(known))
        sound = self._held[_REACH - 1 : _REACH - 1 + units * _UNIT].reshape(units, _UNIT)
        start, step = gains[:-1, np.newaxis], np.diff(gains)[:, np.newaxis] / _UNIT
        limited = sound * (start + step * np.arange(_UNIT, dtype=np.float32))
        self._held = self._held[units * _UNIT :]
        return np.asarray(limited.reshape(-1), np.float32)

    def _needed(self, units: int) -> npt.NDArray[np.float64]:
        """Return the gain in dB, 0 or less, that brings each unit's peak to the ceiling."""
        sound = self._held[_REACH - 1 : _REACH - 1 + units * _UNIT].reshape(units, _UNIT)
        peaks = np.abs(sound).max(axis=1).astype(np.float64)
        (high,) = np.nonzero(peaks > self._ceiling / 2)
        if len(high):
            around = sliding_window_view(self._held, 2 * _REACH)
            between = around[_UNIT * high[:, np.newaxis] + np.arange(_UNIT)] @ self._kernel
            peaks[high] = np.maximum(peaks[high], np.abs(between).max(axis=(1, 2)))
        return np.asarray(20 * np.log10(self._ceiling / np.maximum(peaks, self._ceiling)))

    def _gains(self, needed: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Return the gain where each unit that is given out starts, and where the last one ends.

        A unit's own need is met at both its ends, so also by what is interpolated between them.
        """
        if self._holds is None:
            self._holds = np.full(_ATTACK, needed[: _ATTACK + 1].min())
            self._gain = float(10 ** (self._holds[0] / 20))
        at_ends = np.minimum(needed[:-1], needed[1:])
        hold = sliding_window_view(at_ends, _ATTACK + 1).min(axis=1)
        rise = _RELEASE_DB * np.arange(len(hold) + 1)
        hold = np.minimum.accumulate(np.concatenate([self._holds[-1:], hold]) - rise) + rise
        hold = np.concatenate([self._holds, hold[1:]])
        smooth = sliding_window_view(hold, _ATTACK + 1).mean(axis=1)
        gains = np.concatenate([[self._gain], 10 ** (smooth / 20)]).astype(np.float32)
        self._holds, self._gain = hold[-_ATTACK:], float(gains[-1])
        return gains
