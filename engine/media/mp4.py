"""MP4 files that play at any moment of their making."""

import os
from pathlib import Path

import av
from av.container import OutputContainer

OPTIONS = {
    # Fragments while in work, a plain MP4 once closed; the header waits for the first fragment,
    # because only then can it hold the edit list that keeps the first timestamps exact.
    "movflags": "+hybrid_fragmented+delay_moov",
    "flush_packets": "1",
}


def create_mp4(path: Path) -> OutputContainer:
    """A new file; what has been written plays even if the program is killed.

    At most the last fragment, from the last keyframe on, is lost then.
    """
    return av.open(os.fspath(path), "w", format="mp4", options=OPTIONS)
