"""The settings of face tracking."""

from pydantic import BaseModel, ConfigDict, Field


class TrackingSettings(BaseModel):
    """How faces are followed from frame to frame."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detect_every: int = Field(
        3, ge=1, le=60, description="Look for faces in every n-th frame; flow carries them between."
    )
    bridge_frames: int = Field(
        3, ge=0, le=120, description="Frames for which a face is kept that the detector misses."
    )
    min_cutoff_hz: float = Field(
        0.05, gt=0, le=30, description="Smoothing of still landmarks: less is stiller."
    )
    beta: float = Field(
        1.5, ge=0, description="How fast smoothing gives way to change: more follows sooner."
    )
    remember_s: float = Field(
        30.0, ge=0, description="How long a face that left is known again under its number."
    )
    remember_faces: int = Field(
        32, ge=1, le=1024, description="Most faces remembered; the one longest away goes first."
    )
