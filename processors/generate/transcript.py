"""Writes down whole files, in windows: memory does not grow with their length."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.errors import InvalidInput
from engine.speech.captions import Cue, CueMaker
from engine.speech.decode import decode_sound, sound_seconds
from engine.speech.sound import SAMPLE_RATE, Samples, Word
from engine.speech.windows import SoundWindows
from processors.generate.subtitle_files import Transcript, readable
from processors.generate.subtitles import SubtitleParameters
from processors.speech.whisper_model import at_model_rate, words_of

WINDOW_S = 300.0
_SEARCHED_S = 40.0
_QUIET_S = 0.4

LONGEST_S = 24 * 3600.0
"""Longer files are refused."""

Progress = Callable[[float, str], None]
"""Told the share that is done and what is being done; may raise to end the work."""


class NoSpeech(InvalidInput):
    """Nothing is said in the sound."""


class LanguageUnknown(InvalidInput):
    """The model does not know the language, or cannot translate."""


class TooLong(InvalidInput):
    """The sound is longer than is transcribed."""


class FileTranscriber:
    """Transcribes files with one Whisper model.

    Args:
        model: From ``load_whisper``.
        name: What the user calls it, for messages.
        window_s: Seconds that are transcribed at a time.
    """

    def __init__(self, model: Any, name: str, window_s: float = WINDOW_S) -> None:
        self._model = model
        self._name = name
        self._window_s = window_s

    def check(self, params: SubtitleParameters) -> None:
        """Refuse a language that the model does not know, and translation by one that knows one.

        Raises:
            LanguageUnknown: That is so.
        """
        known = self._model.supported_languages
        if params.language and params.language not in known:
            raise LanguageUnknown(
                f"language: the model {self._name} does not know '{params.language}'.",
                f"It knows: {', '.join(sorted(known))}.",
            )
        if params.task == "translate" and len(known) == 1:
            raise LanguageUnknown(
                f"task: the model {self._name} knows one language only and cannot translate.",
                "Choose a multilingual model, e.g. whisper_small.",
            )

    def transcribe(self, path: Path, params: SubtitleParameters, progress: Progress) -> Transcript:
        """Write down what is said in a file.

        Args:
            path: A sound file, or a video with sound.
            params: Language, task, filter, beam.
            progress: Called after each segment.

        Raises:
            SoundError: It has no sound, or is damaged.
            NoSpeech: Nothing is said.
            LanguageUnknown: See ``check``.
            TooLong: It is longer than ``LONGEST_S``.
        """
        self.check(params)
        total = sound_seconds(path)
        if total is not None and total > LONGEST_S:
            raise TooLong(
                f"The sound is {total / 3600:.1f} hours long; at most {LONGEST_S / 3600:.0f} are"
                " transcribed at a time.",
                "Cut it into parts.",
            )
        maker, cues, language, start = CueMaker(), list[Cue](), params.language, 0
        for window in self._windows(path):
            at = start / SAMPLE_RATE
            words, found = self._window(window, at, total, params, language, progress)
            # Only speech tells the language: it stays what it was where it was first heard.
            language = language or found
            cues += maker.add(words)
            start += len(window)
        cues += maker.flush()
        if not cues:
            raise NoSpeech(
                "No speech was found in the sound.",
                "Does it have speech, loud enough? voice_filter: false takes everything for speech."
                if params.voice_filter
                else "Does it have speech, loud enough?",
            )
        translated = params.task == "translate"
        return Transcript(readable(cues), language, start / SAMPLE_RATE, translated)

    def _windows(self, path: Path) -> Iterator[Samples]:
        windows = SoundWindows(self._window_s, _SEARCHED_S, _QUIET_S)
        for samples in decode_sound(path, LONGEST_S):
            window = windows.add(samples)
            if window is not None:
                yield window
        yield windows.rest()

    def _window(
        self,
        window: Samples,
        at: float,
        total: float | None,
        params: SubtitleParameters,
        language: str,
        progress: Progress,
    ) -> tuple[list[Word], str]:
        """Return a window's words, and the language that is spoken; empty: nothing is."""
        seconds = len(window) / SAMPLE_RATE
        whole = max(total or 0.0, at + seconds, 1e-3)
        progress(at / whole, "Transcribing")
        if not window.any():
            return [], ""
        segments, info = self._start(window, params, language)
        kept = []
        for segment in segments:
            kept.append(segment)
            progress(min(1.0, (at + min(segment.end, seconds)) / whole), segment.text.strip())
        spoken = info.language if info.duration_after_vad > 0 and kept else ""
        words = [
            Word(word.text, at + word.start, at + word.end) for word in words_of(kept, seconds)
        ]
        return words, spoken

    def _start(self, window: Samples, params: SubtitleParameters, language: str) -> Any:
        import ctranslate2  # type: ignore[import-untyped]  # it ships none

        # Second tries are drawn at random: the same sound shall give the same words.
        ctranslate2.set_random_seed(0)
        return self._model.transcribe(
            at_model_rate(window),
            language=language or None,
            task=params.task,
            beam_size=params.beam_size,
            initial_prompt=params.prompt or None,
            # A phrase that got stuck once would be repeated to the end.
            condition_on_previous_text=False,
            word_timestamps=True,
            vad_filter=params.voice_filter,
        )
