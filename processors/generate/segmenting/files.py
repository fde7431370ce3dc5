"""Files of models, found without reading them: a click must not wait for gigabytes to be hashed."""

from collections.abc import Sequence
from pathlib import Path

from processors.generate.declaration import Services


def known_files(model: str, services: Services) -> tuple[Path, ...] | None:
    """Return the files of a model of the catalogue, not hashed; None: it is not in there.

    Raises:
        ModelRefused: Its licence forbids the use.
        ModelNotFound: One is missing; says how to get it.
    """
    library = services.library
    if model not in library.catalog:
        return None
    library.allow(model)
    found = [library.where(file) for file in library.catalog[model].files]
    present = tuple(path for path in found if path is not None)
    # Where one is missing, this says how to get it.
    return present if len(present) == len(found) else library.paths(model)


def check_known(model: str, services: Services) -> None:
    """Compare a model of the catalogue with its hashes; to be done before it is loaded.

    Raises:
        ModelDamaged: A file is not what it should be.
    """
    if model in services.library.catalog:
        services.library.paths(model)


def size_of_files(files: Sequence[Path]) -> int:
    """Return the bytes of all files together."""
    return sum(path.stat().st_size for path in files)


def state_of_files(files: Sequence[Path]) -> str:
    """Return a text that changes when one of the files does."""
    states = [(path, path.stat()) for path in files]
    return "|".join(
        f"{path.absolute()}:{state.st_size}:{state.st_mtime_ns}" for path, state in states
    )
