"""How loud speech is (EBU R128), and the gain that makes it as loud as it should be."""

import math

import numpy as np
import numpy.typing as npt

from engine.speech.resample import FilterChain, audio_frame
from engine.speech.settings import SpeechSettings
from engine.speech.sound import SAMPLE_RATE, Samples

USUAL_LOUDNESS = -21.0
"""Loudness in LUFS that streamed speech is taken to have until it has been heard: espeak-ng, voices
in the manner of OpenAI and microphones with automatic gain have about -18 to -24."""

_HOP = SAMPLE_RATE // 10
"""Samples from one gating block to the next: 100 ms."""

_OVERLAP = 4
"""Hops of one gating block: 400 ms."""

_ABSOLUTE_GATE = -70.0
_RELATIVE_GATE = -10.0

_STEP = SAMPLE_RATE // 100
"""Samples of one step of the running gain: 10 ms."""

_HOP_STEPS = _HOP // _STEP
_SECOND = SAMPLE_RATE // _STEP

_RISE_DB = 12.0 / _SECOND
_FALL_DB = 40.0 / _SECOND
"""Most that the running gain changes in one step: 0.012 dB per ms up and 0.04 down, which is
reached only while the loudness of the voice is being found out."""

_MODULATION_DB = 7.0
"""How far the quietest tenth of speech lies at least below its mean, within a second, in steps of
10 ms. Steady noise has 1 to 3 dB, speech 12 and more."""

_CERTAIN_HOPS = 8
"""Gating blocks with voice after which the measurement alone counts, and not what is usual."""

_MEMORY_HOPS = 150
"""Gating blocks (15 s of voice) over which the running loudness is averaged."""


class KWeighting:
    """The K-weighting of BS.1770-4 (tables 1 and 2, for 48 kHz), for sound that comes in pieces."""

    def __init__(self) -> None:
        self._chain = FilterChain(
            SAMPLE_RATE,
            "dbl",
            "mono",
            (
                "biquad",
                "a0=1:a1=-1.69065929318241:a2=0.73248077421585"
                ":b0=1.53512485958697:b1=-2.69169618940638:b2=1.19839281085285",
            ),
            ("biquad", "a0=1:a1=-1.99004745483398:a2=0.99007225036621:b0=1:b1=-2:b2=1"),
        )

    def feed(self, samples: Samples) -> npt.NDArray[np.float64]:
        """Return the weighted samples, as many as came in."""
        if not len(samples):
            return np.empty(0, np.float64)
        # The filters decay into denormal numbers in silence, which take 30 times as long. A tone of
        # -240 dB, out of hearing at half the sampling rate, keeps them above.
        awake = samples.astype(np.float64)
        awake[::2] += 1e-12
        awake[1::2] -= 1e-12
        return np.concatenate(self._chain.feed(audio_frame(awake, "dbl", SAMPLE_RATE)))


class LoudnessMeter:
    """Integrated loudness by BS.1770-4, of one channel.

    A sound too short for one gating block (400 ms) counts as one block.
    """

    def __init__(self) -> None:
        self._weighting = KWeighting()
        self._rest = np.empty(0, np.float64)
        self._hops: list[npt.NDArray[np.float64]] = []

    def feed(self, samples: Samples) -> None:
        """Take more of the sound, in pieces of any length."""
        squares = np.concatenate([self._rest, self._weighting.feed(samples) ** 2])
        whole = len(squares) // _HOP
        self._hops.append(squares[: whole * _HOP].reshape(whole, _HOP).mean(axis=1))
        self._rest = squares[whole * _HOP :]

    def integrated(self) -> float | None:
        """Return the loudness so far in LUFS; None where nothing is above -70 LUFS."""
        hops = np.concatenate([np.empty(0), *self._hops])
        if len(hops) < _OVERLAP:
            count = len(hops) * _HOP + len(self._rest)
            total = float(hops.sum() * _HOP + self._rest.sum())
            blocks = np.array([total / max(count, 1)])
        else:
            blocks = np.convolve(hops, np.full(_OVERLAP, 1 / _OVERLAP), "valid")
        blocks = blocks[blocks > _power(_ABSOLUTE_GATE)]
        if not len(blocks):
            return None
        blocks = blocks[blocks > blocks.mean() * 10 ** (_RELATIVE_GATE / 10)]
        return _lufs(float(blocks.mean()))


def normalising_gain(loudness: float | None, settings: SpeechSettings) -> float:
    """Return the gain in dB for sound of this loudness; silence (None) is left as it is."""
    if loudness is None:
        return 0.0
    return min(settings.loudness - loudness, settings.max_gain)


