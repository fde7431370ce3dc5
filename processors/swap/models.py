"""Opening what a face swap needs, by the names in the settings.

A graph that several streams use is opened once and closed with the last of them.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

import numpy as np

from engine.errors import AvatarServerError, InvalidInput, MissingDependency
from engine.pipeline.frame import Image
from engine.pipeline.model_settings import RuntimeSettings
from engine.pipeline.swap_settings import FaceSwapSettings
from processors.faces.attributes import SexAndAge
from processors.faces.detector import FaceDetector
from processors.faces.face import Embedding
from processors.faces.landmarks import Contours
from processors.faces.model import blob_of, run_rows
from processors.faces.recognition import Recogniser, RecognitionFailed
from processors.faces.scrfd import SCRFD
from processors.faces.yunet import YuNet
from processors.models.catalog import ContractName
from processors.models.contracts import CONTRACTS
from processors.models.files import ModelNotFound
from processors.models.library import ModelLibrary
from processors.models.rewrite import Rewriter
from processors.models.runtime import Pins, Runtime
from processors.models.session import OnnxSession
from processors.swap.adapter import GHOST_256, ModelSwap
from processors.swap.backend import SwapBackend
from processors.swap.enhancer import Enhancer
from processors.swap.inswapper import InSwapper
from processors.swap.masks import Occluder
from processors.swap.occluder import XSeg
from processors.swap.warp import WarpSwap

WARP: Final = "warp"
NONE: Final = "none"
AUTO: Final = "auto"

_EMBEDDINGS: Final = {"inswapper": "arcface_w600k", "ghost": "ghost_arcface"}
"""Which recognition a swap model was trained with, by its contract."""

_SWAPPERS_TAKE: Final[tuple[ContractName, ...]] = ("arcface",)
_TELL_APART: Final[tuple[ContractName, ...]] = ("arcface", "sface")


class WrongKindOfModel(InvalidInput):
    """A setting names a model that serves another purpose."""


class SwapModels:
    """Opens detectors, recognition, swap models and enhancers; may be used from any thread.

    Args:
        library: Where models are, and which may be used.
        runtime: What runs them.
        enhance_wait_s: See ``Enhancer``; for pictures and files that may take their time.
        pins: Where what is open is counted as in use; None: nowhere.
    """

    def __init__(
        self,
        library: ModelLibrary,
        runtime: RuntimeSettings,
        enhance_wait_s: float = 0.0,
        pins: Pins | None = None,
    ) -> None:
        self._library = library
        self._enhance_wait_s = enhance_wait_s
        self._settings = runtime
        self._pins = pins
        self._runtime: Runtime | None = None
        self._open: WeakValueDictionary[str, OnnxSession] = WeakValueDictionary()
        self._lock = threading.Lock()

    def require(self, settings: FaceSwapSettings, guesses: bool = False) -> None:
        """Raise unless everything that settings need is here and may be used.

        Args:
            settings: What is wanted.
            guesses: Whether sex and age are.

        Raises:
            WrongKindOfModel: A setting names another kind of model.
            ModelRefused: A licence forbids it.
            MissingDependency: Names all that is missing, and one command that gets it.
        """
        names = self.needed(settings, guesses)
        for name in names:
            self._library.allow(name)
        missing = [name for name in names if not self._here(name)]
        if missing:
            folders = ", ".join(str(folder) for folder in self._library.folders)
            raise MissingDependency(
                f"face_swap needs {', '.join(missing)}: not in {folders or 'any folder'}.",
                f"Get it with: python server.py models pull {' '.join(missing)}",
            )

    def needed(self, settings: FaceSwapSettings, guesses: bool = False) -> tuple[str, ...]:
        """Return the ids of the known models that settings need.

        Args:
            settings: What is wanted.
            guesses: Whether sex and age are.

        Raises:
            WrongKindOfModel: A setting names another kind of model.
        """
        wanted = [settings.model] if settings.model != WARP else []
        for name in wanted:
            self._contract(name, ("inswapper", "ghost"), "model")
        wanted += [self.recognition_name(settings), settings.detector]
        wanted += ["landmarks_106" if settings.contours else "", "genderage" if guesses else ""]
        wanted += [settings.occluder, settings.enhancer]
        return tuple(name for name in dict.fromkeys(wanted) if name in self._library.catalog)

    def detector(self, settings: FaceSwapSettings, width: int | None = None) -> FaceDetector:
        """A detector of its own for one thread.

        Args:
            settings: Which one.
            width: Overrides ``settings.detection_width``.

        Raises:
            WrongKindOfModel: The setting is wrong.
            MissingDependency: The model is not here.
            AvatarServerError: See ``Runtime.open``.
        """
        name = settings.detector
        width = width or settings.detection_width
        if self._contract(name, ("yunet", "scrfd"), "detector") == "yunet":
            with _asked_for("detector", name):
                return YuNet(self._library.paths(name)[0], width, settings.threshold)
        size = max(32, width // 32 * 32)
        return SCRFD(self.session(name, "detector"), size, settings.threshold)

    def recognition_name(self, settings: FaceSwapSettings) -> str:
        """Which recognition model the settings come to; empty for none.

        Raises:
            WrongKindOfModel: The setting is wrong.
        """
        needed = ""
        if settings.model != WARP:
            needed = _EMBEDDINGS[self._contract(settings.model, ("inswapper", "ghost"), "model")]
        if settings.recognition in (AUTO, NONE):
            return needed
        wanted = _SWAPPERS_TAKE if needed else _TELL_APART
        self._contract(settings.recognition, wanted, "recognition")
        return settings.recognition

    def recogniser(self, settings: FaceSwapSettings) -> Recogniser | None:
        """What makes embeddings; None where nothing needs them."""
        name = self.recognition_name(settings)
        if not name:
            return None
        kind = self._contract(name, _TELL_APART, "recognition")
        session = self.session(name, "recognition")
        return Recogniser.sface(session) if kind == "sface" else Recogniser(session)

    def first_available(self, names: Sequence[str]) -> str:
        """The first of several models whose files are here and may be used.

        Raises:
            MissingDependency: None is.
        """
        for name in names:
            with suppress(AvatarServerError):
                self._library.paths(name)
                return name
        with _asked_for("recognition", names[0]):
            self._library.paths(names[0])
        return names[0]

    def source_recogniser(self, settings: FaceSwapSettings) -> Recogniser | None:
        """What makes the embeddings of the faces that are put in."""
        name = self.recognition_name(settings)
        if name == _EMBEDDINGS["ghost"]:
            return _Unscaled(self.session(name, "recognition"))
        return self.recogniser(settings)

    def contours(self, settings: FaceSwapSettings) -> Contours | None:
        """What finds 106 landmarks, if they are wanted."""
        return Contours(self.session("landmarks_106", "contours")) if settings.contours else None

    def sex_and_age(self) -> SexAndAge:
        """What guesses sex and age."""
        return SexAndAge(self.session("genderage", "selection"))

    def backend(self, settings: FaceSwapSettings) -> SwapBackend:
        """What makes the new faces."""
        name = settings.model
        if name == WARP:
            return WarpSwap()
        kind = self._contract(name, ("inswapper", "ghost"), "model")
        session = self.session(name, "model", batched=True)
        most = settings.most_tiles or None
        if kind == "ghost":
            return ModelSwap(session, GHOST_256, settings.boost, most_tiles=most)
        # The matrix that maps embeddings is read from the original graph, not the rewritten one.
        path = self._library.where(self._library.catalog[name].files[0]) or session.path
        return InSwapper(session, path, settings.boost, most_tiles=most)

    def occluder(self, settings: FaceSwapSettings) -> Occluder | None:
        """What sees what is in front of a face, if it is wanted."""
        if not settings.occluder:
            return None
        self._contract(settings.occluder, ("xseg",), "occluder")
        return XSeg(self.session(settings.occluder, "occluder"))

    def enhancer(self, settings: FaceSwapSettings, wait_s: float | None = None) -> Enhancer | None:
        """What restores detail, if it is wanted.

        Args:
            settings: Which one.
            wait_s: Overrides ``enhance_wait_s``.
        """
        if not settings.enhancer:
            return None
        self._contract(settings.enhancer, ("gfpgan",), "enhancer")
        session = self.session(settings.enhancer, "enhancer")
        return Enhancer(
            session,
            settings.enhance_every,
            settings.enhance_strength,
            wait_s=self._enhance_wait_s if wait_s is None else wait_s,
        )

    def session(self, name: str, setting: str, batched: bool = False) -> OnnxSession:
        """An open graph, shared with whoever has it open already.

        Args:
            name: Of a known model.
            setting: What asks for it, for messages.
            batched: Rewrite it to take any number of items at once, where that is exact.
        """
        with self._lock:
            session = self._open.get(name)
            if session is None:
                with _asked_for(setting, name):
                    session = self._opened(name, batched)
                self._open[name] = session
            return session

    def _here(self, name: str) -> bool:
        files = self._library.catalog[name].files
        return all(self._library.where(file) is not None for file in files)

    def _opened(self, name: str, batched: bool) -> OnnxSession:
        if self._runtime is None:
            self._runtime = Runtime(self._settings, pins=self._pins)
        path = self._library.paths(name)[0]
        contract = CONTRACTS[self._library.catalog[name].contract]
        if batched:
            alone = Runtime(self._settings.model_copy(update={"provider": "cpu"}))
            open_alone = partial(alone.open, contract=contract)
            path = Rewriter(self._settings.engines, open_alone).batched(path).path
        return self._runtime.open(path, contract)

    def _contract(self, name: str, wanted: tuple[ContractName, ...], setting: str) -> ContractName:
        catalog = self._library.catalog
        found = catalog[name].contract if name in catalog else None
        if found not in wanted:
            those = [key for key, spec in catalog if spec.contract in wanted]
            if setting == "model":
                those.insert(0, WARP)
            raise WrongKindOfModel(
                f"{name!r} is no model for processors.face_swap.{setting}.",
                f"There are: {', '.join(those)}; describe your own in models.yaml.",
            )
        return found


class _Unscaled(Recogniser):
    """Embeddings as the network gives them, their length included: GHOST was trained with these."""

    def embed_crops(self, crops: Sequence[Image]) -> list[Embedding]:
        if not crops:
            return []
        rows = run_rows(self._model, blob_of(crops, self._mean, self._std))
        if not np.isfinite(rows).all():
            raise RecognitionFailed("The recognition model returned no embedding for a face.")
        return list(rows)


@contextmanager
def _asked_for(setting: str, name: str) -> Iterator[None]:
    """Says which setting needs a model that is not here."""
    try:
        yield
    except ModelNotFound as error:
        raise MissingDependency(
            f"face_swap needs {name} ({setting}). {error.description}", error.hint
        ) from error
