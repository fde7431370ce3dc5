"""What a check says."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a report.

    Attributes:
        level: ``fault``: something that is set up does not work; ``warning``: it works less well
            than it could, or an optional part is missing.
        topic: What was looked at, in a word or two.
        text: What was found.
        fix: What to do about it; empty where there is nothing to do.
    """

    level: Level
    topic: str
    text: str
    fix: str = ""


def ok(topic: str, text: str) -> Finding:
    """All is well."""
    return Finding("ok", topic, text)


def warning(topic: str, text: str, fix: str = "") -> Finding:
    """It works, but."""
    return Finding("warning", topic, text, fix)


def fault(topic: str, text: str, fix: str = "") -> Finding:
    """It does not work."""
    return Finding("fault", topic, text, fix)
