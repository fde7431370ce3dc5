"""Enlarges pictures by a network that is run on one tile after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from processors.generate.picture_files import Bytes
from processors.generate.resizing import resized
from processors.generate.tiles import by_tiles
from processors.generate.upscale import UpscaleParameters
from processors.models.restorers import Restorer


@dataclass(frozen=True, slots=True)
class Way:
    """How the network is run.

    Attributes:
        device: ``cpu`` or ``cuda:N``.
        tile: Side of a tile in pixels.
        half: With 16 bits.
    """

    device: str
    tile: int
    half: bool

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.device}, tiles of {self.tile} px{', half precision' if self.half else ''}"


class Enlarger:
    """Enlarges pictures by a network, to any size.

    Args:
        restorer: The network, where it is to run.
        way: How.
        params: Scale and overlap.
        torch: The module.
    """

    def __init__(self, restorer: Restorer, way: Way, params: UpscaleParameters, torch: Any) -> None:
        self.scale = params.scale
        self._restorer = restorer
        self._way = way
        self._overlap = params.overlap
        self._torch = torch
        # A copy, as the other may stay in memory for jobs with 32 bits.
        self._module = restorer.module
        self._dtype = torch.float32
        if way.half and restorer.half:
            import copy

            self._module = copy.deepcopy(restorer.module).half()
            self._dtype = torch.float16

    def to_size(
        self, picture: Bytes, size: tuple[int, int], progress: Callable[[float], None]
    ) -> Bytes:
        """Return a picture in another size.

        Args:
            picture: ``uint8[h, w, 3]``, BGR.
            size: Width and height.
            progress: Told the share that is done; may raise.
        """
        scale, passes = self._restorer.scale, self._passes()
        for number in range(passes):
            # Before the last pass it is made so small that the pass ends at the size itself.
            if number and number == passes - 1:
                before = (-(-size[0] // scale), -(-size[1] // scale))
                picture = resized(picture, before)

            def done(share: float, number: int = number) -> None:
                progress((number + share) / passes)

            picture = by_tiles(picture, scale, self._way.tile, self._overlap, self._enlarged, done)
        return resized(picture, size)

    def _passes(self) -> int:
        passes, reached = 1, self._restorer.scale
        while reached < self.scale:
            passes, reached = passes + 1, reached * self._restorer.scale
        return passes

    def _enlarged(self, part: Bytes) -> Bytes:
        torch, restorer = self._torch, self._restorer
        height, width = part.shape[:2]
        padded = _padded(part, restorer.multiple, restorer.minimum)
        pixels = np.ascontiguousarray(padded[..., ::-1].transpose(2, 0, 1))[None]
        with torch.inference_mode():
            given = torch.from_numpy(pixels).to(self._way.device).to(self._dtype) / 255
            made = self._module(given)[0].float().clamp_(0, 1).mul_(255).round_()
            found = made.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        size = restorer.scale
        return np.ascontiguousarray(found[: height * size, : width * size, ::-1])


def _padded(part: Bytes, multiple: int, minimum: int) -> Bytes:
    """Repeat the last row and column until a network can take the picture."""
    height, width = part.shape[:2]
    below = max(minimum, -(-height // multiple) * multiple) - height
    right = max(minimum, -(-width // multiple) * multiple) - width
    return np.pad(part, ((0, below), (0, right), (0, 0)), mode="edge") if below or right else part
