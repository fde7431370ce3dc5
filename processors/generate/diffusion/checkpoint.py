"""Tells what a model's folder holds, without loading it; names what is missing.

Three layouts are known:

- ``folder``: a folder as diffusers writes it, with ``model_index.json`` and a folder for each part;
- ``file``: one ``.safetensors`` file with all weights under the names of the original trainings
  (``model.diffusion_model...``), beside it ``vocab.json`` and ``merges.txt`` of the tokenizer;
- ``unet``: one ``.safetensors`` file with the weights of a UNet under diffusers' names; the rest
  comes from another model.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.errors import AvatarServerError, InvalidInput
from processors.generate.diffusion.parameters import FAMILIES, OWN_SIDE, Family
from processors.models.files import ModelNotFound

TOKENIZER_FILES = ("vocab.json", "merges.txt")
NEEDED = (
    "a diffusers folder (with model_index.json), or one .safetensors checkpoint with vocab.json and"
    " merges.txt beside it"
)
_INDEX = "model_index.json"
_PIPELINES: Mapping[str, Family] = {
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusionXLInpaintPipeline": "sdxl",
    "StableDiffusionXLImg2ImgPipeline": "sdxl",
    "StableDiffusionPipeline": "sd15",
    "StableDiffusionInpaintPipeline": "sd15",
    "StableDiffusionImg2ImgPipeline": "sd15",
}
_PARTS: Mapping[Family, tuple[str, ...]] = {
    "sdxl": ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2", "unet", "vae"),
    "sd15": ("tokenizer", "text_encoder", "unet", "vae"),
}
_LIGHTNING = re.compile(r"lightning[_-](\d)[_-]?step", re.IGNORECASE)
_LONGEST_HEADER = 100_000_000
_ORIGINAL = "model.diffusion_model."

Header = Mapping[str, Any]
"""Of a safetensors file: for each tensor its ``dtype``, ``shape`` and ``data_offsets``."""


class ModelUnusable(AvatarServerError):
    """A model's files are there, but damaged, or in a form that is not read."""


class WrongModel(InvalidInput):
    """A model is of another kind than is needed."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a folder holds.

    Attributes:
        model: Its id or name, for messages.
        path: The folder, or for ``file`` and ``unet`` the file.
        layout: See above.
        family: Of the architecture.
        channels: Input channels of the UNet: 4, or 9 of one that was trained for inpainting.
        parameters: Numbers in all weights.
        side: Of the square pictures that it was trained with, in pixels.
        lightning_steps: Steps that a distilled UNet was trained for; 0: it is not distilled.
        variant: ``fp16`` if the weights are only there in files of that name, else empty.
    """

    model: str
    path: Path
    layout: Literal["folder", "file", "unet"]
    family: Family
    channels: int
    parameters: int
    side: int
    lightning_steps: int = 0
    variant: str = ""


def read_checkpoint(folder: Path, model: str) -> Checkpoint:
    """Look at a folder.

    Args:
        folder: Of the model.
        model: Its id or name.

    Raises:
        ModelNotFound: Files are missing; names them.
        ModelUnusable: They are damaged, or pickled.
        WrongModel: It is a model of another kind.
    """
    if (folder / _INDEX).is_file():
        found = _read_folder(folder, model)
    else:
        found = _read_file(_only_file(folder, model), model)
    expected = FAMILIES.get(model, found.family)
    if found.family != expected:
        raise WrongModel(
            f"The folder {folder} of '{model}' holds a model of the family {found.family}, not"
            f" {expected}.",
            f"Get the right one with: python server.py models pull {model}; or give this one a"
            " folder of another name and name that.",
        )
    return found


