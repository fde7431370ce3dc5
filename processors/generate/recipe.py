"""What determines a result, recorded with it so that it can be made again.

The same recipe on the same machine gives the same bytes: besides the parameters (with the seed that
was drawn) it holds the hashes of inputs and models, the versions of code and libraries, device and
number of threads, as all of these change pixels. It is written into PNG files (an ``iTXt`` chunk,
PNG 11.3.3.4) and videos (the tag ``comment``), and read back from them.
"""

import functools
import hashlib
import importlib.metadata
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import InvalidInput, NotFound
from processors.generate.png_text import is_png, read_text, write_text

KEYWORD = "avatar-server recipe"
MAX_TEXT = 1_000_000
"""Longest recipe that is read, in characters: files come from strangers."""

LIBRARIES = (
    *("numpy", "av", "opencv-python", "pillow", "onnxruntime", "ctranslate2", "faster-whisper"),
    *("torch", "diffusers", "transformers", "rembg", "spandrel"),
)
_SOURCES = Path(__file__).resolve().parents[2]


class NoRecipe(NotFound):
    """A file has no recipe in it."""


class BadRecipe(InvalidInput):
    """A file's recipe cannot be read."""


class Recipe(BaseModel):
    """What determines a result.

    Attributes:
        generator: Its name.
        params: All parameters, defaults and the seed included.
        inputs: SHA-256 of each input file, by its name.
        models: SHA-256 of each model, by its id.
        device: Kind of device, e.g. ``cpu`` or ``cuda:0``.
        threads: CPU threads.
        code: Version of this program's sources, from ``code_version``.
        libraries: Versions of the installed libraries that compute.
        settings: Those of the program that change results.
        rung: Which rung of the generator's ladder ran, if it was not the first.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    generator: str
    params: dict[str, Any]
    inputs: dict[str, str] = {}
    models: dict[str, str] = {}
    device: str = ""
    threads: int = 0
    code: str = ""
    libraries: dict[str, str] = {}
    settings: dict[str, Any] = {}
    rung: str = ""

    @property
    def key(self) -> str:
        """Equal for equal recipes: 64 hexadecimal digits, for a cache of results."""
        return hashlib.sha256(canonical(self.model_dump(mode="json")).encode()).hexdigest()


class Fingerprints:
    """Hashes of files, each computed once as long as size, time and inode stay."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int, int], str]] = {}

    def of_file(self, path: Path) -> str:
        """Return the SHA-256 of a file in hexadecimal digits.

        Raises:
            OSError: It cannot be read.
        """
        status = path.stat()
        state = (status.st_size, status.st_mtime_ns, status.st_ino)
        known = self._known.get(path)
        if known is not None and known[0] == state:
            return known[1]
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        self._known[path] = (state, found)
        return found

    def of_folder(self, folder: Path) -> str:
        """Return one hash for all files in a folder and those below it, with their places."""
        paths = {
            path.relative_to(folder).as_posix(): path
            for path in folder.rglob("*")
            if path.is_file()
        }
        return self._of(paths)

    def of_files(self, paths: Iterable[Path]) -> str:
        """Return one hash for files with their names, in whatever order; one file's is its own."""
        return self._of({path.name: path for path in paths})

    def _of(self, paths: Mapping[str, Path]) -> str:
        found = {name: self.of_file(path) for name, path in paths.items()}
        if len(found) == 1:
            return next(iter(found.values()))
        return hashlib.sha256(canonical(found).encode()).hexdigest()


def canonical(value: Mapping[str, Any]) -> str:
    """Return JSON in which equal values are equal texts.

    Raises:
        ValueError: A number is none, or infinite.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


@functools.cache
def code_version() -> str:
    """Return a hash of the sources that results depend on: all of ``engine`` and ``processors``."""
    whole = hashlib.sha256()
    for package in ("engine", "processors"):
        for path in sorted((_SOURCES / package).rglob("*.py")):
            whole.update(str(path.relative_to(_SOURCES)).encode() + b"\0")
            whole.update(path.read_bytes() + b"\0")
    return whole.hexdigest()[:16]


@functools.cache
def library_versions() -> dict[str, str]:
    """Return the versions of those of ``LIBRARIES`` that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def tags(recipe: Mapping[str, Any] | None) -> dict[str, str]:
    """Return metadata for a video's container; empty without a recipe."""
    return {} if recipe is None else {"comment": canonical({KEYWORD: recipe})}


def write_recipe(path: Path, recipe: Mapping[str, Any]) -> None:
    """Write a recipe into a PNG file, in place of an earlier one; other files stay as they are.

    The pixels are not touched. Videos get ``tags`` while they are made.
    """
    if is_png(path):
        write_text(path, KEYWORD, canonical(recipe))


def read_recipe(path: Path) -> Recipe:
    """Read what a PNG or video file was made of.

    Raises:
        NoRecipe: There is none in it.
        BadRecipe: It is damaged.
    """
    text = _text_of(path)
    if text is None:
        raise NoRecipe(
            f"'{path.name}' does not say how it was made.",
            "Other programs remove this when they save a picture; take the original file.",
        )
    try:
        return Recipe.model_validate_json(text)
    except ValidationError as error:
        raise BadRecipe(f"The recipe in '{path.name}' is damaged.") from error


def _text_of(path: Path) -> str | None:
    if is_png(path):
        try:
            return read_text(path, KEYWORD, MAX_TEXT)
        except (ValueError, zlib.error) as error:
            raise BadRecipe(f"'{path.name}' is a damaged PNG file: {error}.") from error
    comment = _comment_of(path)
    if comment is None or len(comment) > MAX_TEXT:
        return None
    try:
        found = json.loads(comment)
    except ValueError:
        return None
    inner = found.get(KEYWORD) if isinstance(found, dict) else None
    return None if inner is None else json.dumps(inner)


def _comment_of(path: Path) -> str | None:
    from engine.clips.opening import opened
    from engine.errors import ClipError

    try:
        with opened(path) as (container, _):
            metadata = {key.lower(): value for key, value in container.metadata.items()}
    except ClipError:
        return None
    return metadata.get("comment")
