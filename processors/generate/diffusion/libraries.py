"""Imports torch, diffusers and transformers such that they never use the network."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from engine.errors import MissingDependency, Unavailable
from processors.models.memory_devices import resolve

_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DISABLE_TELEMETRY": "YES",
    "DO_NOT_TRACK": "1",
    # transformers says while it is imported that torchvision is missing; it is not needed.
    "TRANSFORMERS_VERBOSITY": "error",
    # cuBLAS gives equal results for equal inputs only with a workspace of fixed size.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
"""Read by the libraries when they are imported."""


class DeviceMissing(Unavailable):
    """A job is to run on a GPU that is not there."""


@dataclass(frozen=True, slots=True)
class Libraries:
    """The modules.

    Attributes:
        torch: torch.
        diffusers: diffusers.
        transformers: transformers.
    """

    torch: Any
    diffusers: Any
    transformers: Any


def import_libraries() -> Libraries:
    """Import the libraries, off line, without telemetry and progress bars.

    Raises:
        MissingDependency: One is not installed, or they do not fit together.
    """
    os.environ.update(_QUIET)
    try:
        import accelerate  # noqa: F401  # loading without two copies, and off-loading need it
        import diffusers
        import safetensors  # noqa: F401
        import torch
        import transformers
        from tqdm import tqdm
    except (ImportError, RuntimeError) as error:
        # diffusers turns a torchvision that does not fit to torch into a RuntimeError.
        raise MissingDependency(
            f"Diffusion models need torch, diffusers, transformers and accelerate: {error}.",
            "Run: pip install -r requirements-ai.txt. If torchvision is installed, it must fit to"
            " torch; it is not needed here.",
        ) from error
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    # Even a progress bar that is off would start a thread for good.
    tqdm.monitor_interval = 0
    return Libraries(torch, diffusers, transformers)


def resolve_device(torch: Any, wanted: str) -> str:
    """Return ``cpu`` or ``cuda:N``.

    Args:
        torch: The module.
        wanted: A place's device; ``auto`` takes a GPU if there is one.

    Raises:
        DeviceMissing: There is no such GPU.
    """
    device = resolve(wanted)
    kind, _, index = device.partition(":")
    if kind == "cuda" and int(index) >= torch.cuda.device_count():
        raise DeviceMissing(
            f"There is no device '{wanted}' for torch.",
            "Install a CUDA build of torch, or set jobs.devices to cpu.",
        )
    return device


@contextmanager
def reproducible(torch: Any, threads: int) -> Iterator[None]:
    """Compute the same each time: a fixed number of threads, and no kernels chosen by timing.

    Args:
        torch: The module.
        threads: CPU threads; 0: as many as torch takes.
    """
    backends = torch.backends.cudnn
    before = (torch.get_num_threads(), backends.deterministic, backends.benchmark)
    if threads:
        torch.set_num_threads(threads)
    backends.deterministic, backends.benchmark = True, False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        backends.deterministic, backends.benchmark = before[1:]
