"""Avatars and servers for the benchmarks."""

import contextlib
import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from tests.processes import ROOT, ServerProcess

MEDIA = ROOT.parent / "shared" / "media"
DEMO = ROOT / "videos" / "demo"


def marked_clip(path: Path, bright: bool, seconds: float = 8.0) -> Path:
    """Write a 512x512, 25 fps clip: moving noise, with a dark or bright marker at the top left."""
    generator = np.random.default_rng(1)
    background = generator.integers(60, 190, (640, 640, 3), np.uint8)
    background = np.repeat(np.repeat(background[::8, ::8], 8, axis=0), 8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "16"})
        stream.width = stream.height = 512
        stream.pix_fmt = "yuv420p"
        for number in range(round(seconds * 25)):
            shift = number % 100
            picture = background[shift : shift + 512, shift // 2 : shift // 2 + 512].copy()
            picture[:48, :48] = 250 if bright else 5
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def marked_avatar(folder: Path) -> None:
    """Make the avatar ``marked`` in ``folder``: idle is dark at the marker, gesture is bright."""
    own = folder / "marked"
    own.mkdir(parents=True, exist_ok=True)
    marked_clip(own / "idle.mp4", bright=False)
    marked_clip(own / "gesture.mp4", bright=True)


@contextlib.contextmanager
def server(folder: Path, *settings: str, morph: bool = False) -> Iterator[tuple[str, int]]:
    """Start the real server on a free port; yields its address and process id.

    Args:
        folder: Where its avatars and cache are.
        settings: ``SECTION.KEY=VALUE`` overrides.
        morph: Make loops and transitions, and wait until they are there.
    """
    settings = (f"avatars.transitions={'morph' if morph else 'cut'}", *settings)
    values = [f"avatars.cache={folder / 'cache'}", *settings]
    flags = [x for value in values for x in ("--set", value)]
    process = ServerProcess("--port", "0", "--videos", str(folder), *flags).start()
    try:
        while morph and not _morphed(process.address):
            time.sleep(1)
        yield process.address, process.pid
    finally:
        process.stop()


def _morphed(address: str) -> bool:
    with urllib.request.urlopen(address + "/avatars") as response:
        return all(avatar["transitions"] == "morph" for avatar in json.load(response))
