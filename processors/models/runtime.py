"""Opening models in onnxruntime, on what the settings say and on nothing else."""

import contextlib
import io
import logging
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from engine.errors import MissingDependency
from engine.pipeline.model_settings import RuntimeSettings
from processors.models.contracts import Contract
from processors.models.files import ModelDamaged, ModelNotFound, check_hash
from processors.models.providers import CUDA, TENSORRT, Choice, ProviderUnavailable, choices
from processors.models.session import OnnxSession, OutOfMemory, first_line, is_out_of_memory

_log = logging.getLogger(__name__)

_QUIET = 4
"""onnxruntime's level "fatal": every other failure comes back as an error."""

_NO_PROVIDER = ("EPFail", "RuntimeException", "RuntimeError", "ValueError", "NotImplemented")
"""Errors, by name, that a provider causes; the others are the file's fault."""


class Pin(Protocol):
    """A model that counts as being in memory."""

    def release(self) -> None:
        """Count it no more; may be called in any thread, at any time."""


class Pins(Protocol):
    """Counts the models of live streams; ``ModelMemory`` is one."""

    def pin(self, key: str, size: int, device: str) -> Pin:
        """Count a model that is on a device; ``size`` in bytes."""


class Runtime:
    """Opens models.

    onnxruntime replaces a provider that fails by the CPU and goes on; here that is an error, except
    with ``auto``, where it is a warning in the log.

    Args:
        settings: What to run models on, and how.
        onnxruntime: The module; None imports it.
        pins: Where models are counted for as long as their sessions live; None: nowhere.

    Raises:
        MissingDependency: onnxruntime is not installed.
    """

    def __init__(
        self, settings: RuntimeSettings, onnxruntime: Any = None, pins: Pins | None = None
    ) -> None:
        self._settings = settings
        self._pins = pins
        self._ort = _import() if onnxruntime is None else onnxruntime
        self._libraries_loaded = False

    def open(
        self,
        path: Path,
        contract: Contract | None = None,
        sha256: str | None = None,
        warm_up: Sequence[Mapping[str, Sequence[int]]] = (),
    ) -> OnnxSession:
        """Load a graph and make it ready.

        Args:
            path: The ONNX file.
            contract: What its inputs and outputs must be; None: anything.
            sha256: The hash that the file must have; None: any.
            warm_up: Shapes of the inputs, by name, of each call that will come.

        Raises:
            ModelNotFound, ModelDamaged: There is no such file, it has another hash, or it is no
                ONNX file.
            ModelMismatch: It does not keep to the contract.
            ProviderUnavailable: What the settings ask for is not there or does not work.
            OutOfMemory: There is not enough memory.
        """
        if not path.is_file():
            raise ModelNotFound(f"There is no model at {path}.")
        if sha256 is not None:
            check_hash(path, sha256)
        session = self._first_that_works(path)
        if contract is not None:
            session.expect(contract)
        for shapes in warm_up:
            session.warm_up(shapes)
        self._pin(session)
        return session

    def _pin(self, session: OnnxSession) -> None:
        if self._pins is None:
            return
        on_gpu = session.provider in ("cuda", "tensorrt")
        device = f"cuda:{self._settings.device}" if on_gpu else "cpu"
        # The weights are the file, but for a few bytes; onnxruntime does not say what it takes.
        pin = self._pins.pin(session.path.stem, session.path.stat().st_size, device)
        weakref.finalize(session, pin.release)

    def _first_that_works(self, path: Path) -> OnnxSession:
        settings = self._settings
        *better, last = choices(settings, self._ort.get_available_providers())
        for choice in better:
            try:
                session = self._open_with(path, choice)
            except ProviderUnavailable as error:
                _log.warning("%s Trying the next one, as runtime.provider is auto.", error)
            else:
                break
        else:
            session = self._open_with(path, last)
        if settings.provider == "auto":
            _log.info("%s runs on %s (runtime.provider is auto)", path.name, session.provider)
        return session

    def _open_with(self, path: Path, choice: Choice) -> OnnxSession:
        self._prepare(choice)
        try:
            session = self._ort.InferenceSession(
                str(path),
                sess_options=self._options(),
                providers=[name for name, _ in choice.providers],
                provider_options=[options for _, options in choice.providers],
                enable_fallback=0,
            )
        except Exception as error:
            raise self._explained(error, path, choice) from error
        session.disable_fallback()
        if choice.required not in session.get_providers():
            raise ProviderUnavailable(
                f"onnxruntime dropped {choice.required} for {path.name} and would run it on "
                f"{', '.join(session.get_providers())} instead.",
                "python server.py doctor says which library is missing. To run on the CPU on "
                "purpose, set runtime.provider to cpu.",
            )
        bound = choice.name == "cuda" and self._settings.io_binding
        return OnnxSession(
            session,
            path,
            choice.name,
            ("cuda", self._settings.device) if bound else None,
            self._ort.OrtValue.ortvalue_from_numpy if bound else None,
        )

    def _options(self) -> Any:
        options = self._ort.SessionOptions()
        options.log_severity_level = _QUIET
        options.intra_op_num_threads = self._settings.threads
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "1" if self._settings.spin else "0"
        )
        return options

    def _prepare(self, choice: Choice) -> None:
        if choice.name in ("tensorrt", "openvino", "coreml"):
            self._settings.engines.mkdir(parents=True, exist_ok=True)
        if choice.required in (CUDA, TENSORRT) and not self._libraries_loaded:
            self._libraries_loaded = True
            # CUDA and cuDNN installed by pip lie where the loader does not look (since 1.21).
            preload = getattr(self._ort, "preload_dlls", None)
            if preload is not None:
                said = io.StringIO()
                with contextlib.redirect_stdout(said):
                    preload()
                if said.getvalue():
                    _log.debug("onnxruntime.preload_dlls: %s", said.getvalue().strip())

    def _explained(self, error: Exception, path: Path, choice: Choice) -> Exception:
        if is_out_of_memory(error):
            return OutOfMemory(
                f"There is not enough memory to load {path.name} on {choice.name}: "
                f"{first_line(error)}.",
                "Stop what else uses it, or choose a smaller model.",
                retry_after=5.0,
            )
        if type(error).__name__ in _NO_PROVIDER:
            return ProviderUnavailable(
                f"{choice.required} does not work for {path.name}: {first_line(error)}.",
                "python server.py doctor says what is wrong with it.",
            )
        return ModelDamaged(
            f"{path} cannot be loaded: {first_line(error)}.",
            "The file is damaged or no ONNX model, or too new for this onnxruntime: get it again.",
        )


def _import() -> Any:
    try:
        import onnxruntime  # type: ignore[import-untyped]  # it ships none
    except ImportError as error:
        raise MissingDependency(
            "Models need onnxruntime, which is not installed.",
            "pip install -r requirements-ai.txt",
        ) from error
    return onnxruntime
