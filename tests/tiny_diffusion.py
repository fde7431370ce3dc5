"""Tiny diffusion models of random weights, in the forms on disk that the real ones have.

Pictures of them show nothing; what is tested is everything around the numbers.
"""

import json
from pathlib import Path
from typing import Any, Literal

from processors.generate.diffusion.libraries import import_libraries

SIDE = 64
"""Of the pictures that the tiny models are made for."""

_WORDS = ("<|startoftext|>", "<|endoftext|>", "!</w>", "a</w>", "ca", "cat</w>", "red</w>", ",</w>")
_BLOCKS = {
    "sample_size": SIDE // 8,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (8, 16),
    "norm_num_groups": 4,
    "attention_head_dim": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}


def write_tokenizer(folder: Path) -> None:
    """Write ``vocab.json`` and ``merges.txt`` of a byte-pair tokenizer with a few words."""
    letters = [chr(code) for code in range(33, 127)]
    vocab = [*_WORDS, *letters, *(letter + "</w>" for letter in letters)]
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {word: number for number, word in enumerate(dict.fromkeys(vocab))}
    (folder / "vocab.json").write_text(json.dumps(numbers))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")


def write_pipeline(
    folder: Path,
    family: Literal["sdxl", "sd15"] = "sdxl",
    channels: int = 4,
    seed: int = 0,
    upcast: bool = True,
) -> None:
    """Write a diffusers folder, as ``save_pretrained`` does.

    Args:
        folder: Is made.
        family: SDXL has two text encoders and sizes among its conditions.
        channels: Of the UNet's input; 9 for inpainting.
        seed: Of the weights.
        upcast: What the VAE says about float16.
    """
    libraries = import_libraries()
    diffusers, torch = libraries.diffusers, libraries.torch
    torch.manual_seed(seed)
    write_tokenizer(folder / "words")
    tokenizer = libraries.transformers.CLIPTokenizer.from_pretrained(
        folder / "words", model_max_length=77
    )
    for name in ("vocab.json", "merges.txt"):
        (folder / "words" / name).unlink()
    (folder / "words").rmdir()
    parts: dict[str, Any] = {
        "unet": _unet(diffusers, family, channels),
        "vae": _vae(diffusers, upcast),
        "tokenizer": tokenizer,
        "text_encoder": _text_encoder(libraries.transformers, "CLIPTextModel", len(tokenizer)),
        "scheduler": _scheduler(diffusers),
    }
    if family == "sdxl":
        kind = "StableDiffusionXLPipeline" if channels == 4 else "StableDiffusionXLInpaintPipeline"
        parts["tokenizer_2"] = tokenizer
        parts["text_encoder_2"] = _text_encoder(
            libraries.transformers, "CLIPTextModelWithProjection", len(tokenizer)
        )
    else:
        kind = "StableDiffusionPipeline" if channels == 4 else "StableDiffusionInpaintPipeline"
        parts |= {"safety_checker": None, "feature_extractor": None}
        parts["requires_safety_checker"] = False
    getattr(diffusers, kind)(**parts).save_pretrained(folder)


def write_unet(
    path: Path, family: Literal["sdxl", "sd15"] = "sdxl", channels: int = 4, seed: int = 1
) -> None:
    """Write the weights of a UNet on its own, as SDXL-Lightning is published."""
    libraries = import_libraries()
    from safetensors.torch import save_file

    libraries.torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(_unet(libraries.diffusers, family, channels).state_dict(), path)


def _unet(diffusers: Any, family: str, channels: int) -> Any:
    if family == "sd15":
        return diffusers.UNet2DConditionModel(
            **_BLOCKS, in_channels=channels, cross_attention_dim=16
        )
    return diffusers.UNet2DConditionModel(
        **_BLOCKS,
        in_channels=channels,
        cross_attention_dim=32,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=16 + 6 * 4,
    )


def _vae(diffusers: Any, upcast: bool) -> Any:
    return diffusers.AutoencoderKL(
        sample_size=SIDE // 2,
        block_out_channels=(4, 4, 4, 4),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        force_upcast=upcast,
    )


def _text_encoder(transformers: Any, kind: str, words: int) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=words,
        hidden_size=16,
        intermediate_size=16,
        projection_dim=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return getattr(transformers, kind)(config)


def _scheduler(diffusers: Any) -> Any:
    return diffusers.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="leading",
        steps_offset=1,
    )


