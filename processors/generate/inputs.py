"""Whether files are what a generator takes; told by their contents, not by their names."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.errors import ClipError, InvalidInput
from engine.speech.sound import SoundError
from processors.generate.declaration import Generator, Input, Inputs, MediaKind

MAX_PIXELS = 100_000_000
"""Most pixels of a picture: decoded, it takes 300 MB."""

_HEAD = 1 << 20
"""Bytes at the start of a picture that are searched for its size (a JPEG may begin with others)."""


class BadInput(InvalidInput):
    """A file is missing, too many, or not what the generator takes."""


def check_inputs(generator: Generator[Any], inputs: Inputs) -> None:
    """Look at a job's files, without decoding them.

    Raises:
        BadInput: A name is unknown, a required file is missing, or one is of another kind.
    """
    left = dict(inputs)
    for item in generator.inputs:
        paths = [left.pop(item.name)] if item.name in left else []
        number = 2
        while item.several and f"{item.name}-{number}" in left:
            paths.append(left.pop(f"{item.name}-{number}"))
            number += 1
        if item.required and not paths:
            raise BadInput(f"{generator.name} needs a file '{item.name}'.", _wanted(item.kinds))
        for path in paths:
            check_file(path, item)
    if left:
        known = ", ".join(item.name for item in generator.inputs) or "none"
        raise BadInput(
            f"{generator.name} takes no file '{next(iter(left))}'.", f"Its files are: {known}."
        )


def check_file(path: Path, item: Input) -> None:
    """Look at one file.

    Raises:
        BadInput: It is not there, of a kind that is not taken, or a picture that is too large.
    """
    if not path.is_file():
        raise BadInput(f"There is no file '{path}'.", "Check its name.")
    pictures = [kind for kind in item.kinds if kind in ("image", "mask")]
    size = picture_size_of(path)
    if size is not None:
        if not pictures:
            raise BadInput(f"'{path.name}' is a picture.", _wanted(item.kinds))
        if size[0] * size[1] > MAX_PIXELS or not all(size):
            raise BadInput(
                f"The picture '{path.name}' has {size[0]}x{size[1]} pixels.",
                f"It may have at most {MAX_PIXELS // 1_000_000} million.",
            )
        return
    _check_playable(path, item)


def picture_size_of(path: Path) -> tuple[int, int] | None:
    """Return width and height that a PNG, JPEG, WebP or BMP states; None: it is none of these."""
    from processors.faces.picture import picture_size

    with path.open("rb") as file:
        head = file.read(_HEAD)
    try:
        return picture_size(head)
    except (struct.error, IndexError):
        return None


def _check_playable(path: Path, item: Input) -> None:
    from engine.clips.opening import opened

    problem: InvalidInput | None = None
    if "video" in item.kinds:
        try:
            with opened(path):
                return
        except ClipError as error:
            problem = error
    if "audio" in item.kinds and _has_sound(path):
        return
    raise problem or BadInput(f"'{path.name}' is of another kind, or damaged.", _wanted(item.kinds))


def _has_sound(path: Path) -> bool:
    from engine.speech.decode import sound_seconds

    try:
        sound_seconds(path)
    except SoundError:
        return False
    return True


def _wanted(kinds: Sequence[MediaKind]) -> str:
    words = {
        "image": "a picture (PNG, JPEG, WebP, BMP)",
        "mask": "a black and white picture (PNG)",
        "video": "a video (MP4, MOV, WebM, MKV, AVI)",
        "audio": "a sound file (WAV, MP3, M4A, Ogg, FLAC)",
    }
    return f"It must be {' or '.join(words[kind] for kind in kinds)}."
