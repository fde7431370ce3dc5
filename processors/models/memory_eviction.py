"""How idle models leave a device: for the RAM while it has room, and from there for good."""

import logging
from collections.abc import Callable

from processors.models.memory_accounts import Kept
from processors.models.memory_devices import CPU
from processors.models.memory_errors import forget
from processors.models.memory_reservations import Reservations

_log = logging.getLogger(__name__)


class Eviction:
    """Has models leave. All of it is called with the books' lock, which is open meanwhile.

    Args:
        settle: Gives memory back to the system; see ``memory_devices.settle``.
    """

    def __init__(self, settle: Callable[[bool], None]) -> None:
        self._settle = settle

    def evict(
        self, reservations: Reservations, kept: Kept, spared: str = "", beside: int = 0
    ) -> None:
        """Have an idle model leave its place, for the RAM if it may and can, else for good.

        Args:
            reservations: The books that it is in.
            kept: The model.
            spared: Key of a model that must stay in RAM.
            beside: Bytes of RAM that must stay free.
        """
        place = kept.place
        kept.busy = True
        stays = kept.movable and place != CPU
        if not (stays and self._room_in_ram(reservations, kept, spared, beside)):
            self.drop(reservations, kept)
            return
        with reservations.unlocked():
            try:
                kept.model = kept.move(kept.model, CPU)
            except Exception as error:  # noqa: BLE001  # whatever it was, it can be loaded again
                # The text alone: the error would keep the model.
                _log.warning("%s cannot go to the RAM and is dropped: %s", kept.key, str(error))
                forget(error)
                kept.model = None
            self._settle(False)
        if kept.model is None:
            self.drop(reservations, kept)
            return
        kept.busy = False
        reservations.accounts.moved(kept, CPU, evicted=True)
        reservations.publish()
        _log.info("%s has left %s for the RAM.", kept.key, place)

    def drop(self, reservations: Reservations, kept: Kept) -> None:
        """Have an idle model leave memory."""
        kept.busy = True
        with reservations.unlocked():
            kept.model = None
            self._settle(True)
        reservations.accounts.remove(kept, evicted=True)
        reservations.publish()
        _log.info("%s has left memory.", kept.key)

    def _room_in_ram(
        self, reservations: Reservations, kept: Kept, spared: str, beside: int
    ) -> bool:
        """Make and reserve room in RAM for a model that leaves its device."""
        while not reservations.take_now(kept, CPU, kept.size, beside):
            idle = reservations.accounts.victim(CPU, spared)
            if idle is None:
                return False
            self.drop(reservations, idle)
        return True
