"""Devices as memory sees them: their names, sizes and use, and giving memory back to the system."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import psutil

from engine.errors import InvalidInput
from processors.models.nvml import Nvml

CPU = "cpu"
"""The device whose memory is the RAM."""

_CGROUP = Path("/sys/fs/cgroup")


class UnknownDevice(InvalidInput):
    """A device has a name that says nothing here."""


class Probe(Protocol):
    """Asks how large devices are and how full."""

    def total(self, device: str) -> int | None:
        """Bytes of a device; None: there is no such device, or nobody can say."""

    def used(self, device: str) -> int | None:
        """Bytes in use by anybody; None: as above."""

    def own(self, device: str) -> int:
        """Bytes of a GPU that this process has taken from the driver, as far as that is known."""


def canonical(device: str) -> str:
    """Return a device's full name: ``cuda`` is ``cuda:0``, ``cpu:0`` is ``cpu``.

    Raises:
        UnknownDevice: It is ``auto`` (see ``resolve``), or none of cpu, cuda, mps, xpu.
    """
    kind, _, index = device.partition(":")
    if kind not in (CPU, "cuda", "mps", "xpu") or (index and not index.isdigit()):
        raise UnknownDevice(f"{device!r} is no device.", "Devices are cpu, cuda:0, cuda:1, ...")
    return CPU if kind == CPU else f"{kind}:{int(index or 0)}"


def resolve(device: str) -> str:
    """Return a device's full name; ``auto`` is the first GPU that torch can use, else the CPU."""
    if device != "auto":
        return canonical(device)
    try:
        import torch
    except ImportError:
        return CPU
    return "cuda:0" if torch.cuda.is_available() else CPU


class SystemProbe:
    """Asks the system, the NVIDIA driver (NVML) and, in processes that have it, torch.

    It never imports torch, nor makes a CUDA context, which would itself take hundreds of megabytes.
    """

    def __init__(self) -> None:
        self._nvml: Nvml | None = None

    def total(self, device: str) -> int | None:
        """See ``Probe``."""
        if device == CPU:
            return min(psutil.virtual_memory().total, _cgroup_limit() or sys.maxsize)
        found = self._cuda(device)
        return None if found is None else found[1]

    def used(self, device: str) -> int | None:
        """See ``Probe``."""
        if device == CPU:
            memory = psutil.virtual_memory()
            return int(memory.total - memory.available)
        found = self._cuda(device)
        return None if found is None else found[0]

    def own(self, device: str) -> int:
        """See ``Probe``: torch's, with what it has in its cache."""
        kind, _, index = device.partition(":")
        torch = sys.modules.get("torch")
        if kind != "cuda" or torch is None or not torch.cuda.is_initialized():
            return 0
        return int(torch.cuda.memory_reserved(int(index)))

    def gpus(self) -> tuple[str, ...]:
        """Return the names of the NVIDIA GPUs of this machine."""
        return tuple(f"cuda:{index}" for index in range(self._driver().count()))

    def _cuda(self, device: str) -> tuple[int, int] | None:
        kind, _, index = device.partition(":")
        if kind != "cuda":
            return None
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            free, total = torch.cuda.mem_get_info(int(index))
            return total - free, total
        return self._driver().read(_physical(int(index)))

    def _driver(self) -> Nvml:
        if self._nvml is None:
            self._nvml = Nvml()
        return self._nvml


def move_to(model: Any, device: str) -> Any:
    """Move a model that has ``to`` (torch, diffusers, transformers); return what is there then."""
    return model.to(device)


def size_of(model: Any) -> int | None:
    """Return the bytes of a model's weights; None if it is not made of torch modules.

    Takes a ``torch.nn.Module``, or what has ``components`` (a diffusers pipeline). Weights that
    several parts share count once.
    """
    components = getattr(model, "components", None)
    parts = list(components.values()) if isinstance(components, dict) else [model]
    modules = [part for part in parts if hasattr(part, "parameters") and hasattr(part, "buffers")]
    if not modules:
        return None
    return sum(_storages(modules).values())


def _storages(modules: Iterable[Any]) -> dict[tuple[str, int], int]:
    found: dict[tuple[str, int], int] = {}
    for module in modules:
        for tensor in (*module.parameters(), *module.buffers()):
            storage = tensor.untyped_storage()
            address = storage.data_ptr() or id(tensor)
            found[str(tensor.device), address] = storage.nbytes()
    return found


def settle(collect: bool = True) -> None:
    """Give back to the system what nobody refers to any more.

    Collects cycles, empties torch's caches of GPU memory, and has glibc return free pages: it keeps
    them otherwise, so that a process seems to hold models which are long gone.

    Args:
        collect: Look for cycles, too, which takes about 0.1 s with large libraries.
    """
    if collect:
        gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _physical(index: int) -> int:
    """The driver's number of a GPU of this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if index < len(visible) and visible[index].strip().isdigit():
        return int(visible[index])
    return index


def _cgroup_limit() -> int | None:
    try:
        text = (_CGROUP / "memory.max").read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
