"""Writes down what is said, with faster-whisper (MIT) on the CPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from engine.errors import MissingDependency, SettingsError
from engine.speech.captions import tokens
from engine.speech.settings import CaptionSettings
from engine.speech.sound import SAMPLE_RATE, Samples, Word

_RATE = 16_000
_FILES = ("config.json", "model.bin", "tokenizer.json")
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
_HINT = (
    "The folder must hold config.json, model.bin, tokenizer.json and vocabulary.json (or .txt) of a"
    " Whisper model in CTranslate2 form, e.g. the files of 'Systran/faster-whisper-base'."
)


class WhisperTranscriber:
    """A Whisper model; implements ``Transcriber``. Never uses the network.

    Loading takes seconds: make it on a worker thread.

    Args:
        settings: Of the captions; ``model`` is set.

    Raises:
        MissingDependency: faster-whisper is not installed.
        SettingsError: The folder holds no whole model, or the model does not know the language.
    """

    def __init__(self, settings: CaptionSettings) -> None:
        folder = Path(settings.model)
        _check_folder(folder)
        try:
            from faster_whisper import WhisperModel, transcribe
        except ImportError as error:
            raise MissingDependency(
                f"Transcription needs faster-whisper: {error}.",
                "Run: pip install -r requirements-ai.txt, or leave speech.captions.model empty.",
            ) from error
        # Even a progress bar that is off would start a thread for good.
        transcribe.tqdm.monitor_interval = 0
        try:
            # int8: half the time and a quarter of the memory, for hardly any loss.
            self._model: Any = WhisperModel(
                str(folder),
                device="cpu",
                compute_type="int8",
                cpu_threads=settings.threads,
                local_files_only=True,
            )
        except Exception as error:  # the libraries' errors have no common base
            raise SettingsError(
                f"speech.captions.model: the model in {folder} cannot be loaded: {error}.", _HINT
            ) from error
        known = self._model.supported_languages
        if settings.language and settings.language not in known:
            raise SettingsError(
                f"speech.captions.language: the model in {folder} does not know"
                f" '{settings.language}'.",
                f"It knows: {', '.join(sorted(known))}.",
            )
        self._language = settings.language or None

    def transcribe(self, samples: Samples) -> Sequence[Word]:
        """Return the words with their times; see ``Transcriber``.

        Args:
            samples: ``float32[n]``, mono, ``SAMPLE_RATE``.
        """
        if not samples.any():
            return ()
        segments, _ = self._model.transcribe(
            _at_model_rate(samples),
            language=self._language,
            # Greedy and without second tries: captions may be wrong, but not late.
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
            # Whisper invents words where nothing is said.
            vad_filter=True,
        )
        return _words(segments, len(samples) / SAMPLE_RATE)


def _at_model_rate(samples: Samples) -> npt.NDArray[np.float32]:
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples)[np.newaxis], format="flt", layout="mono"
    )
    frame.sample_rate = SAMPLE_RATE
    resampler = av.AudioResampler(format="flt", layout="mono", rate=_RATE)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([part.to_ndarray()[0] for part in frames])


def _words(segments: Any, duration: float) -> tuple[Word, ...]:
    """Put the model's words in order and within the sound, and mend those it has taken apart."""
    found: list[Word] = []
    for segment in segments:
        for word in segment.words or ():
            last = found[-1] if found else None
            start = min(max(float(word.start), last.start if last else 0.0), duration)
            end = min(max(float(word.end), start), duration)
            if last and not word.word[:1].isspace() and len(tokens(last.text + word.word)) == 1:
                found[-1] = Word(last.text + word.word.rstrip(), last.start, max(last.end, end))
            elif text := word.word.strip():
                found.append(Word(text, start, end))
    return tuple(found)


def _check_folder(folder: Path) -> None:
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        missing.append(_VOCABULARIES[0])
    if not folder.is_dir():
        raise SettingsError(f"speech.captions.model: there is no folder {folder}.", _HINT)
    if missing:
        raise SettingsError(
            f"speech.captions.model: {folder} holds no {', no '.join(missing)}.", _HINT
        )
