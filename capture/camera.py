"""Cameras by OpenCV's V4L2 backend; one that vanishes is looked for until it is back."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from capture.metronome import Metronome
from engine.clock import Clock, monotonic
from engine.errors import NotFound, Unavailable
from engine.pipeline.frame import MICROSECONDS, Frame, Image
from engine.pipeline.settings import CaptureSettings

SLICE_S = 0.1
"""Longest wait inside the driver, so that reading can be interrupted."""

SILENT_S = 3.0
"""A camera that gives nothing for so long has vanished, whatever its driver says."""


class CameraNotFound(NotFound):
    """There is no such camera."""


class CameraBusy(Unavailable):
    """The camera is there, but gives no pictures or may not be opened."""


class CameraDevice(Protocol):
    """An opened camera."""

    def wait(self, timeout: float) -> bool:
        """Whether a picture is there within ``timeout`` seconds."""

    def read(self) -> Image | None:
        """The next picture; None when the device has failed."""

    def release(self) -> None:
        """Close the device."""


OpenDevice = Callable[[int, CaptureSettings], CameraDevice]


class OpenCvDevice:
    """A camera opened by OpenCV.

    Args:
        index: The N of ``/dev/videoN``.
        settings: Size and rate to ask for; the camera may give others.

    Raises:
        CameraNotFound: There is no such device; names those there are.
        CameraBusy: It cannot be opened.
    """

    def __init__(self, index: int, settings: CaptureSettings) -> None:
        import cv2

        _check_device(index)
        self._cv2 = cv2
        self._capture = cv2.VideoCapture(index, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            self._capture.release()
            raise CameraBusy(
                f"Camera {index} cannot be opened.",
                "Close other programs that use it, or try another number.",
            )
        motion_jpeg = cv2.VideoWriter.fourcc(*"MJPG")
        for key, value in (
            (cv2.CAP_PROP_FOURCC, motion_jpeg),
            (cv2.CAP_PROP_FRAME_WIDTH, settings.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
            (cv2.CAP_PROP_FPS, settings.fps),
            (cv2.CAP_PROP_BUFFERSIZE, 2),
        ):
            self._capture.set(key, value)

    def wait(self, timeout: float) -> bool:
        """Whether a picture is there within ``timeout`` seconds."""
        ready, _ = self._cv2.VideoCapture.waitAny([self._capture], int(timeout * 1e9))
        return bool(ready)

    def read(self) -> Image | None:
        """The next picture, ``uint8[h, w, 3]``, BGR; None when the device has failed."""
        good, image = self._capture.read()
        return np.asarray(image, np.uint8) if good else None

    def release(self) -> None:
        """Close the device."""
        self._capture.release()


class CameraSource:
    """A camera as a live source.

    Args:
        index: The N of ``/dev/videoN``.
        settings: Size, rate and the waits between attempts.
        clock: Seconds.
        open_device: Opens the camera; tests hand in their own.
        metronome: Waits between attempts.
    """

    live = True

    def __init__(
        self,
        index: int,
        settings: CaptureSettings,
        clock: Clock = monotonic,
        open_device: OpenDevice = OpenCvDevice,
        metronome: Metronome | None = None,
    ) -> None:
        self.name = f"camera:{index}"
        self.problem: str | None = None
        self.lost = 0
        self._index = index
        self._settings = settings
        self._clock = clock
        self._open_device = open_device
        self._metronome = metronome or Metronome(clock)
        self._device: CameraDevice | None = None
        self._heard_at = 0.0
        self._opened_at = 0.0
        self._sequence = 0
        self._delay = settings.retry_initial_s

    def open(self) -> None:
        """Open the camera and see that it gives a picture.

        Raises:
            CameraNotFound: There is no such camera.
            CameraBusy: It gives no picture within 3 s.
        """
        self._opened_at = self._heard_at = self._clock()
        self._device = self._open_device(self._index, self._settings)
        while not self._device.wait(SLICE_S):
            if self._metronome.interrupted or self._clock() - self._opened_at > SILENT_S:
                self.close()
                raise CameraBusy(
                    f"Camera {self._index} gives no picture.",
                    "Another program may be using it; close that, or try another number.",
                )

    def read(self) -> Frame | None:
        """The next picture; while the camera is away, waits for its return."""
        while not self._metronome.interrupted:
            if self._device is None and not self._find_again():
                continue
            image = self._take()
            if image is not None:
                return self._frame(image)
        return None

    def interrupt(self) -> None:
        """End reading."""
        self._metronome.interrupt()

    def close(self) -> None:
        """Release the camera; idempotent."""
        if self._device is not None:
            self._device.release()
            self._device = None

    def _take(self) -> Image | None:
        """A picture, or None when there is none yet or the camera is lost."""
        assert self._device is not None
        try:
            if self._device.wait(SLICE_S):
                image = self._device.read()
                if image is not None:
                    return image
                self._lose("it stopped giving pictures")
            elif self._clock() - self._heard_at > SILENT_S:
                self._lose(f"it gave nothing for {SILENT_S:g} s")
        except Exception as error:  # noqa: BLE001 - drivers raise whatever they like
            self._lose(str(error))
        return None

    def _frame(self, image: Image) -> Frame:
        now = self._clock()
        self._heard_at = now
        self._delay = self._settings.retry_initial_s
        self.problem = None
        sequence, self._sequence = self._sequence, self._sequence + 1
        return Frame(image, sequence, round((now - self._opened_at) * 1e6), MICROSECONDS, now)

    def _lose(self, reason: str) -> None:
        self.lost += 1
        self.problem = f"{self.name} was lost ({reason}); looking for it"
        self.close()

    def _find_again(self) -> bool:
        if not self._metronome.until(self._clock() + self._delay):
            return False
        self._delay = min(self._delay * 2, self._settings.retry_max_s)
        try:
            self._device = self._open_device(self._index, self._settings)
        except (CameraNotFound, CameraBusy) as error:
            self.problem = f"{self.name} was lost; looking for it ({error.description})"
            return False
        self._heard_at = self._clock()
        return True


def _check_device(index: int, folder: Path = Path("/dev")) -> None:
    """Raise what is wrong with a device that can be told without OpenCV."""
    path = folder / f"video{index}"
    if not path.exists():
        there = sorted(int(other.name[5:]) for other in folder.glob("video[0-9]*"))
        names = ", ".join(f"camera:{number}" for number in there)
        raise CameraNotFound(
            f"There is no camera {index} ({path}).",
            f"There are: {names}." if names else "No camera is connected to this machine.",
        )
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except OSError as error:
        hint = (
            "Add the user to the group 'video' and log in again."
            if error.errno in (errno.EACCES, errno.EPERM)
            else "Close other programs that use it."
        )
        raise CameraBusy(f"Camera {index} cannot be opened: {error.strerror}.", hint) from error
