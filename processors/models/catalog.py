"""The models that are known by name: what they are, where they come from, who may use them."""

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine.errors import InvalidInput, NotFound

BUILT_IN = Path(__file__).with_name("catalog.yaml")
USER_FILE = "models.yaml"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=120)]
"""Of a file or model: no path, nothing hidden."""

FileName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)?$", max_length=240),
]
"""Of a file within a folder of models; models of many files have a folder of their own."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Address = Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
ContractName = Literal[
    "",
    "yunet",
    "scrfd",
    "landmarks_106",
    "arcface",
    "genderage",
    "sface",
    "inswapper",
    "ghost",
    "gfpgan",
    "xseg",
    "modnet",
]


class CatalogError(InvalidInput):
    """A catalogue of models is wrong; names the file and the entry."""


class UnknownModel(NotFound):
    """No model has this id."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArchiveSpec(_Entry):
    """A zip file that holds models."""

    urls: tuple[Address, ...] = Field(min_length=1)
    size: int | None = Field(None, gt=0)
    sha256: Sha256 | None = None


class FileSpec(_Entry):
    """One file of a model.

    Attributes:
        name: Its name in a folder of models, e.g. ``x.onnx`` or ``whisper_small/model.bin``.
        size: Bytes, or None where it is not known.
        sha256: In small hexadecimal digits, or None where it is not known.
        urls: Addresses of the file itself, in the order in which they are tried.
        archive: A zip file with a member of this name, tried last; "" for none.
    """

    name: FileName
    size: int | None = Field(None, gt=0)
    sha256: Sha256 | None = None
    urls: tuple[Address, ...] = ()
    archive: str = ""


class ModelSpec(_Entry):
    """What is known of a model.

    Attributes:
        files: The first one is the graph.
        vendor: Who made it.
        licence: Its name.
        commercial: Whether the licence allows commercial use.
        purpose: What it is for, in one line.
        contract: Its inputs and outputs, a name in ``contracts.CONTRACTS``; "" for unknown.
        home: Where vendor and licence can be read.
        note: What else one should know of the licence.
        instead: What to use where the licence does not allow this one.
    """

    files: tuple[FileSpec, ...] = Field(min_length=1)
    vendor: str
    licence: str
    commercial: bool
    purpose: str
    contract: ContractName = ""
    home: str = ""
    note: str = ""
    instead: str = ""

    @property
    def size(self) -> int | None:
        """Bytes of all files, or None if that of one is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)


class _Document(_Entry):
    archives: dict[Name, ArchiveSpec] = {}
    models: dict[Name, ModelSpec] = {}

    @model_validator(mode="after")
    def _archives_exist(self) -> "_Document":
        for model_id, spec in self.models.items():
            for file in spec.files:
                if file.archive and file.archive not in self.archives:
                    raise ValueError(f"{model_id}: there is no archive {file.archive!r}")
        return self


class Catalog:
    """Models by id.

    Args:
        archives: Zip files by name.
        models: Specs by id.
    """

    def __init__(self, archives: dict[str, ArchiveSpec], models: dict[str, ModelSpec]) -> None:
        self._archives = archives
        self._models = models

    def __iter__(self) -> Iterator[tuple[str, ModelSpec]]:
        return iter(self._models.items())

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._models

    def __getitem__(self, model_id: str) -> ModelSpec:
        """The spec of an id.

        Raises:
            UnknownModel: There is none; suggests the nearest.
        """
        spec = self._models.get(model_id)
        if spec is None:
            near = difflib.get_close_matches(model_id, self._models, 1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise UnknownModel(
                f"There is no model {model_id!r}.", f"{hint}There are: {', '.join(self._models)}."
            )
        return spec

    def archive(self, name: str) -> ArchiveSpec:
        """The archive that a file names."""
        return self._archives[name]

    def by_file(self, name: str) -> str | None:
        """The id of the model that has a file of this name, if there is one."""
        return next(
            (key for key, spec in self if any(file.name == name for file in spec.files)), None
        )

    def by_hash(self, sha256: str) -> str | None:
        """The id of the model that has a file with this hash, if there is one."""
        return next(
            (key for key, spec in self if any(file.sha256 == sha256 for file in spec.files)), None
        )


def load_catalog(folders: Iterable[Path] = ()) -> Catalog:
    """The built-in models, and those that ``models.yaml`` in a folder adds.

    Args:
        folders: Folders of models; those without the file add nothing.

    Raises:
        CatalogError: A file cannot be read, is no catalogue, or defines an id once more.
    """
    archives: dict[str, ArchiveSpec] = {}
    models: dict[str, ModelSpec] = {}
    added = [folder / USER_FILE for folder in folders]
    for path in [BUILT_IN, *(path for path in added if path.is_file())]:
        document = _read(path)
        _add(path, "archive", archives, document.archives)
        _add(path, "model", models, document.models)
    return Catalog(archives, models)


def _add(path: Path, kind: str, known: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if key in known and known[key] != value:
            raise CatalogError(f"{path}: the {kind} {key!r} is known already.", "Rename it.")
        known[key] = value


def _read(path: Path) -> _Document:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: cannot be read ({error}).") from None
    except yaml.YAMLError as error:
        raise CatalogError(f"{path}: is not YAML: {error}.") from None
    try:
        return _Document.model_validate(values or {})
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'models'}: "
            f"{item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise CatalogError(f"{path}: {wrong}.") from None
