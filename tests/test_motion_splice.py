"""Encoding graphs: bridges go on from their exit pictures."""

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext

from engine.errors import PackError
from engine.motion.building import link
from engine.motion.graph import Jump, MotionGraph
from engine.motion.nodes import ClipSource, PreparedClip
from engine.motion.routes import Routes
from engine.motion.splice import SplicedPictures, encode_graph
from engine.motion.trials import render
from engine.motion.walk import GraphWalk
from tests.motion_clips import FPS, SETTINGS, SIDE, Picture, prepared, source, swaying

CAUSAL = "keyint=infinite:scenecut=0:rc-lookahead=0:sync-lookahead=0:mbtree=0"
LIMIT = 12


def _encoded(pictures: Sequence[Picture], library: str, options: dict[str, str]) -> list[bytes]:
    context = av.CodecContext.create(library, "w")
    assert isinstance(context, VideoCodecContext)
    context.width = context.height = SIDE
    context.pix_fmt = "yuv420p"
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.thread_count = 1
    context.options = options
    units = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="yuv420p")
        frame.pts, frame.time_base = number, context.time_base
        units += [bytes(packet) for packet in context.encode(frame)]
    return units + [bytes(packet) for packet in context.encode(None)]


def _h264(pictures: Sequence[Picture]) -> list[bytes]:
    options = {"preset": "veryfast", "profile": "baseline", "crf": "20", "x264-params": CAUSAL}
    return _encoded(pictures, "libx264", options)


def _vp8(pictures: Sequence[Picture]) -> list[bytes]:
    options = {"deadline": "good", "cpu-used": "4", "crf": "8", "b": "2M", "lag-in-frames": "0"}
    return _encoded(pictures, "libvpx", options | {"auto-alt-ref": "0"})


class _Built:
    def __init__(self) -> None:
        self.sources: list[ClipSource] = [
            source("idle", swaying(50, width=4.0)),
            source("gesture", swaying(50, width=8.0)),
        ]
        self.clips: list[PreparedClip] = prepared(*self.sources)
        self.graph: MotionGraph = link(self.clips, SETTINGS)
        self.bridges = {j: render(j, self.clips, self.sources) for j in self.graph.jumps}

    def picture(self, clip: int, index: int) -> Picture:
        return self.sources[clip].pictures[index]

    def bridge(self, jump: Jump) -> list[Picture]:
        return self.bridges[jump]

    def all_pictures(self) -> list[Picture]:
        own = [self.picture(*place) for place in self.graph.numbering().pictures()]
        return own + [p for jump in self.graph.jumps for p in self.bridges[jump]]


@pytest.fixture(scope="module")
def avatar() -> _Built:
    return _Built()


def _played(avatar: _Built, spliced: SplicedPictures, codec: str) -> tuple[list[float], int]:
    """Play with changes of state; return the decoded pictures' errors and the longest gap."""
    pictures = avatar.all_pictures()
    routes = Routes(avatar.graph, FPS, SETTINGS.exit_spacing, spliced.keyframes)
    walk = GraphWalk(routes, 1)
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1
    errors, longest, gap = [], 0, 0
    for number in range(600):
        if number % 17 == 16:
            walk.request("gesture" if walk.state == "idle" else "idle")
        step = walk.next()
        gap = 0 if step.keyframe else gap + 1
        longest = max(longest, gap)
        for frame in decoder.decode(av.Packet(spliced.access_units[step.index])):
            shown = frame.to_ndarray(format="yuv420p").astype(float)
            errors.append(float(np.sqrt(((shown - pictures[step.index]) ** 2).mean())))
    return errors, longest


@pytest.mark.parametrize(("encode", "codec"), [(_h264, "h264"), (_vp8, "vp8")])
def test_every_way_through_the_graph_decodes_to_its_pictures(
    avatar: _Built, encode: object, codec: str
) -> None:
    assert callable(encode)
    spliced = encode_graph(avatar.graph, avatar.picture, avatar.bridge, encode, LIMIT)
    assert len(spliced.access_units) == avatar.graph.numbering().count
    errors, longest = _played(avatar, spliced, codec)
    assert len(errors) == 600
    assert max(errors) < 6.0
    assert longest <= LIMIT


def test_bridges_cost_less_than_with_keyframes(avatar: _Built) -> None:
    first = avatar.graph.numbering().bridges[0]
    sizes = []
    for limit in (LIMIT, 0):
        spliced = encode_graph(avatar.graph, avatar.picture, avatar.bridge, _h264, limit)
        sizes.append(sum(map(len, spliced.access_units[first:])))
    assert sizes[0] < 0.8 * sizes[1]


def test_an_encoder_that_looks_ahead_is_found_out(avatar: _Built) -> None:
    def looking_ahead(pictures: Sequence[Picture]) -> list[bytes]:
        return [bytes([len(pictures), number]) for number in range(len(pictures))]

    with pytest.raises(PackError, match="looks ahead"):
        encode_graph(avatar.graph, avatar.picture, avatar.bridge, looking_ahead, LIMIT)
