"""Where the voice is in an utterance: the stretches in which the avatar moves.

A detector says how likely each window of 32 ms is speech, which is too coarse and too late for a
gesture that begins with the first audible sound. So two questions are asked apart:

- *Is there sound?* Its energy says so, in steps of 4 ms. The edges of voice are edges of sound.
- *Is it speech?* The detector says so, with hysteresis. But detectors need time, and never call
  a beep speech. So sound that is clearly audible after a pause gets the benefit of the doubt, for
  1.5 s: a beep or a short "hm" moves the avatar, and speech moves it from its very beginning.
  Then the detector alone decides until the next pause: music that plays on lets the avatar rest.
"""

import numpy as np

from engine.speech.decimate import DETECTION_RATE, Decimator
from engine.speech.probability import WINDOW, NoiseFloor, SpeechProbability
from engine.speech.settings import VoiceSettings
from engine.speech.sound import SAMPLE_RATE, Samples, Span

_BLOCK = SAMPLE_RATE  # samples that are worked on at once: bounds the memory of long sound

_HOP_MS = 4
_HOPS = WINDOW * 1000 // (DETECTION_RATE * _HOP_MS)  # in a window

_AUDIBLE = 10 ** (-48 / 10)  # mean square; normalised speech has -19 dBFS
_CLEAR = 10 ** (-35 / 10)
_ABOVE_FLOOR = 10 ** (6 / 10)
_FLOOR_MEMORY = 47  # windows: 1.5 s

# In hops.
_DOUBT = 1500 // _HOP_MS
_PAUSE = 500 // _HOP_MS  # silence after which a sound is new
_GAP = 160 // _HOP_MS  # silence inside the beginning of a sound: the closure of a plosive
_PATIENCE = 400 // _HOP_MS  # in which a sound must become voice, besides the shortest voice
_END = 200 // _HOP_MS  # silence that ends a span
_PULSES = 16 // _HOP_MS  # silence that counts as sound: between the pulses of a low voice
_SHORTEST_LATER = 20 // _HOP_MS  # a short sound soon after voice is its last consonant
_LOOK_BACK = 128 // _HOP_MS  # of speech that the detector recognises late, to its beginning...
_LATE = 32 // _HOP_MS  # ... and where there has been sound all along


