"""A model that segments: it embeds a picture once, and then answers prompts quickly."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from engine.pipeline.frame import Image
from processors.generate.segmenting.embeddings import Embedding
from processors.generate.segmenting.preparing import Preparation
from processors.generate.segmenting.prompts import Prompt

if TYPE_CHECKING:
    import torch


class SegmentModel:
    """Transformers' ``Sam2Model`` or ``SamModel`` with what it needs around it.

    Args:
        network: The model, in evaluation mode.
        preparation: How pictures are prepared for it.
    """

    def __init__(self, network: Any, preparation: Preparation) -> None:
        self.network = network
        self._preparation = preparation

    def to(self, device: str) -> Self:
        """Move it to a device."""
        self.network.to(device)
        return self

    def parameters(self) -> "Iterator[torch.nn.Parameter]":
        """Its weights."""
        return iter(self.network.parameters())

    def buffers(self) -> "Iterator[torch.Tensor]":
        """Its other tensors."""
        return iter(self.network.buffers())

    def embed(
        self, image: Image, half: bool = False, step: Callable[[float], None] | None = None
    ) -> Embedding:
        """Embed a picture; this takes nearly all of the time.

        Args:
            image: ``uint8[h, w, 3]``, BGR.
            half: Compute in 16 bit where that loses little; takes less memory.
            step: Called before each layer with the share that is done; may raise.
        """
        import torch

        pixels = self._preparation.tensor(image).to(self._device)
        with torch.inference_mode(), self._half(half), _stepping(self._layers(), step):
            found = self.network.get_image_embeddings(pixels)
        features = [found] if isinstance(found, torch.Tensor) else list(found)
        height, width = image.shape[:2]
        return Embedding(tuple(one.float().cpu() for one in features), height, width)

    def masks(
        self, embedding: Embedding, prompt: Prompt, several: bool, half: bool = False
    ) -> tuple[list[npt.NDArray[np.bool_]], list[float]]:
        """Return the masks of an object, the surest first, and how sure each is.

        Args:
            embedding: Of the picture, by this model.
            prompt: The object.
            several: Three masks for what the prompt may mean; else the one for prompts that are
                clear.
            half: See ``embed``.

        Returns:
            Each ``bool[h, w]`` in the picture's size; scores estimate the overlap with the real
            object (intersection over union, 0 to 1).
        """
        import torch

        height, width = embedding.height, embedding.width
        device = self._device
        points, labels, box = (
            None if part is None else part.to(device)
            for part in self._preparation.prompt(prompt, height, width)
        )
        features = [feature.to(device) for feature in embedding.features]
        with torch.inference_mode(), self._half(half):
            found = self.network(
                image_embeddings=features if len(features) > 1 else features[0],
                input_points=points,
                input_labels=labels,
                input_boxes=box,
                multimask_output=several,
            )
        scores = found.iou_scores[0, 0].float().cpu()
        order = torch.argsort(scores, descending=True, stable=True)
        logits = found.pred_masks[0, 0].cpu()[order]
        masks = self._preparation.masks(logits, height, width)
        return masks, [float(score) for score in scores[order]]

    @property
    def _device(self) -> "torch.device":
        return next(self.network.parameters()).device

    def _half(self, half: bool) -> Any:
        import torch

        return torch.autocast(self._device.type, torch.bfloat16, enabled=half)

    def _layers(self) -> "Sequence[torch.nn.Module]":
        encoder = self.network.vision_encoder
        layers = encoder.layers if hasattr(encoder, "layers") else encoder.backbone.blocks
        return list(layers)


@contextmanager
def _stepping(
    layers: "Sequence[torch.nn.Module]", step: Callable[[float], None] | None
) -> Iterator[None]:
    """Have something called before each layer runs."""
    handles = []
    if step is not None:
        for number, layer in enumerate(layers):
            share = number / len(layers)
            handles.append(layer.register_forward_pre_hook(lambda *_, share=share: step(share)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
