"""Compiling an avatar's motion graph: a second pack, with loops and transitions nobody sees.

It takes several times as long as the plain pack (``compile.py``), which plays meanwhile. It is made
in H.264 only; viewers without it play the plain pack.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from math import floor
from pathlib import Path

import av
import numpy as np

from engine.avatar import encode
from engine.avatar.compile import Progress, pack_key, part
from engine.avatar.pack import EncodedPictures, Pack, PackedClip, PackedGraph
from engine.avatar.spec import AvatarSpec, Encoding
from engine.clips import info, normalise
from engine.errors import ClipChanged
from engine.motion.building import link
from engine.motion.features import FaceFinder, PictureFile
from engine.motion.graph import MotionGraph, MotionSettings
from engine.motion.nodes import ClipSource, PreparedClip, prepare
from engine.motion.pair_cache import PairCache
from engine.motion.splice import SplicedPictures, encode_graph
from engine.motion.trials import render

_READ, _LOOK, _LINK = 0.08, 0.12, 0.42
"""Shares of the work that are done after reading, looking at and linking the clips."""


def compile_graph(
    spec: AvatarSpec,
    settings: MotionSettings,
    scratch: Path,
    face_model: Path | None = None,
    on_progress: Progress = lambda _: None,
) -> Pack:
    """Find loops and transitions, make their bridges, encode everything.

    Args:
        spec: The avatar.
        settings: The ``motion`` section.
        scratch: An existing folder for the decoded pictures (about 0.4 MB for each at 512x512,
            gone afterwards) and for what was found out about pairs of clips (kept).
        face_model: YuNet in ONNX form; bridges are aligned by faces where it is given.
        on_progress: Takes how much is done.

    Raises:
        ClipError: A clip cannot be used.
        ClipChanged: A clip changed on disk meanwhile.
    """
    key = pack_key(spec)
    own = settings.model_copy(update={"keyframe_interval": _keyframe_interval(spec.encoding)})
    fps = float(spec.encoding.fps)
    faces = FaceFinder(face_model) if face_model is not None else None
    with ExitStack() as stack:
        sources = list(_read(spec, scratch, stack, lambda done: on_progress(_READ * done)))
        prepared = []
        for number, source in enumerate(sources):
            prepared.append(prepare(source, fps, own, faces))
            on_progress(_READ + (_LOOK - _READ) * (number + 1) / len(sources))
        graph = _link(prepared, own, faces, PairCache(scratch / "pairs"))
        on_progress(_LINK)
        spliced = encode_graph(
            graph,
            picture=lambda clip, index: sources[clip].pictures[index],
            bridge=lambda jump: render(jump, prepared, sources),
            encode=lambda pictures: _encode(pictures, spec.encoding),
            keyframe_limit=floor(spec.encoding.keyframe_seconds * spec.encoding.fps),
            on_progress=lambda done: on_progress(_LINK + (1 - _LINK) * done),
        )
        poster = encode.poster(_frame(sources[0].pictures[graph.clips[0].parts[0].start]))
    if pack_key(spec) != key:
        raise ClipChanged(f"A clip of the avatar '{spec.id}' changed while it was being compiled.")
    on_progress(1.0)
    return _pack(key, spec, graph, spliced, poster, settings.exit_spacing)


def _link(
    prepared: Sequence[PreparedClip],
    settings: MotionSettings,
    faces: FaceFinder | None,
    cache: PairCache,
) -> MotionGraph:
    if faces is not None:
        # A detector serves one thread only.
        return link(prepared, settings, faces, cache=cache)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return link(prepared, settings, mapper=pool.map, cache=cache)


def _keyframe_interval(encoding: Encoding) -> int:
    """Return the pictures from keyframe to keyframe.

    Two less than the settings allow: a bridge goes on from the pictures before it without a
    keyframe of its own.
    """
    return max(4, floor(encoding.keyframe_seconds * encoding.fps) - 2)


def _read(
    spec: AvatarSpec, scratch: Path, stack: ExitStack, on_progress: Progress
) -> Iterator[ClipSource]:
    places: list[tuple[str | None, str | None, Path]] = [
        *((state, None, path) for state, paths in spec.states.items() for path in paths),
        *((None, action, path) for action, path in spec.actions.items()),
    ]
    encoding = spec.encoding
    preparation = normalise.Preparation(
        size=encoding.size, fps=encoding.fps, max_seconds=encoding.max_clip_seconds
    )
    shape = (encoding.size[1] * 3 // 2, encoding.size[0])
    normalised = f"{encoding.size} {encoding.fps} {encoding.max_clip_seconds}"
    for number, (state, action, path) in enumerate(places):
        file = stack.enter_context(tempfile.TemporaryFile(dir=scratch))  # noqa: SIM115
        pictures = PictureFile(file, shape)
        for frame in normalise.pictures(path, preparation, part(on_progress, number, len(places))):
            pictures.append(np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8))
        yield ClipSource(
            path.name, state, action, f"{info.fingerprint(path)} {normalised}", pictures
        )


def _encode(pictures: Sequence[np.ndarray], encoding: Encoding) -> Sequence[bytes]:
    encoder = encode.CausalH264(encoding)
    for number, picture in enumerate(pictures):
        encoder.add(_frame(picture), keyframe=number == 0)
    return encoder.finish().access_units


def _frame(picture: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture, format="yuv420p")


def _pack(
    key: str,
    spec: AvatarSpec,
    graph: MotionGraph,
    spliced: SplicedPictures,
    poster: bytes,
    spacing: int,
) -> Pack:
    clips = []
    for number, stretch, first in graph.numbering().parts:
        node = graph.clips[number]
        keyframes = tuple(first + k - stretch.start for k in node.keyframes if k in stretch)
        clips.append(PackedClip(node.name, node.state, node.action, first, len(stretch), keyframes))
    profile = encode.profile_level_id(spliced.access_units)
    h264 = EncodedPictures("H264", profile, spliced.access_units)
    return Pack(
        key=key,
        size=spec.encoding.size,
        fps=spec.encoding.fps,
        clips=tuple(clips),
        codecs={"H264": h264},
        poster=poster,
        graph=PackedGraph(graph, spliced.keyframes, spacing),
    )
