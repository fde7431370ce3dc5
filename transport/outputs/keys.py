"""The keys of the local window."""

from enum import StrEnum


class Action(StrEnum):
    """What a key does."""

    HELP = "show or hide this list"
    QUIT = "quit"
    PAUSE = "pause or go on"
    FULLSCREEN = "full screen on or off"
    OVERLAY = "rates and latency on or off"
    MIRROR = "mirror on or off"
    SNAPSHOT = "save a picture"
    RECORD = "start or stop recording"
    BATCH_UP = "larger batch"
    BATCH_DOWN = "smaller batch"
    NEXT_PROCESSOR = "next processor"


KEYS: tuple[tuple[str, str, Action], ...] = (
    ("h", "h", Action.HELP),
    ("q\x1b", "q, Esc", Action.QUIT),
    (" ", "space", Action.PAUSE),
    ("f", "f", Action.FULLSCREEN),
    ("o", "o", Action.OVERLAY),
    ("m", "m", Action.MIRROR),
    ("s", "s", Action.SNAPSHOT),
    ("r", "r", Action.RECORD),
    ("+=", "+", Action.BATCH_UP),
    ("-_", "-", Action.BATCH_DOWN),
    ("n", "n", Action.NEXT_PROCESSOR),
)
"""Characters, how they are shown, and what they do."""


def action_of(code: int) -> Action | None:
    """The action of a key code of OpenCV's ``waitKey``; None for any other key."""
    if code < 0:
        return None
    character = chr(code & 0xFF).lower()
    return next((action for characters, _, action in KEYS if character in characters), None)


def help_rows() -> list[tuple[str, str]]:
    """How each key is shown, and what it does."""
    return [(label, action.value) for _, label, action in KEYS]