def read_header(path: Path) -> Header:
    """Return the header of a safetensors file, checked against the file's length.

    Format: eight bytes with the header's length (little endian), JSON, then all tensors.

    Raises:
        ModelUnusable: It is none, or was not written or downloaded to its end.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _LONGEST_HEADER:
                raise ValueError("it has no header")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        end = max((int(item["data_offsets"][1]) for item in header.values()), default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnusable(f"{path} is no safetensors file: {error}.", _AGAIN) from error
    size = path.stat().st_size
    if size < 8 + length + end:
        raise ModelUnusable(
            f"{path} is not whole: {size} of {8 + length + end} bytes are there.", _AGAIN
        )
    return header


_AGAIN = "Delete it and download it again."


def _read_folder(folder: Path, model: str) -> Checkpoint:
    index = _read_json(folder / _INDEX)
    kind = str(index.get("_class_name", ""))
    family = _PIPELINES.get(kind)
    if family is None:
        raise WrongModel(
            f"The folder {folder} of '{model}' holds a '{kind}', which cannot be used here.",
            "Stable Diffusion XL and 1.5 can, with and without inpainting.",
        )
    missing = [
        f"{part}/{name}" for part in _PARTS[family] for name in _missing(folder / part, part)
    ]
    if missing:
        raise ModelNotFound(
            f"The model '{model}' is not whole: {folder} has no {', no '.join(missing)}.",
            f"Download the rest of it, or get it again: python server.py models pull {model}",
        )
    config = _read_json(folder / "unet" / "config.json")
    if family == "sdxl" and config.get("addition_embed_type") != "text_time":
        raise WrongModel(f"The UNet in {folder / 'unet'} is not one of Stable Diffusion XL.")
    weights = [file for part in _PARTS[family] for file in _weights(folder / part)]
    only_half = any(".fp16." in file.name for file in weights)
    return Checkpoint(
        model,
        folder,
        "folder",
        family,
        int(config.get("in_channels", 4)),
        sum(_count(read_header(file)) for file in weights),
        int(config.get("sample_size") or OWN_SIDE[family] // 8) * 8,
        variant="fp16" if only_half else "",
    )


def _missing(part: Path, name: str) -> Iterator[str]:
    """Yield the files that a part of a diffusers folder lacks."""
    if name.startswith("tokenizer"):
        if not (part / "tokenizer.json").is_file():
            yield from (file for file in TOKENIZER_FILES if not (part / file).is_file())
        return
    if not (part / "config.json").is_file():
        yield "config.json"
    for index in part.glob("*.safetensors.index*.json"):
        shards = set(_read_json(index).get("weight_map", {}).values())
        yield from sorted(shard for shard in shards if not (part / shard).is_file())
    if not _weights(part):
        if any(part.glob("*.bin")):
            raise ModelUnusable(
                f"The weights in {part} are pickled (.bin), which can run any code when read.",
                "Download the .safetensors files of the same model.",
            )
        yield f"{'model' if 'encoder' in name else 'diffusion_pytorch_model'}.safetensors"


def _weights(part: Path) -> list[Path]:
    """Return the files with the weights of a part: the plain ones, or else those of ``fp16``."""
    files = sorted(part.glob("*.safetensors"))
    plain = [file for file in files if file.name.count(".") == 1]
    return plain or [file for file in files if ".fp16" in file.name]


def _only_file(folder: Path, model: str) -> Path:
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return files[0]
    if files:
        names = ", ".join(file.name for file in files)
        raise WrongModel(
            f"The folder {folder} of '{model}' holds several checkpoints: {names}.",
            "Give each a folder of its own.",
        )
    if any(folder.glob("*.ckpt")):
        raise ModelUnusable(
            f"The checkpoint in {folder} is pickled (.ckpt), which can run any code when read.",
            "Take the same model as .safetensors.",
        )
    raise ModelNotFound(
        f"The folder {folder} of '{model}' holds no diffusion model.", f"It needs {NEEDED}."
    )


def _read_file(path: Path, model: str) -> Checkpoint:
    header = read_header(path)
    first = header.get("conv_in.weight") or header.get(f"{_ORIGINAL}input_blocks.0.0.weight")
    if first is None:
        raise WrongModel(
            f"{path} of '{model}' holds no UNet of Stable Diffusion.", f"It needs {NEEDED}."
        )
    whole = "conv_in.weight" not in header
    if whole:
        missing = [name for name in TOKENIZER_FILES if not (path.parent / name).is_file()]
        if missing:
            raise ModelNotFound(
                f"The model '{model}' is not whole: {path.parent} has no {', no '.join(missing)}.",
                "A checkpoint of one file has no tokenizer: take these files from the folder"
                " 'tokenizer' of the model that it was made from.",
            )
    match = _LIGHTNING.search(path.name)
    family = _family(header, path)
    return Checkpoint(
        model,
        path,
        "file" if whole else "unet",
        family,
        int(first["shape"][1]),
        _count(header),
        OWN_SIDE[family],
        lightning_steps=int(match[1]) if match else 0,
    )


def _family(header: Header, path: Path) -> Family:
    if "add_embedding.linear_1.weight" in header or f"{_ORIGINAL}label_emb.0.0.weight" in header:
        return "sdxl"
    if "conv_in.weight" in header or any(
        key.startswith("cond_stage_model.transformer.") for key in header
    ):
        return "sd15"
    raise WrongModel(
        f"{path} is neither of Stable Diffusion XL nor 1.5.", "Others cannot be used here."
    )


def _count(header: Header) -> int:
    total = 0
    for item in header.values():
        number = 1
        for side in item["shape"]:
            number *= int(side)
        total += number
    return total


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnusable(f"{path} cannot be read: {error}.", _AGAIN) from error
    if not isinstance(found, dict):
        raise ModelUnusable(f"{path} is not what it should be.", _AGAIN)
    return found
