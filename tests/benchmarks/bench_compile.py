"""Compiling: two clips of 10 s at 512x512 on one core."""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.material import MEDIA, ROOT, marked_clip
from tests.benchmarks.table import Row

_LIMIT = 30

_CODE = """
import sys, time
from pathlib import Path
from fractions import Fraction
from engine.avatar import pack, worker
from engine.avatar.spec import AvatarSpec, Encoding
encoding = Encoding((512, 512), Fraction(25), 21, 4_000_000, 0.48, ("H264", "VP8"), 10.0)
idle, gesture = map(Path, sys.argv[1:3])
spec = AvatarSpec("bench", "bench", {"idle": (idle,), "gesture": (gesture,)}, {}, encoding)
began = time.monotonic()
assert worker.run(worker.Order(spec, Path(sys.argv[3])).to_json(), lambda m: None) == 0
found = pack.read(Path(sys.argv[3]))
sizes = [sum(map(len, p.access_units)) for p in found.codecs.values()]
print(time.monotonic() - began, found.seconds, *sizes)
"""


def run(quick: bool = False) -> list[Row]:
    """Compile clips in a process bound to one core."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if (MEDIA / "avatar").is_dir():
            kind, source = "real", MEDIA / "avatar" / "gesture.mp4"
        else:
            kind, source = "synthetic", marked_clip(folder / "clip.mp4", True, 10.0)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", _CODE, str(source), str(source), str(folder / "x.pack")],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, length, h264, vp8 = map(float, done.stdout.split())
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [
        Row(f"{length:.0f} s of {kind} clips, one core", f"{seconds:.1f} s ({cpu:.1f} s of CPU)",
            f"<= {_LIMIT} s", seconds <= _LIMIT),
        Row("peak memory", f"{after.ru_maxrss / 1024:.0f} MB"),
        Row("bit rate, H.264 and VP8",
            f"{h264 * 8 / length / 1e6:.2f}, {vp8 * 8 / length / 1e6:.2f} Mbit/s"),
    ]  # fmt: skip
