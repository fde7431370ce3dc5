"""How the known families are built, for checkpoints of one file, which do not say it.

diffusers would fetch this from a model hub. The numbers are those of the published models:
Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (Stable Diffusion
1.5, 860 M parameters in the UNet); Podell et al., "SDXL" (2.6 G); Radford et al., "CLIP" (ViT-L);
OpenCLIP ViT-bigG.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from processors.generate.diffusion.checkpoint import TOKENIZER_FILES
from processors.generate.diffusion.parameters import Family

Config = Mapping[str, Mapping[str, Any]]
"""For each part of a pipeline, by the name of its folder, what its ``config.json`` says."""

_DOWN, _UP = "DownBlock2D", "UpBlock2D"
_DOWN_ATTENDING, _UP_ATTENDING = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"

_UNET = {"_class_name": "UNet2DConditionModel", "in_channels": 4, "out_channels": 4}
_VAE = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
}
_CLIP_L = {
    "model_type": "clip_text_model",
    "architectures": ["CLIPTextModel"],
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
    "layer_norm_eps": 1e-5,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 1,
}
_CLIP_BIG_G = {
    **_CLIP_L,
    "architectures": ["CLIPTextModelWithProjection"],
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}
_SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
}

CONFIGS: Mapping[Family, Config] = {
    "sdxl": {
        "unet": {
            **_UNET,
            "sample_size": 128,
            "block_out_channels": [320, 640, 1280],
            "down_block_types": [_DOWN, _DOWN_ATTENDING, _DOWN_ATTENDING],
            "up_block_types": [_UP_ATTENDING, _UP_ATTENDING, _UP],
            "layers_per_block": 2,
            "transformer_layers_per_block": [1, 2, 10],
            "attention_head_dim": [5, 10, 20],
            "cross_attention_dim": 2048,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        "vae": {**_VAE, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
        "text_encoder": _CLIP_L,
        "text_encoder_2": _CLIP_BIG_G,
        "scheduler": {
            **_SCHEDULER,
            "_class_name": "EulerDiscreteScheduler",
            "timestep_spacing": "leading",
        },
    },
    "sd15": {
        "unet": {
            **_UNET,
            "sample_size": 64,
            "block_out_channels": [320, 640, 1280, 1280],
            "down_block_types": [*[_DOWN_ATTENDING] * 3, _DOWN],
            "up_block_types": [_UP, *[_UP_ATTENDING] * 3],
            "layers_per_block": 2,
            "attention_head_dim": 8,
            "cross_attention_dim": 768,
        },
        "vae": {**_VAE, "sample_size": 512, "scaling_factor": 0.18215, "force_upcast": False},
        "text_encoder": _CLIP_L,
        "scheduler": {
            **_SCHEDULER,
            "_class_name": "PNDMScheduler",
            "skip_prk_steps": True,
            "set_alpha_to_one": False,
        },
    },
}


def write_configs(folder: Path, family: Family, channels: int, tokenizer: Path) -> None:
    """Write what diffusers expects beside a checkpoint of one file.

    Args:
        folder: Empty; gets ``model_index.json`` and a folder for each part, without weights.
        family: Of the checkpoint.
        channels: Input channels of its UNet.
        tokenizer: Folder with ``vocab.json`` and ``merges.txt``, which all of a family share.
    """
    config = CONFIGS[family]
    for part, values in config.items():
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        changed = {"in_channels": channels} if part == "unet" else {}
        _write(folder / part / name, {**values, **changed})
    pads = {"tokenizer": "<|endoftext|>", "tokenizer_2": "!"}
    tokenizers = [part for part in pads if part.replace("tokenizer", "text_encoder") in config]
    for part in tokenizers:
        _write(
            folder / part / "tokenizer_config.json",
            {
                "tokenizer_class": "CLIPTokenizer",
                "model_max_length": 77,
                "pad_token": pads[part],
                "bos_token": "<|startoftext|>",
                "eos_token": "<|endoftext|>",
                "unk_token": "<|endoftext|>",
            },
        )
        for name in TOKENIZER_FILES:
            shutil.copyfile(tokenizer / name, folder / part / name)
    _write(folder / "model_index.json", _index(family, config, tokenizers))


def _index(family: Family, config: Config, tokenizers: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "_class_name": "StableDiffusionXLPipeline"
        if family == "sdxl"
        else "StableDiffusionPipeline",
        **{part: ["transformers", "CLIPTokenizer"] for part in tokenizers},
    }
    for part, values in config.items():
        if "architectures" in values:
            found[part] = ["transformers", values["architectures"][0]]
        else:
            found[part] = ["diffusers", values["_class_name"]]
    if family == "sdxl":
        return {**found, "force_zeros_for_empty_prompt": True}
    return {
        **found,
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
    }


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
