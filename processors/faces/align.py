"""Where a face lies: templates of the five landmarks, and similarity transforms onto them.

A transform is ``float64[2, 3]`` and maps column vectors ``(x, y, 1)``, as ``cv2.warpAffine`` takes
it: from the picture to the crop.
"""

import numpy as np
import numpy.typing as npt

from engine.errors import InvalidInput
from engine.pipeline.frame import Image
from processors.faces.face import Points

Transform = npt.NDArray[np.float64]

_ARCFACE_112 = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float64,
)
_ARCFACE_112.setflags(write=False)


class UnknownTemplate(InvalidInput):
    """There is no landmark template for crops of this size."""


def arcface_template(size: int) -> npt.NDArray[np.float64]:
    """Where the five landmarks lie in an aligned square crop: ``float64[5, 2]`` in pixels.

    Multiples of 112 scale the template that ArcFace was trained with (Deng et al., "ArcFace:
    Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019); multiples of 128 shift it
    to the right by 8 pixels of 128, as face swap models expect.

    Raises:
        UnknownTemplate: ``size`` is a multiple of neither.
    """
    if size > 0 and size % 112 == 0:
        return np.asarray(_ARCFACE_112 * (size / 112.0))
    if size > 0 and size % 128 == 0:
        return np.asarray((_ARCFACE_112 + np.array([8.0, 0.0])) * (size / 128.0))
    raise UnknownTemplate(
        f"Faces cannot be aligned to {size} pixels.", "Use a multiple of 112 or of 128."
    )


def similarity(source: npt.ArrayLike, target: npt.ArrayLike) -> Transform:
    """The rotation, uniform scale and shift that maps ``source`` nearest to ``target``.

    Least squares (Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", PAMI 1991). In the plane a proper rotation with scale is one complex number, so the
    solution is the ratio of two sums and needs no decomposition.

    Args:
        source: ``[n, 2]``, or ``[k, n, 2]`` for k of them at once.
        target: ``[n, 2]`` or the shape of ``source``.

    Returns:
        ``float64[2, 3]``, or ``float64[k, 2, 3]``.
    """
    first, second = np.asarray(source, np.float64), np.asarray(target, np.float64)
    from_centre = first.mean(axis=-2, keepdims=True)
    to_centre = second.mean(axis=-2, keepdims=True)
    a, b = first - from_centre, second - to_centre
    spread = np.maximum((a**2).sum(axis=(-2, -1)), np.finfo(np.float64).tiny)
    cos = (a * b).sum(axis=(-2, -1)) / spread
    sin = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(axis=-1) / spread
    result = np.empty((*spread.shape, 2, 3))
    result[..., 0, 0], result[..., 0, 1] = cos, -sin
    result[..., 1, 0], result[..., 1, 1] = sin, cos
    turned = np.einsum("...ij,...j->...i", result[..., :2], from_centre[..., 0, :])
    result[..., 2] = to_centre[..., 0, :] - turned
    return result


def align(landmarks: Points, size: int) -> Transform:
    """The transform from the picture to an aligned crop of ``size`` pixels."""
    return similarity(landmarks, arcface_template(size))


def around(box: npt.NDArray[np.float32], size: int, margin: float = 1.5) -> Transform:
    """The transform to an upright square crop in which the box's longer side fills 1 / ``margin``.

    Args:
        box: Left, top, right, bottom.
        size: Side of the crop.
        margin: How much more than the box is seen.
    """
    left, top, right, bottom = (float(value) for value in box)
    scale = size / (max(right - left, bottom - top, 1e-3) * margin)
    return np.array(
        [
            [scale, 0.0, size / 2 - scale * (left + right) / 2],
            [0.0, scale, size / 2 - scale * (top + bottom) / 2],
        ]
    )


def crop(image: Image, transform: Transform, size: int) -> Image:
    """The square part of a picture that a transform shows; black beyond the picture's edges."""
    import cv2

    return np.asarray(cv2.warpAffine(image, transform, (size, size), borderValue=0.0), np.uint8)


def inverse(transform: Transform) -> Transform:
    """The transform back."""
    linear = np.linalg.inv(transform[:, :2])
    return np.column_stack([linear, -linear @ transform[:, 2]])


def scale_of(transform: Transform) -> float:
    """How many pixels of the target one of the source becomes."""
    return float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))


def transformed(points: npt.ArrayLike, transform: Transform) -> Points:
    """Points ``[n, 2]`` as the transform maps them."""
    mapped = np.asarray(points, np.float64) @ transform[:, :2].T + transform[:, 2]
    return mapped.astype(np.float32)
