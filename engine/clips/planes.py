"""The planes of ``yuv420p`` pictures as arrays."""

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
"""Height x width; colour planes have half of both."""

_BT709, _TELEVISION = 1, 1


def planes(frame: VideoFrame) -> tuple[Plane, Plane, Plane]:
    """Luma, blue and red difference of a ``yuv420p`` picture: views into it, not copies."""
    first, second, third = (_view(plane) for plane in frame.planes)
    return first, second, third


def colours(frame: VideoFrame) -> NDArray[np.uint8]:
    """A picture as height x width x 3, BGR: the order that OpenCV wants."""
    return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def frame_of(luma: Plane, blue: Plane, red: Plane) -> VideoFrame:
    """A new ``yuv420p`` picture of three planes, marked as BT.709 in the television range."""
    frame = VideoFrame(luma.shape[1], luma.shape[0], "yuv420p")
    for target, source in zip(planes(frame), (luma, blue, red), strict=True):
        target[:] = source
    frame.colorspace = frame.color_primaries = frame.color_trc = _BT709
    frame.color_range = _TELEVISION
    return frame


def _view(plane: VideoPlane) -> Plane:
    memory = memoryview(plane)
    rows = np.frombuffer(memory, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]
