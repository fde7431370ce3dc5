"""Pictures as models that segment take them, and their masks back in the picture's size.

SAM 2 takes the whole picture stretched to a square; Segment Anything scales it to a longest side
and pads below and on the right. Both resize 8 bit pixels bilinearly with a filter that widens as
the picture shrinks, which torch does as Pillow does.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image
from processors.generate.segmenting.prompts import Prompt
from processors.models.contracts import ModelMismatch

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_FILES = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True, slots=True)
class Preparation:
    """How pictures are prepared.

    Attributes:
        height: Of what the model takes.
        width: Likewise.
        stretch: Change the proportions; else keep them, and pad.
        mean: Of red, green, blue in 0..1, taken off.
        std: What the rest is divided by.
    """

    height: int
    width: int
    stretch: bool
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of a picture within what the model takes."""
        if self.stretch:
            return self.height, self.width
        scale = min(self.height / height, self.width / width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def tensor(self, image: Image) -> "torch.Tensor":
        """Return a picture as the model takes it.

        Args:
            image: ``uint8[h, w, 3]``, BGR.

        Returns:
            ``float32[1, 3, height, width]``, RGB, on the CPU.
        """
        import torch
        from torch.nn import functional

        rgb = np.ascontiguousarray(image[..., ::-1])
        pixels = torch.from_numpy(rgb).permute(2, 0, 1)[None]
        size = self.resized(*image.shape[:2])
        scaled = functional.interpolate(
            pixels, size, mode="bilinear", align_corners=False, antialias=True
        )
        mean = torch.tensor(self.mean).view(3, 1, 1)
        std = torch.tensor(self.std).view(3, 1, 1)
        # What is padded is zero after normalising.
        normal = (scaled.float() / 255 - mean) / std
        return functional.pad(normal, (0, self.width - size[1], 0, self.height - size[0]))

    def prompt(
        self, prompt: Prompt, height: int, width: int
    ) -> tuple["torch.Tensor | None", "torch.Tensor | None", "torch.Tensor | None"]:
        """Return points, labels and box of an object in the model's pixels.

        Returns:
            ``float32[1, 1, n, 2]`` and ``int64[1, 1, n]``, or None; ``float32[1, 1, 4]``, or None.
        """
        import torch

        new_height, new_width = self.resized(height, width)
        x, y = new_width / width, new_height / height
        points = labels = box = None
        if prompt.points:
            points = torch.tensor([[[[point.x * x, point.y * y] for point in prompt.points]]])
            labels = torch.tensor([[[point.label for point in prompt.points]]])
        if prompt.box is not None:
            around = prompt.box
            box = torch.tensor(
                [[[around.left * x, around.top * y, around.right * x, around.bottom * y]]]
            )
        return points, labels, box

    def masks(self, logits: "torch.Tensor", height: int, width: int) -> list[npt.NDArray[np.bool_]]:
        """Return masks in the picture's size, each ``bool[height, width]``.

        Args:
            logits: ``float[n, h, w]`` of what the model takes, above 0 where the object is.
            height: Of the picture.
            width: Likewise.
        """
        from torch.nn import functional

        found = []
        # One by one: those of a large picture need not fit into memory all at once.
        for one in logits.float().cpu():
            mask = one[None, None]
            if not self.stretch:
                mask = functional.interpolate(
                    mask, (self.height, self.width), mode="bilinear", align_corners=False
                )
                inner_height, inner_width = self.resized(height, width)
                mask = mask[..., :inner_height, :inner_width]
            mask = functional.interpolate(
                mask, (height, width), mode="bilinear", align_corners=False
            )
            found.append((mask[0, 0] > 0).numpy())
        return found


def read_preparation(folder: Path, size: int, stretch: bool) -> Preparation:
    """Read how the files of a model in transformers' form say that pictures are prepared.

    Args:
        folder: Of the model.
        size: Height and width that the network is made for.
        stretch: See ``Preparation``.

    Raises:
        ModelMismatch: They say what does not go with the network.
    """
    values = _settings(folder)
    mean = _triple(values, "image_mean", IMAGENET_MEAN, folder)
    std = _triple(values, "image_std", IMAGENET_STD, folder)
    stated = values.get("size")
    if isinstance(stated, Mapping):
        numbers = {number for key, number in stated.items() if key != "shortest_edge"}
        if numbers and numbers != {size}:
            raise ModelMismatch(
                f"{folder} says that pictures are resized to {dict(stated)}, but its network takes"
                f" {size}x{size}.",
                "Get all files of the model from the same place.",
            )
    return Preparation(size, size, stretch, mean, std)


def _settings(folder: Path) -> Mapping[str, Any]:
    for name in _FILES:
        try:
            values = json.loads((folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise ModelMismatch(
                f"{folder / name} cannot be read: {error}.", "Get the model again."
            ) from error
        inner = values.get("image_processor", values) if isinstance(values, dict) else None
        if isinstance(inner, dict) and ("image_mean" in inner or "size" in inner):
            return inner
    return {}


def _triple(
    values: Mapping[str, Any], key: str, usual: Sequence[float], folder: Path
) -> tuple[float, ...]:
    found = values.get(key, usual)
    if not (
        isinstance(found, list | tuple)
        and len(found) == 3
        and all(isinstance(number, int | float) for number in found)
    ):
        raise ModelMismatch(
            f"{folder}: {key} must be three numbers, not {found!r}.", "Get the model again."
        )
    return tuple(float(number) for number in found)
