"""Makes a ``LamaModel`` of a TorchScript file or of weights.

TorchScript is code: a file that is not in the catalogue, with its hash, is run as it is. Weights
(``.safetensors``, ``.pth``, ``.ckpt``) are only numbers, and go into spandrel's network.
"""

import pickle
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from engine.errors import MissingDependency
from processors.generate.declaration import Services
from processors.generate.model_folders import model_folder
from processors.generate.segmenting.files import (
    check_known,
    known_files,
    size_of_files,
    state_of_files,
)
from processors.models.contracts import ModelMismatch
from processors.models.files import ModelDamaged, ModelNotFound
from processors.models.lean_imports import import_parts
from processors.models.memory import is_out_of_memory

if TYPE_CHECKING:
    import torch

TORCHSCRIPT = ".pt"
_WEIGHTS = (".safetensors", ".pth", ".ckpt")
_NEEDED = "one file of LaMa: big-lama.pt (TorchScript), or weights (.safetensors, .pth, .ckpt)"
_AGAIN = "Delete it and get it again, e.g. with: python server.py models pull big_lama"


@dataclass(frozen=True, slots=True)
class LamaFile:
    """LaMa on disk.

    Attributes:
        model: As it was asked for.
        path: The file.
        bytes: Its size.
        state: Changes when the file does.
        known: It is in the catalogue, so its hash is compared.
    """

    model: str
    path: Path
    bytes: int
    state: str
    known: bool

    @property
    def runs_code(self) -> bool:
        """Whether loading it runs code that nobody has looked at."""
        return self.path.suffix == TORCHSCRIPT and not self.known


def find_lama(model: str, services: Services) -> LamaFile:
    """Find a model without reading it.

    Args:
        model: Id of a known model, or a folder; see ``model_folder``.
        services: Where models are.

    Raises:
        ModelNotFound: It is not there; says how to get it.
        ModelMismatch: The folder holds several.
        ModelRefused, FolderNotAllowed: See ``model_folder``.
    """
    files = known_files(model, services)
    known = files is not None
    if files is None:
        folder = model_folder(model, services, _NEEDED)
        usable = (TORCHSCRIPT, *_WEIGHTS)
        files = tuple(sorted(path for path in folder.iterdir() if path.suffix in usable))
        if not files:
            raise ModelNotFound(f"The folder {folder} holds no LaMa.", f"It must hold {_NEEDED}.")
        if len(files) > 1:
            raise ModelMismatch(
                f"The folder {folder} holds several models: "
                f"{', '.join(path.name for path in files)}.",
                "Give each a folder of its own.",
            )
    return LamaFile(model, files[0], size_of_files(files), state_of_files(files), known)


class LamaModel:
    """A network that fills holes; implements ``filling.Filler``.

    Args:
        network: Takes ``float[1, 3, h, w]`` in 0..1 and ``float[1, 1, h, w]`` of 0 and 1, and gives
            ``float[1, 3, h, w]`` in 0..1.
        path: Of its file, for messages.
    """

    def __init__(self, network: Any, path: Path) -> None:
        self.network = network
        self._path = path

    def to(self, device: str) -> Self:
        """Move it to a device."""
        self.network.to(device)
        return self

    def parameters(self) -> "Iterator[torch.nn.Parameter]":
        """Its weights."""
        return iter(self.network.parameters())

    def buffers(self) -> "Iterator[torch.Tensor]":
        """Its other tensors."""
        return iter(self.network.buffers())

    def fill(
        self, picture: npt.NDArray[np.float32], hole: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """See ``Filler``.

        Raises:
            ModelMismatch: It is another kind of model.
        """
        import torch

        device = next(self.parameters(), torch.empty(0)).device
        given = (
            torch.from_numpy(picture)[None].to(device),
            torch.from_numpy(hole)[None].to(device),
        )
        try:
            with torch.inference_mode():
                found = self.network(*given)
        except (RuntimeError, TypeError) as error:
            if is_out_of_memory(error):
                raise
            raise _no_lama(self._path, str(error).rstrip().rpartition("\n")[2]) from error
        if not isinstance(found, torch.Tensor) or found.shape != given[0].shape:
            raise _no_lama(self._path, "it does not give one picture of the same size")
        return np.asarray(found[0].float().cpu().numpy(), np.float32)


def load_lama(file: LamaFile, services: Services) -> LamaModel:
    """Load a model onto the CPU.

    Raises:
        MissingDependency: torch, or spandrel for weights, is not installed.
        ModelDamaged: The file has a wrong hash, or cannot be read.
        ModelMismatch: It is another kind of model.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingDependency(
            "Removing objects needs torch.", "Run: pip install -r requirements-ai.txt"
        ) from error
    check_known(file.model, services)
    network = _script(file) if file.path.suffix == TORCHSCRIPT else _weights(file)
    return LamaModel(network.eval(), file.path)


def _script(file: LamaFile) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            # LaMa is published in this form, whatever torch recommends for new models.
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(str(file.path), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        if is_out_of_memory(error):
            raise
        raise ModelDamaged(f"{file.path} is damaged, or no TorchScript file.", _AGAIN) from error


def _weights(file: LamaFile) -> Any:
    weights = _read_weights(file)
    arch = lama_architecture()
    if not arch.detect(weights):
        raise _no_lama(file.path, "it has no weights of LaMa's generator")
    try:
        return arch.load(weights).model
    except (RuntimeError, KeyError, ValueError) as error:
        raise _no_lama(file.path, str(error)) from error


def _read_weights(file: LamaFile) -> "dict[str, torch.Tensor]":
    import torch

    try:
        if file.path.suffix == ".safetensors":
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                return load_file(file.path)
            except SafetensorError as error:
                raise ModelDamaged(f"{file.path} is damaged: {error}.", _AGAIN) from error
        found = torch.load(file.path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelDamaged(
            f"{file.path} is damaged, or holds more than weights, which could be code.",
            "Take the weights out of it as .safetensors, or take big-lama.pt.",
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise ModelDamaged(f"{file.path} is damaged: {error}.", _AGAIN) from error
    found = found.get("state_dict", found) if isinstance(found, dict) else {}
    return {
        name: weight
        for name, weight in found.items()
        if name.startswith(("generator.", "model.")) and isinstance(weight, torch.Tensor)
    }


def lama_architecture() -> Any:
    """Return spandrel's ``LaMaArch``, which tells LaMa's weights and makes the network.

    Raises:
        MissingDependency: spandrel is not installed.
    """
    with _rotation():
        (module,) = import_parts(
            ("spandrel", "spandrel.architectures"),
            ("spandrel.architectures.LaMa",),
            "Run: pip install --no-deps -r requirements-ai-nodeps.txt",
        )
    return module.LaMaArch()


@contextmanager
def _rotation() -> Iterator[None]:
    """Have what spandrel's file of LaMa imports from torchvision, and LaMa does not use."""
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    if names[-1] in sys.modules:
        yield
        return
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        sys.modules[name] = ModuleType(name)
    for unused in ("InterpolationMode", "rotate"):
        setattr(sys.modules[names[-1]], unused, None)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name)
            else:
                sys.modules[name] = module


def _no_lama(path: Path, why: str) -> ModelMismatch:
    lines = why.strip().splitlines() or ["unknown"]
    return ModelMismatch(
        f"{path} is another kind of model than LaMa: {lines[0][:300].rstrip('.')}.",
        "Get LaMa with: python server.py models pull big_lama",
    )