def write_checkpoint(path: Path) -> dict[str, dict[str, Any]]:
    """Write a checkpoint of one file with the names of the original training, and its tokenizer.

    Returns:
        For ``configs.CONFIGS``: how the tiny Stable Diffusion 1.5 in it is built.
    """
    libraries = import_libraries()
    from safetensors.torch import save_file

    libraries.torch.manual_seed(3)
    write_tokenizer(path.parent)
    vocab = json.loads((path.parent / "vocab.json").read_text())
    unet = _unet(libraries.diffusers, "sd15", 4)
    vae = _vae(libraries.diffusers, False)
    text = _text_encoder(libraries.transformers, "CLIPTextModel", len(vocab))
    state = {f"model.diffusion_model.{_old_unet(k)}": v for k, v in unet.state_dict().items()}
    for key, value in vae.state_dict().items():
        name = _old_vae(key)
        square = ".attn_1." in name and value.dim() == 2
        state[f"first_stage_model.{name}"] = value[..., None, None] if square else value
    for key, value in text.state_dict().items():
        inner = key if key.startswith("text_model.") else f"text_model.{key}"
        state[f"cond_stage_model.transformer.{inner}"] = value
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    scheduler = _scheduler(libraries.diffusers)
    return {
        "unet": {**unet.config, "_class_name": "UNet2DConditionModel"},
        "vae": {**vae.config, "_class_name": "AutoencoderKL"},
        "text_encoder": {**text.config.to_dict(), "architectures": ["CLIPTextModel"]},
        "scheduler": {**scheduler.config, "_class_name": "EulerDiscreteScheduler"},
    }


_OLD_UNET = (
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
    ("down_blocks.0.resnets.0", "input_blocks.1.0"),
    ("down_blocks.0.downsamplers.0.conv", "input_blocks.2.0.op"),
    ("down_blocks.1.resnets.0", "input_blocks.3.0"),
    ("down_blocks.1.attentions.0", "input_blocks.3.1"),
    ("mid_block.resnets.0", "middle_block.0"),
    ("mid_block.attentions.0", "middle_block.1"),
    ("mid_block.resnets.1", "middle_block.2"),
    ("up_blocks.0.resnets.0", "output_blocks.0.0"),
    ("up_blocks.0.attentions.0", "output_blocks.0.1"),
    ("up_blocks.0.resnets.1", "output_blocks.1.0"),
    ("up_blocks.0.attentions.1", "output_blocks.1.1"),
    ("up_blocks.0.upsamplers.0", "output_blocks.1.2"),
    ("up_blocks.1.resnets.0", "output_blocks.2.0"),
    ("up_blocks.1.resnets.1", "output_blocks.3.0"),
)
_OLD_RESNET = (
    (".norm1.", ".in_layers.0."),
    (".conv1.", ".in_layers.2."),
    (".norm2.", ".out_layers.0."),
    (".conv2.", ".out_layers.3."),
    (".time_emb_proj.", ".emb_layers.1."),
    (".conv_shortcut.", ".skip_connection."),
)
_OLD_VAE = (
    (".conv_norm_out.", ".norm_out."),
    (".conv_shortcut.", ".nin_shortcut."),
    (".downsamplers.0.", ".downsample."),
    (".upsamplers.0.", ".upsample."),
    (".mid_block.resnets.0.", ".mid.block_1."),
    (".mid_block.resnets.1.", ".mid.block_2."),
    (".mid_block.attentions.0.", ".mid.attn_1."),
    (".resnets.", ".block."),
    (".group_norm.", ".norm."),
    (".to_q.", ".q."),
    (".to_k.", ".k."),
    (".to_v.", ".v."),
    (".to_out.0.", ".proj_out."),
)


def _old_unet(key: str) -> str:
    new, old = next(pair for pair in _OLD_UNET if key.startswith(f"{pair[0]}."))
    name = old + key.removeprefix(new)
    if ".resnets." in key:
        for after, before in _OLD_RESNET:
            name = name.replace(after, before)
    return name


def _old_vae(key: str) -> str:
    name = key
    for number in range(4):
        name = name.replace(f"encoder.down_blocks.{number}.", f"encoder.down.{number}.")
        name = name.replace(f"decoder.up_blocks.{number}.", f"decoder.up.{3 - number}.")
    for after, before in _OLD_VAE:
        name = name.replace(after, before)
    return name


def write_language_model(folder: Path, chat: bool) -> None:
    """Write a causal language model that transformers reads.

    Args:
        folder: Is made.
        chat: Its tokenizer has a template for conversations.
    """
    libraries = import_libraries()
    transformers = libraries.transformers
    libraries.torch.manual_seed(4)
    write_tokenizer(folder)
    tokenizer = transformers.CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt")
    )
    if chat:
        tokenizer.chat_template = "{{ messages[0]['content'] }}"
    tokenizer.save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=1,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
