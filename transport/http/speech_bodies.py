"""What is sent to and from the routes of speech."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from transport.http.stream_bodies import WithSession


class Script(BaseModel):
    """What is to be said: a text, or sound as base64 or as an address.

    What other servers take besides (a provider, SSML, subtitles) is ignored.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: Literal["text", "audio"]
    input: str | None = None
    voice: Annotated[str, Field(max_length=200)] | None = None
    audio: str | None = None
    audio_url: Annotated[str, Field(max_length=4000)] | None = None


class Speak(WithSession):
    """A script for a stream; as a form, the sound may be a file named ``audio`` or ``file``."""

    script: Script | None = None


class Speaking(BaseModel):
    """A script that was taken; ``duration`` is in seconds where it is known."""

    status: str = "started"
    duration: float | None
    video_id: str
    session_id: str
    utterance: str


class Interrupted(BaseModel):
    """What was cut off, and how much of it was sent."""

    status: str = "ok"
    utterance: str | None
    position_ms: int | None


class AudioMessage(BaseModel):
    """A control message of the WebSocket; sound comes in binary messages (s16le, mono)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: Literal["begin", "end", "clear"]
    rate: int | None = None
    session_id: str | None = None


def error_message(kind: str, description: str) -> dict[str, Any]:
    """Return the WebSocket's message that something is wrong."""
    return {"type": "error", "kind": kind, "description": description}
