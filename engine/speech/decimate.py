"""From the rate of what is played to the windows that speech detectors hear."""

import numpy as np

from engine.speech.sound import SAMPLE_RATE, Samples

DETECTION_RATE = 16_000
"""Samples per second of the sound that detectors hear."""

_FACTOR = SAMPLE_RATE // DETECTION_RATE
_REACH = 30  # samples on each side of the filter's centre


class Decimator:
    """Turns 48 kHz, chunk by chunk, into windows of 16 kHz, without a shift in time.

    A linear-phase low-pass (sinc windowed by Hamming, 61 taps: flat to 5.9 kHz, -50 dB from
    8.6 kHz) of which only every third value is computed.

    Args:
        window: Samples of a window, at 16 kHz.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        offset = np.arange(-_REACH, _REACH + 1)
        cutoff = 0.9 / _FACTOR
        taps = np.sinc(cutoff * offset) * np.hamming(len(offset))
        taps = (taps / taps.sum()).astype(np.float32)
        self._phases = [taps[phase::_FACTOR] for phase in range(_FACTOR)]
        self._waiting = np.zeros(_REACH, np.float32)

    def feed(self, samples: Samples) -> Samples:
        """Take the next chunk and return the windows that it completes.

        Args:
            samples: ``float32[n]``, mono, 48 kHz, n >= 0.

        Returns:
            ``float32[m, window]``, m >= 0.
        """
        waiting = np.concatenate([self._waiting, samples], dtype=np.float32)
        count = self._ready(len(waiting)) // self._window
        out = np.zeros(count * self._window, np.float32)
        if count:
            for phase, taps in enumerate(self._phases):
                part = waiting[phase::_FACTOR][: len(out) + len(taps) - 1]
                out += np.correlate(part, taps, "valid")
            waiting = waiting[len(out) * _FACTOR :].copy()
        self._waiting = waiting
        return out.reshape(count, self._window)

    def finish(self) -> Samples:
        """Return the last windows, the last one filled up with silence: the input ends here."""
        left = self._ready(len(self._waiting) + _REACH)
        silence = _REACH + -left % self._window * _FACTOR
        return self.feed(np.zeros(silence, np.float32))

    @staticmethod
    def _ready(length: int) -> int:
        """Samples at 16 kHz that can be computed of so many waiting ones."""
        return max(0, (length - 2 * _REACH - 1) // _FACTOR + 1)
