"""Cuts sound into windows at quiet moments, so that no word is cut in two."""

import numpy as np

from engine.speech.sound import SAMPLE_RATE, Samples


class SoundWindows:
    """Gathers sound until a window is full.

    Args:
        seconds: Length of a window; the cut lies in its last part.
        searched_s: How far back from its end the cut may be, at most half of the window.
        quiet_s: Length of the quietest stretch that is looked for.
    """

    def __init__(self, seconds: float, searched_s: float = 1.0, quiet_s: float = 0.02) -> None:
        self._length = round(seconds * SAMPLE_RATE)
        self._searched = min(self._length // 2, round(searched_s * SAMPLE_RATE))
        self._quiet = max(1, round(quiet_s * SAMPLE_RATE))
        self._kept: list[Samples] = []
        self._count = 0

    def add(self, samples: Samples) -> Samples | None:
        """Take sound; return the next window if it is full."""
        self._kept.append(samples)
        self._count += len(samples)
        if self._count < self._length:
            return None
        whole = np.concatenate(self._kept)
        cut = self._quietest(whole)
        self._kept, self._count = [whole[cut:]], len(whole) - cut
        return whole[:cut]

    def rest(self) -> Samples:
        """Return what is left."""
        whole = np.concatenate(self._kept) if self._kept else np.zeros(0, np.float32)
        self._kept, self._count = [], 0
        return whole

    def _quietest(self, whole: Samples) -> int:
        """Return the middle of the quietest stretch in the part that is searched."""
        first = len(whole) - self._searched
        blocks = self._searched // self._quiet
        searched = whole[first : first + blocks * self._quiet].reshape(blocks, self._quiet)
        quietest = int(np.argmin((searched**2).sum(axis=1)))
        return first + quietest * self._quiet + self._quiet // 2
