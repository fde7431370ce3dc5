"""Small stand-ins and material that several tests share."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from engine.avatar import encode
from engine.avatar.pack import EncodedPictures, Pack, PackedClip
from engine.avatar.spec import AvatarSpec, Encoding


class FakeClock:
    """A clock that moves only when told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def encoding(**changes: object) -> Encoding:
    """A small, fast encoding."""
    values: dict[str, object] = {
        "size": (64, 64),
        "fps": Fraction(25),
        "crf": 28,
        "max_bitrate": 4_000_000,
        "keyframe_seconds": 0.48,
        "codecs": ("H264", "VP8"),
        "max_clip_seconds": 60.0,
    }
    return Encoding(**(values | changes))  # type: ignore[arg-type]


def flat_clip(path: Path, brightness: int, seconds: float = 1.0, fps: int = 25) -> Path:
    """Write a clip of one grey whose left column carries the picture's number as brightness."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "18", "preset": "fast"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(round(seconds * fps)):
            picture = np.full((64, 64, 3), brightness, np.uint8)
            picture[:, :8] = (number * 4) % 256
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def clip_layout(
    counts: Mapping[str, Sequence[int]],
    actions: Mapping[str, int] | None = None,
    interval: int = 11,
) -> tuple[PackedClip, ...]:
    """Lay out clips of the given numbers of pictures, as the compiler does."""
    clips: list[PackedClip] = []
    first = 0
    wanted = [(state, None, n) for state, numbers in counts.items() for n in numbers]
    wanted += [(None, name, n) for name, n in (actions or {}).items()]
    for state, action, count in wanted:
        keyframes = tuple(first + k for k in range(0, count, interval) if k == 0 or k < count - 1)
        name = f"{state or action}-{first}.mp4"
        clips.append(PackedClip(name, state, action, first, count, keyframes))
        first += count
    return tuple(clips)


def bare_pack(
    counts: Mapping[str, Sequence[int]],
    actions: Mapping[str, int] | None = None,
    fps: Fraction = Fraction(25),
) -> Pack:
    """A pack whose access units are only numbers: for logic that never decodes."""
    clips = clip_layout(counts, actions)
    total = sum(clip.count for clip in clips)
    units = tuple(b"\0\0\0\1\x65" + bytes([n % 255 + 1]) for n in range(total))
    codecs = {"H264": EncodedPictures("H264", "42c01f", units)}
    return Pack("0" * 32, (64, 64), fps, clips, codecs, b"")


def grey_pack(levels: Mapping[str, int], seconds: float = 1.0, **changes: object) -> Pack:
    """A real, decodable pack: each state is one grey."""
    settings = encoding(**changes)
    count = round(seconds * float(settings.fps))
    clips = clip_layout({state: [count] for state in levels})
    encoders = [encode.ENCODERS[codec](settings) for codec in settings.codecs]
    width, height = settings.size
    for clip, level in zip(clips, levels.values(), strict=True):
        for number in range(count):
            image = np.full((height, width, 3), level, np.uint8)
            image[:8, :8] = (number * 9) % 256
            for encoder in encoders:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                picture = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
                encoder.add(picture, clip.first + number in clip.keyframes)
    return Pack(
        key="f" * 32,
        size=settings.size,
        fps=settings.fps,
        clips=clips,
        codecs={encoder.codec: encoder.finish() for encoder in encoders},
        poster=b"\xff\xd8\xff\xd9",
    )


def spec(
    states: Mapping[str, Sequence[Path]], avatar_id: str = "test", **changes: object
) -> AvatarSpec:
    """An avatar made of clips, with a small encoding."""
    return AvatarSpec(
        id=avatar_id,
        name=avatar_id,
        states={state: tuple(paths) for state, paths in states.items()},
        actions={},
        encoding=encoding(**changes),
    )
