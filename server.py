#!/usr/bin/env python3
"""The command line of avatar-server, and the only place where its parts are wired together."""

import argparse
import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from engine.avatar.library import AvatarLibrary, Entry
from engine.errors import AvatarServerError, ClipError, SettingsError
from engine.pipeline.protocols import Processor
from engine.pipeline.statistics import Statistics
from engine.settings import Settings
from engine.settings_file import KeyPath, load
from processors.model_files import ModelNotFound, find_model
from processors.registry import ProcessorContext, processor_factories
from transport.http.app import make_app
from transport.http.version import VERSION
from transport.processed import ProcessedStreams
from transport.publishers import PublisherRegistry
from transport.sessions import StreamRegistry

ROOT = Path(__file__).resolve().parent
DEFAULT_CONFIG = ROOT / "config.yaml"

EXIT_ERROR = 1
EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the process's exit code."""
    options = _parser().parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], int] = options.command
        return command(options)
    except AvatarServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, SettingsError) else EXIT_ERROR
    except KeyboardInterrupt:
        return 130


# Settings.


def _settings(options: argparse.Namespace) -> Settings:
    """Load the settings; relative folders are taken from where config.yaml lies."""
    path: Path = options.config or DEFAULT_CONFIG
    overrides: dict[KeyPath, Any] = {}
    for flag, key_path in _FLAGS.items():
        value = getattr(options, flag, None)
        if value is not None:
            overrides[key_path] = value
    for text in options.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"--set {text}: expected SECTION.KEY=VALUE.")
        overrides[tuple(key.split("."))] = _yaml_value(value)
    found = load(path if path.exists() or options.config else None, os.environ, overrides)
    base = path.resolve().parent
    avatars = found.avatars
    absolute = avatars.model_copy(
        update={
            "folder": base / avatars.folder,
            "cache": base / avatars.cache,
            "allowed_folders": tuple(base / folder for folder in avatars.allowed_folders),
        }
    )
    processors = found.processors.model_copy(update={"models": base / found.processors.models})
    output = found.output.model_copy(update={"folder": base / found.output.folder})
    return found.model_copy(
        update={"avatars": absolute, "processors": processors, "output": output}
    )


def _yaml_value(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)


_FLAGS: dict[str, KeyPath] = {
    "host": ("server", "host"),
    "port": ("server", "port"),
    "videos": ("avatars", "folder"),
    "idle_video": ("avatars", "idle_video"),
    "gesture_video": ("avatars", "gesture_video"),
    "log_level": ("log", "level"),
}


def check_config(options: argparse.Namespace) -> int:
    """Validate the settings and say where they come from."""
    settings = _settings(options)
    print(f"{options.config or DEFAULT_CONFIG}: valid")
    if options.show:
        print(json.dumps(settings.model_dump(mode="json"), indent=2))
    return 0


# Serving.


