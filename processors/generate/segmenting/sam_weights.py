"""Weights of the original Segment Anything checkpoints, as transformers' ``SamModel`` names them.

Everything about the network's size is read from the weights' shapes, so that vit_b, vit_l, vit_h
and fine-tuned ones need no names. The original: Kirillov et al., *Segment Anything*, ICCV 2023.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ENCODER = "image_encoder.patch_embed.proj.weight"
"""A weight that every one of these checkpoints has."""

_PARTS = {
    "image_encoder.blocks.": "vision_encoder.layers.",
    "image_encoder.patch_embed.proj.": "vision_encoder.patch_embed.projection.",
    "image_encoder.neck.0.": "vision_encoder.neck.conv1.",
    "image_encoder.neck.1.": "vision_encoder.neck.layer_norm1.",
    "image_encoder.neck.2.": "vision_encoder.neck.conv2.",
    "image_encoder.neck.3.": "vision_encoder.neck.layer_norm2.",
    "image_encoder.": "vision_encoder.",
    "prompt_encoder.mask_downscaling.0.": "prompt_encoder.mask_embed.conv1.",
    "prompt_encoder.mask_downscaling.1.": "prompt_encoder.mask_embed.layer_norm1.",
    "prompt_encoder.mask_downscaling.3.": "prompt_encoder.mask_embed.conv2.",
    "prompt_encoder.mask_downscaling.4.": "prompt_encoder.mask_embed.layer_norm2.",
    "prompt_encoder.mask_downscaling.6.": "prompt_encoder.mask_embed.conv3.",
    "prompt_encoder.point_embeddings.": "prompt_encoder.point_embed.",
    "mask_decoder.output_upscaling.0.": "mask_decoder.upscale_conv1.",
    "mask_decoder.output_upscaling.1.": "mask_decoder.upscale_layer_norm.",
    "mask_decoder.output_upscaling.3.": "mask_decoder.upscale_conv2.",
}
_PERCEPTRON = re.compile(r"(_head|_mlps\.\d+)\.layers\.(\d)\.")
_LAYERS = {"0": "proj_in", "1": "layers.0", "2": "proj_out"}
_NORM = re.compile(r"\.norm(\d|_final_attn)\.")
_FREQUENCIES = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_HEADS_OF_DECODER = 8


def renamed(weights: Mapping[str, "torch.Tensor"]) -> "dict[str, torch.Tensor]":
    """Return the same weights by transformers' names."""
    found = {_new_name(name): weight for name, weight in weights.items() if name != _FREQUENCIES}
    # One module that two others refer to.
    for owner in ("shared_image_embedding", "prompt_encoder.shared_embedding"):
        found[f"{owner}.positional_embedding"] = weights[_FREQUENCIES]
    return found


def _new_name(name: str) -> str:
    for old, new in _PARTS.items():
        if name.startswith(old):
            name = new + name.removeprefix(old)
            break
    name = _PERCEPTRON.sub(lambda match: f"{match[1]}.{_LAYERS[match[2]]}.", name)
    return _NORM.sub(lambda match: f".layer_norm{match[1]}.", name)


def configuration(weights: Mapping[str, "torch.Tensor"]) -> dict[str, Any]:
    """Return the arguments of transformers' ``SamConfig``.

    Raises:
        KeyError: A weight is missing.
    """
    patches = weights[ENCODER]
    width, patch = patches.shape[0], patches.shape[-1]
    grid = weights["image_encoder.pos_embed"].shape[1]
    reach = _reach(weights)
    window = {rows: (rows + 1) // 2 for rows in reach if rows != 2 * grid - 1}
    decoder = weights["mask_decoder.iou_token.weight"].shape[1]
    head = weights["image_encoder.blocks.0.attn.rel_pos_h"].shape[1]
    frequencies = weights[_FREQUENCIES].shape[1]
    return {
        "vision_config": {
            "hidden_size": width,
            "num_hidden_layers": len(reach),
            "num_attention_heads": width // head,
            "image_size": grid * patch,
            "patch_size": patch,
            "output_channels": weights["image_encoder.neck.0.weight"].shape[0],
            "mlp_dim": weights["image_encoder.blocks.0.mlp.lin1.weight"].shape[0],
            "window_size": next(iter(window.values()), 0),
            "global_attn_indexes": [
                number for number, rows in enumerate(reach) if rows == 2 * grid - 1
            ],
            "num_pos_feats": frequencies,
        },
        "prompt_encoder_config": {
            "hidden_size": decoder,
            "image_size": grid * patch,
            "patch_size": patch,
            "mask_input_channels": weights["prompt_encoder.mask_downscaling.3.weight"].shape[0],
        },
        "mask_decoder_config": {
            "hidden_size": decoder,
            "num_attention_heads": _HEADS_OF_DECODER,
            "mlp_dim": weights["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
            "num_multimask_outputs": weights["mask_decoder.mask_tokens.weight"].shape[0] - 1,
            "iou_head_hidden_dim": weights[
                "mask_decoder.iou_prediction_head.layers.0.weight"
            ].shape[0],
        },
    }


def _reach(weights: Mapping[str, "torch.Tensor"]) -> list[int]:
    """Return how many relative positions each block of the encoder tells apart."""
    found = []
    while (key := f"image_encoder.blocks.{len(found)}.attn.rel_pos_h") in weights:
        found.append(weights[key].shape[0])
    return found
