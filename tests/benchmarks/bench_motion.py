"""Loops and transitions, measured: the motion graph against playing clips one after the other.

The clips are the shared ones, the demo avatar's, and a pair with a cut in it; those that are absent
are left out.
"""

import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext

from engine.clips import normalise
from engine.motion.bridges import Picture, sharpness
from engine.motion.building import link
from engine.motion.features import FaceFinder, PictureFile, small_grey, step
from engine.motion.graph import Jump, MotionGraph, MotionSettings
from engine.motion.nodes import ClipSource, PreparedClip, prepare
from engine.motion.routes import Routes
from engine.motion.splice import encode_graph
from engine.motion.trials import render
from engine.motion.walk import GraphWalk
from engine.yunet import make_yunet
from tests.benchmarks.table import Row

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
DETECTOR = SHARED / "models" / "yunet_n_dynamic.onnx"
FPS = 25
SEEDS = 20
CHANGE_SECONDS = 2
SETTINGS = MotionSettings(keyframe_interval=10)
KEYFRAME_LIMIT = 12
PLAIN_CRF = 21
# Without look-ahead x264 needs a rate factor 3 higher for the same structural similarity.
PACK_CRF = PLAIN_CRF + 3


@dataclass
class Avatar:
    """One pair of clips and what was made of it."""

    clips: list[ClipSource]
    prepared: list[PreparedClip]
    graph: MotionGraph
    bridges: dict[Jump, list[Picture]]
    seconds: dict[str, float]

    @property
    def natural(self) -> float:
        return max(clip.node.natural_step for clip in self.prepared)


def cases() -> Iterator[tuple[str, Path, bool]]:
    """Yield name, folder and whether a cut is made in the idle clip."""
    yield "shared", SHARED / "media" / "avatar", False
    yield "demo", ROOT / "videos" / "demo", False
    yield "cut", SHARED / "media" / "avatar", True


def read(path: Path, file: Any, cut: bool) -> PictureFile:
    preparation = normalise.Preparation(size=(512, 512), fps=Fraction(FPS), max_seconds=20.0)
    pictures = None
    for number, frame in enumerate(normalise.pictures(path, preparation)):
        if cut and 50 <= number < 140:
            continue
        picture = np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)
        pictures = pictures or PictureFile(file, picture.shape)
        pictures.append(picture)
    assert pictures is not None
    return pictures


def build(folder: Path, scratch: Path, cut: bool, faces: FaceFinder | None) -> Avatar:
    clips, seconds = [], {}
    for name in ("idle", "gesture"):
        file = (scratch / name).open("w+b")
        pictures = read(folder / f"{name}.mp4", file, cut and name == "idle")
        clips.append(ClipSource(name, name, None, f"{folder}/{name}/{cut}", pictures))
    start = time.process_time()
    prepared = [prepare(clip, FPS, SETTINGS, faces) for clip in clips]
    seconds["prepare"] = time.process_time() - start
    start = time.process_time()
    graph = link(prepared, SETTINGS, faces)
    seconds["link"] = time.process_time() - start
    start = time.process_time()
    bridges = {jump: render(jump, prepared, clips) for jump in graph.jumps}
    seconds["render"] = time.process_time() - start
    return Avatar(clips, prepared, graph, bridges, seconds)


def measure(name: str, folder: Path, cut: bool) -> dict[str, Any]:
    faces = FaceFinder(DETECTOR) if DETECTOR.is_file() else None
    with tempfile.TemporaryDirectory() as scratch:
        avatar = build(folder, Path(scratch), cut, faces)
        start = time.process_time()
        ratio = size_ratio(avatar)
        avatar.seconds["encode"] = time.process_time() - start
        result: dict[str, Any] = {
            "case": name,
            "pictures": [len(clip.pictures) for clip in avatar.clips],
            "jumps": dict(Counter(str(jump.kind) for jump in avatar.graph.jumps)),
            "bridge_pictures": sum(jump.length for jump in avatar.graph.jumps),
            "natural_step": [clip.node.natural_step for clip in avatar.prepared],
            "graph": seams(avatar, naive=False),
            "naive": seams(avatar, naive=True),
            "sharpness": sharpnesses(avatar),
            "latency_pictures": latencies(avatar),
            "repeats": {"graph": repeats(avatar, False), "naive": repeats(avatar, True)},
            "size_ratio": ratio,
            "cpu_seconds": {key: round(value, 1) for key, value in avatar.seconds.items()},
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "warnings": list(avatar.graph.warnings),
        }
        if faces is not None:
            result["faces"] = face_figures(avatar)
        for clip in avatar.clips:
            clip.pictures._file.close()  # type: ignore[attr-defined]
    return result


class NaivePlay:
    """Each clip from its first picture to its last; a change cuts to the other's first."""

    def __init__(self, counts: Sequence[int]) -> None:
        self._counts = counts
        self._place = (0, -1)
        self._clip = 0

    def request(self, clip: int) -> None:
        self._clip = clip

    def next(self) -> tuple[int, int]:
        clip, picture = self._place
        again = clip != self._clip or picture + 1 == self._counts[clip]
        self._place = (self._clip, 0) if again else (clip, picture + 1)
        return self._place


