"""Pictures between two pictures, by dense optical flow.

The flow is DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016) in both
directions at a reduced size. Each picture is warped along its own flow towards the moment wanted,
and the two are blended linearly in time. Where flow fails the blend degrades to a cross-fade.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image

FLOW_WIDTH = 320
"""Width in pixels at which flow is estimated; motion is smooth enough for this to suffice."""

Flow = npt.NDArray[np.float32]


class FlowInterpolator:
    """Blends between pairs of pictures; the flow of the last pair is kept.

    Needs cv2. Pictures of different sizes cannot be blended: the later one is returned.
    """

    def __init__(self) -> None:
        import cv2

        self._cv2 = cv2
        self._estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._pair: tuple[int, int] | None = None
        self._flows: tuple[Flow, Flow] | None = None
        self._grid: Flow | None = None

    def between(self, before: Image, after: Image, share: float, pair: tuple[int, int]) -> Image:
        """The picture at ``share`` (0..1) of the way from ``before`` to ``after``.

        Args:
            before: ``uint8[h, w, 3]``.
            after: The same size.
            share: 0 gives ``before``, 1 gives ``after``.
            pair: The sequence numbers of the two: the flow is computed once for each pair.
        """
        if share <= 0.0:
            return before
        if share >= 1.0 or before.shape != after.shape:
            return after
        if self._pair != pair or self._flows is None:
            self._flows = self._estimate(before, after)
            self._pair = pair
        forward, backward = self._flows
        warped_before = self._warp(before, forward, -share)
        warped_after = self._warp(after, backward, share - 1.0)
        blended = self._cv2.addWeighted(warped_before, 1.0 - share, warped_after, share, 0.0)
        return blended.view(np.uint8)

    def _estimate(self, before: Image, after: Image) -> tuple[Flow, Flow]:
        cv2 = self._cv2
        height, width = before.shape[:2]
        scale = min(1.0, FLOW_WIDTH / width)
        small = (max(16, round(width * scale)), max(16, round(height * scale)))
        grey = [
            cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), small, interpolation=cv2.INTER_AREA)
            for image in (before, after)
        ]
        factors = np.array([width / small[0], height / small[1]], np.float32)
        flows = [
            cv2.resize(self._estimator.calc(first, second, None), (width, height)) * factors
            for first, second in ((grey[0], grey[1]), (grey[1], grey[0]))
        ]
        return flows[0], flows[1]

    def _warp(self, image: Image, flow: Flow, amount: float) -> Image:
        cv2 = self._cv2
        height, width = image.shape[:2]
        if self._grid is None or self._grid.shape[:2] != (height, width):
            columns, rows = np.meshgrid(
                np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
            )
            self._grid = np.dstack((columns, rows))
        source = cv2.scaleAdd(flow, amount, self._grid)
        warped: Image = cv2.remap(
            image, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return warped
