"""What an avatar is made of: ``avatar.yaml``, or a folder with idle.mp4 and gesture.mp4."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, ValidationError

from engine.errors import AvatarError, PathNotAllowed
from engine.motion.step import REST_STATE
from engine.settings import AvatarSettings, Section

SPEAKING_STATE = "gesture"

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"})

MAX_ID = 100
MAX_YAML_BYTES = 65_536

_NAME = r"^[a-z0-9][a-z0-9_-]{0,39}$"
Name = Annotated[str, Field(pattern=_NAME)]

ClipNames = Annotated[
    list[str],
    Field(min_length=1, max_length=64),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
]
"""One clip, or a list of them."""


class AvatarFile(Section):
    """The contents of ``avatar.yaml``."""

    name: str = ""
    states: dict[Name, ClipNames] = Field(default_factory=dict)
    actions: dict[Name, str] = Field(default_factory=dict)
    size: str | None = None
    fps: Annotated[float, Field(ge=8, le=60)] | None = None


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the clips of an avatar are normalised and encoded.

    Attributes:
        size: (width, height) in pixels, even.
        fps: Pictures per second.
        crf: x264's constant rate factor.
        max_bitrate: Peak bits per second.
        keyframe_seconds: Longest time between keyframes.
        codecs: ``H264`` and ``VP8`` in any combination.
        max_clip_seconds: Clips are cut here.
    """

    size: tuple[int, int]
    fps: Fraction
    crf: int
    max_bitrate: int
    keyframe_seconds: float
    codecs: tuple[str, ...]
    max_clip_seconds: float

    @classmethod
    def from_settings(cls, settings: AvatarSettings) -> "Encoding":
        """Take the values of the settings' ``avatars`` section."""
        return cls(
            size=settings.width_height,
            fps=exact_rate(settings.fps),
            crf=settings.crf,
            max_bitrate=settings.max_bitrate,
            keyframe_seconds=settings.keyframe_seconds,
            codecs=tuple(settings.codecs),
            max_clip_seconds=settings.max_clip_seconds,
        )


@dataclass(frozen=True, slots=True)
class AvatarSpec:
    """One avatar before it is compiled.

    Attributes:
        id: The folder's name, or one made from a pair's paths.
        name: For people.
        states: Clips of each state; ``idle`` is always there.
        actions: One-shot clips by name.
        encoding: How it is compiled.
    """

    id: str
    name: str
    states: Mapping[str, tuple[Path, ...]]
    actions: Mapping[str, Path]
    encoding: Encoding

    @property
    def clips(self) -> tuple[Path, ...]:
        """Every clip once, in a fixed order."""
        found = [clip for clips in self.states.values() for clip in clips]
        return tuple(dict.fromkeys([*found, *self.actions.values()]))


def exact_rate(fps: float) -> Fraction:
    """Return the frame rate as a fraction; 29.97 becomes 30000/1001."""
    ntsc = Fraction(round(fps * 1001 / 1000) * 1000, 1001)
    if fps != round(fps) and abs(float(ntsc) - fps) < 0.005:
        return ntsc
    return Fraction(fps).limit_denominator(1000)


def read_folder(folder: Path, settings: AvatarSettings) -> AvatarSpec | None:
    """Read one avatar's folder.

    Returns:
        The avatar, or None when the folder holds neither ``avatar.yaml`` nor a clip.

    Raises:
        AvatarError: ``avatar.yaml`` is wrong or names a clip outside its folder, or there is none
            and the clips are no pair.
    """
    if len(folder.name) > MAX_ID:
        raise AvatarError(f"{folder.name[:MAX_ID]}...: the folder's name is too long.")
    if not folder.is_dir():
        return None
    described = folder / "avatar.yaml"
    if described.is_file():
        return _from_file(folder, _parse(described), described, settings)
    clips = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES]
    pair = {
        state: next((clip for clip in clips if clip.stem.lower() == state), None)
        for state in (REST_STATE, SPEAKING_STATE)
    }
    if not clips:
        return None
    missing = [state for state, clip in pair.items() if clip is None]
    if missing:
        raise AvatarError(
            f"{folder.name}: there is no {' and no '.join(missing)} clip.",
            f"Name one {missing[0]}.mp4, or write an avatar.yaml.",
        )
    return AvatarSpec(
        id=folder.name,
        name=folder.name,
        states={state: (clip,) for state, clip in pair.items() if clip is not None},
        actions={},
        encoding=Encoding.from_settings(settings),
    )