def play(avatar: Avatar, seed: int, seconds: int, naive: bool, change: bool) -> Iterator[Any]:
    """Yield, for each picture, (key, small grey picture's maker, whether it follows a seam)."""
    numbering = avatar.graph.numbering()
    places = list(numbering.pictures())
    if naive:
        walk: Any = NaivePlay([len(clip.pictures) for clip in avatar.clips])
    else:
        walk = GraphWalk(Routes(avatar.graph, FPS, SETTINGS.exit_spacing, frozenset()), seed)
    chance = random.Random(seed)
    phase = chance.randrange(FPS)
    state = 0
    for number in range(seconds * FPS):
        if change and number and (number + phase) % (CHANGE_SECONDS * FPS) == 0:
            state = 1 - state
            walk.request(state if naive else ("idle", "gesture")[state])
        if naive:
            yield walk.next()
        else:
            index = walk.next().index
            yield places[index] if index < len(places) else index


def seams(avatar: Avatar, naive: bool) -> dict[str, float]:
    numbering = avatar.graph.numbering()
    small: dict[Any, Any] = {
        (number, picture): clip.features.grey[picture]
        for number, clip in enumerate(avatar.prepared)
        for picture in range(len(clip.features))
    }
    for first, jump in zip(numbering.bridges, avatar.graph.jumps, strict=True):
        for offset, picture in enumerate(avatar.bridges[jump]):
            small[first + offset] = small_grey(picture)
    ratios = []
    for seed in range(SEEDS):
        before: Any = None
        largest = 0.0
        for key in play(avatar, seed, 60, naive, change=True):
            if before is not None and not _follows(before, key):
                largest = max(largest, step(small[before], small[key]) / avatar.natural)
            if largest and isinstance(key, tuple):
                ratios.append(largest)
                largest = 0.0
            before = key
    return {
        "seams": len(ratios),
        "median": float(np.median(ratios)),
        "p95": float(np.percentile(ratios, 95)),
        "largest": float(np.max(ratios)),
    }


def _follows(before: Any, after: Any) -> bool:
    whole = isinstance(before, tuple) and isinstance(after, tuple)
    return whole and before[0] == after[0] and after[1] == before[1] + 1


def sharpnesses(avatar: Avatar) -> dict[str, float]:
    shares: list[float] = []
    for jump, bridge in avatar.bridges.items():
        ends = (
            avatar.prepared[jump.source].features.sharpness[jump.exit]
            + avatar.prepared[jump.target].features.sharpness[jump.entry]
        ) / 2
        shares.extend(sharpness(picture) / float(ends) for picture in bridge)
    return {"smallest": min(shares), "median": float(np.median(shares))}


def latencies(avatar: Avatar) -> dict[str, int]:
    """Pictures from a request to the first changed one: for all places, and for random moments."""
    graph = avatar.graph
    exits = {(jump.source, graph.clips[jump.target].group, jump.exit) for jump in graph.jumps}
    worst = 0
    for number, clip in enumerate(graph.clips):
        for group in graph.groups:
            for part in clip.parts if group != clip.group else ():
                for picture in range(part.start, part.stop):
                    waits = (w for w in range(99) if (number, group, picture + w) in exits)
                    worst = max(worst, next(waits) + 1)
    seen: Counter[int] = Counter()
    chance = random.Random(1)
    walk = GraphWalk(Routes(graph, FPS, SETTINGS.exit_spacing, frozenset()), 1)
    for _ in range(500):
        for _ in range(chance.randrange(20, 80)):
            walk.next()
        walk.request("gesture" if walk.state == "idle" else "idle")
        wait = 1
        while walk.next().state != walk.state:
            wait += 1
        seen[wait] += 1
    return {"from_any_clip_picture": worst, "played_worst": max(seen), **{
        f"played_{wait}": count for wait, count in sorted(seen.items())
    }}  # fmt: skip


def repeats(avatar: Avatar, naive: bool) -> int:
    """How often the most frequent 3 s of idle come in 10 minutes."""
    pictures = list(play(avatar, 5, 600, naive, change=False))
    window = 3 * FPS
    windows = Counter(tuple(pictures[at : at + window]) for at in range(len(pictures) - window))
    return max(windows.values())


def face_figures(avatar: Avatar) -> dict[str, float]:
    """Scores and landmarks of the largest face, found in colour at full size."""
    drops: list[float] = []
    back: list[float] = []
    for jump, bridge in avatar.bridges.items():
        row = [
            avatar.clips[jump.source].pictures[jump.exit],
            *bridge,
            avatar.clips[jump.target].pictures[jump.entry],
        ]
        found = [face_of(picture) for picture in row]
        if found[0] is None or found[-1] is None:
            continue
        ends = min(found[0][0], found[-1][0])
        drops.extend(ends - (0.0 if face is None else face[0]) for face in found[1:-1])
        marks = np.array([face[1] for face in found if face is not None]).mean(axis=1)
        way = marks[-1] - marks[0]
        along = marks @ way / max(float(np.linalg.norm(way)), 1e-6)
        back.append(float(np.max(along[:-1] - along[1:])) / row[0].shape[1])
    if not drops:
        return {}
    return {
        "largest_score_drop": float(max(drops)),
        "step_back_p95_of_width": float(np.percentile(np.maximum(back, 0.0), 95)),
        "step_back_largest_of_width": max([0.0, *back]),
    }


