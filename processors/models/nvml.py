"""How much memory of NVIDIA GPUs is used, asked of their driver (NVML)."""

import ctypes
from typing import Any, ClassVar


class _Memory(ctypes.Structure):
    _fields_: ClassVar = [
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    ]


class Nvml:
    """Memory of all NVIDIA GPUs, asked of their driver; none where there is no driver.

    The driver counts GPUs in the order of their bus ids; CUDA does with
    ``CUDA_DEVICE_ORDER=PCI_BUS_ID``, or where all GPUs are alike.
    """

    def __init__(self, library: str = "libnvidia-ml.so.1") -> None:
        self._library: Any = None
        try:
            nvml = ctypes.CDLL(library)
        except OSError:
            return
        if nvml.nvmlInit_v2() == 0:
            self._library = nvml

    def count(self) -> int:
        """Return how many GPUs there are."""
        number = ctypes.c_uint()
        if self._library is None or self._library.nvmlDeviceGetCount_v2(ctypes.byref(number)) != 0:
            return 0
        return number.value

    def read(self, index: int) -> tuple[int, int] | None:
        """Return used and total bytes of a GPU; None if there is none of this number."""
        device, memory = ctypes.c_void_p(), _Memory()
        if self._library is None:
            return None
        if self._library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) != 0:
            return None
        if self._library.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) != 0:
            return None
        return int(memory.used), int(memory.total)
