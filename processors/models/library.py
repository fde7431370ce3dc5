"""Models by name: found, allowed and checked before they are used."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from processors.models.catalog import Catalog, FileSpec, load_catalog
from processors.models.files import (
    ModelNotFound,
    check_hash,
    find_model,
    hash_file,
    recorded_hash,
)
from processors.models.licences import check_licence

_log = logging.getLogger(__name__)

State = Literal["ok", "unknown", "damaged", "missing"]


@dataclass(frozen=True, slots=True)
class FileState:
    """What was found of one file of a model.

    Attributes:
        model: The model's id.
        file: What it should be.
        path: Where it is, or None.
        state: ``ok``: the hash is right; ``unknown``: there is no hash to compare with;
            ``damaged``: the hash is wrong; ``missing``: it is nowhere.
        trusted: The hash is only the one that was recorded at the first download.
    """

    model: str
    file: FileSpec
    path: Path | None
    state: State
    trusted: bool = False


class _Hashes:
    """Hashes of files, each computed once for as long as the file stays as it was.

    A file counts as changed when its device, inode, size, time of change or time of status change
    differ; the last cannot be set back by writing to the file or touching it.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], str]] = {}

    def of(self, path: Path) -> str:
        """The SHA-256 of a file.

        Raises:
            ModelDamaged: It cannot be read.
        """
        before = _signature(path)
        known = self._known.get(path)
        if known is not None and known[0] == before:
            return known[1]
        found = hash_file(path)
        if before is not None and before == _signature(path):
            self._known[path] = before, found
        return found


def _signature(path: Path) -> tuple[int, ...] | None:
    """What changes with a file's content; None where it cannot be told."""
    try:
        info = path.stat()
    except OSError:
        return None
    return (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


class ModelLibrary:
    """Finds models, and refuses those that are damaged or may not be used.

    A file is hashed at its first use, and again whenever it has changed since.

    Args:
        folders: See ``files.model_folders``; a ``models.yaml`` in them adds models.
        commercial: Refuse models whose licence forbids commercial use.
        catalog: The known models; None: the built-in ones and those of the folders.
    """

    def __init__(
        self, folders: Sequence[Path], commercial: bool = False, catalog: Catalog | None = None
    ) -> None:
        self.folders = tuple(folders)
        self.catalog = load_catalog(self.folders) if catalog is None else catalog
        self._commercial = commercial
        self._hashes = _Hashes()

    def allow(self, model_id: str) -> None:
        """Raise if a model may not be used.

        Raises:
            UnknownModel: There is none of this id.
            ModelRefused: See ``check_licence``.
        """
        check_licence(model_id, self.catalog[model_id], self._commercial)

    def paths(self, model_id: str) -> tuple[Path, ...]:
        """The files of a known model, each checked against its hash; the graph is the first.

        Raises:
            UnknownModel, ModelRefused: See ``allow``.
            ModelNotFound: One is missing; says how to get it.
            ModelDamaged: One has a wrong hash.
        """
        self.allow(model_id)
        return tuple(self._checked(model_id, file) for file in self.catalog[model_id].files)

    def resolve(self, model: str | Path, what: str = "model") -> Path:
        """The graph that a setting names.

        Args:
            model: The id of a known model, a file's name within the folders, or a path.
            what: What the model is, for the message.

        Raises:
            ModelNotFound, ModelDamaged, ModelRefused: See ``paths``. A path whose file turns out
                to be a known model is under the same licence, whatever its name.
        """
        name = str(model)
        if name in self.catalog:
            return self.paths(name)[0]
        if len(Path(model).parts) == 1:
            known = self.catalog.by_file(name)
            if known is not None:
                self.allow(known)
                return self._checked(known, self._file(known, name))
        path = find_model(Path(model), self.folders, what)
        if self._commercial:
            known = self.catalog.by_hash(self._hashes.of(path))
            if known is not None:
                self.allow(known)
            else:
                _log.info("%s is no known model: whether it may be used is up to you", path)
        return path

    def where(self, file: FileSpec) -> Path | None:
        """Where a file is, unchecked, or None."""
        return next(
            (path for folder in self.folders if (path := folder / file.name).is_file()), None
        )

    def verify(self, model_id: str) -> list[FileState]:
        """Hash the files of a model anew and compare.

        Raises:
            UnknownModel: There is none of this id.
            ModelDamaged: A file cannot be read.
        """
        return [self._state(model_id, file) for file in self.catalog[model_id].files]

    def _state(self, model_id: str, file: FileSpec) -> FileState:
        path = self.where(file)
        if path is None:
            return FileState(model_id, file, None, "missing")
        expected = file.sha256 or recorded_hash(path)
        if expected is None:
            return FileState(model_id, file, path, "unknown")
        state: State = "ok" if hash_file(path) == expected else "damaged"
        return FileState(model_id, file, path, state, trusted=file.sha256 is None)

    def _checked(self, model_id: str, file: FileSpec) -> Path:
        path = self.where(file)
        if path is None:
            looked = ", ".join(str(folder) for folder in self.folders) or "any folder"
            raise ModelNotFound(
                f"The model {model_id} is not here: there is no {file.name} in {looked}.",
                f"Get it with: python server.py models pull {model_id}",
            )
        expected = file.sha256 or recorded_hash(path)
        if expected is not None and self._hashes.of(path) != expected:
            check_hash(path, expected)
        return path

    def _file(self, model_id: str, name: str) -> FileSpec:
        return next(file for file in self.catalog[model_id].files if file.name == name)
