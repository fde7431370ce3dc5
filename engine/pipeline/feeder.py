"""Between capture and processing: makes frames conform, refuses those that cannot be used.

Processors may rely on what leaves here: ``uint8[height, width, 3]``, BGR, C-contiguous, in rising
sequence. The feeder is woken by the ring rather than polling it: a poll at 100 Hz would add up to
10 ms of waiting to every frame and wake 100 times a second when idle.
"""

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.clock import Clock
from engine.errors import InvalidInput
from engine.pipeline.frame import FED, Frame, Image
from engine.pipeline.ring import DropPolicy, Ring


class BadFrame(InvalidInput):
    """A picture that cannot be made into ``uint8[height, width, 3]``."""


def conform(image: npt.NDArray[np.generic]) -> Image:
    """The picture as ``uint8[height, width, 3]``, BGR; the same array where it already is.

    Grey becomes three equal channels, a fourth channel (alpha) is left out, 16 bit is reduced to
    its upper 8. Floating point pictures are taken as 0..1.

    Args:
        image: ``uint8``, ``uint16`` or floating point; ``[h, w]`` or ``[h, w, 1 | 3 | 4]``.

    Raises:
        BadFrame: Another shape or type, no pixels, or values that are not numbers.
    """
    if (
        image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == 3
        and image.size
        and image.flags.c_contiguous
    ):
        return image  # type: ignore[return-value] # the dtype was just compared
    if image.size == 0:
        raise BadFrame(f"The picture has no pixels (shape {image.shape}).")
    eight_bit = _to_eight_bit(image)
    if eight_bit.ndim == 2:
        eight_bit = eight_bit[:, :, np.newaxis]
    if eight_bit.ndim != 3 or eight_bit.shape[2] not in (1, 3, 4):
        raise BadFrame(f"A picture cannot have the shape {image.shape}.")
    if eight_bit.shape[2] == 1:
        eight_bit = np.repeat(eight_bit, 3, axis=2)
    return np.ascontiguousarray(eight_bit[:, :, :3])


def _to_eight_bit(image: npt.NDArray[np.generic]) -> Image:
    if image.dtype == np.uint8:
        return image.view(np.uint8)
    if image.dtype == np.uint16:
        return (image.view(np.uint16) >> 8).astype(np.uint8)
    if np.issubdtype(image.dtype, np.floating):
        if not np.isfinite(image).all():
            raise BadFrame("The picture has values that are not numbers (NaN or infinity).")
        values = np.clip(image, 0.0, 1.0).astype(np.float32)
        return np.asarray(values * 255.0 + 0.5, dtype=np.float32).astype(np.uint8)
    raise BadFrame(f"A picture cannot have values of type {image.dtype}.")


@dataclass(slots=True)
class FeederCounts:
    """What the feeder has done so far."""

    fed: int = 0
    refused: int = 0
    discarded_paused: int = 0
    last_refusal: str | None = None


class Feeder:
    """Moves frames from the capture ring into the input queue.

    Args:
        ring: Where capture puts them.
        queue: Where processing takes them.
        clock: Stamps the frames.
    """

    def __init__(self, ring: Ring[Frame], queue: Ring[Frame], clock: Clock) -> None:
        self._ring = ring
        self._queue = queue
        self._clock = clock
        self._sequence = -1
        self.running = threading.Event()
        self.running.set()
        self.counts = FeederCounts()

    def step(self, timeout: float | None = None) -> bool:
        """Move one frame; False when none came in time.

        The capture ring is emptied oldest first: which frames are left out is decided where
        they are taken for processing, by the input queue's policy. While ``running`` is not set
        the frames of a live source are discarded, and those of a file wait.

        Raises:
            RingClosed: The stream has ended.
        """
        if self._ring.policy is DropPolicy.WAIT and not self.running.wait(timeout):
            return False
        frame = self._ring.get(timeout)
        if frame is None:
            return False
        if not self.running.is_set() and self._ring.policy is not DropPolicy.WAIT:
            self.counts.discarded_paused += 1
            return True
        if frame.sequence <= self._sequence:
            self._refuse(f"Frame {frame.sequence} came after frame {self._sequence}.")
            return True
        try:
            image = conform(frame.image)
        except BadFrame as bad:
            self._refuse(bad.description)
            return True
        self._sequence = frame.sequence
        if image is not frame.image:
            frame = frame.with_image(image)
        self._queue.put(frame.stamped(FED, self._clock()))
        self.counts.fed += 1
        return True

    def _refuse(self, reason: str) -> None:
        self.counts.refused += 1
        self.counts.last_refusal = reason
