"""Loading the settings as commands do, and ``check-config``."""

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from engine.errors import SettingsError
from engine.settings import Settings
from engine.settings_file import KeyPath, load, parse_scalar, without_secrets
from processors.models.files import ModelNotFound, model_folders
from processors.models.library import ModelLibrary
from transport.commands.grammar import FLAGS

DEFAULT_CONFIG = Path(__file__).resolve().parents[2] / "config.yaml"


def load_settings(options: argparse.Namespace) -> Settings:
    """Load the settings; relative folders are taken from where config.yaml lies."""
    path: Path = options.config or DEFAULT_CONFIG
    overrides: dict[KeyPath, Any] = {
        key_path: getattr(options, flag) for flag, key_path in FLAGS.items() if flag in options
    }
    for text in options.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"--set {text}: expected SECTION.KEY=VALUE.")
        overrides[tuple(key.split("."))] = parse_scalar(value)
    found = load(path if path.exists() or options.config else None, os.environ, overrides)
    return _absolute(found, path.resolve().parent)


def _absolute(settings: Settings, base: Path) -> Settings:
    avatars, live = settings.avatars, settings.live
    swap, prompts = settings.processors.face_swap, settings.generate.prompts
    return settings.model_copy(
        update={
            "avatars": avatars.model_copy(
                update={
                    "folder": base / avatars.folder,
                    "cache": base / avatars.cache,
                    "allowed_folders": tuple(base / path for path in avatars.allowed_folders),
                }
            ),
            "live": live.model_copy(
                update={"allowed_folders": tuple(base / path for path in live.allowed_folders)}
            ),
            "processors": settings.processors.model_copy(
                update={
                    "face_swap": swap.model_copy(
                        update={"faces": tuple(str(base / face) for face in swap.faces)}
                    )
                }
            ),
            "models": settings.models.model_copy(
                update={"folders": tuple(base / p.expanduser() for p in settings.models.folders)}
            ),
            "runtime": settings.runtime.model_copy(
                update={"engines": base / settings.runtime.engines}
            ),
            "output": settings.output.model_copy(update={"folder": base / settings.output.folder}),
            "generate": settings.generate.model_copy(
                update={
                    "prompts": prompts.model_copy(
                        update={"blocked_files": tuple(base / p for p in prompts.blocked_files)}
                    )
                }
            ),
            "jobs": settings.jobs.model_copy(update={"folder": base / settings.jobs.folder}),
        }
    )


def check_config(options: argparse.Namespace) -> int:
    """Validate the settings."""
    settings = load_settings(options)
    print(f"{options.config or DEFAULT_CONFIG}: valid")
    if options.show:
        print(json.dumps(without_secrets(settings.model_dump(mode="json")), indent=2))
    return 0


def start_logging(settings: Settings) -> None:
    """Log to standard output, at the level of the settings."""
    logging.basicConfig(
        level=settings.log.level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stdout,
    )
    for noisy in ("aioice", "aiortc", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def known_face_model(settings: Settings) -> Path | None:
    """Return the face detector in the folder of models, if it is there."""
    try:
        return library_of(settings).resolve(settings.processors.anonymise.model, "face detector")
    except ModelNotFound:
        return None


def library_of(settings: Settings) -> ModelLibrary:
    """Return the models that the settings let us use."""
    folders = model_folders(settings.models.folders, os.environ)
    return ModelLibrary(folders, settings.models.commercial)
