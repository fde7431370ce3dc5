"""Makes a model that segments of its files."""

import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.errors import MissingDependency
from processors.generate.declaration import Services
from processors.generate.segmenting.checkpoints import Checkpoint
from processors.generate.segmenting.files import check_known
from processors.generate.segmenting.model import SegmentModel
from processors.generate.segmenting.preparing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Preparation,
    read_preparation,
)
from processors.generate.segmenting.sam_weights import ENCODER, configuration, renamed
from processors.models.contracts import ModelMismatch
from processors.models.files import ModelDamaged

if TYPE_CHECKING:
    import torch

_AGAIN = "Delete it and get it again."


def load_segment_model(checkpoint: Checkpoint, services: Services) -> SegmentModel:
    """Load a model onto the CPU, in 32 bit; pickled files as weights only, never as code.

    Raises:
        MissingDependency: torch or transformers is not installed.
        ModelDamaged: A file has a wrong hash, or cannot be read.
        ModelMismatch: The weights are not those of its kind of model.
    """
    import_libraries()
    check_known(checkpoint.model, services)
    if checkpoint.kind == "sam_original":
        return _original(checkpoint)
    return _transformers(checkpoint)


def import_libraries() -> None:
    """Import what is heavy.

    Raises:
        MissingDependency: torch or transformers is not installed.
    """
    try:
        import torch  # noqa: F401
        from transformers.utils import logging
    except ImportError as error:
        raise MissingDependency(
            f"Selecting objects needs torch and transformers: {error}.",
            "Run: pip install -r requirements-ai.txt",
        ) from error
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _transformers(checkpoint: Checkpoint) -> SegmentModel:
    import torch
    from safetensors import SafetensorError

    config, network_class = _classes(checkpoint)
    try:
        network, found = network_class.from_pretrained(
            checkpoint.path,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (SafetensorError, EOFError) as error:
        raise ModelDamaged(f"{checkpoint.path} is damaged: {error}.", _AGAIN) from error
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise _mismatch(checkpoint, str(error)) from error
    missing = sorted(found["missing_keys"])
    if missing:
        raise _mismatch(checkpoint, f"{len(missing)} weights are missing, e.g. {missing[0]}")
    size = config.prompt_encoder_config.image_size
    stretch = checkpoint.kind == "sam2"
    return SegmentModel(network.eval(), read_preparation(checkpoint.path, size, stretch))


def _classes(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Return the configuration, and the class of the network.

    The folders that Meta publishes hold the model for videos, which contains the one for pictures.
    """
    import json

    values = json.loads((checkpoint.path / "config.json").read_text(encoding="utf-8"))
    parts = {
        key: values[key]
        for key in ("vision_config", "prompt_encoder_config", "mask_decoder_config")
        if key in values
    }
    try:
        if checkpoint.kind == "sam2":
            from transformers import Sam2Config, Sam2Model

            return Sam2Config(**parts), Sam2Model
        from transformers import SamConfig, SamModel

        return SamConfig(**parts), SamModel
    except (TypeError, ValueError, KeyError) as error:
        raise _mismatch(checkpoint, f"its config.json is wrong: {error}") from error


def _original(checkpoint: Checkpoint) -> SegmentModel:
    import torch
    from transformers import SamConfig, SamModel

    weights = _weights(checkpoint)
    try:
        config = SamConfig(**configuration(weights))
        with torch.device("meta"):
            network = SamModel(config)
        # Taken over as they are, so that there is one copy.
        network.load_state_dict(renamed(weights), assign=True)
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise _mismatch(checkpoint, str(error)) from error
    size = config.prompt_encoder_config.image_size
    preparation = Preparation(size, size, False, IMAGENET_MEAN, IMAGENET_STD)
    return SegmentModel(network.float().eval(), preparation)


def _weights(checkpoint: Checkpoint) -> "Mapping[str, torch.Tensor]":
    import torch

    try:
        found = torch.load(checkpoint.path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelDamaged(
            f"{checkpoint.path} is damaged, or holds more than weights, which could be code.",
            f"{_AGAIN} Segment Anything's own files are sam_vit_b_01ec64.pth, sam_vit_l_0b3195.pth"
            " and sam_vit_h_4b8939.pth.",
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise ModelDamaged(f"{checkpoint.path} is damaged: {error}.", _AGAIN) from error
    if isinstance(found, Mapping) and isinstance(found.get("model"), Mapping):
        found = found["model"]
    if not isinstance(found, Mapping) or ENCODER not in found:
        raise _mismatch(checkpoint, f"it has no weight {ENCODER}")
    return found


def _mismatch(checkpoint: Checkpoint, why: str) -> ModelMismatch:
    lines = why.strip().splitlines() or ["unknown"]
    kind = "SAM 2" if checkpoint.kind == "sam2" else "Segment Anything"
    return ModelMismatch(
        f"{checkpoint.path} is no model of the kind {kind}: {lines[0][:300].rstrip('.')}.",
        "Choose another model, e.g. sam2_tiny; SAM 2 goes into a folder in transformers' form,"
        " Segment Anything is a .pth file.",
    )
