"""Ids of jobs: 32 hexadecimal digits, which nobody can guess."""

import re
import uuid

from engine.jobs.errors import JobNotFound

_ID = re.compile(r"[0-9a-f]{32}")


def new_job_id() -> str:
    """Return an id that no job has."""
    return uuid.uuid4().hex


def is_id(text: str) -> bool:
    """Return whether a text can be an id."""
    return _ID.fullmatch(text) is not None


def known_id(text: str) -> str:
    """Return the text if it can be an id. Ids come from the network and go into paths.

    Raises:
        JobNotFound: It cannot.
    """
    if not is_id(text):
        raise JobNotFound(text[:64])
    return text
