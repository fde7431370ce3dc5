"""Tiny networks in the formats that are published: Real-ESRGAN's checkpoints, rembg's ONNX files.

What the enlarging ones compute means nothing; what stands in front for the others is what is red.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from tests.model_graphs import Sizes, save_graph

FILTERS, GROWTH = 8, 32


def rrdb_state(scale: int = 4, seed: int = 0) -> dict[str, Any]:
    """The tensors of an RRDBNet of one block, named as BasicSR does.

    At scale 2 it folds two by two pixels into channels first, as RealESRGAN_x2plus does.
    """
    import torch

    random = torch.Generator().manual_seed(seed)
    state: dict[str, Any] = {}

    def conv(name: str, inputs: int, outputs: int) -> None:
        kernel = torch.randn((outputs, inputs, 3, 3), generator=random)
        state[f"{name}.weight"] = kernel / (3 * inputs**0.5)
        state[f"{name}.bias"] = torch.randn((outputs,), generator=random) * 0.1

    conv("conv_first", 12 if scale == 2 else 3, FILTERS)
    for dense in (1, 2, 3):
        for number in range(1, 6):
            outputs = FILTERS if number == 5 else GROWTH
            conv(f"body.0.rdb{dense}.conv{number}", FILTERS + (number - 1) * GROWTH, outputs)
    conv("conv_body", FILTERS, FILTERS)
    conv("conv_up1", FILTERS, FILTERS)
    conv("conv_up2", FILTERS, FILTERS)
    conv("conv_hr", FILTERS, FILTERS)
    conv("conv_last", FILTERS, 3)
    return state


def srvgg_state(seed: int = 0) -> dict[str, Any]:
    """The tensors of an SRVGGNetCompact of two convolutions between the ends, four times."""
    import torch

    random = torch.Generator().manual_seed(seed)
    state: dict[str, Any] = {}
    sizes = [3, FILTERS, FILTERS, FILTERS, 3 * 4 * 4]
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        kernel = torch.randn((outputs, inputs, 3, 3), generator=random)
        state[f"body.{2 * number}.weight"] = kernel / (6 * inputs**0.5)
        state[f"body.{2 * number}.bias"] = torch.randn((outputs,), generator=random) * 0.05
        if number < 3:
            state[f"body.{2 * number + 1}.weight"] = torch.full((outputs,), 0.2)
    return state


def save_pth(path: Path, state: Mapping[str, Any], wrapped: str = "params_ema") -> Path:
    """Write a checkpoint as BasicSR does."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({wrapped: dict(state)} if wrapped else dict(state), path)
    return path


def save_safetensors(path: Path, state: Mapping[str, Any]) -> Path:
    """Write the tensors as safetensors."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(dict(state), path)
    return path


def red_matter(path: Path, side: int = 320, logits: bool = False, maps: int = 7) -> Path:
    """Write a network for rembg: white where the picture is red, black elsewhere.

    Args:
        path: Where.
        side: Of the square that it takes: 320 as U-2-Net, 1024 as IS-Net and BiRefNet.
        logits: It ends without a sigmoid, as BiRefNet.
        maps: Outputs; only the first counts.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kernel = np.array([6, -6, -6], np.float32).reshape(1, 3, 1, 1)
    nodes = [helper.make_node("Conv", ["input.1", "kernel"], ["raw"])]
    if not logits:
        nodes.append(helper.make_node("Sigmoid", ["raw"], ["shown"]))
    names = [f"d{number}" for number in range(maps)]
    last = "raw" if logits else "shown"
    nodes += [helper.make_node("Identity", [last], [name]) for name in names]
    inputs: dict[str, Sizes] = {"input.1": (1, 3, side, side)}
    outputs: dict[str, Sizes] = dict.fromkeys(names, (1, 1, side, side))
    return save_graph(path, nodes, inputs, outputs, {"kernel": kernel})
