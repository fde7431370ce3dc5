"""What every walk through an avatar's pictures has in common."""

from dataclasses import dataclass

REST_STATE = "idle"
"""The state that every avatar has: silent, and where an interrupt leads."""

SPEAKING_STATE = "gesture"
"""The state that an avatar is in while it speaks."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a walk through a pack.

    Attributes:
        index: The picture's number within the pack.
        keyframe: Whether a decoder can start at it.
        state: The state or action that it belongs to.
        finished: The one-shot action that ended with the picture before, or None.
    """

    index: int
    keyframe: bool
    state: str
    finished: str | None = None
