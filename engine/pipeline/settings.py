"""The settings of the frame pipeline."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CaptureSettings(BaseModel):
    """Where frames come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        "camera:0", description="camera:N, file:PATH or pattern: (a moving test chart)"
    )
    width: int = Field(1280, ge=16, le=8192, description="width asked of a camera or test chart")
    height: int = Field(720, ge=16, le=8192, description="height asked of a camera or test chart")
    fps: float = Field(
        30.0, gt=0, le=240, description="frames per second asked of a camera or test chart"
    )
    paced: bool = Field(
        True, description="play files at their own speed; false reads as fast as possible"
    )
    loop: bool = Field(False, description="start files again at their end")
    retry_initial_s: float = Field(
        0.5, gt=0, description="first wait before a camera that vanished is opened again"
    )
    retry_max_s: float = Field(
        10.0, gt=0, description="longest wait between two attempts; each doubles the one before"
    )


class DisplaySettings(BaseModel):
    """How processed frames are shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fps: float = Field(30.0, gt=0, le=240, description="most frames shown per second")
    interpolate: Literal["none", "flow"] = Field(
        "none",
        description="flow fills in up to fps by optical flow, one processed frame later",
    )
    pace: bool = Field(
        True, description="show frames evenly at their capture spacing; false shows them at once"
    )
    pace_window: int = Field(
        32, ge=2, description="frames whose latency decides how far behind capture is shown"
    )
    stale_after_s: float = Field(
        1.0, gt=0, description="mark the picture as stale when nothing new came for so long"
    )


class PipelineSettings(BaseModel):
    """Buffers, batches and threads of a processed stream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ring_frames: int = Field(30, ge=1, description="most frames between capture and feeder")
    input_frames: int = Field(60, ge=1, description="most frames waiting to be processed")
    output_frames: int = Field(60, ge=1, description="most processed frames waiting to be shown")
    batch_size: int = Field(1, ge=1, le=64, description="most frames processed at once")
    batch_deadline_ms: float = Field(
        4.0, ge=0, description="longest wait for a batch to fill up once it has a frame"
    )
    workers: int = Field(
        1, ge=1, le=64, description="threads that process; more than 1 only for parallel processors"
    )
    processors: tuple[str, ...] = Field(
        (), description="the chain, in order: mirror, anonymise, background_blur, overlay"
    )
    bypass_after: int = Field(
        10,
        ge=1,
        description="failures in a row after which a processor is left out, unless it fails closed",
    )
    stop_timeout_s: float = Field(1.0, gt=0, description="longest wait for the threads to end")
    display: DisplaySettings = Field(
        default_factory=DisplaySettings, description="how frames are shown"
    )
    capture: CaptureSettings = Field(
        default_factory=CaptureSettings, description="where frames come from"
    )
