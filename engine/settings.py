"""Every setting with its type, range, default and one line on what it does.

``config.yaml`` is rendered from these models (see ``settings_file.render``), so a default and its
explanation stand in one place. A constructor takes its own section, never the whole.
"""

import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from engine.jobs.settings import JobSettings
from engine.motion.graph import MotionSettings
from engine.pipeline.generate_settings import GenerateSettings
from engine.pipeline.memory_settings import MemorySettings
from engine.pipeline.model_settings import ModelSettings, RuntimeSettings
from engine.pipeline.settings import OutputSettings, PipelineSettings, ProcessorSettings
from engine.pipeline.swap_settings import PictureSettings
from engine.speech.settings import SpeechSettings

_SIZE = re.compile(r"^(\d{2,4})x(\d{2,4})$")


class Section(BaseModel):
    """A part of the settings: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ListOfText = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
]
"""A list; one text alone stands for a list of one, as environment variables have it."""


class ServerSettings(Section):
    """Where the server listens and who may call it."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every network.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8765, description="TCP port; 0 takes a free one."
    )
    cors_origins: ListOfText = Field(
        (),
        description='Origins that may call from a browser, e.g. ["https://example.org"]; "*" all.',
    )
    tokens: ListOfText = Field(
        (), description="Access tokens, sent as Bearer or as Basic password; empty: no login."
    )
    shutdown_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        4.0, description="How long SIGTERM waits for sessions to end."
    )
    uvloop: bool = Field(True, description="Use uvloop where it is installed.")


class LogSettings(Section):
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least important level that is shown."
    )


class AvatarSettings(Section):
    """Where avatars are, and how their clips are compiled."""

    folder: Path = Field(Path("videos"), description="Folder with one folder per avatar.")
    allowed_folders: tuple[Path, ...] = Field(
        (), description="Further folders that idle_video and gesture_video may lie in."
    )
    default: str = Field("demo", description="The avatar that is shown first.")
    idle_video: str = Field(
        "",
        description="Classic pair: clip while silent, e.g. jesus_reposo.mp4; needs gesture_video.",
    )
    gesture_video: str = Field(
        "", description="Classic pair: clip while speaking, e.g. jesus_gestos.mp4."
    )
    cache: Path = Field(Path("cache"), description="Folder of the compiled avatars (packs).")
    size: str = Field(
        "512x512", description="Picture size of a compiled avatar, WIDTHxHEIGHT, even numbers."
    )
    fps: Annotated[float, Field(ge=8, le=60)] = Field(
        25.0, description="Pictures per second of a compiled avatar."
    )
    crf: Annotated[int, Field(ge=10, le=40)] = Field(
        21, description="H.264 quality: smaller is better and larger."
    )
    max_bitrate: Annotated[int, Field(ge=100_000, le=50_000_000)] = Field(
        4_000_000, description="Peak bits per second of a compiled avatar."
    )
    keyframe_seconds: Annotated[float, Field(ge=0.1, le=0.5)] = Field(
        0.48, description="Longest time between keyframes, which is what a lossy viewer waits for."
    )
    codecs: tuple[Literal["H264", "VP8"], ...] = Field(
        ("H264", "VP8"), description="What is compiled; VP8 is for clients without H.264."
    )
    max_clip_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        60.0, description="Longer clips are cut here while compiling."
    )
    transitions: Literal["morph", "cut"] = Field(
        "morph",
        description="Morph makes loops and transitions that nobody sees; cut is compiled faster.",
    )
    compile_wait: Annotated[float, Field(ge=0, le=300)] = Field(
        20.0, description="Seconds that POST /streams waits for an avatar that is being compiled."
    )

    @field_validator("size")
    @classmethod
    def _size_is_usable(cls, value: str) -> str:
        match = _SIZE.match(value)
        if match is None:
            raise ValueError("expected WIDTHxHEIGHT, for example 512x512")
        width, height = int(match[1]), int(match[2])
        if width % 2 or height % 2:
            raise ValueError("width and height must be even")
        if not (64 <= width <= 1920 and 64 <= height <= 1920):
            raise ValueError("width and height must be between 64 and 1920")
        return value

    @model_validator(mode="after")
    def _pair_is_whole(self) -> "AvatarSettings":
        if bool(self.idle_video) != bool(self.gesture_video):
            raise ValueError("idle_video and gesture_video must be given together")
        if not self.codecs:
            raise ValueError("codecs must name at least one of H264, VP8")
        return self

    @property
    def width_height(self) -> tuple[int, int]:
        """The picture size as (width, height) in pixels."""
        width, height = self.size.split("x")
        return int(width), int(height)


