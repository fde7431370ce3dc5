"""Generators: the same recipe in a fresh process makes the same bytes."""

import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.material import MEDIA
from tests.benchmarks.table import Row
from tests.processes import ROOT
from tests.tiny_diffusion import write_pipeline

_SHARED_MODELS = MEDIA.parent / "models"


def run(quick: bool = False) -> list[Row]:
    """Run two generators several times, each time in a process of its own."""
    times = 2 if quick else 4
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Random weights: what they paint says nothing, that they paint it again does.
        write_pipeline(folder / "tiny")
        painting = [
            *("text_to_image", "--model", str(folder / "tiny"), "--prompt", "a red cat"),
            *("--steps", "3", "--seed", "7", "--count", "2"),
        ]
        swapping = [
            *("swap_faces", "--target", str(MEDIA / "faces" / "six_people.jpg")),
            *("--source", str(MEDIA / "faces" / "mona_lisa.jpg"), "--selection", "all"),
        ]
        return [
            _same("text_to_image, SDXL with tiny random weights", painting, folder, times),
            _same("swap_faces, warp, six faces", swapping, folder, times),
        ]


def _same(what: str, arguments: list[str], folder: Path, times: int) -> Row:
    found, seconds = set(), []
    for number in range(times):
        out = folder / f"{arguments[0]}-{number}"
        out.mkdir()
        command = [sys.executable, "server.py", "job", *arguments, "--out", str(out)]
        command += ["--set", f"models.folders=[{_SHARED_MODELS}]"]
        began = time.monotonic()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        seconds.append(time.monotonic() - began)
        whole = hashlib.sha256()
        for path in sorted(out.iterdir()):
            whole.update(path.name.encode() + path.read_bytes())
        found.add(whole.hexdigest())
    return Row(
        f"{what}: different results of {times} fresh processes, {min(seconds):.1f} s each",
        str(len(found)),
        "1",
        len(found) == 1,
    )
