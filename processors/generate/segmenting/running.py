"""Runs ``segment``: masks, cut-outs, and what they measure."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image
from processors.generate.declaration import Context, Inputs, Result, Services
from processors.generate.picture_files import Picture, read_picture, write_grey, write_png
from processors.generate.segment import SegmentParameters
from processors.generate.segmenting.loading import load_segment_model
from processors.generate.segmenting.prompts import prompts_of
from processors.generate.segmenting.segmenter import Candidates, Load, Segmenter

_FINDING_SHARE = 0.9
_TINT = np.array([255, 144, 30], np.float32)
"""Blue, green, red of what is selected, in previews."""

Mask = npt.NDArray[np.bool_]


class SegmentRunner:
    """Implements ``segment``.

    Args:
        services: Where models and memory are.
        load: Makes a model of its files.
    """

    def __init__(self, services: Services, load: Load = load_segment_model) -> None:
        self._segmenter = Segmenter(services, load)

    def run(self, params: SegmentParameters, inputs: Inputs, context: Context) -> Result:
        """Find the objects and write their files; see ``segment.SEGMENT``.

        Raises:
            InvalidInput, NotFound: See ``Segmenter.segment``.
        """
        path = inputs["image"]
        found = self._segmenter.segment(
            params.model,
            path,
            prompts_of(params.points, params.boxes),
            params.masks,
            context,
            lambda share, message: context.progress(share * _FINDING_SHARE, message),
        )
        # A further click must not wait for what is seen already.
        picture = None if found.cached and params.cutout == "none" else read_picture(path)
        if picture is not None and context.wants_preview():
            context.preview(tinted(picture.colour, [one.masks[0] for one in found.objects]))
        context.progress(_FINDING_SHARE, "Writing the files")
        masks, described = _write_masks(found.objects, context)
        files = {"masks": masks}
        if params.cutout != "none":
            assert picture is not None
            files["cutouts"] = _write_cutouts(
                found.objects, picture, params.cutout == "cropped", context.folder
            )
        context.progress(1.0, "Done")
        values: dict[str, Any] = {
            "masks": described,
            "width": found.width,
            "height": found.height,
            "rung": found.rung,
            "embedding_cached": found.cached,
        }
        return Result(files, values)


def tinted(image: Image, masks: list[Mask]) -> Image:
    """Return a picture with what masks select in another colour."""
    shown = image.copy()
    whole = np.logical_or.reduce(masks)
    shown[whole] = (shown[whole] * 0.5 + _TINT * 0.5).astype(np.uint8)
    return shown


def measured(mask: Mask) -> dict[str, Any]:
    """Return area in pixels, share of the picture, and box (left, top, right, bottom) or None."""
    area = int(np.count_nonzero(mask))
    box = None
    if area:
        left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
        box = [left, top, left + width, top + height]
    return {"area": area, "share": round(area / mask.size, 6), "box": box}


def _write_masks(
    objects: tuple[Candidates, ...], context: Context
) -> tuple[tuple[Path, ...], list[dict[str, Any]]]:
    paths, described = [], []
    for one in objects:
        for rank, (mask, score) in enumerate(zip(one.masks, one.scores, strict=True), 1):
            path = context.folder / f"mask-{one.number}-{rank}.png"
            write_grey(path, mask.astype(np.uint8) * 255)
            context.check()
            paths.append(path)
            described.append(
                {
                    "file": path.name,
                    "object": one.number,
                    "score": round(score, 4),
                    **measured(mask),
                }
            )
    return tuple(paths), described


def _write_cutouts(
    objects: tuple[Candidates, ...], picture: Picture, cropped: bool, folder: Path
) -> tuple[Path, ...]:
    """Write each object in its place; none for one without any pixel."""
    paths = []
    for one in objects:
        mask = one.masks[0]
        box = measured(mask)["box"]
        if box is None:
            continue
        opaque = np.uint8(255) if picture.alpha is None else picture.alpha
        alpha = np.where(mask, opaque, np.uint8(0))
        # What is transparent has no colour, so that nothing of the rest is left in the file.
        colour = np.where(mask[..., None], picture.colour, np.uint8(0))
        if cropped:
            left, top, right, bottom = box
            colour, alpha = colour[top:bottom, left:right], alpha[top:bottom, left:right]
        path = folder / f"cutout-{one.number}.png"
        write_png(path, Picture(colour, alpha, picture.profile))
        paths.append(path)
    return tuple(paths)
