"""Draw the demo avatar's clips: `python videos/demo/draw.py` writes them beside this file.

The clips are committed; this script is only for changing them. Besides NumPy, PyAV and OpenCV it
needs moderngl (`pip install moderngl`) and an EGL driver (on Debian: libegl1 and libgl1-mesa-dri),
which the avatar server itself does not. With Mesa's software driver on two processor cores all
clips take about ten minutes; LP_NUM_THREADS limits the cores it uses.

The figure's shape is in figure.glsl, its materials and lights are in light.glsl; pose.py says what
can move, and motion.py, speech.py and curves.py say how.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from motion import FPS, GESTURE_LENGTH, IDLE_LENGTH, WAVE_LENGTH, gesture, idle, wave
from pose import Pose
from render import Picture, Renderer

HERE = Path(__file__).parent
CLIPS: dict[str, tuple[Callable[[float], Pose], float]] = {
    "idle": (idle, IDLE_LENGTH),
    "gesture": (gesture, GESTURE_LENGTH),
    "wave": (wave, WAVE_LENGTH),
}
# No B-frames: a player that joins or loops anywhere sees pictures in the order they are stored.
X264 = {"preset": "veryslow", "tune": "animation", "bf": "0", "g": "50"}


def pose_at(clip: str, frame: int) -> Pose:
    """The pose of picture `frame` of `clip`."""
    return CLIPS[clip][0](frame / FPS)


def picture_count(clip: str) -> int:
    """How many pictures `clip` has."""
    return round(CLIPS[clip][1] * FPS)


def pictures(clip: str, renderer: Renderer) -> Iterator[Picture]:
    """Every picture of `clip`, with a word on standard error once a second of film."""
    count, began = picture_count(clip), time.monotonic()
    for number in range(count):
        yield renderer.draw(pose_at(clip, number))
        if (number + 1) % FPS == 0:
            spent = time.monotonic() - began
            print(f"{clip}: {number + 1}/{count} pictures, {spent:.0f} s", file=sys.stderr)


def encode(target: Path, film: Iterable[Picture], size: int, crf: float) -> None:
    """Write `film`, `size` pixels square, as H.264; it replaces an old file in one step."""
    draft = target.with_name(f".{target.stem}.{os.getpid()}.mp4")
    with av.open(draft, "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options=X264 | {"crf": f"{crf:g}"})
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.color_range = ColorRange.MPEG
        for number, picture in enumerate(film):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    draft.replace(target)


def contact_sheet(renderer: Renderer, clip: str, frames: list[int], columns: int) -> Picture:
    """The given pictures of `clip` side by side, numbered."""
    cells = []
    for number in frames:
        cell = renderer.draw(pose_at(clip, number))
        cv2.putText(
            cell,
            str(number),
            (4, 14),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.45,
            (255, 255, 255),
            1,
            cv2.LINE_AA,
        )
        cells.append(cell)
    while len(cells) % columns:
        cells.append(np.zeros_like(cells[0]))
    return np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Draw the demo avatar's clips.")
    parser.add_argument("--only", choices=list(CLIPS), help="draw this clip and no other")
    parser.add_argument("--frame", type=int, metavar="N", help="draw picture N only, to --out")
    parser.add_argument("--out", type=Path, metavar="PNG", help="where --frame writes")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write a contact sheet instead")
    parser.add_argument("--frames", metavar="A:B:STEP", help="pictures on the sheet")
    parser.add_argument("--columns", type=int, default=6, help="columns of the sheet")
    parser.add_argument("--size", type=int, help="picture size (512; on a sheet 224)")
    parser.add_argument("--taps", type=int, choices=(1, 4), default=4, help="samples at edges")
    parser.add_argument("--crf", type=float, default=19.0, help="x264 quality, lower is better")
    return parser.parse_args()


def main() -> None:
    """Do what the command line asks."""
    args = parse_args()
    clip = args.only or "idle"
    if args.frame is not None or args.sheet:
        renderer = Renderer(args.size or (224 if args.sheet else 512), args.taps)
        if args.sheet:
            count = picture_count(clip)
            frames = list(range(count))[:: max(1, count // 24)]
            if args.frames:
                frames = list(range(count))[slice(*(int(n) for n in args.frames.split(":")))]
            picture, path = contact_sheet(renderer, clip, frames, args.columns), args.sheet
        else:
            picture = renderer.draw(pose_at(clip, args.frame))
            path = args.out or Path(f"{clip}-{args.frame}.png")
        cv2.imwrite(str(path), picture[..., ::-1])
        return
    renderer = Renderer(args.size or 512, args.taps)
    for name in [args.only] if args.only else list(CLIPS):
        path = HERE / f"{name}.mp4"
        encode(path, pictures(name, renderer), renderer.size, args.crf)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
