"""Draws the pipeline's rates, latency, batches and drops into the picture."""

from collections.abc import Callable, Sequence

import numpy as np

from engine.clock import Clock, monotonic
from engine.pipeline.frame import Frame, Image
from engine.pipeline.protocols import Traits
from engine.pipeline.statistics import Snapshot

REFRESH_S = 0.25
"""Numbers that change faster cannot be read."""

GIB = 1 << 30


def describe(reading: Snapshot, gpu: tuple[int, int] | None) -> list[str]:
    """The lines of the overlay.

    Args:
        reading: The pipeline's statistics.
        gpu: Used and total bytes of GPU memory, if there is one.
    """
    lines = [
        f"capture {reading.capture_fps:5.1f}  process {reading.process_fps:5.1f}  "
        f"display {reading.display_fps:5.1f} fps"
    ]
    total = reading.latency.get("end_to_end")
    if total is not None:
        lines.append(f"latency {total.p50_ms:.0f} ms, p95 {total.p95_ms:.0f} ms")
    dropped = sum(reading.dropped.values())
    lines.append(f"batch {reading.batch_mean:.1f} of {reading.batch_size}  dropped {dropped}")
    if gpu is not None:
        lines.append(f"GPU {gpu[0] / GIB:.1f} of {gpu[1] / GIB:.1f} GiB")
    lines.extend(f"{name} failed {count}x" for name, count in reading.faults.items())
    lines.extend(f"{name} left out" for name in reading.bypassed)
    if reading.problem is not None:
        lines.append(reading.problem)
    return lines


class Overlay:
    """Draws into the upper left corner, in place.

    Args:
        snapshot: The pipeline's statistics.
        gpu: Used and total bytes of GPU memory.
        clock: Seconds; limits how often the text changes.
    """

    name = "overlay"
    traits = Traits(parallel=False, fails_closed=False, resizes=False)

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        gpu: Callable[[], tuple[int, int] | None],
        clock: Clock = monotonic,
    ) -> None:
        import cv2

        self._cv2 = cv2
        self._snapshot = snapshot
        self._gpu = gpu
        self._clock = clock
        self._drawn_at = float("-inf")
        self._drawn_for = 0
        self._panel: Image = np.zeros((1, 1, 3), np.uint8)

    def process(self, frames: Sequence[Frame]) -> Sequence[Image]:
        """The same images with the text on a darkened panel."""
        now = self._clock()
        height = frames[0].image.shape[0]
        if now - self._drawn_at >= REFRESH_S or height != self._drawn_for:
            self._panel = self._draw(describe(self._snapshot(), self._gpu()), height)
            self._drawn_at, self._drawn_for = now, height
        for frame in frames:
            part = frame.image[: self._panel.shape[0], : self._panel.shape[1]]
            panel = self._panel[: part.shape[0], : part.shape[1]]
            self._cv2.addWeighted(part, 0.35, panel, 1.0, 0.0, dst=part)
        return [frame.image for frame in frames]

    def close(self) -> None:
        """Nothing to release."""

    def _draw(self, lines: Sequence[str], height: int) -> Image:
        cv2 = self._cv2
        scale = max(0.35, height / 1100.0)
        thickness = max(1, round(scale * 1.5))
        font = cv2.FONT_HERSHEY_SIMPLEX
        sizes = [cv2.getTextSize(line, font, scale, thickness)[0] for line in lines]
        pitch = round(max(size[1] for size in sizes) * 1.9) + 2
        margin = pitch // 2
        width = max(size[0] for size in sizes) + 2 * margin
        panel = np.zeros((pitch * len(lines) + margin, width, 3), np.uint8)
        for index, line in enumerate(lines):
            at = (margin, pitch * (index + 1) - pitch // 6)
            cv2.putText(panel, line, at, font, scale, (255, 255, 255), thickness, cv2.LINE_AA)
        return panel
