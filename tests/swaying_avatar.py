"""A small avatar of drawn clips, compiled with a motion graph and without."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np

from engine.avatar.compile import compile_avatar
from engine.avatar.pack import Pack
from engine.avatar.refine import compile_graph
from tests.fakes import spec
from tests.motion_clips import SETTINGS, Picture, drawn, swaying
from tests.motion_clips import SIDE as DRAWN_SIDE

SIDE = 96


@dataclass(frozen=True)
class Packs:
    """What the avatar is compiled into."""

    graph: Pack
    plain: Pack


def compiled(folder: Path) -> Packs:
    """Compile an avatar with an idle clip that does not loop, a gesture and an action."""
    drift = [drawn(float(n) * 0.6 - 14.0) for n in range(48)]
    clips = {
        "idle": written(folder / "idle.mp4", drift),
        "gesture": written(folder / "gesture.mp4", swaying(40)),
        "wave": written(folder / "wave.mp4", swaying(20, width=4.0)),
    }
    states = {state: [clips[state]] for state in ("idle", "gesture")}
    described = replace(
        spec(states, size=(SIDE, SIDE), codecs=("H264",)), actions={"wave": clips["wave"]}
    )
    return Packs(compile_graph(described, SETTINGS, folder), compile_avatar(described))


def written(path: Path, pictures: Iterable[Picture]) -> Path:
    """Write I420 pictures into a clip."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "14", "preset": "fast"})
        stream.pix_fmt = "yuv420p"
        stream.width = stream.height = DRAWN_SIDE
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
