#!/usr/bin/env python3
"""The commands of avatar-server, and the only place where its parts are wired together."""

import contextlib
import sys

if "live" in sys.argv[1:]:
    # OpenCV's windows hang when PyAV was imported before it; other commands do without its weight.
    with contextlib.suppress(ImportError):
        import cv2  # noqa: F401

import argparse
import asyncio
import errno
import json
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from engine.avatar.compiling import Compiler
from engine.avatar.library import AvatarLibrary, Entry
from engine.avatar.pack import Pack
from engine.errors import AvatarServerError, ClipError, SettingsError
from engine.pipeline.protocols import Processor
from engine.pipeline.statistics import Statistics
from engine.settings import Settings
from engine.settings_file import KeyPath, load, parse_scalar, without_secrets
from processors.model_files import ModelNotFound, find_model
from processors.registry import ProcessorContext, build_chain, processor_factories
from transport.command_line import FLAGS, Command, make_parser
from transport.http.app import make_app
from transport.http.version import VERSION
from transport.processed import ProcessedStreams
from transport.publishers import PublisherRegistry
from transport.sessions import StreamRegistry
from transport.webrtc.live import LiveEncoder

ROOT = Path(__file__).resolve().parent
DEFAULT_CONFIG = ROOT / "config.yaml"

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

LIVE_NAME = "live"
"""Under this id the page shows what ``live --output webrtc`` sends."""


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


# Settings.


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
                update={"models": base / settings.processors.models}
            ),
            "output": settings.output.model_copy(update={"folder": base / settings.output.folder}),
        }
    )


def check_config(options: argparse.Namespace) -> int:
    """Validate the settings."""
    settings = load_settings(options)
    print(f"{options.config or DEFAULT_CONFIG}: valid")
    if options.show:
        print(json.dumps(without_secrets(settings.model_dump(mode="json")), indent=2))
    return 0


# Serving.


@dataclass(frozen=True, slots=True)
class Parts:
    """A running server.

    Attributes:
        address: Where the page is.
        processed: Its processed streams.
    """

    address: str
    processed: ProcessedStreams