def serve(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    settings = _settings(options)
    logging.basicConfig(
        level=settings.log.level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stdout,
    )
    for noisy in ("aioice", "aiortc", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=_loop_factory(settings.server.uvloop)) as runner:
        return runner.run(_serve(settings))


def _loop_factory(wanted: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if wanted:
        with contextlib.suppress(ImportError):
            import uvloop

            factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
            return factory
    return None


async def _serve(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    library = AvatarLibrary(settings.avatars, _ProgressLog())
    runner = web.AppRunner(
        _make_app(settings, library),
        access_log=None,
        shutdown_timeout=settings.server.shutdown_seconds,
    )
    await runner.setup()
    try:
        address = await _listen(runner, settings)
        print(f"avatar-server {VERSION}: open {address}", flush=True)
        await stop.wait()
        logging.getLogger("server").info("stopping")
    finally:
        # A second signal, or Ctrl-C, must not cut the goodbye short.
        await runner.cleanup()
    return 0


def _make_app(settings: Settings, library: AvatarLibrary) -> web.Application:
    def factories(statistics: Statistics) -> Mapping[str, Callable[[], Processor]]:
        return processor_factories(settings.processors, ProcessorContext(statistics.snapshot))

    processed = ProcessedStreams(settings.live, settings.pipeline, factories, library)
    streams = StreamRegistry(
        library, processed, settings.streams, settings.webrtc, settings.avatars.compile_wait
    )
    publishers = PublisherRegistry(processed, settings.streams, settings.webrtc)
    return make_app(settings.server, library, streams, processed, publishers)


async def _listen(runner: web.AppRunner, settings: Settings) -> str:
    host, port = settings.server.host, settings.server.port
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"Port {port} is in use.", f"Take another: --port {port + 1}"
            ) from None
        raise SettingsError(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
    bound = runner.addresses[0][1]
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{bound}/"


class _ProgressLog:
    """Logs how far each avatar is, in steps of 20 %."""

    def __init__(self) -> None:
        self._shown: dict[str, int] = {}
        self._log = logging.getLogger("avatars")

    def __call__(self, entry: Entry) -> None:
        if entry.progress is None:
            self._shown.pop(entry.id, None)
            if entry.error is None and entry.pack is not None:
                self._log.info("%s: ready, %.1f s of pictures", entry.id, entry.pack.seconds)
            return
        step = int(entry.progress * 5)
        if step != self._shown.get(entry.id):
            self._shown[entry.id] = step
            self._log.info("%s: compiling, %d %%", entry.id, step * 20)


# Clips.


def prepare_clip(options: argparse.Namespace) -> int:
    """Turn any video into a clean clip for an avatar."""
    from engine.avatar import normalise, prepare

    names = ("fps", "start", "duration", "brightness", "contrast", "saturation", "sharpen")
    values = {name: getattr(options, name) for name in (*names, "stabilize", "crop")}
    try:
        preparation = normalise.Preparation(size=_size(options.size), **values)
    except ValidationError as error:
        first = error.errors()[0]
        flag = str(first["loc"][0])
        raise SettingsError(f"--{flag}: {first['msg']}, found {first['input']!r}.") from None
    info = prepare.prepare(
        options.source,
        options.target,
        preparation,
        crf=options.crf,
        face_model=_face_model(options),
        on_progress=_progress_bar(),
    )
    print(f"\r{options.target}: {info.width}x{info.height}, {info.duration:.1f} s")
    return 0


def inspect_clips(options: argparse.Namespace) -> int:
    """Say what clips are, what is wrong with them for an avatar, and what to do."""
    from engine.avatar import inspection

    failed = False
    reports = []
    for path in options.files:
        try:
            report = inspection.inspect(path, face_model=_face_model(options))
        except ClipError as error:
            failed = True
            reports.append({"path": str(path), "error": str(error)})
            if not options.json:
                print(f"{path}\n  error: {error}\n")
            continue
        failed = failed or any(f.level == "error" for f in report.findings)
        reports.append(inspection.as_dict(report))
        if not options.json:
            print(inspection.describe(report))
    if options.json:
        print(json.dumps(reports, indent=2))
    return EXIT_ERROR if failed else 0


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    try:
        return int(width), int(height or width)
    except ValueError:
        raise ClipError(f"--size {text}: expected 512 or 1280x720.") from None


def _face_model(options: argparse.Namespace) -> Path | None:
    """Return the face detector that was named, or the one in the folder of models, if any."""
    if options.face_model is not None:
        found: Path = options.face_model
        return found
    settings = _settings(options)
    try:
        return find_model(
            settings.processors.anonymise.model,
            settings.processors.models,
            os.environ,
            "face detector",
        )
    except ModelNotFound:
        return None


def _progress_bar() -> Callable[[float], None]:
    if not sys.stderr.isatty():
        return lambda done: None

    def show(done: float) -> None:
        filled = round(done * 30)
        print(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done:4.0%}", end="", file=sys.stderr)

    return show


# The parser.


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="server.py",
        description="Real-time avatars and live video over WebRTC. Without a command it serves.",
    )
    parser.add_argument("--version", action="version", version=f"avatar-server {VERSION}")
    parser.set_defaults(command=serve)
    _add_settings_flags(parser)
    _add_serve_flags(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    check = commands.add_parser("check-config", help=check_config.__doc__)
    check.add_argument("--show", action="store_true", help="print all values as JSON")
    _add_settings_flags(check, again=True)
    check.set_defaults(command=check_config)

    clips = commands.add_parser("clips", help="look at clips and prepare them for avatars")
    actions = clips.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_prepare(actions.add_parser("prepare", help=prepare_clip.__doc__))
    inspect = actions.add_parser("inspect", help=inspect_clips.__doc__)
    inspect.add_argument("files", nargs="+", type=Path, metavar="FILE")
    inspect.add_argument("--json", action="store_true", help="print JSON")
    _add_face_model(inspect)
    inspect.set_defaults(command=inspect_clips)
    return parser


def _add_settings_flags(parser: argparse.ArgumentParser, again: bool = False) -> None:
    # A default in a subparser would overwrite what was given before the command's name.
    default: Any = argparse.SUPPRESS if again else None
    parser.add_argument(
        "--config", type=Path, default=default, help="settings file (default: config.yaml)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=default if again else [],
        metavar="SECTION.KEY=VALUE",
        help="override one setting; may be repeated",
    )


def _add_serve_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on")
    parser.add_argument("--videos", type=Path, help="folder of the avatars")
    parser.add_argument("--idle-video", help="clip while silent (with --gesture-video)")
    parser.add_argument("--gesture-video", help="clip while speaking (with --idle-video)")
    parser.add_argument("--log-level", help="debug, info, warning or error")


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="IN")
    parser.add_argument("target", type=Path, metavar="OUT")
    add = parser.add_argument
    add("--size", default="512", help="512 or 1280x720 (default: %(default)s)")
    add("--fps", type=Fraction, default=Fraction(25), help="pictures per second (default: 25)")
    add("--start", type=float, default=0.0, metavar="SECONDS", help="leave out the beginning")
    add("--duration", type=float, metavar="SECONDS", help="keep this much (default: all)")
    add("--brightness", type=float, default=0.0, help="-1 to 1 (default: 0)")
    add("--contrast", type=float, default=1.0, help="1 changes nothing (default)")
    add("--saturation", type=float, default=1.0, help="1 changes nothing (default)")
    add(
        "--sharpen",
        type=float,
        nargs="?",
        const=0.6,
        default=0.0,
        metavar="AMOUNT",
        help="sharpen, by 0.6 if no amount is given",
    )
    add("--stabilize", action="store_true", help="hold the background still")
    add("--crop", choices=("center", "face"), default="center", help="what to keep in the frame")
    add("--crf", type=int, default=18, help="quality, smaller is better (default: 18)")
    _add_face_model(parser)
    parser.set_defaults(command=prepare_clip)


def _add_face_model(parser: argparse.ArgumentParser) -> None:
    _add_settings_flags(parser, again=True)
    parser.add_argument(
        "--face-model", type=Path, metavar="ONNX", help="YuNet face detector, for finding faces"
    )


if __name__ == "__main__":
    sys.exit(main())
