"""Tiny models that segment and fill, of random weights, in the files' real forms."""

import functools
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from processors.generate.lama.loading import lama_architecture
from processors.models.lean_imports import import_parts

SIZE = 64
"""Side of the pictures that the tiny models take."""

_SAM2 = {
    "vision_config": {
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": 8,
            "image_size": [SIZE, SIZE],
            "blocks_per_stage": [1, 1, 2, 1],
            "embed_dim_per_stage": [8, 16, 24, 32],
            "num_attention_heads_per_stage": [1, 1, 1, 1],
            "window_size_per_stage": [8, 4, 4, 4],
            "window_positional_embedding_background_size": [2, 2],
            "global_attention_blocks": [3],
        },
        "backbone_channel_list": [32, 24, 16, 8],
        "backbone_feature_sizes": [[SIZE // 4] * 2, [SIZE // 8] * 2, [SIZE // 16] * 2],
        "fpn_hidden_size": 32,
    },
    "prompt_encoder_config": {"hidden_size": 32, "image_size": SIZE, "patch_size": 16},
    "mask_decoder_config": {
        "hidden_size": 32,
        "mlp_dim": 32,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 16,
    },
}
_PREPROCESSOR = (
    '{"image_processor_type": "Sam2ImageProcessorFast", "do_resize": true, "resample": 2,'
    f' "size": {{"height": {SIZE}, "width": {SIZE}}}, "do_normalize": true,'
    ' "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}'
)


def write_sam2(folder: Path) -> None:
    """Write SAM 2 as transformers does."""
    import torch
    from transformers import Sam2Config, Sam2Model

    torch.manual_seed(0)
    _save(Sam2Model(Sam2Config(**_SAM2)), folder)


def write_sam2_video(folder: Path) -> None:
    """Write SAM 2 as Meta publishes it: the model for videos, which holds the one for pictures."""
    import torch
    from transformers import Sam2VideoConfig, Sam2VideoModel

    torch.manual_seed(0)
    config = Sam2VideoConfig(
        **_SAM2,
        image_size=SIZE,
        memory_attention_hidden_size=32,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[SIZE // 16] * 2,
        memory_encoder_hidden_size=32,
        memory_encoder_output_channels=16,
        memory_fuser_num_layers=1,
        memory_fuser_embed_dim=32,
        memory_fuser_intermediate_dim=32,
        mask_downsampler_embed_dim=32,
    )
    _save(Sam2VideoModel(config), folder)


def _save(network: Any, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(_PREPROCESSOR)


def original_sam(width: int = 16, size: int = SIZE, seed: int = 0) -> Any:
    """Return the ``Sam`` network of the package segment_anything, tiny.

    Its ``__init__`` needs torchvision, the networks do not.
    """
    import torch

    (modeling,) = import_parts(("segment_anything",), ("segment_anything.modeling",), "")
    torch.manual_seed(seed)
    grid = size // 16
    network = modeling.Sam(
        image_encoder=modeling.ImageEncoderViT(
            img_size=size,
            embed_dim=width,
            depth=2,
            num_heads=2,
            out_chans=32,
            use_rel_pos=True,
            window_size=2,
            global_attn_indexes=(1,),
            norm_layer=lambda dim: torch.nn.LayerNorm(dim, eps=1e-6),
        ),
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=32,
            image_embedding_size=(grid, grid),
            input_image_size=(size, size),
            mask_in_chans=16,
        ),
        mask_decoder=modeling.MaskDecoder(
            num_multimask_outputs=3,
            transformer=modeling.TwoWayTransformer(
                depth=2, embedding_dim=32, mlp_dim=32, num_heads=8
            ),
            transformer_dim=32,
            iou_head_depth=3,
            iou_head_hidden_dim=16,
        ),
    )
    for parameter in network.parameters():
        # Many are zero at first, which would hide weights that went to the wrong places.
        torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


def write_original_sam(path: Path) -> Any:
    """Write Segment Anything as Meta publishes it; return the network."""
    import torch

    network = original_sam()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return network


def write_lama_script(path: Path) -> None:
    """Write a TorchScript file with LaMa's contract: fills with what a small blur makes."""
    import torch
    from torch.nn import functional

    class Blur(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.full((1, 1, 9, 9), 1.0))

        def forward(self, image: Any, mask: Any) -> Any:
            known = 1 - mask
            weight = self.weight.expand(3, 1, 9, 9)
            total = functional.conv2d(image * known, weight, padding=4, groups=3)
            count = functional.conv2d(known, self.weight, padding=4)
            return image * known + mask * total / count.clamp(min=1)

    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        example = (torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64))
        torch.jit.trace(Blur(), example).save(str(path))


def write_lama_weights(path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write weights of LaMa; return the network. Until the patch is undone, the library's is tiny.

    The library knows one size only, of 51 million numbers.
    """
    import torch
    from safetensors.torch import save_file

    lama_architecture()
    module = sys.modules["spandrel.architectures.LaMa.__arch.LaMa"]
    tiny = functools.partial(module.FFCResNetGenerator, ngf=8, n_blocks=1)
    monkeypatch.setattr(module, "FFCResNetGenerator", tiny)
    torch.manual_seed(0)
    network = module.LaMa(in_nc=4, out_nc=3).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    renamed = {
        name.replace("model.model.", "generator.model.", 1): weight.contiguous()
        for name, weight in network.state_dict().items()
    }
    save_file(renamed, path)
    return network


class DiscNetwork:
    """Answers each prompt with discs around its first point, or the middle of its box.

    In the place of ``Sam2Model``: what it is given decides where the mask is, so that tests see
    whether a picture's pixels get there and back.
    """

    def __init__(self, size: int = SIZE, radius: float = 8.0) -> None:
        import torch

        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.size = size
        self.radius = radius
        self.embedded: list[tuple[int, ...]] = []
        self.devices: list[str] = []
        self.fail: Callable[[], None] = lambda: None
        self.vision_encoder = types.SimpleNamespace(
            layers=[torch.nn.Identity(), torch.nn.Identity()]
        )

    def parameters(self) -> Any:
        return iter([self.weight])

    def buffers(self) -> Any:
        return iter(())

    def to(self, device: str) -> "DiscNetwork":
        self.devices.append(str(device))
        return self

    def get_image_embeddings(self, pixels: Any) -> Any:
        self.fail()
        self.embedded.append(tuple(pixels.shape))
        for layer in self.vision_encoder.layers:
            pixels = layer(pixels)
        return [pixels[:, :1], pixels[:, 1:]]

    def __call__(self, **given: Any) -> Any:
        import torch

        points, box = given["input_points"], given["input_boxes"]
        x, y = (box[0, 0, :2] + box[0, 0, 2:]) / 2 if points is None else points[0, 0, 0]
        quarter = self.size // 4
        at = torch.arange(quarter) * 4 + 2.0
        distance = torch.hypot(at[None, :] - x, at[:, None] - y)
        radii = [self.radius / 2, self.radius, self.radius * 1.5]
        masks = torch.stack([radius - distance for radius in radii])
        scores = torch.tensor([0.5, 0.9, 0.7])
        if not given["multimask_output"]:
            masks, scores = masks[1:2], scores[1:2]
        return types.SimpleNamespace(pred_masks=masks[None, None], iou_scores=scores[None, None])


class PaintingFiller:
    """Fills holes with one colour, and keeps what it was given.

    Attributes:
        given: Shapes of pictures, and shares of them that were holes.
    """

    def __init__(self, colour: tuple[float, float, float] = (0.0, 1.0, 0.0)) -> None:
        self._colour = np.array(colour, np.float32).reshape(3, 1, 1)
        self.given: list[tuple[tuple[int, ...], float]] = []

    def fill(
        self, picture: npt.NDArray[np.float32], hole: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        self.given.append((picture.shape, float(hole.mean())))
        return np.where(hole > 0, self._colour, picture).astype(np.float32)
