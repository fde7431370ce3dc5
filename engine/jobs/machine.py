"""What kind of machine this is, as far as results depend on it.

A recipe says ``auto`` or ``cuda:0``, and how many threads; the same on another processor or GPU may
give other pixels. So cache keys of jobs are bound to the machine that made the result.
"""

import functools
import hashlib
import os
import platform
from pathlib import Path

_PROCESSOR = ("model name", "flags", "Features", "CPU part")
_NVIDIA = Path("/proc/driver/nvidia")


@functools.cache
def machine() -> str:
    """Return 16 hexadecimal digits: equal for equal processors, GPUs and GPU drivers."""
    parts = [platform.machine(), *_processor(), *_gpus()]
    # Which GPUs a process may use decides what "auto" means.
    parts.append(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def bound(cache_key: str) -> str:
    """Return a cache key that holds on machines like this one only; empty stays empty."""
    return f"{cache_key}@{machine()}" if cache_key else ""


def _processor() -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return [platform.processor()]
    lines = text.partition("\n\n")[0].splitlines()
    return [line for line in lines if line.startswith(_PROCESSOR)]


def _gpus() -> list[str]:
    found = []
    for path in (_NVIDIA / "version", *sorted(_NVIDIA.glob("gpus/*/information"))):
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        # Not what tells two of a kind apart.
        found += [line for line in text.splitlines() if not line.startswith(("GPU UUID", "Bus"))]
    return found
