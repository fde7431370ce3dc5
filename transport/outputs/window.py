"""A local window by OpenCV. It belongs to the main thread: window systems insist on it."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from engine.clock import Clock, monotonic
from engine.errors import Unavailable
from engine.pipeline.frame import Frame, Image
from engine.pipeline.ring import DropPolicy, Ring, RingClosed
from transport.outputs.keys import Action, action_of, help_rows

TICK_S = 0.02
"""How often keys are looked for while no frame comes."""

NOTICE_S = 2.5
"""How long a notice is shown."""

PROBE = "import cv2; cv2.namedWindow('probe', cv2.WINDOW_NORMAL); cv2.waitKey(1)"


class NoWindow(Unavailable):
    """A window cannot be opened here."""


def check_window(timeout_s: float = 30.0) -> None:
    """See whether a window can be opened, in a process of its own.

    The window library ends the whole program when there is no display, or when one of its parts
    is missing; there it ends only the trial.

    Raises:
        NoWindow: It cannot; says why.
    """
    trial = subprocess.run(
        [sys.executable, "-c", PROBE],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if trial.returncode == 0:
        check_import_order(list(sys.modules))
        return
    if "not implemented" in trial.stderr:
        raise NoWindow(
            "The installed OpenCV has no windows (opencv-python-headless).",
            "Run: pip uninstall opencv-python-headless && pip install opencv-python",
        )
    raise NoWindow(
        "A window cannot be opened: there is no display.",
        "Start it in a desktop session (DISPLAY must be set), or use another output, e.g. webrtc.",
    )


def check_import_order(modules: Sequence[str]) -> None:
    """See that OpenCV was imported before PyAV.

    Both bring their own libxcb; opening a window hangs for ever when PyAV's is loaded first.

    Args:
        modules: Names of the modules imported so far, in that order.

    Raises:
        NoWindow: PyAV came first.
    """
    order = [name for name in modules if name in ("av", "cv2")]
    if order and order[0] == "av":
        raise NoWindow(
            "A window cannot be opened once PyAV has been imported before OpenCV.",
            "This is a mistake in the program: import cv2 must come first in server.py.",
        )


class Window:
    """Shows the newest frame and reports keys.

    ``show`` and ``close`` are a sink's; ``run`` is called on the main thread and returns when the
    user quits, the window is closed or the pipeline ends.

    Args:
        title: In the window's bar.
        on_action: Called on the main thread for each key; returns a notice to show or None.
        clock: Seconds.
    """

    name = "window"

    def __init__(
        self, title: str, on_action: Callable[[Action, Image], str | None], clock: Clock = monotonic
    ) -> None:
        self._title = title
        self._on_action = on_action
        self._clock = clock
        self._ring: Ring[Frame] = Ring(1, DropPolicy.LATEST)
        self._help = False
        self._fullscreen = False
        self._notice: tuple[str, float] | None = None
        self._picture: Image = np.zeros((360, 640, 3), np.uint8)

    def show(self, frame: Frame) -> None:
        """Take the frame; on the display thread. After the window was closed nothing happens."""
        with suppress(RingClosed):
            self._ring.put(frame)

    def close(self) -> None:
        """Let ``run`` return."""
        self._ring.close()

    def run(self) -> None:
        """Show frames until the user quits or the pipeline ends; on the main thread."""
        import cv2

        cv2.namedWindow(
            self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
        )
        self._draw(cv2)
        sized = False
        try:
            while True:
                frame = self._ring.get(timeout=TICK_S)
                if frame is not None:
                    self._picture = frame.image
                    if not sized:
                        cv2.resizeWindow(self._title, *frame.size)
                        sized = True
                if frame is not None or self._notice is not None:
                    self._draw(cv2)
                if not self._handle_key(cv2):
                    return
        except RingClosed:
            return
        finally:
            self._ring.abort()
            cv2.destroyWindow(self._title)
            cv2.waitKey(1)

    def _handle_key(self, cv2: Any) -> bool:
        """False when the window is to be closed."""
        action = action_of(cv2.waitKey(1))
        if cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            return False
        if action is Action.QUIT:
            return False
        if action is Action.HELP:
            self._help = not self._help
            self._draw(cv2)
        elif action is Action.FULLSCREEN:
            self._fullscreen = not self._fullscreen
            mode = cv2.WINDOW_FULLSCREEN if self._fullscreen else cv2.WINDOW_NORMAL
            cv2.setWindowProperty(self._title, cv2.WND_PROP_FULLSCREEN, mode)
        elif action is not None:
            notice = self._on_action(action, self._picture)
            self._notice = None if notice is None else (notice, self._clock() + NOTICE_S)
            self._draw(cv2)
        return True

    def _draw(self, cv2: Any) -> None:
        rows: list[tuple[str, str]] = help_rows() if self._help else []
        notice = None
        if self._notice is not None:
            notice, until = self._notice
            if self._clock() > until:
                self._notice = notice = None
        picture = self._picture
        if rows or notice is not None:
            picture = annotate(picture, rows, notice)
        cv2.imshow(self._title, picture)


def annotate(image: Image, rows: Sequence[tuple[str, str]], notice: str | None) -> Image:
    """A copy with a table in the middle and a notice at the bottom.

    Args:
        image: ``uint8[h, w, 3]``.
        rows: Two columns, shown on a darkened picture.
        notice: One line.
    """
    import cv2

    copy = image // 4 if rows else image.copy()
    height, width = copy.shape[:2]
    scale = max(0.3, min(height / 700.0, width / 900.0))
    pitch = max(10, round(34 * scale))
    font, thickness, white = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(1.6 * scale)), (255, 255, 255)
    top = max(pitch, (height - pitch * len(rows)) // 2)
    for index, (key, meaning) in enumerate(rows):
        for text, x in ((key, width // 6), (meaning, width // 6 + 5 * pitch)):
            cv2.putText(
                copy, text, (x, top + index * pitch), font, scale, white, thickness, cv2.LINE_AA
            )
    if notice is not None:
        bar = copy[max(0, height - 2 * pitch) :]
        bar //= 3
        at = (pitch // 2, height - round(pitch * 0.7))
        cv2.putText(copy, notice, at, font, scale, white, thickness, cv2.LINE_AA)
    return copy
