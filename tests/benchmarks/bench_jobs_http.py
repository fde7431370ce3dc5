"""Side jobs over HTTP: results that are there already, events, and what jobs cost at the start."""

import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.jobs.machine import bound
from processors.generate.declaration import Parameters
from tests.benchmarks.table import Row
from tests.http_jobs_generators import generators, services
from tests.http_jobs_serving import job_settings, working
from tests.jobs_host import ROOT
from tests.serving import make_demo, server_flags
from transport.jobs.catalogue import GeneratorCatalogue

HITS = 200
PATIENCE_S = 60.0

_MODEL_STACK = (
    *("PIL", "accelerate", "ctranslate2", "diffusers", "einops", "faster_whisper", "jsonschema"),
    *("onnx", "onnxruntime", "pooch", "rembg", "safetensors", "scipy", "segment_anything"),
    *("spandrel", "torch", "transformers"),
)
"""What requirements-ai.txt brings, by the names that it is imported by."""


def run(quick: bool = False) -> list[Row]:
    """Measure all of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_demo(folder / "avatars")
        return [
            *asyncio.run(_hits(folder, quick)),
            *_wrong_hits(folder / "keys", quick),
            *asyncio.run(_events(folder, quick)),
            *_starts(folder / "avatars", quick),
        ]


async def _hits(folder: Path, quick: bool) -> list[Row]:
    """How long POST /jobs takes for what is there already, from the request to the answer."""
    spec = {"kind": "dots", "params": {"prompt": "same", "seed": 1}}
    took = []
    async with working(folder / "avatars", folder / "hits") as client:
        await client.made(**spec)  # type: ignore[arg-type]  # kind and params
        for _ in range(20 if quick else HITS):
            began = time.perf_counter()
            job = await client.ask("POST", "/jobs", 202, json=spec)
            took.append(time.perf_counter() - began)
            assert job["cached"]
    median, slow = statistics.median(took), statistics.quantiles(took, n=20)[-1]
    return [
        Row(
            f"a result that is there already, POST to answer: p95 {slow * 1000:.1f} ms, median",
            f"{median * 1000:.1f} ms",
            "<= 5 ms",
            median <= 0.005,
        )
    ]


def _wrong_hits(folder: Path, quick: bool) -> list[Row]:
    """Random pairs of parameters, half of them equal but for one: equal keys, equal parameters."""
    folder.mkdir()
    catalogue = GeneratorCatalogue(job_settings(folder), lambda: services(folder), generators())
    generator = catalogue.find("dots")
    chance = random.Random(1)
    letters = 'ab",:{}\\ \u00e9e\u0301\u200b1.0'

    def draw() -> dict[str, Any]:
        return {
            "prompt": "".join(chance.choices(letters, k=chance.randint(0, 3))),
            "size": chance.randint(1, 3),
            "seed": chance.randint(0, 3),
            "strength": chance.choice((0, 0.0, 1, 1.0, 0.5, 0.1 + 0.2, 0.3)),
        }

    def key(params: Parameters) -> str:
        return bound(catalogue.keys(generator, params, {})[0])

    pairs, wrong, missed, equal = 1000 if quick else 10_000, 0, 0, 0
    for number in range(pairs):
        one = draw()
        two = draw() if number % 2 else {**one, (name := chance.choice(list(one))): draw()[name]}
        first, second = generator.validate(one), generator.validate(two)
        same = first == second
        hit = key(first) == key(second)
        equal += same
        wrong += hit and not same
        missed += same and not hit
    return [
        Row(
            f"wrong hits in {pairs} random pairs ({equal} of them equal)",
            str(wrong),
            "0",
            not wrong,
        ),
        Row("  equal pairs that are not hits", str(missed), "0", missed == 0),
    ]


async def _events(folder: Path, quick: bool) -> list[Row]:
    """How long after a step in the worker a client's event stream has it."""
    delays: list[float] = []
    steps = {"steps": 20 if quick else 80, "seconds": 0.23}
    values = {"poll_s": 0.1, "report_s": 0.1}
    async with working(folder / "avatars", folder / "events", workers=True, **values) as client:
        job = await client.start("steps", params=steps)
        async for name, data in client.events(f"/jobs/{job['id']}/events"):
            if name == "progress" and data["message"]:
                delays.append(time.monotonic() - float(data["message"]))
    slowest, median = max(delays), statistics.median(delays)
    return [
        Row(
            f"from a step to a client's events: slowest of {len(delays)}, median "
            f"{median * 1000:.0f} ms",
            f"{slowest * 1000:.0f} ms",
            "<= 200 ms",
            slowest <= 0.2,
        )
    ]


def _starts(root: Path, quick: bool) -> list[Row]:
    """The start of the streaming server, with and without the model stack, in turns."""
    turns = 3 if quick else 10
    hidden = {"PYTHONPATH": str(_hiding(root / "hiding"))}
    ways: dict[str, tuple[bool, dict[str, str]]] = {
        "with": (True, {}),
        "without": (True, hidden),
        "no jobs": (False, {}),
    }
    took: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(turns):
        for way, (jobs, environ) in ways.items():
            took[way].append(_start(root, jobs, environ))
    median = {way: statistics.median(found) for way, found in took.items()}
    more = median["with"] - median["without"]
    imports = min(_timed(["-c", "import server"]) for _ in range(turns))
    return [
        Row(
            f"start to listening with requirements-ai {median['with']:.2f} s, as if without "
            f"{median['without']:.2f} s, {turns} pairs",
            f"{more * 1000:+.0f} ms",
            "<= +100 ms",
            more <= 0.1,
        ),
        Row("  the same with jobs.enabled=false", f"{median['no jobs']:.2f} s"),
        Row("  python -c 'import server', the quickest", f"{imports:.2f} s"),
    ]


def _hiding(folder: Path) -> Path:
    """Return a folder that, on the path, hides the packages of the model stack."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        f"hidden, find = {_MODEL_STACK!r}, PathFinder.find_spec\n"
        "PathFinder.find_spec = staticmethod(lambda name, *rest: (\n"
        "    None if name.partition('.')[0] in hidden else find(name, *rest)))\n"
    )
    return folder


def _start(root: Path, jobs: bool, environ: dict[str, str]) -> float:
    """Start a server; return the seconds until it says that it listens."""
    flags = ["--port", "0", "--set", f"jobs.enabled={str(jobs).lower()}"]
    flags += ["--set", f"jobs.folder={root / 'jobs'}", *server_flags(root)]
    began = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "server.py", *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environ},
    )
    assert server.stdout is not None
    try:
        for line in server.stdout:
            if "open http" in line:
                return time.perf_counter() - began
        raise RuntimeError("the server did not start")
    finally:
        server.terminate()
        server.communicate(timeout=PATIENCE_S)


def _timed(arguments: list[str]) -> float:
    return _seconds(lambda: subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