class FixedGain:
    """One gain for a whole utterance.

    Args:
        gain_db: In dB.
    """

    def __init__(self, gain_db: float) -> None:
        self._factor = np.float32(10 ** (gain_db / 20))

    def feed(self, samples: Samples) -> Samples:
        """Return the samples with the gain applied."""
        return samples * self._factor

    def finish(self) -> Samples:
        """Return what is left: nothing."""
        return np.empty(0, np.float32)


class RunningGain:
    """A gain for sound that must be played while it arrives.

    It starts at what speech of the usual loudness needs, and moves slowly to what the voice heard
    so far needs: gated as in BS.1770-4, over the last 15 s of voice. Only sound with the rhythm of
    speech raises the gain, and only while it sounds; silence and steady noise never do, whatever
    their level. How the sound is cut into pieces makes no difference.

    Args:
        settings: The loudness that is wanted and the highest gain.
        usual: Loudness in LUFS of such speech, until it has been heard.
    """

    def __init__(self, settings: SpeechSettings, usual: float = USUAL_LOUDNESS) -> None:
        self._settings = settings
        self._usual = usual
        self._weighting = KWeighting()
        self._held = np.empty(0, np.float32)
        self._powers = np.zeros(_SECOND)
        self._steps = 0
        self._gate = _power(settings.loudness - settings.max_gain - 6)
        self._mean = _RunningMean()
        self._gated = _RunningMean()
        self._wanted = normalising_gain(usual, settings)
        self._gain = self._wanted

    @property
    def gain_db(self) -> float:
        """The gain now, in dB."""
        return self._gain

    def feed(self, samples: Samples) -> Samples:
        """Take sound; return all whole steps of 10 ms with their gain applied, ``float32[n]``."""
        self._held = np.concatenate([self._held, samples])
        steps = len(self._held) // _STEP
        sound = self._held[: steps * _STEP]
        self._held = self._held[steps * _STEP :]
        squares = self._weighting.feed(sound).reshape(steps, _STEP) ** 2
        gains = [self._gain, *(self._step(float(power)) for power in squares.mean(axis=1))]
        return _ramped(sound.reshape(steps, _STEP), np.array(gains))

    def finish(self) -> Samples:
        """Return the rest, less than a step."""
        rest = self._held * np.float32(10 ** (self._gain / 20))
        self._held = np.empty(0, np.float32)
        return rest

    def _step(self, power: float) -> float:
        """Take the power of 10 ms of sound; return the gain at their end."""
        self._powers[self._steps % _SECOND] = power
        self._steps += 1
        if self._steps % _HOP_STEPS == 0:
            self._listen()
        voiced = power > self._gate and power > self._gated.value * 10 ** (_RELATIVE_GATE / 10)
        rise = _RISE_DB if voiced else 0.0
        self._gain += min(max(self._wanted - self._gain, -_FALL_DB), rise)
        return self._gain

    def _listen(self) -> None:
        """Take one gating block, the last 400 ms, into the running loudness."""
        latest = (self._steps - 1 - np.arange(_OVERLAP * _HOP_STEPS)) % _SECOND
        power = float(self._powers[latest].mean())
        if power < self._gate or not (self._is_modulated() or self._would_lower(power)):
            return
        self._mean.add(power)
        if power > self._mean.value * 10 ** (_RELATIVE_GATE / 10):
            self._gated.add(power)
        known = min(self._gated.count / _CERTAIN_HOPS, 1.0)
        loudness = (1 - known) * self._usual + known * _lufs(self._gated.value)
        self._wanted = normalising_gain(loudness, self._settings)

    def _is_modulated(self) -> bool:
        audible = np.sort(self._powers[self._powers > self._gate])
        if len(audible) < 3 * _HOP_STEPS:
            return False
        quiet = float(audible[len(audible) // 10])
        return float(audible.mean()) > quiet * 10 ** (_MODULATION_DB / 10)

    def _would_lower(self, power: float) -> bool:
        return normalising_gain(_lufs(power), self._settings) < self._wanted


class _RunningMean:
    """A mean that forgets what is older than ``_MEMORY_HOPS``."""

    def __init__(self) -> None:
        self.value = 0.0
        self.count = 0

    def add(self, value: float) -> None:
        self.count += 1
        self.value += (value - self.value) / min(self.count, _MEMORY_HOPS)


def _ramped(steps: Samples, gains_db: npt.NDArray[np.float64]) -> Samples:
    """Apply gains, given where each step starts and where the last ends, interpolated between."""
    gains = (10 ** (gains_db / 20)).astype(np.float32)
    start, rise = gains[:-1, np.newaxis], np.diff(gains)[:, np.newaxis] / _STEP
    ramped = steps * (start + rise * np.arange(_STEP, dtype=np.float32))
    return np.asarray(ramped.reshape(-1), np.float32)


def _lufs(power: float) -> float:
    """Loudness of the mean square of a K-weighted channel (BS.1770-4, equation 2)."""
    return -0.691 + 10 * math.log10(power)


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))
