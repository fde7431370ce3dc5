"""``serve``: all parts of a server, wired together."""

import argparse
import asyncio
import contextlib
import errno
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from aiohttp import web

from engine.avatar.library import AvatarLibrary, Entry
from engine.errors import SettingsError
from engine.pipeline.protocols import Processor
from engine.pipeline.statistics import Statistics
from engine.settings import Settings
from processors.models.runtime import Pins
from processors.registry import ProcessorContext, processor_factories
from processors.swap.control import SwapControl
from processors.swap.models import SwapModels
from transport.commands.configuration import (
    known_face_model,
    library_of,
    load_settings,
    start_logging,
)
from transport.commands.side_jobs import job_room, live_pins
from transport.commands.speech import speech_tools
from transport.http.app import make_app
from transport.http.version import VERSION
from transport.processed import ProcessedStreams
from transport.publishers import PublisherRegistry
from transport.sessions import StreamRegistry
from transport.speech.studio import SpeechStudio
from transport.swaps.desk import SwapDesk


@dataclass(frozen=True, slots=True)
class Parts:
    """A running server.

    Attributes:
        address: Where the page is.
        processed: Its processed streams.
        advice: What the user may want to set up, or empty.
    """

    address: str
    processed: ProcessedStreams
    advice: str = ""


def serve(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    settings = load_settings(options)
    start_logging(settings)

    async def until_stopped(parts: Parts) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        print(f"avatar-server {VERSION}: open {parts.address}", flush=True)
        if parts.advice:
            print(parts.advice, flush=True)
        await stop.wait()
        logging.getLogger("server").info("stopping")

    with asyncio.Runner(loop_factory=_loop_factory(settings)) as runner:
        runner.run(_serve(settings, until_stopped))
    return 0


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
        settings.avatars, _ProgressLog(), settings.motion, known_face_model(settings)
    )
    pins = live_pins(settings)
    models = swap_models(settings, pins)
    room = job_room(settings)
    processed = ProcessedStreams(
        settings.live,
        settings.pipeline,
        lambda s: factories(settings, s),
        library,
        swaps=SwapDesk(settings.processors.face_swap, settings.pictures, models),
        on_late=room.desk.report_late,
    )
    wait = settings.avatars.compile_wait
    studio = SpeechStudio(settings.speech, speech_tools(settings.speech, os.environ))
    streams = StreamRegistry(
        library,
        processed,
        settings.streams,
        settings.webrtc,
        wait,
        studio=studio if settings.speech.enabled else None,
        on_late=room.desk.report_late,
    )
    publishers = PublisherRegistry(processed, settings.streams, settings.webrtc)
    runner = web.AppRunner(
        make_app(settings.server, library, streams, processed, publishers, studio, room),
        access_log=None,
        shutdown_timeout=settings.server.shutdown_seconds,
    )
    await runner.setup()
    try:
        advice = studio.tools.missing if settings.speech.enabled else ""
        address = await _listen(runner, settings)
        # Now that viewers can come: opening the queue imports what takes a while.
        room.desk.begin()
        await body(Parts(address, processed, advice))
    finally:
        await runner.cleanup()
        pins.close()


def swap_models(settings: Settings, pins: Pins | None = None) -> SwapModels:
    """Return what opens the models of the face swap, for all streams of a server."""
    return SwapModels(library_of(settings), settings.runtime, pins=pins)


def factories(
    settings: Settings, statistics: Statistics, swap: SwapControl | None = None
) -> Mapping[str, Callable[[], Processor]]:
    """Return what makes each processor, for a pipeline with these statistics.

    Args:
        settings: All of them.
        statistics: Of the pipeline.
        swap: Its face swap, where somebody changes it while it runs.
    """
    library = library_of(settings)
    context = ProcessorContext(statistics.snapshot, library, settings.runtime, swap)
    return processor_factories(settings.processors, context)


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


@contextlib.contextmanager
def server_thread(settings: Settings) -> Iterator[tuple[asyncio.AbstractEventLoop, Parts]]:
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