class VoiceTracker:
    """Finds the voice in one utterance, as its sound comes in.

    What it has said is final: before ``horizon_ms`` nothing changes any more.

    Args:
        probability: A detector without a past; used by this tracker alone.
        settings: Threshold, hysteresis and the shortest sound.

    Raises:
        ValueError: The detector takes windows of another length than 512 samples.
    """

    def __init__(self, probability: SpeechProbability, settings: VoiceSettings) -> None:
        if probability.window != WINDOW:
            raise ValueError(f"a detector must take {WINDOW} samples, not {probability.window}")
        self._probability = probability
        self._threshold = settings.threshold
        self._low = settings.threshold - settings.hysteresis
        self._decimator = Decimator(WINDOW)
        self._fed = 0
        self._finished = False
        self._floor = NoiseFloor(_FLOOR_MEMORY)
        self._speaking = False
        self._doubt = _DOUBT
        self._silence = _PAUSE
        self._builder = _SpanBuilder(
            settings.min_speech_ms // _HOP_MS, settings.pause_ms // _HOP_MS
        )

    @property
    def spans(self) -> tuple[Span, ...]:
        """The voice before ``horizon_ms``, in order, with silence between; another tuple
        whenever it changes. Only the last one may be open (``end`` is None): it goes on at the
        horizon.
        """
        return self._builder.spans

    @property
    def horizon_ms(self) -> int:
        """Milliseconds from the start of the utterance for which ``spans`` is final.

        It lags behind the sound fed by less than 34 ms in silence and in voice. While a sound
        begins it waits until there are ``min_speech_ms`` of voice, at most 0.4 s more than that;
        while voice ends, for 0.2 s of silence.
        """
        return self._builder.horizon_ms

    def feed(self, samples: Samples) -> None:
        """Take the next piece of the utterance.

        Args:
            samples: ``float32[n]``, mono, 48 kHz, of any length.

        Raises:
            ValueError: The utterance is finished.
        """
        if self._finished:
            raise ValueError("the utterance is finished")
        self._fed += len(samples)
        for first in range(0, len(samples), _BLOCK):
            for window in self._decimator.feed(samples[first : first + _BLOCK]):
                self._hear(window)

    def finish(self) -> None:
        """Say that the utterance ends here: all of it is final, and no span stays open."""
        if self._finished:
            return
        self._finished = True
        for window in self._decimator.finish():
            self._hear(window)
        self._builder.finish(-(-self._fed * 1000 // SAMPLE_RATE))

    def _hear(self, window: Samples) -> None:
        likely = self._probability.feed(window)
        self._speaking = likely >= (self._low if self._builder.goes_on else self._threshold)
        parts = window.reshape(_HOPS, _HOP_MS, -1)
        by_ms = np.einsum("ijk,ijk->ij", parts, parts) / parts.shape[2]
        energy = by_ms.mean(axis=1)
        if not self._floor.is_known and energy.min() < _CLEAR:
            self._floor.update(float(energy.min()))
        limit = max(_AUDIBLE, self._floor.energy * _ABOVE_FLOOR)
        if not self._speaking:
            self._floor.update(float(energy.mean()))
        audible = (energy > limit).tolist()
        clear = (energy > _CLEAR).tolist()
        onsets = np.argmax(by_ms > limit, axis=1).tolist()
        for hop in range(_HOPS):
            sound = audible[hop] or clear[hop]
            voice = self._is_voice(audible[hop], clear[hop])
            self._builder.step(sound, voice, onsets[hop])

    def _is_voice(self, audible: bool, clear: bool) -> bool:
        """Whether the next hop belongs to the voice."""
        if not (audible or clear):
            self._silence += 1
            return False
        if self._silence >= _PAUSE:
            self._doubt = _DOUBT
        else:
            self._doubt = max(0, self._doubt - self._silence - 1)
        self._silence = 0
        return (audible and self._speaking) or (clear and self._doubt > 0)


class _SpanBuilder:
    """Makes spans of hops, each of which is sound or not, and voice or not.

    Args:
        shortest: Hops of voice that make a span; a short pause after voice less will do.
        pause: The longest short pause, in hops.
    """

    def __init__(self, shortest: int, pause: int) -> None:
        self._shortest = shortest
        self._pause = pause
        self._now = 0
        self._start_ms: int | None = None  # of the sound that is going on
        self._has_begun = False  # out of silence at ``_start_ms``; else it was there before
        self._last_sound = -_GAP  # its latest hop's end
        self._voiced = 0  # its hops of voice
        self._last_voice = 0  # the end of the latest one; means something while there are any
        self._tail = 0  # the end of the sound that its voice fades into
        self._open = False
        self._end = -pause - 1  # of the latest span
        self.spans: tuple[Span, ...] = ()
        self.horizon_ms = 0

    @property
    def goes_on(self) -> bool:
        """Whether there is voice, or has been just before a short pause."""
        return self._open or self._now - self._end <= self._pause

    def step(self, sound: bool, voice: bool, onset_ms: int) -> None:
        """Take the next hop.

        Args:
            sound: There is sound in it.
            voice: The sound is voice.
            onset_ms: Where in the hop it would begin, 0.._HOP_MS - 1.
        """
        self._now += 1
        if sound:
            if self._start_ms is None:
                self._start_ms = (self._now - 1) * _HOP_MS + onset_ms
                self._has_begun = self._now - 1 - self._last_sound > _PULSES
            self._last_sound = self._now
        if voice or (sound and self._now - self._tail <= _PULSES):
            self._tail = self._now
        if voice:
            self._take_voice()
        elif self._open and self._now - self._last_voice >= _END:
            has_faded = self._now - self._tail > _PULSES
            self._close(self._tail if has_faded else self._last_voice, self._now * _HOP_MS)
        elif not self._open and self._start_ms is not None:
            self._wait()
        self.horizon_ms = self._known_ms()

    def finish(self, length_ms: int) -> None:
        """End the utterance."""
        if self._open:
            self._close(self._tail, length_ms)
        self.horizon_ms = length_ms

    def _take_voice(self) -> None:
        assert self._start_ms is not None
        if not self._voiced and not self._has_begun:
            self._start_ms = max(self._start_ms, (self._now - 1 - _LATE) * _HOP_MS)
        since = self._now - self._last_voice
        self._voiced += since if self._voiced and since <= _PULSES else 1
        self._last_voice = self._now
        shortest = min(self._shortest, _SHORTEST_LATER) if self.goes_on else self._shortest
        if not self._open and self._voiced >= shortest:
            self._open = True
            self.spans = (*self.spans, Span(self._start_ms, None))

    def _wait(self) -> None:
        """Go on with a sound that is no span yet."""
        assert self._start_ms is not None
        is_sparse = self._now - self._start_ms / _HOP_MS > self._shortest + _PATIENCE
        if is_sparse or self._now - self._last_voice > _GAP:
            self._voiced = 0
        if self._now - self._last_sound > _GAP:
            self._start_ms = None
        elif not self._voiced and self._start_ms < (self._now - _LOOK_BACK) * _HOP_MS:
            self._start_ms = (self._now - _LOOK_BACK) * _HOP_MS
            self._has_begun = False

    def _close(self, end: int, latest_ms: int) -> None:
        span = Span(self.spans[-1].start, min(end * _HOP_MS, latest_ms))
        self.spans = (*self.spans[:-1], span)
        self._open = False
        self._end = end
        self._voiced = 0
        self._start_ms = None

    def _known_ms(self) -> int:
        if self._open:
            return self._last_voice * _HOP_MS
        return self._now * _HOP_MS if self._start_ms is None else self._start_ms
