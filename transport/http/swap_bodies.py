"""What is sent to and from the routes of the face swap."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from processors.swap.control import SwapState
from processors.swap.faces import FacePicture
from transport.http.routing import Body
from transport.swaps.desk import SwappedPicture

FaceId = Annotated[str, Field(max_length=100)]
Index = Annotated[int, Field(ge=0, le=1000)]
Person = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
ModelName = Annotated[str, Field(max_length=120)]

NULL_MEANS_SOMETHING = ("keep_mouth",)


class SwapOptions(Body):
    """What is to be different from the settings (``processors.face_swap``), which explain it."""

    model: ModelName | None = None
    selection: Literal["largest", "left_to_right", "all"] | None = None
    sex: Literal["any", "female", "male"] | None = None
    youngest: Annotated[int, Field(ge=0, le=200)] | None = None
    oldest: Annotated[int, Field(ge=0, le=200)] | None = None
    similarity: Share | None = None
    keep_mouth: bool | None = None
    opacity: Share | None = None
    box: bool | None = None
    hull: bool | None = None
    feather: Annotated[float, Field(ge=0, le=0.25)] | None = None
    grow: Annotated[float, Field(ge=0.5, le=1.5)] | None = None
    colour: Share | None = None
    boost: Literal[1, 2, 4] | None = None
    detector: ModelName | None = None
    detection_width: Annotated[int, Field(ge=64, le=4096)] | None = None
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    detect_every: Annotated[int, Field(ge=1, le=60)] | None = None
    bridge_frames: Annotated[int, Field(ge=0, le=120)] | None = None
    recognition: ModelName | None = None
    contours: bool | None = None
    occluder: ModelName | None = None
    enhancer: ModelName | None = None
    enhance_every: Annotated[int, Field(ge=1, le=300)] | None = None
    enhance_strength: Share | None = None
    mark_corner: Literal["top_left", "top_right", "bottom_left", "bottom_right"] | None = None

    def values(self) -> dict[str, Any]:
        """The settings that were given, by name."""
        given = self.model_dump(include=set(SwapOptions.model_fields), exclude_unset=True)
        return {
            name: value
            for name, value in given.items()
            if value is not None or name in NULL_MEANS_SOMETHING
        }


class LikeBody(Body):
    """A face of a picture that was sent to ``/faces``."""

    face: FaceId
    index: Index | None = None


class StreamFace(LikeBody):
    """A face that is put in: ``index`` counts those of its picture from the left, from 0.

    It is for whoever is selected, or for the ``person`` of that number among the stream's
    ``people``, or for somebody who looks ``like`` another face.
    """

    person: Person | None = None
    like: LikeBody | None = None


class FaceSwapBody(SwapOptions):
    """A stream's face swap; what is left out stays as it is, or as the settings have it."""

    faces: Annotated[list[StreamFace], Field(max_length=16)] | None = None


class SourceFaceBody(Body):
    """A face of ``POST /swap``: which ``source`` file, which face of it, from the left, from 0.

    It is for whoever is selected, or for the face number ``person`` of the target, from the left,
    from 1.
    """

    source: Index = 0
    index: Index | None = None
    person: Person | None = None


class SwapRequest(SwapOptions):
    """How the faces of a picture are swapped; without ``faces`` the largest of each source."""

    faces: Annotated[list[SourceFaceBody], Field(min_length=1, max_length=16)] | None = None


class SwapForm(Body):
    """The fields of ``POST /swap``: ``options`` is a ``SwapRequest`` in JSON."""

    options: str = "{}"


class FoundFace(BaseModel):
    """A face in a picture: left, top, right, bottom in pixels; the detector's score."""

    box: tuple[float, float, float, float]
    score: float


class KeptFaces(BaseModel):
    """Faces from left to right; ``chosen`` is the one that is taken where nobody says which.

    ``note`` says so where there are several.
    """

    id: str
    faces: list[FoundFace]
    chosen: int
    note: str
    expires_in: float


class FaceInUse(BaseModel):
    """A face that is put in; ``face`` is its picture's id or file name."""

    face: str
    index: int | None
    person: int | None
    by_likeness: bool


class PersonSeen(BaseModel):
    """Somebody in the newest picture; ``source`` is the number of the face that is put in."""

    id: int
    box: tuple[float, float, float, float]
    source: int | None


class FaceSwapInfo(BaseModel):
    """How a stream's face swap stands."""

    faces: list[FaceInUse]
    people: list[PersonSeen]
    settings: dict[str, Any]


class SwappedFace(FoundFace):
    """A face of the target; ``source`` is the number of the face put in, null if it stayed."""

    person: int
    source: int | None


class SwapAnswer(BaseModel):
    """A swapped picture, on request as JSON; ``image`` is base64."""

    image: str
    format: str
    width: int
    height: int
    faces: list[SwappedFace]
    digital_source_type: str


def kept_faces(face_id: str, picture: FacePicture, keep_s: float) -> KeptFaces:
    """Describe a picture that is kept."""
    faces = [
        FoundFace(box=_box(face.box.tolist()), score=round(face.score, 4)) for face in picture.found
    ]
    return KeptFaces(
        id=face_id,
        faces=faces,
        chosen=picture.chosen,
        note=picture.describe(),
        expires_in=keep_s,
    )


def swap_info(state: SwapState) -> FaceSwapInfo:
    """Describe a stream's face swap; of files on the server only the names."""
    return FaceSwapInfo(
        faces=[
            FaceInUse(
                face=one.label,
                index=one.index,
                person=one.person,
                by_likeness=one.likeness is not None,
            )
            for one in state.faces
        ],
        people=[PersonSeen(id=one.id, box=one.box, source=one.source) for one in state.people],
        settings=state.settings.model_dump(mode="json", exclude={"faces"}),
    )


def swap_answer(picture: SwappedPicture, image: str) -> SwapAnswer:
    """Describe a swapped picture; ``image`` is its file in base64."""
    return SwapAnswer(
        image=image,
        format=picture.format,
        width=picture.size[0],
        height=picture.size[1],
        faces=[
            SwappedFace(person=one.person, box=one.box, score=one.score, source=one.source)
            for one in picture.faces
        ],
        digital_source_type=picture.source_type,
    )


def _box(values: list[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (round(value, 1) for value in values)
    return left, top, right, bottom
