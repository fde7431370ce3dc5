#!/usr/bin/env python3
"""Starts avatar-server: picks the command and turns errors into messages and exit codes."""

import contextlib
import sys

if "live" in sys.argv[1:]:
    # OpenCV's windows hang when PyAV was imported before it; other commands do without its weight.
    with contextlib.suppress(ImportError):
        import cv2  # noqa: F401

from collections.abc import Mapping, Sequence

from engine.errors import AvatarServerError, SettingsError
from transport.commands.clips import inspect_clips, prepare_clip, preview_avatar, report_avatar
from transport.commands.configuration import check_config
from transport.commands.doctor import doctor
from transport.commands.grammar import Command, make_parser
from transport.commands.jobs import run_job
from transport.commands.models import list_models, pull_models, verify_models, where_models
from transport.commands.processing import live, render_file
from transport.commands.serving import serve
from transport.commands.worker import work
from transport.http.version import VERSION

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the process's exit code."""
    options = make_parser(COMMANDS, VERSION).parse_args(arguments)
    try:
        command: Command = options.command
        return command(options)
    except AvatarServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, SettingsError) else EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


COMMANDS: Mapping[str, Command] = {
    "serve": serve,
    "live": live,
    "render": render_file,
    "clips prepare": prepare_clip,
    "clips inspect": inspect_clips,
    "clips preview": preview_avatar,
    "clips report": report_avatar,
    "job": run_job,
    "worker": work,
    "models list": list_models,
    "models pull": pull_models,
    "models verify": verify_models,
    "models where": where_models,
    "doctor": doctor,
    "check-config": check_config,
}

if __name__ == "__main__":
    sys.exit(main())
