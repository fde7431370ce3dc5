"""Where model files are, and whether they are what they should be."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.errors import AvatarServerError, NotFound

VARIABLE = "AVATAR_MODELS"


class ModelNotFound(NotFound):
    """A model file is not where it should be."""


class ModelDamaged(AvatarServerError):
    """A model file is not the one that it should be, or cannot be read."""


def model_folders(folders: Sequence[Path], environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The folders that models are looked for in, in order, each once.

    Args:
        folders: Those in the settings.
        environ: Environment; the folders in its ``AVATAR_MODELS``, separated as those in ``PATH``
            are, go before them.
    """
    named = [Path(part) for part in environ.get(VARIABLE, "").split(os.pathsep) if part]
    return tuple(dict.fromkeys(path.expanduser() for path in (*named, *folders)))


def find_model(model: Path, folders: Sequence[Path], what: str) -> Path:
    """The path of a model file that exists.

    Args:
        model: A path as it is, or a bare name that is looked for in the folders.
        folders: See ``model_folders``.
        what: What the model is, for the message.

    Raises:
        ModelNotFound: There is no such file; says where it was looked for.
    """
    model = model.expanduser()
    bare = len(model.parts) == 1
    paths = [folder / model for folder in folders] if bare else [model]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        where = " or ".join(str(path) for path in paths) or str(model)
        raise ModelNotFound(
            f"There is no {what} at {where}.",
            f"Put the file there, or name its folder in the environment variable {VARIABLE}.",
        )
    return found


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, in small hexadecimal digits.

    Raises:
        ModelDamaged: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelDamaged(f"{path} cannot be read ({error.strerror}).") from error


def recorded_hash(path: Path) -> str | None:
    """The hash that was recorded when a file without a known one was downloaded, if it was."""
    try:
        words = _record(path).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return None
    return words[0].lower() if words else None


def record_hash(path: Path, sha256: str) -> None:
    """Write a file's hash beside it, in the form that ``sha256sum -c`` reads."""
    _record(path).write_text(f"{sha256}  {path.name}\n", encoding="utf-8")


def check_hash(path: Path, sha256: str) -> None:
    """Raise unless a file has a hash.

    Raises:
        ModelDamaged: It has another, or cannot be read.
    """
    found = hash_file(path)
    if found != sha256:
        raise ModelDamaged(
            f"{path} is not the file it should be: its SHA-256 is {found}, expected {sha256}.",
            "Delete it and get it again (python server.py models pull), or, if it is a model of "
            "your own, give it another name.",
        )


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
