"""Speech or not by the Silero VAD model, which ships inside the faster-whisper package."""

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import MissingDependency
from engine.speech.probability import WINDOW, EnergyProbability, SpeechProbability
from engine.speech.settings import VoiceSettings
from engine.speech.sound import Samples

_log = logging.getLogger(__name__)

_PACKAGE = "faster_whisper"
_FILE = "assets/silero_vad_v6.onnx"
_HINT = "Run: pip install -r requirements-ai.txt, or set speech.voice.detector: energy."

_CONTEXT = 64  # samples of the last window that the model hears before the next one
_STATE = (1, 1, 128)

Tensor = npt.NDArray[np.float32]


class SileroModel:
    """The network, shared by all utterances; safe to use from any number of threads.

    Args:
        path: The ONNX file: inputs ``input`` [n, 576], ``h`` and ``c`` [1, 1, 128]; outputs
            ``speech_probs``, ``hn``, ``cn``.

    Raises:
        MissingDependency: onnxruntime is not installed or cannot read the file.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime  # type: ignore[import-untyped]  # it ships none
        except ImportError as error:
            raise MissingDependency(
                f"the Silero detector needs onnxruntime: {error}.", _HINT
            ) from error
        options = onnxruntime.SessionOptions()
        # A run takes a tenth of a millisecond: more threads would only wait for each other.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            names = {tensor.name for tensor in self._session.get_inputs()}
        except Exception as error:  # the library's errors have no common base
            raise MissingDependency(f"{path} cannot be read as a model: {error}.", _HINT) from error
        if names != {"input", "h", "c"}:
            raise MissingDependency(
                f"{path} is another model: its inputs are {', '.join(sorted(names))}.", _HINT
            )

    def run(self, sound: Tensor, h: Tensor, c: Tensor) -> tuple[float, Tensor, Tensor]:
        """Judge one window.

        Args:
            sound: ``float32[576]``: 64 samples of context and 512 new ones, 16 kHz.
            h: State after the window before, ``float32[1, 1, 128]``; zeros at first.
            c: As ``h``.

        Returns:
            How likely the window is speech, 0..1, and the new ``h`` and ``c``.
        """
        likely, h, c = self._session.run(
            ("speech_probs", "hn", "cn"), {"input": sound[np.newaxis], "h": h, "c": c}
        )
        return float(likely.reshape(-1)[0]), h, c


class SileroProbability:
    """Judges the windows of one utterance.

    Args:
        model: The shared network.
    """

    window = WINDOW

    def __init__(self, model: SileroModel) -> None:
        self._model = model
        self._sound = np.zeros(_CONTEXT + WINDOW, np.float32)
        self._h = np.zeros(_STATE, np.float32)
        self._c = np.zeros(_STATE, np.float32)

    def feed(self, samples: Samples) -> float:
        """See ``SpeechProbability``."""
        self._sound[:_CONTEXT] = self._sound[-_CONTEXT:]
        self._sound[_CONTEXT:] = samples
        likely, self._h, self._c = self._model.run(self._sound, self._h, self._c)
        return likely


def find_model() -> Path:
    """Return the model's file without importing faster-whisper, which takes seconds.

    Raises:
        MissingDependency: faster-whisper is not installed, or has another model.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingDependency("the Silero detector needs faster-whisper.", _HINT)
    path = Path(spec.origin).parent / _FILE
    if not path.is_file():
        raise MissingDependency(f"faster-whisper has no {_FILE}.", _HINT)
    return path


def probability_factory(settings: VoiceSettings) -> Callable[[], SpeechProbability]:
    """Return what makes the detector of a new utterance.

    Loads the model, which takes a fraction of a second: call it once, off the event loop.

    Args:
        settings: Which detector; ``auto`` takes energy where Silero cannot be had, and logs so.

    Raises:
        MissingDependency: ``silero`` is asked for and cannot be had.
    """
    if settings.detector == "energy":
        return EnergyProbability
    try:
        model = SileroModel(find_model())
    except MissingDependency as error:
        if settings.detector == "silero":
            raise
        _log.info("voice activity goes by the energy of the sound: %s", error)
        return EnergyProbability
    return lambda: SileroProbability(model)
