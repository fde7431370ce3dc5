"""The settings of models: where their files are, and what runs them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_ListOfText = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
]

_ListOfPaths = Annotated[
    tuple[Path, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str | Path) else value),
]

ProviderName = Literal["auto", "cuda", "tensorrt", "cpu", "openvino", "coreml"]


class ModelSettings(BaseModel):
    """Where models are looked for and downloaded from, and which may be used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folders: _ListOfPaths = Field(
        (Path("models"),),
        min_length=1,
        description="Folders of models, in order; those in AVATAR_MODELS go before them.",
    )
    commercial: bool = Field(
        False, description="Refuse models whose licence forbids commercial use."
    )
    mirrors: _ListOfText = Field(
        (),
        description="Addresses tried before a model's own; the file's name is put behind them.",
    )
    timeout_s: float = Field(
        30.0, gt=0, le=600, description="Longest wait for a server to answer or to send more."
    )
    retries: int = Field(
        4, ge=0, le=100, description="How often a broken download goes on at the same address."
    )


class RuntimeSettings(BaseModel):
    """What runs models (onnxruntime)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: ProviderName = Field(
        "auto",
        description="Auto takes the best that works and says which; any other must work.",
    )
    device: int = Field(0, ge=0, le=63, description="Number of the GPU.")
    threads: int = Field(
        0, ge=0, le=256, description="CPU threads of one model; 0: as many as there are cores."
    )
    spin: bool = Field(
        False, description="CPU threads wait busily between calls: faster alone, slower in company."
    )
    io_binding: bool = Field(
        True, description="Keep inputs and outputs in GPU memory while a model runs (CUDA)."
    )
    gpu_memory_mb: int = Field(
        0, ge=0, description="Most GPU memory of one model in MB (CUDA); 0: no limit."
    )
    convolutions: Literal["heuristic", "exhaustive", "default"] = Field(
        "heuristic",
        description="Choice of CUDA's convolutions; exhaustive tries all for each new shape.",
    )
    half: bool = Field(
        True, description="TensorRT computes with 16 bits: faster, differs in the third digit."
    )
    engines: Path = Field(
        Path("cache/engines"),
        description="Folder of what is derived from models: TensorRT engines, batched graphs.",
    )
