"""The ``live`` command: a source through processors to one or more local outputs."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from capture.sources import parse_source
from engine.clock import Clock, monotonic
from engine.errors import AvatarServerError, InvalidInput
from engine.media.pictures import encoded
from engine.pipeline.control import MIRROR, OVERLAY, PipelineControl
from engine.pipeline.frame import Image
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.protocols import Processor, Sink
from engine.pipeline.ring import DropPolicy
from engine.pipeline.settings import OutputSettings, PipelineSettings
from engine.pipeline.statistics import Statistics
from processors.registry import build_chain
from transport.outputs.keys import Action
from transport.outputs.recorder import Recorder
from transport.outputs.virtual_camera import VirtualCamera
from transport.outputs.window import Window, check_window

log = logging.getLogger(__name__)

MakeFactories = Callable[[Statistics], Mapping[str, Callable[[], Processor]]]


SourceType = Callable[[Sequence[str]], str | None]


def declares_nothing(names: Sequence[str]) -> str | None:
    """For chains whose pictures need no declaration."""
    return None


class UnknownOutput(InvalidInput):
    """An output was named in a way that is not known."""


class LiveKeys:
    """What the window's keys do to a pipeline.

    Args:
        control: Changes the pipeline.
        choices: The processors that "next" goes through.
        settings: Where snapshots and recordings go.
        now: The time for file names.
        source_type: What pictures of a chain must declare, from its names; see
            ``processors.provenance``.
    """

    def __init__(
        self,
        control: PipelineControl,
        choices: Sequence[str],
        settings: OutputSettings,
        now: Callable[[], datetime] = datetime.now,
        source_type: SourceType = declares_nothing,
    ) -> None:
        self._control = control
        self._choices = choices
        self._settings = settings
        self._source_type = source_type
        self._now = now
        self._recorder: Recorder | None = None

    def __call__(self, action: Action, picture: Image) -> str | None:
        """Do what the key stands for; returns a notice, also where it could not be done."""
        try:
            return self._act(action, picture)
        except AvatarServerError as error:
            return str(error)

    def _act(self, action: Action, picture: Image) -> str | None:
        pipeline = self._control.pipeline
        match action:
            case Action.PAUSE:
                pipeline.pause(not pipeline.paused)
                return "paused" if pipeline.paused else "going on"
            case Action.OVERLAY:
                self._control.toggle(OVERLAY)
                return None
            case Action.MIRROR:
                return "mirror on" if self._control.toggle(MIRROR) else "mirror off"
            case Action.BATCH_UP | Action.BATCH_DOWN:
                step = 1 if action is Action.BATCH_UP else -1
                pipeline.set_batch_size(pipeline.batch_size + step)
                return f"batch of up to {pipeline.batch_size}"
            case Action.NEXT_PROCESSOR:
                return f"processor: {self._control.next_processor(self._choices)}"
            case Action.SNAPSHOT:
                return f"saved {self._snapshot(picture)}"
            case Action.RECORD:
                return self._toggle_recording()
            case _:
                return None

    def _snapshot(self, picture: Image) -> Path:
        path = self._path(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture, "png", self._declared()))
        return path

    def _toggle_recording(self) -> str:
        sinks = self._control.pipeline.sinks
        if self._recorder is None or not sinks.remove(self._recorder):
            path = self._path(".mp4")
            self._recorder = Recorder(path, self._settings, source_type=self._declared)
            sinks.add(self._recorder)
            return f"recording {path}"
        self._recorder = None
        return "recording ended"

    def _declared(self) -> str | None:
        return self._source_type(self._control.processors)

    def _path(self, suffix: str) -> Path:
        return self._settings.folder / f"{self._now():%Y-%m-%d_%H-%M-%S.%f}{suffix}"


class LiveRun:
    """One run of the ``live`` command.

    Args:
        settings: The pipeline's section.
        outputs: ``window``, ``virtual-camera``, ``record:FILE``; at least one.
        output_settings: Recording and snapshots.
        make_factories: From the pipeline's statistics (for the overlay) to the processors.
        choices: The processors that the key "next" goes through.
        extra_sinks: Further outputs that the caller wires, such as WebRTC.
        source_type: See ``LiveKeys``.
        clock: Seconds.

    Raises:
        AvatarServerError: The source, a processor or every output cannot be used.
    """

    def __init__(
        self,
        settings: PipelineSettings,
        outputs: Sequence[str],
        output_settings: OutputSettings,
        make_factories: MakeFactories,
        choices: Sequence[str] = ("none", "anonymise"),
        extra_sinks: Sequence[Sink] = (),
        source_type: SourceType = declares_nothing,
        clock: Clock = monotonic,
    ) -> None:
        statistics = Statistics(clock)
        factories = make_factories(statistics)
        source = parse_source(settings.capture.source, settings.capture, clock)
        chain = build_chain(settings.processors, factories, settings.bypass_after)
        self._source_type = source_type
        self.window: Window | None = None
        self._keys: LiveKeys | None = None
        policy = DropPolicy.DROP_OLDEST if source.live else DropPolicy.WAIT
        try:
            opened = self._open(outputs, output_settings, policy, settings.display.fps)
        except BaseException:
            chain.close()
            raise
        sinks = [*extra_sinks, *opened]
        self.pipeline = Pipeline(
            source, chain, sinks, settings, name="live", statistics=statistics, clock=clock
        )
        self.control = PipelineControl(
            self.pipeline,
            settings.processors,
            lambda spec: parse_source(spec, settings.capture, clock),
            lambda names: build_chain(names, factories, settings.bypass_after),
        )
        self._keys = LiveKeys(self.control, choices, output_settings, source_type=source_type)

    def run(self, stop: threading.Event) -> None:
        """Run until the source ends, the user quits or ``stop`` is set; on the main thread.

        Raises:
            AvatarServerError: What ended it, if that was an error.
        """
        self.pipeline.start()
        watcher = threading.Thread(target=self._watch, args=(stop,), name="live-stop")
        watcher.start()
        try:
            if self.window is not None:
                self.window.run()
            else:
                while not self.pipeline.wait(0.2):
                    pass
        finally:
            stop.set()
            self.pipeline.stop()
            watcher.join()
        self.pipeline.wait(0.0)

    def _watch(self, stop: threading.Event) -> None:
        stop.wait()
        self.pipeline.stop()

    def _open(
        self,
        outputs: Sequence[str],
        settings: OutputSettings,
        policy: DropPolicy,
        fps: float,
    ) -> list[Sink]:
        sinks: list[Sink] = []
        problems: list[AvatarServerError] = []
        for output in outputs:
            try:
                sinks.append(self._make_sink(output, settings, policy, fps))
            except UnknownOutput:
                for sink in sinks:
                    sink.close()
                raise
            except AvatarServerError as error:
                problems.append(error)
        if problems and not sinks:
            raise problems[0]
        for problem in problems:
            log.warning("an output is left out: %s", problem)
        return sinks

    def _make_sink(
        self, output: str, settings: OutputSettings, policy: DropPolicy, fps: float
    ) -> Sink:
        kind, _, rest = output.partition(":")
        if output == "window":
            check_window()
            self.window = Window("avatar-server", self._on_action)
            return self.window
        if output == "virtual-camera":
            return VirtualCamera(fps)
        if kind == "record" and rest:
            return Recorder(Path(rest), settings, policy, self._declared)
        raise UnknownOutput(
            f"{output!r} is not an output.", "Use window, webrtc, record:x.mp4 or virtual-camera."
        )

    def _declared(self) -> str | None:
        return self._source_type(self.control.processors)

    def _on_action(self, action: Action, picture: Image) -> str | None:
        return None if self._keys is None else self._keys(action, picture)
