"""The settings of the face swap."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_ListOfText = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
]


class FaceSwapSettings(BaseModel):
    """Whose face is put in where, and how it looks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    faces: _ListOfText = Field(
        (), description="Pictures of the faces put in, in order; PICTURE#2: its second from left."
    )
    model: str = Field(
        "warp", description="Warp needs no model; or a swap model, e.g. inswapper_128."
    )
    selection: Literal["largest", "left_to_right", "all"] = Field(
        "largest",
        description="Who is swapped; left_to_right: one person for each face given.",
    )
    sex: Literal["any", "female", "male"] = Field(
        "any", description="Swap only persons whom the model genderage takes for this."
    )
    youngest: int = Field(
        0, ge=0, le=200, description="Swap only persons whom genderage takes for this old ..."
    )
    oldest: int = Field(200, ge=0, le=200, description="... up to this old.")
    similarity: float = Field(
        0.36, ge=0, le=1, description="Likeness (cosine) from which on two faces are one person's."
    )
    keep_mouth: bool | None = Field(
        None, description="The mouth of the picture stays and speaks; null: with warp only."
    )
    opacity: float = Field(1.0, ge=0, le=1, description="How much of the new face is seen.")
    box: bool = Field(True, description="The mask keeps away from the rim of the face's crop.")
    hull: bool = Field(True, description="The mask follows the outline of the face.")
    feather: float = Field(
        0.08, ge=0, le=0.25, description="Width of the mask's soft edge, in sides of the crop."
    )
    grow: float = Field(1.0, ge=0.5, le=1.5, description="Factor for the outline's size.")
    colour: float = Field(
        0.7, ge=0, le=1, description="How far colours follow the picture's (swap models)."
    )
    boost: Literal[1, 2, 4] = Field(
        1, description="Faces this many times as fine as the swap model's; costs its square."
    )
    detector: str = Field("yunet", description="Finds faces: yunet or scrfd_10g.")
    detection_width: int = Field(
        640, ge=64, le=4096, description="Width at which faces are looked for; more finds smaller."
    )
    threshold: float = Field(0.6, gt=0, lt=1, description="Least score of a face.")
    detect_every: int = Field(
        3, ge=1, le=60, description="Look for faces in every n-th frame; flow carries them between."
    )
    bridge_frames: int = Field(
        3, ge=0, le=120, description="Frames for which a face is kept that the detector misses."
    )
    recognition: str = Field(
        "auto",
        description="Tells people apart: auto (what the swap model needs), none, sface...",
    )
    contours: bool = Field(
        False, description="Masks follow 106 landmarks, not five (model landmarks_106)."
    )
    occluder: str = Field("", description="Keeps what is in front of a face: xseg; empty: none.")
    enhancer: str = Field("", description="Restores detail: gfpgan; empty: none.")
    enhance_every: int = Field(
        5, ge=1, le=300, description="A face is enhanced in every n-th frame at most."
    )
    enhance_strength: float = Field(
        1.0, ge=0, le=1, description="How much of the enhancement is shown."
    )
    most_tiles: int = Field(
        0, ge=0, le=4096, description="Most crops in one call of the swap model; 0: all at once."
    )
    mark: bool = Field(True, description='A visible "AI" mark in a corner of the picture.')
    mark_corner: Literal["top_left", "top_right", "bottom_left", "bottom_right"] = Field(
        "bottom_right", description="Corner of the mark."
    )
    fail_closed: bool = Field(
        True, description="A picture whose faces could not be swapped is not shown."
    )


class PictureSettings(BaseModel):
    """Pictures that callers send: faces to be put in, and pictures to swap faces in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(
        20_000_000, ge=1_000, le=1_000_000_000, description="Longest file that is taken."
    )
    max_pixels: int = Field(
        40_000_000, ge=10_000, le=400_000_000, description="Most pixels of a picture."
    )
    at_once: int = Field(1, ge=1, le=64, description="Pictures worked on at the same time.")
    waiting: int = Field(
        8, ge=0, le=1024, description="Pictures that may wait for that; one more is answered 503."
    )
    kept: int = Field(
        64, ge=1, le=4096, description="Pictures of faces kept; the one unused longest goes first."
    )
    keep_s: float = Field(
        3600.0, gt=0, description="Seconds after which a picture that nobody used is forgotten."
    )
