"""Which kind of model that segments a folder or file holds."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from processors.generate.declaration import Services
from processors.generate.model_folders import model_folder
from processors.generate.segmenting.files import known_files, size_of_files, state_of_files
from processors.models.contracts import ModelMismatch
from processors.models.files import ModelDamaged, ModelNotFound

Kind = Literal["sam2", "sam", "sam_original"]
"""``sam2`` and ``sam``: folders in transformers' form; ``sam_original``: a file of weights."""

_KINDS: dict[str, Kind] = {"sam2": "sam2", "sam2_video": "sam2", "sam": "sam"}
_WEIGHTS = "model.safetensors"
_PARTS = "model.safetensors.index.json"
_CONFIG = "config.json"
_ORIGINAL = (".pth", ".pt")
_NEEDED = (
    f"{_CONFIG}, {_WEIGHTS} and preprocessor_config.json of SAM 2 in transformers' form, or one"
    " .pth file of Segment Anything"
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model on disk.

    Attributes:
        model: As it was asked for.
        kind: What it is.
        path: The folder, or the file of weights.
        files: All that is read.
        bytes: Of all files.
        state: Changes when a file does; tells one model from another.
    """

    model: str
    kind: Kind
    path: Path
    files: tuple[Path, ...]
    bytes: int
    state: str


def find_checkpoint(model: str, services: Services) -> Checkpoint:
    """Find a model and see what it is, without reading its weights; quick.

    Args:
        model: Id of a known model, or a folder; see ``model_folder``.
        services: Where models are.

    Raises:
        ModelNotFound: It is not there, or not whole; says how to get it.
        ModelMismatch: It is another kind of model.
        ModelDamaged, ModelRefused, FolderNotAllowed: See ``model_folder``.
    """
    files = known_files(model, services)
    if files is not None and len(files) == 1 and files[0].suffix in _ORIGINAL:
        return _checkpoint(model, "sam_original", files[0], files)
    folder = model_folder(model, services, _NEEDED) if files is None else files[0].parent
    if (folder / _CONFIG).is_file():
        return _transformers(model, folder)
    originals = sorted(path for path in folder.iterdir() if path.suffix in _ORIGINAL)
    if not originals:
        raise ModelNotFound(
            f"The folder {folder} holds no model that segments.", f"It must hold {_NEEDED}."
        )
    if len(originals) > 1:
        raise ModelMismatch(
            f"The folder {folder} holds several models: "
            f"{', '.join(path.name for path in originals)}.",
            "Give each a folder of its own.",
        )
    return _checkpoint(model, "sam_original", originals[0], (originals[0],))


def _transformers(model: str, folder: Path) -> Checkpoint:
    path = folder / _CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelDamaged(f"{path} cannot be read: {error}.", "Get the model again.") from error
    name = str(config.get("model_type", "")) if isinstance(config, dict) else ""
    kind = _KINDS.get(name)
    if kind is None:
        raise ModelMismatch(
            f"The model in {folder} is of the kind '{name}', not SAM 2 or Segment Anything.",
            "Choose another model, e.g. sam2_tiny.",
        )
    if not (folder / _WEIGHTS).is_file() and not (folder / _PARTS).is_file():
        raise ModelNotFound(
            f"The model in {folder} is not whole: there is no {_WEIGHTS}.",
            "Get it again; it must hold " + _NEEDED + ".",
        )
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors"))
    return _checkpoint(model, kind, folder, tuple(files))


def _checkpoint(model: str, kind: Kind, path: Path, files: tuple[Path, ...]) -> Checkpoint:
    return Checkpoint(model, kind, path, files, size_of_files(files), state_of_files(files))
