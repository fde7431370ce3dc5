"""Face restoration beside the stream: a slow model sharpens every k-th picture of a face.

GFPGAN (Wang et al., "Towards Real-World Blind Face Restoration with Generative Facial Prior", CVPR
2021) takes longer than a frame lasts, so it runs on a thread of its own. What is kept of its answer
is the *difference* it made. On each later frame that difference is added to the new picture of the
face, in the place where the face is now, and only where the face still looks as it did then: a
mouth that has moved keeps its own pixels instead of getting old teeth.
"""

import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from engine.errors import InvalidInput, Unavailable
from engine.pipeline.frame import Image
from processors.faces.align import Transform
from processors.faces.model import Model, image_size
from processors.swap.backend import SwapJob
from processors.swap.geometry import Mask, cut, ffhq_template, fitted, scaled, shifted, usable
from processors.swap.masks import face_outline, hull_mask
from processors.swap.paste import region_of

log = logging.getLogger(__name__)

SIDE: Final = 512
"""Of GFPGAN's crops."""

SEEN: Final = 64
"""Side of the small crops that tell whether a face still looks the same."""

ALIKE: Final = 14.0
"""Levels by which a place may change before its enhancement fades (to 37 %)."""

GROW: Final = 1.1
FEATHER: Final = 0.08

GIVE_UP_AFTER: Final = 3
"""Failures of the model in a row after which it is left alone."""


Level = TypeVar("Level", np.int16, np.uint8)


class NotAnEnhancer(InvalidInput):
    """The model takes other pictures than GFPGAN does."""


class EnhancerStuck(Unavailable):
    """The model takes too long."""


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    track: int
    crop: Image
    """``uint8[SIDE, SIDE, 3]``, BGR."""


@dataclass(frozen=True, slots=True, eq=False)
class _Detail:
    """What the model changed, and on what picture."""

    change: npt.NDArray[np.int16]
    """``int16[SIDE, SIDE, 3]``, BGR, zero outside the face."""

    seen: Image
    """``uint8[SEEN, SEEN, 3]``: the crop it was made for, small."""


