"""The settings of the frame pipeline."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.pipeline.swap_settings import FaceSwapSettings


class CaptureSettings(BaseModel):
    """Where frames come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        "camera:0", description="Camera:N, file:PATH or pattern: (a moving test chart)."
    )
    width: int = Field(1280, ge=16, le=8192, description="Width asked of a camera or test chart.")
    height: int = Field(720, ge=16, le=8192, description="Height asked of a camera or test chart.")
    fps: float = Field(
        30.0, gt=0, le=240, description="Frames per second asked of a camera or test chart."
    )
    paced: bool = Field(
        True, description="Play files at their own speed; false reads as fast as possible."
    )
    loop: bool = Field(False, description="Start files again at their end.")
    retry_initial_s: float = Field(
        0.5, gt=0, description="First wait before a camera that vanished is opened again."
    )
    retry_max_s: float = Field(
        10.0, gt=0, description="Longest wait between two attempts; each doubles the one before."
    )


class DisplaySettings(BaseModel):
    """How processed frames are shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fps: float = Field(30.0, gt=0, le=240, description="Most frames shown per second.")
    interpolate: Literal["none", "flow"] = Field(
        "none",
        description="Flow fills in up to fps by optical flow, one processed frame later.",
    )
    pace: bool = Field(
        True, description="Show frames evenly at their capture spacing; false shows them at once."
    )
    pace_window: int = Field(
        32, ge=2, description="Frames whose latency decides how far behind capture is shown."
    )
    stale_after_s: float = Field(
        1.0, gt=0, description="Mark the picture as stale when nothing new came for so long."
    )


class OutputSettings(BaseModel):
    """Where pictures go besides the browser."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path = Field(
        Path("recordings"), description="Folder of snapshots and of recordings started by key."
    )
    crf: int = Field(20, ge=0, le=51, description="H.264 quality of recordings: less is better.")
    keyframe_s: float = Field(
        2.0, gt=0, description="Most of a recording that is lost when the machine stops dead."
    )


class AnonymiseSettings(BaseModel):
    """How faces are made unrecognisable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Path = Field(
        Path("yunet_n_dynamic.onnx"),
        description="YuNet face detector in ONNX form; a bare name lies in the models folder.",
    )
    effect: Literal["blur", "pixelate"] = Field("blur", description="What is done to a face.")
    threshold: float = Field(
        0.5, gt=0, lt=1, description="Least score of a face; lower hides more that is none."
    )
    detection_width: int = Field(
        640,
        ge=64,
        le=4096,
        description="Width at which faces are looked for; larger finds smaller.",
    )
    margin: float = Field(
        0.45, ge=0, le=3, description="How much larger than the face the hidden part is."
    )
    hold_s: float = Field(
        0.7, ge=0, description="How long a face stays hidden after the detector lost it."
    )


class BackgroundBlurSettings(BaseModel):
    """How the background is blurred."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Path = Field(
        Path("modnet.onnx"),
        description="Matting model in ONNX form; a bare name lies in the models folder.",
    )
    size: int = Field(
        256, ge=32, le=2048, multiple_of=32, description="Width and height at which it runs."
    )
    strength: float = Field(0.04, gt=0, le=0.5, description="Blur, as a part of the width.")


class ProcessorSettings(BaseModel):
    """The processors, each with its own section."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    anonymise: AnonymiseSettings = Field(
        default_factory=AnonymiseSettings, description="Hides faces."
    )
    background_blur: BackgroundBlurSettings = Field(
        default_factory=BackgroundBlurSettings, description="Blurs what is not the person."
    )
    face_swap: FaceSwapSettings = Field(
        default_factory=FaceSwapSettings, description="Puts other faces in."
    )


class PipelineSettings(BaseModel):
    """Buffers, batches and threads of a processed stream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ring_frames: int = Field(30, ge=1, description="Most frames between capture and feeder.")
    input_frames: int = Field(60, ge=1, description="Most frames waiting to be processed.")
    output_frames: int = Field(60, ge=1, description="Most processed frames waiting to be shown.")
    batch_size: int = Field(1, ge=1, le=64, description="Most frames processed at once.")
    batch_deadline_ms: float = Field(
        4.0, ge=0, description="Longest wait for a batch to fill up once it has a frame."
    )
    workers: int = Field(
        3,
        ge=1,
        le=64,
        description="Threads that process: face_swap uses 3 (following, model, pasting).",
    )
    processors: tuple[str, ...] = Field(
        (),
        description="The chain, in order: mirror, face_swap, anonymise, background_blur, overlay.",
    )
    bypass_after: int = Field(
        10,
        ge=1,
        description="Failures in a row after which a processor that does not fail closed is out.",
    )
    stop_timeout_s: float = Field(1.0, gt=0, description="Longest wait for the threads to end.")
    display: DisplaySettings = Field(
        default_factory=DisplaySettings, description="How frames are shown."
    )
    capture: CaptureSettings = Field(
        default_factory=CaptureSettings, description="Where frames come from."
    )