class StreamSettings(Section):
    """Limits of the streams."""

    max_streams: Annotated[int, Field(ge=1, le=10_000)] = Field(
        100, description="Streams at a time; one more is answered 503."
    )
    connect_timeout: Annotated[float, Field(gt=0, le=300)] = Field(
        12.0, description="Seconds a stream may take to connect before it is removed."
    )
    lost_timeout: Annotated[float, Field(ge=2, le=300)] = Field(
        10.0, description="Seconds without a word from the viewer before a stream is removed."
    )
    session_timeout: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Seconds after which any stream ends; 0 for never."
    )
    seed: int | None = Field(
        None,
        description="Makes every stream choose the same clips in the same order; null: random.",
    )


class IceServer(Section):
    """One STUN or TURN server, as browsers take it."""

    urls: tuple[Annotated[str, Field(pattern=r"^(stun|stuns|turn|turns):.+")], ...] = Field(
        description="stun:... and turn:... addresses."
    )
    username: str | None = Field(None, description="TURN user.")
    credential: str | None = Field(None, description="TURN password.")


class WebRtcSettings(Section):
    """How viewers reach the server."""

    ice_servers: tuple[IceServer, ...] = Field(
        (), description="STUN and TURN servers for both ends; none are needed on one network."
    )
    udp_ports: str = Field(
        "", description="UDP ports to use, FIRST-LAST, e.g. 50000-50199; empty: any."
    )
    public_addresses: tuple[IPv4Address | IPv6Address, ...] = Field(
        (), description="Addresses to announce besides the local ones (a server behind 1:1 NAT)."
    )

    @field_validator("udp_ports")
    @classmethod
    def _ports_are_a_range(cls, value: str) -> str:
        if value:
            match = re.match(r"^(\d{1,5})-(\d{1,5})$", value)
            if match is None or not 1024 <= int(match[1]) <= int(match[2]) <= 65535:
                raise ValueError("expected FIRST-LAST between 1024 and 65535, e.g. 50000-50199")
        return value

    @property
    def port_range(self) -> range | None:
        """The UDP ports to choose from, or None for any."""
        if not self.udp_ports:
            return None
        first, last = self.udp_ports.split("-")
        return range(int(first), int(last) + 1)


class LiveSettings(Section):
    """Processed streams over WebRTC."""

    allowed_sources: tuple[Literal["webrtc", "pattern", "camera", "file", "avatar"], ...] = Field(
        ("webrtc", "pattern", "avatar"),
        description="Sources that callers from the network may use.",
    )
    allowed_folders: tuple[Path, ...] = Field(
        (), description="Folders that such callers may name files in (file:PATH)."
    )
    max_pipelines: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="Pipelines at a time; one more is answered 503."
    )
    bitrate: Annotated[int, Field(ge=100_000, le=50_000_000)] = Field(
        3_000_000, description="Bits per second of an encoded stream."
    )
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast"] = Field(
        "superfast", description="x264's trade of CPU time for quality."
    )
    keyframe_seconds: Annotated[float, Field(ge=0.5, le=60)] = Field(
        4.0, description="Longest time between keyframes that nobody asked for."
    )
    encoder_threads: Annotated[int, Field(ge=1, le=16)] = Field(
        2, description="Threads of one encoder."
    )


class Settings(Section):
    """The whole of config.yaml."""

    server: ServerSettings = Field(default_factory=ServerSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    avatars: AvatarSettings = Field(default_factory=AvatarSettings)
    streams: StreamSettings = Field(default_factory=StreamSettings)
    webrtc: WebRtcSettings = Field(default_factory=WebRtcSettings)
    motion: MotionSettings = Field(default_factory=MotionSettings)
    live: LiveSettings = Field(default_factory=LiveSettings)
    pipeline: PipelineSettings = Field(default_factory=PipelineSettings)
    processors: ProcessorSettings = Field(default_factory=ProcessorSettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    pictures: PictureSettings = Field(default_factory=PictureSettings)
    output: OutputSettings = Field(default_factory=OutputSettings)
    speech: SpeechSettings = Field(default_factory=SpeechSettings)
    jobs: JobSettings = Field(default_factory=JobSettings)
    memory: MemorySettings = Field(default_factory=MemorySettings)
    generate: GenerateSettings = Field(default_factory=GenerateSettings)
