"""``live`` and ``render``: frames through processors."""

import argparse
import contextlib
import signal
import sys
import threading
from pathlib import Path

from engine.pipeline.statistics import Statistics
from processors.provenance import source_type
from processors.registry import build_chain
from processors.swap.control import SwapControl
from transport.commands.configuration import load_settings, start_logging
from transport.commands.serving import factories, server_thread, swap_models
from transport.commands.terminal import check_target, say
from transport.http.version import VERSION
from transport.webrtc.live import LiveEncoder

LIVE_NAME = "live"
"""Under this id the page shows what ``live --output webrtc`` sends."""


def live(options: argparse.Namespace) -> int:
    """Process a camera, a file or a test chart to a window, browsers, a file."""
    from transport.outputs.live import LiveRun

    settings = load_settings(options)
    start_logging(settings)
    outputs = options.output or ["window"]
    for output in outputs:
        kind, _, path = output.partition(":")
        if kind == "record":
            check_target(Path(path), options.overwrite)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with contextlib.ExitStack() as stack:
        server = None
        if "webrtc" in outputs:
            server = stack.enter_context(server_thread(settings))
        swap = SwapControl(settings.processors.face_swap, swap_models(settings))
        encoder = LiveEncoder(LIVE_NAME, server[0], settings.live) if server else None
        run = LiveRun(
            settings.pipeline,
            [output for output in outputs if output != "webrtc"],
            settings.output,
            lambda statistics: factories(settings, statistics, swap),
            extra_sinks=[encoder] if encoder else [],
            source_type=lambda names: source_type(names, settings.processors),
        )
        if server and encoder:
            loop, parts = server
            loop.call_soon_threadsafe(
                parts.processed.adopt, LIVE_NAME, run.pipeline, run.control, encoder, swap
            )
            print(f"avatar-server {VERSION}: open {parts.address}?avatar={LIVE_NAME}", flush=True)
        print(f"{settings.pipeline.capture.source} -> {', '.join(outputs)}; Ctrl-C ends it")
        run.run(stop)
        shown = run.pipeline.snapshot().shown
        say(f"{shown} frames -> {', '.join(outputs)}")
    return 0


def render_file(options: argparse.Namespace) -> int:
    """Process a video file into another, every frame, with its sound."""
    from engine.media.render import progress_line, render
    from engine.media.render_notes import RenderOptions
    from engine.media.rendering import Progress

    settings = load_settings(options)
    # Whether an existing output may be replaced, or is a stopped run to be resumed, is up to it.
    check_target(options.target_file, overwrite=True, source=options.source_file)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    names = settings.pipeline.processors
    chain = build_chain(names, factories(settings, Statistics()), settings.pipeline.bypass_after)

    def report(progress: Progress) -> None:
        if sys.stderr.isatty():
            print(f"\r{progress_line(progress)}\033[K", end="", file=sys.stderr)

    try:
        result = render(
            options.source_file,
            options.target_file,
            chain,
            RenderOptions(
                tuple(names),
                settings.pipeline.batch_size,
                options.crf,
                overwrite=options.overwrite,
                details=settings.processors.model_dump_json(),
                source_type=source_type(names, settings.processors),
            ),
            stop,
            report,
        )
    finally:
        chain.close()
    ending = "stopped; the same command goes on" if result.stopped else "done"
    resumed = f", {result.resumed_from} of them from before" if result.resumed_from else ""
    withheld = f", {result.withheld} withheld (black)" if result.withheld else ""
    say(f"{options.target_file}: {result.frames} frames{resumed}{withheld}, {ending}")
    return result.exit_code