def face_of(picture: Picture) -> tuple[float, Any] | None:
    image = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_YUV2BGR_I420)
    size = (image.shape[1], image.shape[0])
    _, faces = make_yunet(DETECTOR, size, 0.3, most=20).detect(image)
    if faces is None or not len(faces):
        return None
    face = max(faces, key=lambda row: float(row[2] * row[3]))
    return float(face[14]), np.asarray(face[4:14]).reshape(5, 2)


def size_ratio(avatar: Avatar) -> float:
    spliced = encode_graph(
        avatar.graph,
        lambda clip, picture: avatar.clips[clip].pictures[picture],
        lambda jump: avatar.bridges[jump],
        lambda pictures: encoded(pictures, PACK_CRF, ahead=False),
        KEYFRAME_LIMIT,
    )
    plain = 0
    for clip in avatar.clips:
        frames = [clip.pictures[index] for index in range(len(clip.pictures))]
        plain += sum(map(len, encoded(frames, PLAIN_CRF, ahead=True)))
    return sum(map(len, spliced.access_units)) / plain


def encoded(pictures: Sequence[Picture], crf: int, ahead: bool) -> list[bytes]:
    """Encode by x264, constrained baseline; ``ahead`` as anyone would, else causally."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, VideoCodecContext)
    context.height, context.width = pictures[0].shape[0] * 2 // 3, pictures[0].shape[1]
    context.pix_fmt = "yuv420p"
    context.time_base, context.framerate = Fraction(1, FPS), Fraction(FPS)
    context.thread_count = 1
    causal = "keyint=infinite:scenecut=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:ref=2"
    context.options = {"preset": "medium", "crf": str(crf)} | (
        {} if ahead else {"x264-params": causal}
    )
    context.profile = "Baseline"
    units: list[bytes] = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="yuv420p")
        frame.pts, frame.time_base = number, context.time_base
        units.extend(bytes(packet) for packet in context.encode(frame))
    units.extend(bytes(packet) for packet in context.encode(None))
    return units


@dataclass(frozen=True)
class Measure:
    """One line of a case's table: a figure, the naive player's, and what it must reach."""

    what: str
    value: Callable[[dict[str, Any]], float | None]
    naive: Callable[[dict[str, Any]], float] | None = None
    most: float | None = None
    least: float | None = None
    form: str = ".2f"

    def row(self, case: str, result: dict[str, Any]) -> Row:
        value = self.value(result)
        if value is None:
            return Row(f"{case}: {self.what}", "no face")
        text = format(value, self.form)
        if self.naive is not None:
            text += f" (naive {format(self.naive(result), self.form)})"
        if self.most is not None:
            return Row(f"{case}: {self.what}", text, f"<= {self.most:g}", value <= self.most)
        if self.least is not None:
            return Row(f"{case}: {self.what}", text, f">= {self.least:g}", value >= self.least)
        return Row(f"{case}: {self.what}", text)


def _at(*path: str) -> Callable[[dict[str, Any]], Any]:
    def find(result: dict[str, Any]) -> Any:
        value: Any = result
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    return find


MEASURES = (
    Measure("largest step, 95% of the seams", _at("graph", "p95"), _at("naive", "p95"), 1.0),
    Measure("largest step, all seams", _at("graph", "largest"), _at("naive", "largest"), 1.3),
    Measure("smallest sharpness of a bridge", _at("sharpness", "smallest"), least=0.8),
    Measure("largest drop of the face's score", _at("faces", "largest_score_drop"), most=0.1,
            form=".3f"),
    Measure("landmarks' way back, p95, share of the width", _at("faces", "step_back_p95_of_width"),
            form=".4f"),
    Measure("pictures until a switch begins", _at("latency_pictures", "from_any_clip_picture"),
            most=3, form=".0f"),
    Measure("the same as played, bridges included", _at("latency_pictures", "played_worst"),
            form=".0f"),
    Measure("most often seen 3 s of idle in 10 min", _at("repeats", "graph"),
            _at("repeats", "naive"), 3, form=".0f"),
    Measure("CPU seconds to compile", lambda r: sum(r["cpu_seconds"].values()), most=60,
            form=".0f"),
    Measure("peak memory, MB", _at("peak_mb"), most=1000, form=".0f"),
    Measure("size against the clips encoded plainly", _at("size_ratio"), most=3),
)  # fmt: skip


def run(quick: bool = False) -> list[Row]:
    """Measure all cases whose clips are there; ``quick`` takes the first."""
    cv2.setNumThreads(1)
    there = [case for case in cases() if (case[1] / "idle.mp4").is_file()]
    rows: list[Row] = []
    for name, folder, cut in there[:1] if quick else there:
        result = measure(name, folder, cut)
        rows += [measured.row(name, result) for measured in MEASURES]
    return rows
