"""What is sent to and from ``/streams``: the bodies of requests and answers."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from transport.http.routing import Body
from transport.http.swap_bodies import FaceSwapBody, FaceSwapInfo

ShortText = Annotated[str, Field(max_length=500)]
Processors = Annotated[list[str], Field(max_length=16)]


class CreateStream(Body):
    """Which avatar to play: an id, or a pair of clips, or nothing for the default one.

    With ``source`` (``webrtc:ID``, ``pattern:``, ``camera:0``, ``file:PATH``, ``avatar:ID``) or
    ``use_ai`` the pictures are processed on their way, by ``processors`` or those of the settings.
    ``face_swap`` says whose faces the processor of this name puts in, and how.
    """

    video_id: ShortText | None = None
    idle_video: ShortText | None = None
    gesture_video: ShortText | None = None
    source: ShortText | None = None
    processors: Processors | None = None
    use_ai: bool = False
    face_swap: FaceSwapBody | None = None
    session_timeout: Annotated[float, Field(gt=0, le=7 * 24 * 3600)] | None = None


class Description(BaseModel):
    """A session description as browsers have it."""

    type: str
    sdp: str


class IceServerBody(BaseModel):
    """A STUN or TURN server as browsers take it."""

    urls: list[str]
    username: str | None = None
    credential: str | None = None


class SpeechAbilities(BaseModel):
    """Whether the stream speaks, what speaks texts, and whether sound gets captions."""

    enabled: bool
    provider: str | None
    captions: bool


class CreatedStream(BaseModel):
    """A new stream; the viewer answers the offer at ``/streams/{id}/sdp``."""

    id: str
    session_id: str
    offer: Description
    ice_servers: list[IceServerBody]
    video_id: str
    state: str
    speech: SpeechAbilities


class WithSession(Body):
    """Carries the stream's secret."""

    session_id: str | None = None


class Answer(WithSession):
    """The viewer's answer to the offer."""

    answer: Description


class IceCandidate(WithSession):
    """One of the viewer's candidates; none ends them."""

    candidate: str | None = None
    sdpMid: str | None = None  # noqa: N815 - the name browsers use
    sdpMLineIndex: int | None = None  # noqa: N815


class StateRequest(WithSession):
    """A state to go to, or an action to play once."""

    state: str


class ChangeStream(WithSession):
    """What is to be different in a processed stream; what is left out stays as it is."""

    processors: Processors | None = None
    overlay: bool | None = None
    mirror: bool | None = None
    batch_size: Annotated[int, Field(ge=1, le=64)] | None = None
    source: str | None = None
    paused: bool | None = None
    face_swap: FaceSwapBody | None = None


class Status(BaseModel):
    """That it worked."""

    status: str = "ok"


class State(BaseModel):
    """What plays from the next picture on."""

    state: str


class SpeechInfo(BaseModel):
    """What a stream is saying: how much of it was sent, and how much waits behind it."""

    utterance: str | None
    position_ms: int
    waiting: int
    packets_sent: int


class StreamInfo(BaseModel):
    """A stream and its figures. Times are in milliseconds, rates per second."""

    id: str
    video_id: str
    state: str
    connection: str
    age_seconds: float
    codec: str | None
    pictures_sent: int
    late_sends: int
    skipped_pictures: int
    largest_lateness_ms: float
    packets_sent: int
    bytes_sent: int
    retransmitted: int
    keyframe_requests: int
    round_trip_ms: float | None
    fraction_lost: float
    packets_lost: int
    jitter_ms: float
    speech: SpeechInfo | None = None
    pipeline: dict[str, Any] | None = None
    face_swap: FaceSwapInfo | None = None