def serve(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    settings = load_settings(options)
    _start_logging(settings)

    async def until_stopped(parts: Parts) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        print(f"avatar-server {VERSION}: open {parts.address}", flush=True)
        await stop.wait()
        logging.getLogger("server").info("stopping")

    with asyncio.Runner(loop_factory=_loop_factory(settings)) as runner:
        runner.run(_serve(settings, until_stopped))
    return 0


def _start_logging(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log.level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stdout,
    )
    for noisy in ("aioice", "aiortc", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _loop_factory(settings: Settings) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if settings.server.uvloop:
        with contextlib.suppress(ImportError):
            import uvloop

            factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
            return factory
    return None


async def _serve(settings: Settings, body: Callable[[Parts], Awaitable[None]]) -> None:
    """Run the server for as long as ``body`` does."""
    library = AvatarLibrary(
        settings.avatars, _ProgressLog(), settings.motion, _known_face_model(settings)
    )
    processed = ProcessedStreams(
        settings.live, settings.pipeline, lambda s: _factories(settings, s), library
    )
    wait = settings.avatars.compile_wait
    streams = StreamRegistry(library, processed, settings.streams, settings.webrtc, wait)
    publishers = PublisherRegistry(processed, settings.streams, settings.webrtc)
    runner = web.AppRunner(
        make_app(settings.server, library, streams, processed, publishers),
        access_log=None,
        shutdown_timeout=settings.server.shutdown_seconds,
    )
    await runner.setup()
    try:
        await body(Parts(await _listen(runner, settings), processed))
    finally:
        await runner.cleanup()


def _factories(settings: Settings, statistics: Statistics) -> Mapping[str, Callable[[], Processor]]:
    return processor_factories(settings.processors, ProcessorContext(statistics.snapshot))


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
            if entry.error is None and entry.graph_pack is not None:
                self._log.info("%s: ready, with loops and transitions", entry.id)
            elif entry.error is None and entry.pack is not None:
                self._log.info("%s: ready, %.1f s of pictures", entry.id, entry.pack.seconds)
            return
        step = int(entry.progress * 5)
        if step != self._shown.get(entry.id):
            self._shown[entry.id] = step
            what = "compiling" if entry.pack is None else "making loops and transitions"
            self._log.info("%s: %s, %d %%", entry.id, what, step * 20)


# Processing.


def live(options: argparse.Namespace) -> int:
    """Process a camera, a file or a test chart to a window, browsers, a file."""
    from transport.outputs.live import LiveRun

    settings = load_settings(options)
    _start_logging(settings)
    outputs = options.output or ["window"]
    for output in outputs:
        kind, _, path = output.partition(":")
        if kind == "record":
            _check_target(Path(path), options.overwrite)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with contextlib.ExitStack() as stack:
        server = None
        if "webrtc" in outputs:
            server = stack.enter_context(_server_thread(settings))
        encoder = LiveEncoder(LIVE_NAME, server[0], settings.live) if server else None
        run = LiveRun(
            settings.pipeline,
            [output for output in outputs if output != "webrtc"],
            settings.output,
            lambda statistics: _factories(settings, statistics),
            extra_sinks=[encoder] if encoder else [],
        )
        if server and encoder:
            loop, parts = server
            loop.call_soon_threadsafe(
                parts.processed.adopt, LIVE_NAME, run.pipeline, run.control, encoder
            )
            print(f"avatar-server {VERSION}: open {parts.address}?avatar={LIVE_NAME}", flush=True)
        print(f"{settings.pipeline.capture.source} -> {', '.join(outputs)}; Ctrl-C ends it")
        run.run(stop)
        shown = run.pipeline.snapshot().shown
        _say(f"{shown} frames -> {', '.join(outputs)}")
    return 0


def _check_target(path: Path, overwrite: bool, source: Path | None = None) -> None:
    """Refuse an output file that cannot be meant.

    Raises:
        SettingsError: Says what to change.
    """
    if path.suffix.lower() != ".mp4":
        raise SettingsError(f"{path}: the output is an MP4 file.", "Give it a name like x.mp4.")
    if not path.parent.is_dir():
        raise SettingsError(f"{path}: there is no folder {path.parent}.", "Make it first.")
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise SettingsError(f"{path}: is the input itself.", "Choose another name.")
    if path.exists() and not path.is_file():
        raise SettingsError(f"{path}: is no ordinary file.", "Choose another name.")
    if path.exists() and not overwrite:
        raise SettingsError(f"{path} exists.", "Choose another name, or add --overwrite.")


@contextlib.contextmanager
def _server_thread(settings: Settings) -> Iterator[tuple[asyncio.AbstractEventLoop, Parts]]:
    """Run a server on a thread of its own: windows want the main one."""
    started = threading.Event()
    found: list[tuple[asyncio.AbstractEventLoop, Parts, asyncio.Event]] = []
    failure: list[BaseException] = []

    async def until_stopped(parts: Parts) -> None:
        stop = asyncio.Event()
        found.append((asyncio.get_running_loop(), parts, stop))
        started.set()
        await stop.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory(settings)) as runner:
                runner.run(_serve(settings, until_stopped))
        except BaseException as error:  # noqa: BLE001 - raised again on the main thread
            failure.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="server")
    thread.start()
    started.wait()
    if failure:
        thread.join()
        raise failure[0]
    loop, parts, stop = found[0]
    try:
        yield loop, parts
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def render_file(options: argparse.Namespace) -> int:
    """Process a video file into another, every frame, with its sound."""
    from transport.outputs.render import Progress, RenderOptions, progress_line, render

    settings = load_settings(options)
    # Whether an existing output may be replaced, or is a stopped run to be resumed, is up to it.
    _check_target(options.target_file, overwrite=True, source=options.source_file)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    names = settings.pipeline.processors
    chain = build_chain(names, _factories(settings, Statistics()), settings.pipeline.bypass_after)

    def report(progress: Progress) -> None:
        if sys.stderr.isatty():
            print(f"\r{progress_line(progress)}\033[K", end="", file=sys.stderr)

    try:
        result = render(
            options.source_file,
            options.target_file,
            chain,
            RenderOptions(
                tuple(names), settings.pipeline.batch_size, options.crf, overwrite=options.overwrite
            ),
            stop,
            report,
        )
    finally:
        chain.close()
    ending = "stopped; the same command goes on" if result.stopped else "done"
    resumed = f", {result.resumed_from} of them from before" if result.resumed_from else ""
    withheld = f", {result.withheld} withheld (black)" if result.withheld else ""
    _say(f"{options.target_file}: {result.frames} frames{resumed}{withheld}, {ending}")
    return result.exit_code


