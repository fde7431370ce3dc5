"""What a model is to those who keep it in memory: how it is made, and what room it needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from processors.models.memory_accounts import Kept
from processors.models.memory_devices import CPU, canonical, move_to

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class ModelSpec(Generic[M]):
    """A model, as somebody wants it.

    Attributes:
        key: Names it, with all that makes a difference to it: ``sdxl_lightning/unet+fp16``.
        bytes: Of its weights in memory. Corrected after loading where that can be measured.
        load: Makes it on the CPU, or on ``home``. May be called again after it was dropped.
        move: Moves it to a device and returns it; None: by its method ``to``.
        home: The device that ``load`` puts it on, for what cannot be moved (onnxruntime,
            CTranslate2); it is dropped when it has to leave. None: the CPU, and it can be moved.
        load_bytes: RAM that loading takes at its peak, if that is more than ``bytes``.
    """

    key: str
    bytes: int
    load: Callable[[], M]
    move: Callable[[M, str], M] | None = None
    home: str | None = None
    load_bytes: int = 0

    def kept(self) -> Kept:
        """Return the books' entry of such a model, before it is loaded."""
        return Kept(self.key, self.bytes, self._first, self.home is None, self.move or move_to)

    def weights(self, device: str, kept: Kept | None) -> dict[str, int] | None:
        """Return what the weights need by device, to be on one.

        Args:
            device: The one.
            kept: The books' entry; None: it is not in memory.

        Returns:
            Bytes by device; None while somebody else has it elsewhere.
        """
        if kept is None:
            loading = max(self.load_bytes, self.bytes if self._first == CPU else 0)
            return {CPU: loading} | ({} if device == CPU else {device: self.bytes})
        if kept.busy or kept.pinned or (kept.place != device and not kept.idle):
            return None
        return {} if kept.place == device else {device: kept.size}

    @property
    def _first(self) -> str:
        """Where ``load`` puts it."""
        return canonical(self.home or CPU)