class Enhancer:
    """Sharpens swapped faces without waiting for the model.

    ``apply`` is called from one thread. Only faces with a track number are enhanced.

    Args:
        model: One input and one output ``[1, 3, 512, 512]``, RGB from -1 to 1; used on a thread
            of its own.
        every: A face is handed to the model in every k-th frame at most.
        strength: 0..1: how much of the model's change is shown.
        most_tracks: Faces whose enhancement is kept.
        wait_s: Wait in ``apply`` for the model, at most so many seconds for each face, so that the
            same pictures give the same result; what it raises is raised. 0: go on without it.

    Raises:
        NotAnEnhancer: The model takes other pictures.
    """

    def __init__(
        self,
        model: Model,
        every: int = 5,
        strength: float = 1.0,
        most_tracks: int = 16,
        wait_s: float = 0.0,
    ) -> None:
        if len(model.inputs) != 1 or image_size(model, "face enhancement") != (SIDE, SIDE):
            raise NotAnEnhancer(
                f"An enhancer takes one picture [1, 3, {SIDE}, {SIDE}]; this model does not.",
                "Give the file of a GFPGAN model.",
            )
        self.problem: str | None = None
        self.strength = strength
        self._model = model
        self._every = max(1, every)
        self._most = most_tracks
        self._wait_s = wait_s
        self._failure: Exception | None = None
        self._mask = hull_mask(face_outline(ffhq_template(1), None, GROW), FEATHER)
        self._ages: OrderedDict[int, int] = OrderedDict()
        self._details: OrderedDict[int, _Detail] = OrderedDict()
        self._lock = threading.Lock()
        self._waiting: queue.Queue[_Request | None] = queue.Queue(maxsize=1)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="face-enhancer", daemon=True)
        self._thread.start()

    def apply(self, jobs: Sequence[SwapJob]) -> None:
        """Add what is known by now to swapped faces, in place, and order what is due.

        Args:
            jobs: Of one batch, after the swap, in the order of their frames.
        """
        known = [
            (job.track, job) for job in jobs if job.track is not None and usable(job.face.landmarks)
        ]
        if self._wait_s:
            self._order_and_wait(known)
        else:
            self._order(known)
        for track, job in known:
            with self._lock:
                detail = self._details.get(track)
            if detail is not None and self.strength > 0:
                self._add(job, detail)

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing is under way; False if that takes longer than ``timeout_s``."""
        with self._waiting.all_tasks_done:
            return self._waiting.all_tasks_done.wait_for(
                lambda: not self._waiting.unfinished_tasks, timeout_s
            )

    def close(self, timeout_s: float = 10.0) -> bool:
        """End the thread; a call of the model under way is let finish.

        Returns:
            Whether the thread ended within ``timeout_s``.
        """
        if not self._closed:
            self._closed = True
            self._forget_waiting()
            self._waiting.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _order_and_wait(self, known: Sequence[tuple[int, SwapJob]]) -> None:
        for item in known:
            self._order([item])
            if not self.settle(self._wait_s):
                raise EnhancerStuck(
                    f"The face enhancer took longer than {self._wait_s:.0f} s for a face.",
                    "Use a faster machine, or no enhancer.",
                )
            if self._failure is not None:
                raise self._failure

    def _order(self, known: Sequence[tuple[int, SwapJob]]) -> None:
        """Hand the face that has waited longest to the model, if it has time."""
        for track, _ in known:
            self._ages[track] = self._ages.get(track, self._every - 1) + 1
            self._ages.move_to_end(track)
        while len(self._ages) > self._most:
            self._ages.popitem(last=False)
        due = [item for item in known if self._ages.get(item[0], 0) >= self._every]
        if not due or self._closed or self.problem is not None or self._waiting.full():
            return
        track, job = max(due, key=lambda item: self._ages[item[0]])
        self._ages[track] = 0
        crop = cut(job.image, fitted(job.face.landmarks, ffhq_template(SIDE)), SIDE)
        with suppress(queue.Full):  # close() may have come in between
            self._waiting.put_nowait(_Request(track, crop))

    def _add(self, job: SwapJob, detail: _Detail) -> None:
        import cv2

        transform = fitted(job.face.landmarks, ffhq_template(SIDE))
        region = region_of(self._mask, SIDE, transform, job.image.shape)
        if region is None:
            return
        left, top, right, bottom = region
        now = cut(job.image, scaled(transform, SEEN / SIDE), SEEN)
        weight = _alike(now, detail.seen, self.strength)
        size, part = (right - left, bottom - top), job.image[top:bottom, left:right]
        here = shifted(transform, left, top)
        change = _warped(detail.change, here, size)
        share = cv2.cvtColor(_warped(weight, scaled(here, SEEN / SIDE), size), cv2.COLOR_GRAY2BGR)
        faded = cv2.multiply(change, share, scale=1 / 255, dtype=cv2.CV_16S)
        cv2.add(part, faded, dst=part, dtype=cv2.CV_8U)

    def _work(self) -> None:
        failures = 0
        while True:
            request = self._waiting.get()
            try:
                if request is None:
                    return
                detail = self._detail(request.crop)
                failures, self._failure = 0, None
                with self._lock:
                    self._details[request.track] = detail
                    self._details.move_to_end(request.track)
                    while len(self._details) > self._most:
                        self._details.popitem(last=False)
            except Exception as error:  # noqa: BLE001 - the stream goes on unenhanced
                failures += 1
                self._failure = error
                log.warning("the face enhancer failed: %s", error)
                if failures >= GIVE_UP_AFTER:
                    self.problem = f"The face enhancer is left out: {error}"
            finally:
                self._waiting.task_done()

    def _detail(self, crop: Image) -> _Detail:
        import cv2

        rgb = crop[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)
        answer = self._model.run({self._model.inputs[0].name: rgb / 127.5 - 1})[0]
        if answer.shape != (1, 3, SIDE, SIDE) or not np.isfinite(answer).all():
            raise NotAnEnhancer(f"It returned {list(answer.shape)}, or values that are no numbers.")
        better = np.clip((answer[0].transpose(1, 2, 0)[..., ::-1] + 1) * 127.5, 0, 255)
        mask = np.asarray(cv2.resize(self._mask, (SIDE, SIDE)), np.float32)[..., None] / 255
        change = np.round((better - crop) * mask).astype(np.int16)
        seen = cv2.resize(crop, (SEEN, SEEN), interpolation=cv2.INTER_AREA)
        return _Detail(change, np.asarray(seen, np.uint8))

    def _forget_waiting(self) -> None:
        try:
            self._waiting.get_nowait()
        except queue.Empty:
            return
        self._waiting.task_done()


def _alike(now: Image, then: Image, strength: float) -> Mask:
    """Where a face still looks as it did, 255 for exactly so; falls off smoothly."""
    import cv2

    apart = np.asarray(cv2.absdiff(now, then), np.float32).max(axis=2)
    apart = np.asarray(cv2.GaussianBlur(apart, (0, 0), 1.5), np.float32)
    return np.asarray(255 * strength * np.exp(-np.square(apart / ALIKE)), np.uint8)


def _warped(
    picture: npt.NDArray[Level], transform: Transform, size: tuple[int, int]
) -> npt.NDArray[Level]:
    import cv2

    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(picture, transform, size, flags=flags)
    return np.asarray(warped, picture.dtype)
