"""Masks by rembg's models, from local files: nothing is ever downloaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np

from engine.errors import InvalidInput
from engine.pipeline.model_settings import RuntimeSettings
from processors.generate.declaration import Services
from processors.generate.model_files import model_file
from processors.generate.picture_files import Bytes
from processors.generate.remove_background import Session
from processors.models.lean_imports import import_parts
from processors.models.runtime import Runtime
from processors.models.session import OnnxSession

_FIX = "Run: pip install --no-deps -r requirements-ai-nodeps.txt."
_SUFFIXES = (".onnx",)

_KNOWN = frozenset(get_args(Session)) - {""}


class UnknownSession(InvalidInput):
    """Nothing says how a picture is handed to a model."""


class MaskFailed(InvalidInput):
    """A model does not give the mask that it should."""


class Masker(Protocol):
    """Says what stands in front."""

    def mask(self, colour: Bytes) -> Bytes:
        """Return ``uint8[h, w]``, 255 is in front, of ``uint8[h, w, 3]``, BGR."""


def locate(model: str, session: str, services: Services) -> tuple[Path, str]:
    """Return a model's file, and the name of the rembg model that it is like.

    Raises:
        UnknownSession: It is like none that is known.
        ModelNotFound, ModelDamaged, ModelRefused, FolderNotAllowed: See ``model_file``.
    """
    path = model_file(model, services, _SUFFIXES)
    for name in (session, model, Path(model).name, path.stem):
        if name in _KNOWN:
            return path, name
    raise UnknownSession(
        f"How a picture is handed to the model '{model}' is not known.",
        f"Set session to the model that it is like: {', '.join(sorted(_KNOWN))}.",
    )


def network_side(like: str) -> int:
    """Return the side of the square that a rembg model sees, in pixels."""
    return 320 if like.startswith(("u2net", "silueta")) else 1024


def load_masker(path: Path, like: str, runtime: RuntimeSettings) -> Masker:
    """Load a model.

    Args:
        path: An ONNX file.
        like: Name of a rembg model.
        runtime: What it runs on, and by how many threads.

    Raises:
        MissingDependency: rembg, or what it needs, is not installed.
        ModelDamaged, ProviderUnavailable, OutOfMemory: See ``Runtime.open``.
    """
    session = Runtime(runtime).open(path)
    # Its classes know size, scaling and output of the networks.
    found = import_parts(("rembg",), ("rembg.sessions",), _FIX)[0]
    return _RembgMasker(session, found.sessions[like], like)


class _RembgMasker:
    """Implements ``Masker``."""

    def __init__(self, session: OnnxSession, kind: Any, like: str) -> None:
        # The constructor would look for the model in the user's home, and download it.
        self._rembg = kind.__new__(kind)
        self._rembg.model_name = like
        self._rembg.inner_session = _InnerSession(session)
        self._path = session.path

    def mask(self, colour: Bytes) -> Bytes:
        from PIL import Image

        picture = Image.fromarray(np.ascontiguousarray(colour[..., ::-1]))
        try:
            # rembg stretches the lowest and highest value to black and white, and divides by zero
            # where they are equal, as nothing stands out.
            with np.errstate(divide="ignore", invalid="ignore"):
                masks = self._rembg.predict(picture)
        except (IndexError, ValueError, TypeError) as error:
            raise MaskFailed(
                f"{self._path.name} gives no mask as {self._rembg.model_name} does: {error}.",
                "Set session to the rembg model that it is like.",
            ) from error
        return np.array(masks[0].convert("L"), np.uint8)


class _InnerSession:
    """A session as rembg's classes use onnxruntime's."""

    def __init__(self, session: OnnxSession) -> None:
        self._session = session

    def run(self, _names: None, feeds: Mapping[str, Any]) -> list[Any]:
        return list(self._session.run(feeds))

    def get_inputs(self) -> Any:
        return self._session.inputs
