"""What transcribing live speech and whole files have in common: loading Whisper, sound, words."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from engine.errors import AvatarServerError, MissingDependency
from engine.speech.captions import tokens
from engine.speech.sound import SAMPLE_RATE, Samples, Word

RATE = 16_000
"""Samples per second that Whisper hears."""

FILES = ("config.json", "model.bin", "tokenizer.json")
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
FOLDER_HINT = (
    "The folder must hold config.json, model.bin, tokenizer.json and vocabulary.json (or .txt) of a"
    " Whisper model in CTranslate2 form, e.g. the files of 'Systran/faster-whisper-base'."
)


class WhisperUnusable(AvatarServerError):
    """The files of a Whisper model are there, but cannot be loaded."""


def missing_files(folder: Path) -> list[str]:
    """Return the names of the files of a Whisper model that a folder lacks."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in VOCABULARIES):
        missing.append(VOCABULARIES[0])
    return missing


def load_whisper(folder: Path, device: str, threads: int, instead: str = "") -> Any:
    """Load a ``faster_whisper.WhisperModel`` from a whole folder. Never uses the network.

    Args:
        folder: Has all files; see ``missing_files``.
        device: ``cpu``, ``cuda``, ``cuda:N``, or ``auto`` for a GPU if there is one.
        threads: CPU threads.
        instead: What else the user can do where faster-whisper is not installed.

    Raises:
        MissingDependency: faster-whisper is not installed.
        WhisperUnusable: The files are damaged, or the device cannot be used.
    """
    try:
        import ctranslate2  # type: ignore[import-untyped]  # it ships none
        from faster_whisper import WhisperModel, transcribe  # type: ignore[import-untyped]  # it ships none
    except ImportError as error:
        raise MissingDependency(
            f"Transcription needs faster-whisper: {error}.",
            f"Run: pip install -r requirements-ai.txt{instead}.",
        ) from error
    # Even a progress bar that is off would start a thread for good.
    transcribe.tqdm.monitor_interval = 0
    kind, _, index = device.partition(":")
    if kind == "auto":
        kind = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    try:
        return WhisperModel(
            str(folder),
            device=kind,
            device_index=int(index or 0),
            # int8 on the CPU: half the time and a quarter of the memory, for hardly any loss.
            compute_type="int8" if kind == "cpu" else "float16",
            cpu_threads=threads,
            local_files_only=True,
        )
    except Exception as error:  # the libraries' errors have no common base
        raise WhisperUnusable(
            f"The model in {folder} cannot be loaded: {error}.", FOLDER_HINT
        ) from error


def at_model_rate(samples: Samples) -> npt.NDArray[np.float32]:
    """Return sound of ``SAMPLE_RATE`` at ``RATE``: ``float32[n]``, mono."""
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples)[np.newaxis], format="flt", layout="mono"
    )
    frame.sample_rate = SAMPLE_RATE
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([part.to_ndarray()[0] for part in frames])


def words_of(segments: Iterable[Any], duration: float) -> tuple[Word, ...]:
    """Put a model's words in order and within the sound, and mend those it has taken apart.

    Args:
        segments: As ``WhisperModel.transcribe`` yields them, with words.
        duration: Seconds of the sound.
    """
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
