"""Faces in a picture by SCRFD (Guo et al., "Sample and Computation Redistribution for Efficient
Face Detection", ICLR 2022), e.g. ``det_10g``.

The contract: one input ``[1, 3, height, width]``, RGB, ``(x - 127.5) / 128``; nine outputs: scores,
distances to the sides of the box and to five landmarks, each at strides 8, 16 and 32, with two
anchors in a cell, in units of the stride.
"""

import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image
from processors.faces.detector import DetectionFailed
from processors.faces.face import Face
from processors.faces.model import Array, Model, blob_of, image_size
from processors.models.contracts import ModelMismatch

STRIDES = (8, 16, 32)
ANCHORS = 2
_WIDTHS = (1, 4, 10)

Floats = npt.NDArray[np.float32]


class SCRFD:
    """Finds faces.

    The picture is scaled to fit the model's input, at its top left. Where the graph leaves the size
    open, the input is no larger than the picture's shape needs, which for 16:9 saves two fifths of
    the time of a square.

    Args:
        model: See above.
        size: Longer side of the input where the graph leaves it open; a multiple of 32.
        threshold: Least score.
        overlap: Of two boxes that overlap more, the one with the lower score goes.

    Raises:
        ModelMismatch: The model has another contract.
    """

    def __init__(
        self, model: Model, size: int = 640, threshold: float = 0.5, overlap: float = 0.4
    ) -> None:
        self._model = model
        self._fixed = image_size(model, "SCRFD")
        if len(model.outputs) != len(STRIDES) * len(_WIDTHS):
            raise ModelMismatch(
                f"The model given for SCRFD has {len(model.outputs)} outputs; nine were expected.",
                "Give a SCRFD model with landmarks (its name ends in kps or is det_10g).",
            )
        if size % max(STRIDES) or size <= 0:
            raise ModelMismatch(f"SCRFD cannot look at {size} pixels.", "Use a multiple of 32.")
        self._size, self._threshold, self._overlap = size, threshold, overlap
        self._centres: dict[tuple[int, int, int], Floats] = {}

    def input_size(self, image: Image) -> tuple[int, int]:
        """(width, height) at which the model looks at a picture."""
        if self._fixed is not None:
            return self._fixed
        height, width = image.shape[:2]
        scale = self._size / max(height, width)
        step = max(STRIDES)
        return (
            max(step, int(np.ceil(width * scale / step)) * step),
            max(step, int(np.ceil(height * scale / step)) * step),
        )

    def detect(self, image: Image) -> list[Face]:
        """The faces in a picture, best score first.

        Args:
            image: ``uint8[h, w, 3]``, BGR.

        Raises:
            DetectionFailed: The numbers make no sense.
        """
        canvas, scale = _fit(image, self.input_size(image))
        outputs = self._model.run({self._model.inputs[0].name: blob_of([canvas], 127.5, 128.0)})
        scores, boxes, points = self._decode(outputs, (canvas.shape[1], canvas.shape[0]))
        order = np.argsort(-scores, kind="stable")
        scores, boxes, points = scores[order], boxes[order] / scale, points[order] / scale
        return [
            Face(boxes[n], points[n], float(scores[n])) for n in keep_best(boxes, self._overlap)
        ]

    def _decode(self, outputs: list[Array], size: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
        found: list[tuple[Floats, Floats, Floats]] = []
        for level, stride in enumerate(STRIDES):
            centres = self._cell_centres(size, stride)
            # Exports with a batch dimension of their own have one picture in it.
            raw = [
                np.asarray(outputs[level + len(STRIDES) * kind], np.float32).reshape(-1, width)
                for kind, width in enumerate(_WIDTHS)
            ]
            if any(len(values) != len(centres) for values in raw):
                raise DetectionFailed(
                    f"The face detector gave {[len(values) for values in raw]} rows at stride "
                    f"{stride}; {len(centres)} were expected."
                )
            if not np.isfinite(raw[0]).all():
                raise DetectionFailed("The face detector returned values that are not numbers.")
            chosen = np.flatnonzero(raw[0][:, 0] >= self._threshold)
            at, sides = centres[chosen], raw[1][chosen] * stride
            boxes = np.concatenate([at - sides[:, :2], at + sides[:, 2:]], axis=1)
            points = at[:, None] + raw[2][chosen].reshape(-1, 5, 2) * stride
            found.append((raw[0][chosen, 0], boxes, points))
        scores, boxes, points = (np.concatenate(part) for part in zip(*found, strict=True))
        return scores, boxes, points

    def _cell_centres(self, size: tuple[int, int], stride: int) -> Floats:
        key = (*size, stride)
        if key not in self._centres:
            if len(self._centres) >= 8 * len(STRIDES):
                self._centres.clear()
            rows, columns = np.mgrid[: size[1] // stride, : size[0] // stride]
            cells = np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float32) * stride
            self._centres[key] = np.repeat(cells, ANCHORS, axis=0)
        return self._centres[key]


def keep_best(boxes: Floats, overlap: float) -> list[int]:
    """Which boxes remain when of two that overlap too much the later one goes.

    Areas count pixels, edges included, as the models' authors do.

    Args:
        boxes: ``float32[n, 4]``, best first.
        overlap: Intersection over union, 0..1.

    Returns:
        Their places, ascending.
    """
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    order, kept = np.arange(len(boxes)), []
    while len(order):
        best, rest = int(order[0]), order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.prod(np.maximum(0.0, high - low + 1), axis=1)
        order = rest[shared / (area[best] + area[rest] - shared) <= overlap]
    return kept


def _fit(image: Image, size: tuple[int, int]) -> tuple[Image, float]:
    """The picture at the top left of a black one of ``size``, and its scale.

    The scale is that of the height alone and the width is cut to whole pixels, as insightface does:
    its results are the reference.
    """
    import cv2

    height, width = image.shape[:2]
    shape = height / width
    if shape > size[1] / size[0]:
        new_height, new_width = size[1], int(size[1] / shape)
    else:
        new_height, new_width = int(size[0] * shape), size[0]
    new_height, new_width = max(1, new_height), max(1, new_width)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    canvas[:new_height, :new_width] = cv2.resize(image, (new_width, new_height))
    return canvas, new_height / height
