"""Compiling an avatar: its clips become one pack of encoded pictures."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain, pairwise
from math import floor
from pathlib import Path
from typing import TypeVar

import av

from engine.avatar.encode import ENCODERS, Encoder, poster
from engine.avatar.pack import Pack, PackedClip
from engine.avatar.spec import AvatarSpec, Encoding
from engine.clips import info as clips
from engine.clips import normalise
from engine.errors import ClipChanged, ClipError

Progress = Callable[[float], None]
"""Takes how much is done, from 0 to 1."""

COMPILER_VERSION = 1
"""Raised when the same clips and settings would give another pack."""

MIN_PICTURES = 2

T = TypeVar("T")


def pack_key(spec: AvatarSpec, extra: str = "") -> str:
    """Return a name for everything that the pack depends on: contents, settings, version.

    Args:
        spec: The avatar.
        extra: What else it depends on.

    Raises:
        ClipError: A clip is missing or cannot be read.
    """
    content = {
        "version": COMPILER_VERSION,
        "extra": extra,
        "encoding": {k: str(v) for k, v in asdict(spec.encoding).items()},
        "states": {
            state: [clips.fingerprint(path) for path in paths]
            for state, paths in spec.states.items()
        },
        "actions": {name: clips.fingerprint(path) for name, path in spec.actions.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def compile_avatar(spec: AvatarSpec, on_progress: Progress = lambda _: None) -> Pack:
    """Normalise and encode all clips of an avatar.

    Raises:
        ClipError: A clip cannot be used.
        ClipChanged: A clip changed on disk meanwhile.
    """
    key = pack_key(spec)
    state = _Compilation(spec.encoding)
    places = [
        *((name, None, path) for name, paths in spec.states.items() for path in paths),
        *((None, name, path) for name, path in spec.actions.items()),
    ]
    for number, (state_name, action, path) in enumerate(places):
        state.add_clip(
            path,
            state_name,
            action,
            part(on_progress, number, len(places)),
        )
    if pack_key(spec) != key:
        raise ClipChanged(
            f"A clip of the avatar '{spec.id}' changed while it was being compiled.",
            "It is compiled again as soon as the files stay as they are.",
        )
    on_progress(1.0)
    return Pack(
        key=key,
        size=spec.encoding.size,
        fps=spec.encoding.fps,
        clips=tuple(state.clips),
        codecs={encoder.codec: encoder.finish() for encoder in state.encoders},
        poster=state.poster,
    )


@dataclass
class _Compilation:
    """What grows while clips are added. One encoder runs through all clips, so that parameter
    sets are the same everywhere."""

    encoding: Encoding
    clips: list[PackedClip] = field(default_factory=list)
    poster: bytes = b""
    encoders: list[Encoder] = field(init=False)

    def __post_init__(self) -> None:
        self.encoders = [ENCODERS[codec](self.encoding) for codec in self.encoding.codecs]

    def add_clip(
        self, path: Path, state: str | None, action: str | None, on_progress: Progress
    ) -> None:
        # Refuses what cannot serve, a clip whose end is missing among it, before any work.
        clips.read_info(path)
        first = sum(clip.count for clip in self.clips)
        keyframes = []
        count = 0
        interval = keyframe_interval(self.encoding)
        for picture, is_last in _with_last(_pictures(path, self.encoding, on_progress)):
            # No keyframe on the last picture: a jump from it to another keyframe would put two
            # IDR pictures in a row.
            keyframe = count % interval == 0 and not (is_last and count)
            if keyframe:
                keyframes.append(first + count)
            if not self.poster:
                self.poster = poster(picture)
            for encoder in self.encoders:
                encoder.add(picture, keyframe)
            count += 1
        if count < MIN_PICTURES:
            raise ClipError(
                f"{path}: has {count} picture(s); an avatar's clip needs at least {MIN_PICTURES}.",
                "Use a clip of some seconds.",
            )
        self.clips.append(PackedClip(path.name, state, action, first, count, tuple(keyframes)))


def keyframe_interval(encoding: Encoding) -> int:
    """Return the pictures from keyframe to keyframe.

    One less than the settings allow, because the last interval of a clip may be one longer.
    """
    return max(3, floor(encoding.keyframe_seconds * encoding.fps)) - 1


def part(on_progress: Progress, number: int, parts: int) -> Progress:
    """Return progress of one of several parts as progress of the whole."""
    return lambda done: on_progress((number + done) / parts)


def _pictures(path: Path, encoding: Encoding, on_progress: Progress) -> Iterator[av.VideoFrame]:
    preparation = normalise.Preparation(
        size=encoding.size, fps=encoding.fps, max_seconds=encoding.max_clip_seconds
    )
    return normalise.pictures(path, preparation, on_progress)


def _with_last(items: Iterator[T]) -> Iterator[tuple[T, bool]]:
    """Yield each item with whether it is the last one."""
    for item, after in pairwise(chain(items, (None,))):
        assert item is not None
        yield item, after is None
