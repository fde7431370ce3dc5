"""The settings of memory: how much of it models may take, and what makes them take less."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_AMOUNT = re.compile(r"^(\d+(?:\.\d+)?) ?(%|GB|MB)$")
_DEVICE = re.compile(r"^(cuda|mps|xpu)(:\d{1,2})?$")
_UNITS = {"GB": 10**9, "MB": 10**6}


def _as_text(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value} GB"
    return value


def _is_amount(value: str) -> str:
    match = _AMOUNT.match(value)
    if match is None or (match[2] == "%" and not 0 < float(match[1]) <= 100):
        raise ValueError("expected a share such as '90 %', or an amount such as '12 GB'")
    return value


def _are_devices(value: Mapping[str, str]) -> Mapping[str, str]:
    for name in value:
        if _DEVICE.match(name) is None:
            raise ValueError(f"{name!r} is no device; expected cuda, cuda:0, cuda:1, mps or xpu")
    return value


Amount = Annotated[str, BeforeValidator(_as_text), AfterValidator(_is_amount)]
"""A share of a device (``90 %``), or an amount (``12 GB``, ``600 MB``); a number is in GB."""

Budgets = Annotated[Mapping[str, Amount], AfterValidator(_are_devices)]


class MemorySettings(BaseModel):
    """How much memory the models of jobs may take, and how they are made to take less."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budgets: Budgets = Field(
        default_factory=lambda: {"cuda": "90 %"},
        description="Most memory of each GPU; cuda stands for all that are not named (cuda:1).",
    )
    ram: Amount = Field(
        "60 %", description="Most RAM of models, those that wait for their next use included."
    )
    headroom_mb: int = Field(
        600, ge=0, le=65_536, description="Left free on a GPU for what nobody can count, in MB."
    )
    wait_s: float = Field(
        60.0, ge=0, le=3600, description="Longest wait for memory that other processes hold."
    )
    weights: Literal["as_stored", "fp16", "bf16", "fp8", "int8"] = Field(
        "as_stored",
        description="Number format of weights in memory, where the model's library has it.",
    )
    attention: Literal["auto", "full", "sliced"] = Field(
        "auto", description="Sliced attention: less memory, slower; auto: when memory runs out."
    )
    vae: Literal["auto", "full", "sliced", "tiled"] = Field(
        "auto", description="Decode pictures one by one or in tiles; auto: when memory runs out."
    )
    offload: Literal["auto", "none", "model", "sequential"] = Field(
        "auto",
        description="Bring one model or one layer at a time to the GPU; auto: if memory runs out.",
    )
    batch: int = Field(
        0, ge=0, le=64, description="Most pictures computed at once; 0: as many as a job asks for."
    )


def in_bytes(amount: Amount, total: int) -> int:
    """Return an amount in bytes.

    Args:
        amount: As in the settings.
        total: What the device has, in bytes; shares are of it.
    """
    match = _AMOUNT.match(amount)
    assert match is not None, amount
    number = float(match[1])
    return int(total * number / 100) if match[2] == "%" else int(number * _UNITS[match[2]])
