"""Models that are folders of files, by id or by path."""

from pathlib import Path

from engine.errors import Forbidden
from processors.generate.declaration import Services
from processors.generate.recipe import Fingerprints
from processors.models.files import ModelNotFound, recorded_hash


class FolderNotAllowed(Forbidden):
    """A parameter names a folder that callers may not name."""


def model_folder(model: str, services: Services, needed: str) -> Path:
    """Return the folder of a model.

    Args:
        model: Id of a known model, name of a folder in one of the folders of models, or, where
            ``Services.any_folder`` allows it, any path.
        services: Where models are.
        needed: What the folder must hold, for the message.

    Raises:
        ModelNotFound: There is none; says how to get it.
        ModelDamaged, ModelRefused: See ``ModelLibrary.paths``.
        FolderNotAllowed: It is a path elsewhere.
    """
    library = services.library
    if model in library.catalog:
        return library.paths(model)[0].parent
    path = Path(model).expanduser()
    if len(path.parts) > 1 or path.is_absolute() or model in ("", ".", ".."):
        if not services.any_folder:
            raise FolderNotAllowed(
                f"'{model}': a model is named by its id, or by its folder's name in a folder of"
                " models.",
                f"Known ids: {', '.join(key for key, _ in library.catalog)}.",
            )
        candidates = [path]
    else:
        candidates = [folder / path for folder in library.folders]
    found = next((candidate for candidate in candidates if candidate.is_dir()), None)
    if found is None:
        where = " or ".join(str(candidate) for candidate in candidates)
        raise ModelNotFound(
            f"There is no model '{model}': no folder {where}.",
            f"Make that folder, with {needed}; or take a model that"
            " 'python server.py models list' shows.",
        )
    return found


def model_hash(model: str, services: Services, fingerprints: Fingerprints) -> str:
    """Return what identifies a model's contents.

    Raises:
        ModelNotFound, FolderNotAllowed: See ``model_folder``.
    """
    library = services.library
    if model not in library.catalog:
        folder = model_folder(model, services, "the model's files")
        return fingerprints.of_folder(folder)
    files = library.catalog[model].files
    paths = {file.name: library.where(file) for file in files}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise ModelNotFound(
            f"The model {model} is not here: there is no {missing[0]}.",
            f"Get it with: python server.py models pull {model}",
        )
    known = [
        file.sha256 or recorded_hash(path)
        for file in files
        if (path := paths[file.name]) is not None
    ]
    if len(known) == 1 and known[0] is not None:
        return known[0]
    return fingerprints.of_files(path for path in paths.values() if path is not None)
