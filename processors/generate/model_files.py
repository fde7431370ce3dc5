"""Models that are one file, by id or by folder."""

from collections.abc import Sequence
from pathlib import Path

from processors.generate.declaration import Services
from processors.generate.model_folders import model_folder
from processors.models.files import ModelNotFound


def model_file(model: str, services: Services, suffixes: Sequence[str]) -> Path:
    """Return the file of a model.

    Args:
        model: As for ``model_folders.model_folder``; the folder holds one such file.
        services: Where models are.
        suffixes: What its name ends with, e.g. ``.onnx``.

    Raises:
        ModelNotFound: There is none; says how to get it.
        ModelDamaged, ModelRefused, FolderNotAllowed: See ``model_folder``.
    """
    if model in services.library.catalog:
        return services.library.paths(model)[0]
    kinds = " or ".join(suffixes)
    folder = model_folder(model, services, f"one file {kinds}")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise ModelNotFound(
            f"The folder {folder} holds several models: {names}.", "Give each its own folder."
        )
    parts = [path.name for path in folder.iterdir() if path.name.endswith(".part")]
    broken = f" {parts[0]} is a download that was not finished." if parts else ""
    raise ModelNotFound(
        f"The folder {folder} holds no file {kinds}.{broken}",
        "Put the model's file there, whole.",
    )
