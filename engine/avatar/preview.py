"""What a viewer of an avatar would see, as pictures or as an MP4 file.

The pictures come out of a pack as they would be sent: a walk names them one after the other, in
the same order for the same seed.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from random import Random

import av
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from engine.avatar.pack import EncodedPictures, Pack
from engine.avatar.walks import WalkMaker
from engine.avatar.written import OutputNotWritten, written_whole
from engine.motion.step import REST_STATE, Step

_DECODERS = {"H264": "h264", "VP8": "vp8"}
_SOONEST, _LATEST = 2.0, 6.0
_ACTION_CHANCE = 0.3

Changes = Mapping[int, str]
"""States and actions to request, by the number of the picture before which that happens."""


def random_changes(pack: Pack, seconds: float, seed: int) -> Changes:
    """Draw a change every 2 to 6 seconds, to another state or now and then to an action.

    Packs of the same avatar get the same changes, with a motion graph or without.
    """
    chance = Random(seed)
    states = sorted({clip.state for clip in pack.clips if clip.state is not None})
    actions = sorted({clip.action for clip in pack.clips if clip.action is not None})
    changes: dict[int, str] = {}
    state, second = REST_STATE, chance.uniform(_SOONEST, _LATEST)
    while second < seconds:
        others = [name for name in states if name != state]
        if actions and (not others or chance.random() < _ACTION_CHANCE):
            name = chance.choice(actions)
        elif others:
            name = state = chance.choice(others)
        else:
            break
        changes[round(second * pack.fps)] = name
        second += chance.uniform(_SOONEST, _LATEST)
    return changes


def walked(pack: Pack, seconds: float, seed: int, changes: Changes) -> Iterator[Step]:
    """Yield what is played, ``seconds`` times the pack's rate of pictures."""
    walk = WalkMaker().make(pack, seed)
    for number in range(round(seconds * pack.fps)):
        if number in changes:
            walk.request(changes[number])
        yield walk.next()


def viewed(
    pack: Pack, seconds: float, seed: int, changes: Changes
) -> Iterator[tuple[Step, av.VideoFrame]]:
    """Yield what is played together with its decoded pictures.

    The pictures are yuv420p, BT.709, of the pack's size, at even timestamps from 0.

    Args:
        pack: With a motion graph or without.
        seconds: How long to play.
        seed: Of the walk.
        changes: What to request meanwhile.
    """
    waiting: deque[Step] = deque()

    def units() -> Iterator[bytes]:
        access_units = preferred(pack).access_units
        for step in walked(pack, seconds, seed, changes):
            waiting.append(step)
            yield access_units[step.index]

    for frame in decoded(pack, units()):
        yield waiting.popleft(), frame


def decoded(pack: Pack, units: Iterator[bytes]) -> Iterator[av.VideoFrame]:
    """Decode access units of a pack, the first of which is a keyframe, in one go."""
    context = av.CodecContext.create(_DECODERS[preferred(pack).codec], "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    context.flags |= Flags.low_delay
    time_base = 1 / pack.fps
    for number, unit in enumerate(units):
        packet = av.Packet(unit)
        packet.pts = packet.dts = number
        packet.time_base = time_base
        yield from context.decode(packet)
    yield from context.decode(None)


def write_preview(
    pack: Pack,
    target: Path,
    seconds: float = 60.0,
    seed: int = 1,
    on_progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Write an MP4 file (H.264, no sound) of what a viewer would see.

    The pictures are the pack's own, bit by bit, not encoded anew: the file shows exactly what is
    sent, and is written in a moment.

    Args:
        pack: With a motion graph or without.
        target: The file; it appears when it is whole.
        seconds: How long to play.
        seed: Of the walk and of the changes of state.
        on_progress: Takes how much is done, from 0 to 1.

    Raises:
        OutputNotWritten: It cannot be written there, or the pack has no H.264.
    """
    if target.suffix.lower() not in {".mp4", ".m4v"}:
        raise OutputNotWritten(
            f"'{target}' cannot be written: previews are MP4 files.",
            f"Name it '{target.with_suffix('.mp4').name}'.",
        )
    if "H264" not in pack.codecs:
        raise OutputNotWritten(
            "The avatar has no H.264 pictures, which MP4 files hold.",
            "Add H264 to avatars.codecs.",
        )
    count = round(seconds * pack.fps)
    if count < 1:
        raise OutputNotWritten(f"A preview of {seconds} s shows nothing.", "Ask for some seconds.")
    steps = walked(pack, seconds, seed, random_changes(pack, seconds, seed))
    with written_whole(target) as temporary:
        _mux(pack, temporary, steps, lambda number: on_progress((number + 1) / count))


def _mux(pack: Pack, path: Path, steps: Iterator[Step], on_picture: Callable[[int], None]) -> None:
    units = pack.codecs["H264"].access_units
    # The demuxer reads size, colour and parameter sets from the first keyframe.
    with (
        av.open(BytesIO(units[0]), format="h264") as sample,
        av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container,
    ):
        stream = container.add_stream_from_template(sample.streams.video[0])
        assert isinstance(stream, VideoStream)
        stream.time_base = time_base = Fraction(1 / pack.fps)
        for number, step in enumerate(steps):
            packet = av.Packet(units[step.index])
            packet.stream = stream
            packet.time_base = time_base
            packet.pts = packet.dts = number
            packet.duration = 1
            packet.is_keyframe = step.keyframe
            container.mux(packet)
            on_picture(number)


def preferred(pack: Pack) -> EncodedPictures:
    """Return the pictures in the codec that is offered first: H.264 where there is any."""
    return pack.codecs.get("H264") or next(iter(pack.codecs.values()))
