"""What a generator sees of its job while it runs."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.errors import Unavailable
from engine.jobs.attempt import Lease
from engine.jobs.changes import MAX_LINE_LENGTH
from engine.jobs.clocks import Clocks
from engine.jobs.eta import Eta
from engine.jobs.exchange import Exchange, Interruption
from engine.jobs.files import JobFiles
from engine.jobs.live import LiveSignal
from engine.jobs.machine import bound
from engine.jobs.settings import JobSettings
from engine.jobs.spec import Json
from engine.jobs.text import plain

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_log = logging.getLogger(__name__)

_KINDS: Final = ((b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpg"), (b"RIFF", "webp"), (b"GIF8", "gif"))
PREVIEW_SIDE: Final = 768
MAX_PREVIEW_BYTES: Final = 4_000_000
MAX_MESSAGE: Final = 500
_LOOK_AGAIN_S: Final = 0.05


class Interrupted(BaseException):
    """Raised by ``Context.check`` when the job has to stop now.

    Not an ``Exception``, so that libraries between the generator and its callback let it pass; a
    generator only cleans up (``finally``) and never swallows it.
    """


class Cancelled(Interrupted):
    """The user cancelled the job."""


class GivenBack(Interrupted):
    """The worker stops, or the job was paused for long; it starts anew later."""


class Lost(Interrupted):
    """The job was given to another worker, as nothing was heard of this one."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker works.

    Attributes:
        device: One of ``JobSettings.devices``, e.g. ``cuda:0``, ``cpu`` or ``auto``.
        threads: CPU threads that it may use; numeric libraries know it by their variables.
    """

    device: str
    threads: int


class Context:
    """A job's way to the outside. All methods may be called from any thread of the generator.

    Args:
        lease: The job and its attempt.
        folder: What is written here becomes the job's result files: plain files, no folders.
        place: Where the worker works.
        exchange: To the heartbeat.
        files: For previews.
        settings: The section ``jobs``.
        clocks: Where the time comes from.
        live: Says when live streams are late; None: never.
        hold: Marks the job as paused; false if that is not wanted any more.
    """

    def __init__(
        self,
        lease: Lease,
        folder: Path,
        place: Place,
        exchange: Exchange,
        files: JobFiles,
        settings: JobSettings,
        clocks: Clocks,
        live: LiveSignal | None,
        hold: Callable[[], bool],
    ) -> None:
        self.folder = folder
        self.place = place
        self.job_id = lease.job_id
        self.attempt = lease.attempt
        self.recipe: Json | None = None
        """Set by ``record``."""
        self.cache_key: str | None = None
        self._exchange = exchange
        self._files = files
        self._settings = settings
        self._clocks = clocks
        self._live = live
        self._hold = hold
        self._eta = Eta()
        self._lock = threading.Lock()
        self._previews = 0
        self._last_preview = -float("inf")

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Say how far the job is, then ``check``. Cheap: only the latest of many is reported.

        Args:
            fraction: 0 to 1; what is outside is clipped.
            message: What it does now; None: as before.

        Raises:
            Interrupted: As for ``check``.
        """
        # In this order, as comparisons with "not a number" are false.
        fraction = min(1.0, max(0.0, float(fraction)))
        with self._lock:
            eta_s = self._eta.add(self._clocks.monotonic(), fraction)
        values: dict[str, Any] = {"progress": fraction, "eta_s": eta_s}
        if message is not None:
            values["message"] = plain(message, MAX_MESSAGE)
        self._exchange.put(**values)
        self.check()

    def check(self) -> None:
        """To be called between steps: returns when the job may go on, which is later while it is
        paused or live streams are late.

        Raises:
            Cancelled: The user cancelled it.
            GivenBack: The worker stops, or the job was paused for longer than ``hold_s``.
            Lost: Another worker has it.
        """
        self.yield_to_live()
        while (interruption := self._exchange.interruption) is not Interruption.NONE:
            if interruption is Interruption.CANCEL:
                raise Cancelled
            if interruption is Interruption.STOP:
                raise GivenBack
            if interruption is Interruption.LOST:
                raise Lost
            self._paused()

    def _paused(self) -> None:
        """Wait while the job is paused, as far as that is still so."""
        try:
            held = self._hold()
        except Unavailable as error:
            _log.warning("A job cannot be marked as paused yet: %s", error)
            held = False
        if not held:
            # What it is asked to do has changed, and will be heard of in a moment.
            self._exchange.wait(Interruption.PAUSE, _LOOK_AGAIN_S)
        elif self._exchange.wait(Interruption.PAUSE, self._settings.hold_s):
            raise GivenBack

    def yield_to_live(self) -> float:
        """Wait while live streams are late, at most ``max_yield_s``; return for how long.

        An interruption ends the wait.
        """
        began = self._clocks.monotonic()
        end = began + self._settings.max_yield_s
        while self._live is not None and (left := self._live.waits_s()) > 0:
            now = self._clocks.monotonic()
            if now >= end or not self._exchange.wait(Interruption.NONE, min(left, end - now)):
                break
        return self._clocks.monotonic() - began

    def log(self, line: str) -> None:
        """Add a line to the job's log."""
        for part in line.splitlines() or [""]:
            self._exchange.add_line(self._clocks.wall(), plain(part, MAX_LINE_LENGTH))

    def preview(self, picture: "bytes | npt.NDArray[np.uint8]") -> bool:
        """Show a picture of what will come; false if it was passed over.

        Args:
            picture: A PNG, JPEG, WebP or GIF file's bytes, or ``uint8[height, width, 3]`` in the
                order blue, green, red. At most one each ``preview_s`` is kept, so making one may be
                avoided by ``wants_preview``.
        """
        with self._lock:
            if not self.wants_preview():
                return False
            self._last_preview = self._clocks.monotonic()
            self._previews += 1
            number = self._previews
        data = picture if isinstance(picture, bytes) else _jpeg(picture)
        suffix = next((suffix for start, suffix in _KINDS if data.startswith(start)), "")
        if not suffix or len(data) > MAX_PREVIEW_BYTES:
            _log.warning("A preview of %d bytes is no picture, or too large.", len(data))
            return False
        name = f"{self.attempt}-{number}.{suffix}"
        try:
            self._files.write_preview(self.job_id, name, data)
        except OSError as error:
            # A job must not fail for a picture on the way.
            _log.warning("No preview could be written: %s", error.strerror)
            return False
        self._exchange.put(preview=name)
        return True

    def wants_preview(self) -> bool:
        """Return whether a preview would be kept now."""
        return self._clocks.monotonic() - self._last_preview >= self._settings.preview_s

    def record(self, recipe: Json, cache_key: str | None = None) -> None:
        """Say what determined the result (seed, model hash, size, ...), to be kept with it.

        Args:
            recipe: Replaces what the job was enqueued with.
            cache_key: Replaces the job's key, bound to this kind of machine; None leaves it.
        """
        self.recipe = recipe
        self.cache_key = None if cache_key is None else bound(cache_key)


def _jpeg(picture: "npt.NDArray[np.uint8]") -> bytes:
    import cv2

    height, width = picture.shape[:2]
    scale = PREVIEW_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        smaller = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        return _jpeg(smaller.astype("uint8", copy=False))
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])
