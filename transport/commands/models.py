"""``models``: what models there are, getting them, checking them."""

import argparse
import json
from pathlib import Path

from engine.errors import SettingsError
from processors.models.catalog import ModelSpec
from processors.models.download import Downloader
from processors.models.library import FileState, ModelLibrary
from transport.commands.configuration import library_of, load_settings
from transport.commands.terminal import progress_bar, say

_WORDS = {
    "ok": "intact",
    "unknown": "no hash is known: record one with sha256sum FILE > FILE.sha256",
    "damaged": "DAMAGED: delete it and pull it again",
    "missing": "not here",
}


def list_models(options: argparse.Namespace) -> int:
    """List the known models: size, licence, whether they are here, what they are for."""
    library = library_of(load_settings(options))
    rows = [(model_id, spec, _is_here(library, spec)) for model_id, spec in library.catalog]
    if options.json:
        print(json.dumps([_as_dict(*row) for row in rows], indent=2))
        return 0
    cells = [("ID", "SIZE", "HERE", "COMMERCIAL", "LICENCE", "FOR")]
    cells += [
        (
            model_id,
            _size(spec.size),
            "yes" if here else "-",
            "yes" if spec.commercial else "NO",
            spec.licence,
            spec.purpose,
        )
        for model_id, spec, here in rows
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        print(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    return 0


def pull_models(options: argparse.Namespace) -> int:
    """Download models: resumed where it stopped, checked, put in place at once."""
    settings = load_settings(options)
    library = library_of(settings)
    wanted: list[str] = list(dict.fromkeys(options.ids))
    if options.all:
        commercial = settings.models.commercial
        wanted = [key for key, spec in library.catalog if spec.commercial or not commercial]
    if not wanted:
        known = ", ".join(key for key, _ in library.catalog)
        raise SettingsError("Which models?", f"Name some of {known}, or --all.")
    for model_id in wanted:
        library.allow(model_id)
        spec = library.catalog[model_id]
        if not spec.commercial:
            say(f"{model_id}: {spec.licence}; not for commercial use. {spec.note}".rstrip())
    folder = options.folder or library.folders[0]
    Downloader(library, settings.models, folder, TerminalReport()).pull(wanted)
    return 0


def verify_models(options: argparse.Namespace) -> int:
    """Hash the models that are here and compare with what they should be."""
    library = library_of(load_settings(options))
    ids = options.ids or [key for key, spec in library.catalog if _is_here(library, spec)]
    states = [state for model_id in ids for state in library.verify(model_id)]
    for state in states:
        print(_describe(state))
    if not states:
        print("No known model is here; see: python server.py models list")
    named = {state.model for state in states if state.state == "missing" and options.ids}
    return 1 if named or any(state.state == "damaged" for state in states) else 0


def where_models(options: argparse.Namespace) -> int:
    """Print the folders that models are looked for in, in order."""
    for folder in library_of(load_settings(options)).folders:
        print(folder if folder.is_dir() else f"{folder} (does not exist)")
    return 0


class TerminalReport:
    """Says how a download goes."""

    def __init__(self) -> None:
        self._bar = progress_bar()
        self._shown = -1

    def begin(self, name: str, url: str) -> None:
        """A file is asked for at an address."""
        self._shown = -1
        say(f"{name}: from {url}")

    def progress(self, name: str, done: int, total: int | None) -> None:
        """So many bytes are here, of so many."""
        permille = 1000 * done // total if total else 0
        if permille != self._shown:
            self._shown = permille
            self._bar(permille / 1000)

    def problem(self, name: str, text: str) -> None:
        """Something failed, and what is tried next."""
        say(f"{name}: {text}")

    def finished(self, name: str, path: Path, sha256: str, trusted: bool) -> None:
        """A file is in place."""
        if trusted:
            say(
                f"{name}: {path}. Its hash was not known beforehand: this first download is "
                f"trusted, and {sha256} is recorded beside it for models verify."
            )
        else:
            say(f"{name}: {path} (hash is right)")

    def present(self, name: str, path: Path) -> None:
        """A file was there already."""
        say(f"{name}: {path} is here already")


def _is_here(library: ModelLibrary, spec: ModelSpec) -> bool:
    return all(library.where(file) is not None for file in spec.files)


def _as_dict(model_id: str, spec: ModelSpec, here: bool) -> dict[str, object]:
    kept = ("vendor", "licence", "commercial", "purpose", "home", "note")
    return {"id": model_id, "size": spec.size, "here": here} | {
        name: getattr(spec, name) for name in kept
    }


def _describe(state: FileState) -> str:
    words = _WORDS[state.state]
    if state.state == "ok" and state.trusted:
        words = "as at its first download"
    return f"{state.model}: {state.path or state.file.name}: {words}"


def _size(size: int | None) -> str:
    return "?" if size is None else f"{size / 1e6:.1f} MB"
