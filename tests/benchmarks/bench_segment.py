"""Selecting and removing objects: a further click on a picture, random weights of the true size."""

import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from processors.generate.declaration import Services
from processors.generate.lama.loading import lama_architecture
from processors.generate.registry import LoadedGenerators
from processors.models.library import ModelLibrary
from tests.benchmarks.table import Row
from tests.generate_parts import FakeContext, SomePlace

_SIZE = (1280, 720)
_THREADS = 2


def run(quick: bool = False) -> list[Row]:
    """Measure all of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*_clicks(folder, 5 if quick else 20), *_fill()]


def _clicks(folder: Path, count: int) -> list[Row]:
    import torch
    from transformers import Sam2Config, Sam2Model

    torch.manual_seed(0)
    Sam2Model(Sam2Config()).save_pretrained(folder / "sam2")
    image = folder / "image.png"
    noise = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8)
    cv2.imwrite(str(image), cv2.resize(noise, _SIZE, interpolation=cv2.INTER_CUBIC))
    loaded = LoadedGenerators(Services(ModelLibrary((folder,)))).get("segment")
    times = []
    for number in range(count + 2):
        out = folder / f"out-{number}"
        out.mkdir()
        context = FakeContext(out, place=SomePlace("cpu", _THREADS))
        began = time.perf_counter()
        params = {"model": "sam2", "points": [[100 + 10 * number, 300]], "masks": 1}
        loaded.run(params, {"image": image}, context)
        times.append(time.perf_counter() - began)
    # The first loads and embeds, the second one may still warm up.
    later = statistics.median(times[2:]) * 1000
    return [
        Row("first click on 1280x720, loading included (SAM 2 tiny, random)", f"{times[0]:.1f} s"),
        Row(
            f"  a further click, the whole job, median of {count}",
            f"{later:.0f} ms",
            "< 100 ms",
            later < 100,
        ),
    ]


def _fill() -> list[Row]:
    import sys

    import torch

    lama_architecture()
    module = sys.modules["spandrel.architectures.LaMa.__arch.LaMa"]
    torch.manual_seed(0)
    torch.set_num_threads(_THREADS)
    network = module.LaMa(in_nc=4, out_nc=3).eval()
    picture, hole = torch.rand(1, 3, 512, 512), torch.zeros(1, 1, 512, 512)
    hole[..., 200:300, 200:300] = 1
    times = []
    with torch.inference_mode():
        for _ in range(3):
            began = time.perf_counter()
            network(picture, hole)
            times.append(time.perf_counter() - began)
    return [Row("LaMa fills 512x512 (random weights of the true size)", f"{min(times):.1f} s")]
