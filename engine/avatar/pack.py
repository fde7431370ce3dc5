"""The pack: a compiled avatar in one file, read whole and checked before use.

Layout: the magic line, the header's length (u32, big-endian), the header (JSON), the poster, the
access units of each codec in the header's order, and a SHA-256 of everything before it.
"""

import errno
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from engine.errors import PackError
from engine.motion.graph import MotionGraph

MAGIC = b"avatar-server pack 2\n"
_LENGTH = struct.Struct(">I")
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class PackedClip:
    """A clip's place in the pack.

    Attributes:
        name: The file's name, for people.
        state: The state it belongs to, or None for an action's clip.
        action: The action it is, or None.
        first: Number of its first picture within the pack.
        count: How many pictures it has, at least two.
        keyframes: Numbers (within the pack) of its keyframes; the first picture is one.
    """

    name: str
    state: str | None
    action: str | None
    first: int
    count: int
    keyframes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EncodedPictures:
    """All pictures of a pack in one codec.

    Attributes:
        codec: ``H264`` (Annex B access units, parameter sets before each keyframe) or ``VP8``.
        profile_level_id: The three bytes of H.264's sequence parameter set as six hexadecimal
            digits, as SDP wants them; empty for VP8.
        access_units: One per picture, in the pack's numbering.
    """

    codec: str
    profile_level_id: str
    access_units: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PackedGraph:
    """How the pictures of a pack may follow one another, beyond the order of the clips.

    Attributes:
        graph: Its pictures have the numbers of ``graph.numbering()``.
        keyframes: Numbers of all pictures at which a decoder can start.
        spacing: Pictures within which a change of state begins.
    """

    graph: MotionGraph
    keyframes: frozenset[int]
    spacing: int


@dataclass(frozen=True, slots=True)
class Pack:
    """A compiled avatar.

    Attributes:
        key: Names the content of clips and settings that it was compiled from.
        size: (width, height) in pixels.
        fps: Pictures per second, exact.
        clips: All clips; their pictures follow one another without gaps.
        codecs: Encoded pictures by codec name.
        poster: The first picture of the first clip as JPEG.
        graph: Loops and transitions, or None where clips follow one another by hard cuts.
    """

    key: str
    size: tuple[int, int]
    fps: Fraction
    clips: tuple[PackedClip, ...]
    codecs: Mapping[str, EncodedPictures]
    poster: bytes
    graph: PackedGraph | None = None

    @property
    def seconds(self) -> float:
        """Playing time of all clips together."""
        return float(sum(clip.count for clip in self.clips) / self.fps)


def write(pack: Pack, path: Path) -> None:
    """Write a pack atomically: readers see the whole file or none.

    Raises:
        PackError: The folder cannot be written, or the disk is full. Nothing is left behind.
    """
    blobs = [pack.poster]
    for pictures in pack.codecs.values():
        blobs.extend(pictures.access_units)
    header = json.dumps(_header(pack), separators=(",", ":")).encode()
    digest = hashlib.sha256()
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}-", delete=False
        ) as file:
            temporary = Path(file.name)
            for chunk in (MAGIC, _LENGTH.pack(len(header)), header, *blobs):
                digest.update(chunk)
                file.write(chunk)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        hint = (
            "Free some space and start again."
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "Check avatars.cache and its permissions."
        )
        raise PackError(f"The pack {path} cannot be written: {error.strerror}.", hint) from error


def read(path: Path) -> Pack:
    """Read a pack and check that it is whole.

    Raises:
        PackError: The file is missing, damaged or of another version.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PackError(f"The pack {path} cannot be read: {error.strerror}.") from error
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if not body.startswith(MAGIC):
        raise PackError(f"{path} is not a pack of this version.")
    if hashlib.sha256(body).digest() != digest:
        raise PackError(f"The pack {path} is damaged.")
    start = len(MAGIC) + _LENGTH.size
    (length,) = _LENGTH.unpack_from(body, len(MAGIC))
    try:
        header = json.loads(body[start : start + length])
        return _from_header(header, body, start + length)
    except (ValueError, KeyError, TypeError) as error:
        raise PackError(f"The pack {path} has a wrong header: {error}.") from error


def _header(pack: Pack) -> dict[str, Any]:
    return {
        "key": pack.key,
        "size": list(pack.size),
        "fps": [pack.fps.numerator, pack.fps.denominator],
        "poster": len(pack.poster),
        "clips": [
            {
                "name": clip.name,
                "state": clip.state,
                "action": clip.action,
                "first": clip.first,
                "count": clip.count,
                "keyframes": list(clip.keyframes),
            }
            for clip in pack.clips
        ],
        "codecs": [
            {
                "codec": pictures.codec,
                "profile_level_id": pictures.profile_level_id,
                "sizes": [len(unit) for unit in pictures.access_units],
            }
            for pictures in pack.codecs.values()
        ],
        "graph": pack.graph
        and {
            "motion": pack.graph.graph.to_json(),
            "keyframes": sorted(pack.graph.keyframes),
            "spacing": pack.graph.spacing,
        },
    }


def _from_header(header: dict[str, Any], body: bytes, offset: int) -> Pack:
    poster = body[offset : offset + header["poster"]]
    offset += header["poster"]
    codecs = {}
    for entry in header["codecs"]:
        ends = list(accumulate(entry["sizes"], initial=offset))
        codecs[entry["codec"]] = EncodedPictures(
            codec=entry["codec"],
            profile_level_id=entry["profile_level_id"],
            access_units=tuple(body[start:end] for start, end in pairwise(ends)),
        )
        offset = ends[-1]
    if offset != len(body):
        raise ValueError("sizes do not add up")
    graph = header["graph"]
    return Pack(
        key=header["key"],
        size=(header["size"][0], header["size"][1]),
        fps=Fraction(*header["fps"]),
        clips=tuple(
            PackedClip(**{**clip, "keyframes": tuple(clip["keyframes"])})
            for clip in header["clips"]
        ),
        codecs=codecs,
        poster=poster,
        graph=graph
        and PackedGraph(
            MotionGraph.from_json(graph["motion"]), frozenset(graph["keyframes"]), graph["spacing"]
        ),
    )