# Clips.


def prepare_clip(options: argparse.Namespace) -> int:
    """Turn any video into a clean clip for an avatar."""
    from engine.clips import normalise, prepare

    names = ("fps", "start", "duration", "brightness", "contrast", "saturation", "sharpen")
    values = {name: getattr(options, name) for name in (*names, "stabilize", "crop")}
    try:
        preparation = normalise.Preparation(size=_size(options.size), **values)
    except ValidationError as error:
        first = error.errors()[0]
        flag = str(first["loc"][0])
        raise SettingsError(f"--{flag}: {first['msg']}, found {first['input']!r}.") from None
    _check_target(options.target_file, overwrite=True, source=options.source_file)
    info = prepare.prepare(
        options.source_file,
        options.target_file,
        preparation,
        crf=options.crf,
        face_model=_face_model(options),
        on_progress=_progress_bar(),
    )
    _say(f"{options.target_file}: {info.width}x{info.height}, {info.duration:.1f} s")
    return 0


def inspect_clips(options: argparse.Namespace) -> int:
    """Say what clips are, what is wrong with them for an avatar, and what to do."""
    from engine.clips import inspection

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
            print(inspection.describe(report), end="\n\n")
    if options.json:
        print(json.dumps(reports, indent=2))
    return EXIT_ERROR if failed else 0


def preview_avatar(options: argparse.Namespace) -> int:
    """Write a video of what a viewer would see, with changes of state."""
    from engine.avatar.preview import write_preview

    _, graph, plain = _packs(options)
    pack = plain if options.naive else graph
    write_preview(pack, options.out, options.seconds, options.seed, _progress_bar())
    _say(f"{options.out}: {options.seconds:g} s")
    return 0


def report_avatar(options: argparse.Namespace) -> int:
    """Write a page on an avatar's loops and transitions, and what could be recorded anew."""
    from engine.avatar.report import write_report

    target = options.out or Path(f"{options.avatar}-report.html")
    name, graph, plain = _packs(options)
    written = write_report(
        name, graph, plain, target, options.seconds, options.seed, _progress_bar()
    )
    for path in written:
        _say(f"{path}")
    return 0


def _packs(options: argparse.Namespace) -> tuple[str, Pack, Pack]:
    """Return an avatar's name and its packs with and without motion graph."""
    from engine.avatar.finding import compiled_pair, find_spec

    settings = load_settings(options)
    spec = find_spec(options.avatar, settings.avatars)
    compiler = Compiler(settings.avatars.cache, settings.motion, _known_face_model(settings))
    graph, plain = asyncio.run(compiled_pair(spec, compiler, _progress_bar()))
    return spec.name, graph, plain


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    try:
        return int(width), int(height or width)
    except ValueError:
        raise SettingsError(f"--size {text}: expected 512 or 1280x720.") from None


def _face_model(options: argparse.Namespace) -> Path | None:
    """Return the face detector that was named, or the one in the folder of models, if any."""
    if options.face_model is not None:
        named: Path = options.face_model
        return named
    return _known_face_model(load_settings(options))


def _known_face_model(settings: Settings) -> Path | None:
    section = settings.processors
    try:
        return find_model(section.anonymise.model, section.models, os.environ, "face detector")
    except ModelNotFound:
        return None


def _say(text: str) -> None:
    """Print a line over a progress bar, if there is one."""
    bar = sys.stderr.isatty() and sys.stdout.isatty()
    print(f"\r{text}\033[K" if bar else text)


def _progress_bar() -> Callable[[float], None]:
    if not sys.stderr.isatty():
        return lambda done: None

    def show(done: float) -> None:
        filled = round(done * 30)
        print(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done:4.0%}", end="", file=sys.stderr)

    return show


COMMANDS: Mapping[str, Command] = {
    "serve": serve,
    "live": live,
    "render": render_file,
    "clips prepare": prepare_clip,
    "clips inspect": inspect_clips,
    "clips preview": preview_avatar,
    "clips report": report_avatar,
    "check-config": check_config,
}

if __name__ == "__main__":
    sys.exit(main())