def from_pair(idle: str, gesture: str, settings: AvatarSettings) -> AvatarSpec:
    """Make an avatar of two clips given by path, relative to the avatars' folder or absolute.

    Raises:
        PathNotAllowed: A path leaves the allowed folders, also through a symbolic link.
    """
    clips = {REST_STATE: idle, SPEAKING_STATE: gesture}
    paths = {state: allowed_clip(text, settings) for state, text in clips.items()}
    stems = "-".join(path.stem.lower() for path in paths.values())
    safe = "".join(letter if letter.isalnum() else "-" for letter in stems).strip("-")
    return AvatarSpec(
        id=f"pair-{safe[:40]}-{_short_hash(paths.values())}",
        name=" / ".join(path.stem for path in paths.values()),
        states={state: (path,) for state, path in paths.items()},
        actions={},
        encoding=Encoding.from_settings(settings),
    )


def _short_hash(paths: Iterable[Path]) -> str:
    text = "\0".join(str(path) for path in paths)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


def allowed_clip(text: str, settings: AvatarSettings) -> Path:
    """Resolve a clip's path and refuse it outside the allowed folders.

    Raises:
        PathNotAllowed: The path, with symbolic links followed, lies elsewhere.
    """
    folders = [folder.resolve() for folder in (settings.folder, *settings.allowed_folders)]
    if "\0" in text or not text.isprintable():
        raise PathNotAllowed("A clip's path holds a character that no path has.")
    path = (folders[0] / text).resolve()
    if not any(path.is_relative_to(folder) for folder in folders):
        raise PathNotAllowed(
            f"The clip {text!r} is outside the allowed folders.",
            "Move it into the avatars' folder, or add its folder to avatars.allowed_folders.",
        )
    return path


def _parse(path: Path) -> AvatarFile:
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise AvatarError(f"{path}: is larger than {MAX_YAML_BYTES // 1024} KB.")
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AvatarError(f"{path}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise AvatarError(f"{path}: is not UTF-8 text.") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise AvatarError(f"{path}:{line}: is not YAML: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise AvatarError(f"{path}: is not YAML: {error}.") from None
    if not isinstance(values or {}, dict):
        raise AvatarError(f"{path}: expected keys such as 'states:'.")
    try:
        return AvatarFile.model_validate(values or {})
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].lower()}"
            for item in error.errors()[:5]
        )
        raise AvatarError(
            f"{path}: {found}.", "Valid keys: name, states, actions, size, fps."
        ) from None


def _from_file(
    folder: Path, content: AvatarFile, path: Path, settings: AvatarSettings
) -> AvatarSpec:
    if REST_STATE not in content.states:
        raise AvatarError(
            f"{path}: states: there is no '{REST_STATE}'.",
            "Name the clips that play while the avatar is silent, e.g. states: {idle: [idle.mp4]}.",
        )
    both = sorted(set(content.states) & set(content.actions))
    if both:
        raise AvatarError(f"{path}: '{both[0]}' is both a state and an action.")
    changes = {"size": content.size, "fps": content.fps}
    values = settings.model_dump() | {k: v for k, v in changes.items() if v is not None}
    try:
        own = AvatarSettings.model_validate(values)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise AvatarError(f"{path}: size or fps: {message}.") from None
    return AvatarSpec(
        id=folder.name,
        name=content.name or folder.name,
        states={
            state: tuple(_inside(folder, clip, path) for clip in clips)
            for state, clips in content.states.items()
        },
        actions={name: _inside(folder, clip, path) for name, clip in content.actions.items()},
        encoding=Encoding.from_settings(own),
    )


def _inside(folder: Path, clip: str, described: Path) -> Path:
    path = (folder / clip).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise AvatarError(
            f"{described}: the clip {clip!r} is outside the avatar's folder.",
            "Copy it into the folder.",
        )
    return path
