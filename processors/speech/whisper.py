"""Writes down what is said, with faster-whisper (MIT) on the CPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.errors import SettingsError
from engine.speech.settings import CaptionSettings
from engine.speech.sound import SAMPLE_RATE, Samples, Word
from processors.speech.whisper_model import (
    FOLDER_HINT,
    WhisperUnusable,
    at_model_rate,
    load_whisper,
    missing_files,
    words_of,
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
            self._model: Any = load_whisper(
                folder, "cpu", settings.threads, ", or leave speech.captions.model empty"
            )
        except WhisperUnusable as error:
            raise SettingsError(
                f"speech.captions.model: {error.description}", FOLDER_HINT
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
            at_model_rate(samples),
            language=self._language,
            # Greedy and without second tries: captions may be wrong, but not late.
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
            # Whisper invents words where nothing is said.
            vad_filter=True,
        )
        return words_of(segments, len(samples) / SAMPLE_RATE)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise SettingsError(f"speech.captions.model: there is no folder {folder}.", FOLDER_HINT)
    missing = missing_files(folder)
    if missing:
        raise SettingsError(
            f"speech.captions.model: {folder} holds no {', no '.join(missing)}.", FOLDER_HINT
        )
