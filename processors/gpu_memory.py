"""How much memory of the first NVIDIA GPU is used, asked of its driver (NVML)."""

import ctypes
from typing import ClassVar


class _Memory(ctypes.Structure):
    _fields_: ClassVar = [
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    ]


class GpuMemory:
    """Reads used and total memory; gives None where there is no such GPU or driver."""

    def __init__(self, library: str = "libnvidia-ml.so.1") -> None:
        self._device = ctypes.c_void_p()
        self._nvml: ctypes.CDLL | None = None
        try:
            nvml = ctypes.CDLL(library)
        except OSError:
            return
        if nvml.nvmlInit_v2() == 0 and (
            nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(self._device)) == 0
        ):
            self._nvml = nvml

    def read(self) -> tuple[int, int] | None:
        """Used and total bytes."""
        memory = _Memory()
        if self._nvml is None or (
            self._nvml.nvmlDeviceGetMemoryInfo(self._device, ctypes.byref(memory)) != 0
        ):
            return None
        return int(memory.used), int(memory.total)
