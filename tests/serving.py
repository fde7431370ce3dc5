"""A whole server inside the test's own event loop, playing small grey avatars."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer

from engine.avatar import compile as compiler
from engine.avatar import pack as packs
from engine.avatar import spec as specs
from engine.avatar.library import AvatarLibrary
from engine.clock import Clock, monotonic
from engine.jobs.settings import JobSettings
from engine.pipeline.memory_settings import MemorySettings
from engine.pipeline.protocols import Processor
from engine.pipeline.settings import PipelineSettings, ProcessorSettings
from engine.pipeline.statistics import Statistics
from engine.settings import (
    AvatarSettings,
    LiveSettings,
    ServerSettings,
    StreamSettings,
    WebRtcSettings,
)
from engine.speech.probability import EnergyProbability
from engine.speech.settings import SpeechSettings, VoiceSettings
from engine.speech.voice import VoiceTracker
from processors.generate.declaration import Services
from processors.generate.worker import REGISTRY
from processors.models.library import ModelLibrary
from processors.registry import ProcessorContext, processor_factories
from tests.fakes import flat_clip
from transport.http.app import make_app
from transport.jobs.room import JobRoom, make_room
from transport.processed import ProcessedStreams
from transport.publishers import PublisherRegistry
from transport.sessions import StreamRegistry
from transport.speech.studio import SpeechStudio, SpeechTools
from transport.swaps.desk import SwapDesk

DARK, BRIGHT = 40, 200
WAVING_PICTURES = 10


def avatar_settings(root: Path) -> AvatarSettings:
    """Settings with their folders in ``root`` and pictures as small as can be."""
    return AvatarSettings(
        folder=root / "videos",
        cache=root / "cache",
        size="64x64",
        compile_wait=30.0,
        transitions="cut",
    )


def server_flags(root: Path) -> list[str]:
    """Return command-line flags that make a server process use these settings."""
    settings = avatar_settings(root)
    values = [f"avatars.cache={settings.cache}", f"avatars.size={settings.size}"]
    values.append(f"avatars.transitions={settings.transitions}")
    return ["--videos", str(settings.folder), *(x for v in values for x in ("--set", v))]


def make_demo(root: Path) -> None:
    """Write and compile the avatar ``demo``: dark when idle, bright in gesture, grey in wave."""
    folder = root / "videos" / "demo"
    folder.mkdir(parents=True)
    flat_clip(folder / "idle.mp4", DARK, 1.0)
    flat_clip(folder / "gesture.mp4", BRIGHT, 1.0)
    flat_clip(folder / "wave.mp4", 120, WAVING_PICTURES / 25)
    (folder / "avatar.yaml").write_text(
        "states: {idle: [idle.mp4], gesture: [gesture.mp4]}\nactions: {wave: wave.mp4}\n"
    )
    settings = avatar_settings(root)
    found = specs.read_folder(folder, settings)
    assert found is not None
    pack = compiler.compile_avatar(found)
    packs.write(pack, settings.cache / f"{found.id}-{pack.key}.pack")


def energy_tracker(settings: VoiceSettings) -> VoiceTracker:
    """Find voice without a model."""
    return VoiceTracker(EnergyProbability(), settings)


def _factories(statistics: Statistics) -> Mapping[str, Callable[[], Processor]]:
    return processor_factories(ProcessorSettings(), ProcessorContext(statistics.snapshot))


@contextlib.asynccontextmanager
async def serving(
    root: Path,
    server: ServerSettings | None = None,
    streams: StreamSettings | None = None,
    webrtc: WebRtcSettings | None = None,
    clock: Clock = monotonic,
    live: LiveSettings | None = None,
    pipeline: PipelineSettings | None = None,
    avatars: AvatarSettings | None = None,
    speech: SpeechSettings | None = None,
    tools: SpeechTools | None = None,
    swaps: SwapDesk | None = None,
    room: JobRoom | None = None,
) -> AsyncIterator[tuple[TestClient, StreamRegistry]]:
    """Serve the avatars in ``root``; yields a client and the registry."""
    settings = avatars or avatar_settings(root)
    library = AvatarLibrary(settings)
    streams, webrtc = streams or StreamSettings(seed=1), webrtc or WebRtcSettings()
    late = room.desk.report_late if room is not None else lambda seconds: None
    live, pipeline = live or LiveSettings(), pipeline or PipelineSettings()
    processed = ProcessedStreams(live, pipeline, _factories, library, clock, swaps, late)
    speech = speech or SpeechSettings()
    studio = SpeechStudio(speech, tools or SpeechTools(lambda: energy_tracker(speech.voice)))
    wait = settings.compile_wait
    registry = StreamRegistry(library, processed, streams, webrtc, wait, clock, studio, late)
    publishers = PublisherRegistry(processed, streams, webrtc, clock)
    room = room or make_room(
        JobSettings(enabled=False, folder=root / "jobs"),
        MemorySettings(),
        lambda: Services(ModelLibrary(())),
        REGISTRY,
        dict,
    )
    app = make_app(
        server or ServerSettings(), library, registry, processed, publishers, studio, room
    )
    async with TestClient(TestServer(app)) as client:
        yield client, registry
