"""Shows frames to other programs as a camera, by pyvirtualcam (v4l2loopback on Linux)."""

import importlib
from types import ModuleType
from typing import Any

from engine.errors import MissingDependency, Unavailable
from engine.media.fitting import even_size, fit
from engine.pipeline.frame import Frame
from transport.outputs.sink_thread import SinkThread


class NoVirtualCamera(Unavailable):
    """The system has no virtual camera that could be written to."""


def load_pyvirtualcam() -> ModuleType:
    """The package.

    Raises:
        MissingDependency: It is not installed.
    """
    try:
        return importlib.import_module("pyvirtualcam")
    except ImportError as error:
        raise MissingDependency(
            "The virtual camera needs the package pyvirtualcam.", "Run: pip install pyvirtualcam"
        ) from error


class VirtualCamera:
    """A sink that other programs see as a camera; its size is that of the first frame.

    Args:
        fps: The rate it announces.
        library: pyvirtualcam, or something with the same ``Camera``.

    Raises:
        MissingDependency: pyvirtualcam is not installed.
    """

    name = "virtual-camera"

    def __init__(self, fps: float, library: Any = None) -> None:
        self._library = load_pyvirtualcam() if library is None else library
        self._fps = fps
        self._camera: Any = None
        self._thread = SinkThread("virtual-camera", self._write, self._finish, capacity=1)

    def show(self, frame: Frame) -> None:
        """Send a frame."""
        self._thread.put(frame)

    def close(self) -> None:
        """Give the camera back."""
        self._thread.close()

    def _write(self, frame: Frame) -> None:
        if self._camera is None:
            self._camera = self._open(*even_size(frame.image))
        self._camera.send(fit(frame.image, (self._camera.width, self._camera.height)))

    def _open(self, width: int, height: int) -> Any:
        try:
            return self._library.Camera(
                width=width, height=height, fps=self._fps, fmt=self._library.PixelFormat.BGR
            )
        except RuntimeError as error:
            raise NoVirtualCamera(
                f"There is no virtual camera to write to: {error}.",
                "On Linux run: sudo apt install v4l2loopback-dkms && sudo modprobe v4l2loopback",
            ) from error

    def _finish(self) -> None:
        if self._camera is not None:
            self._camera.close()
