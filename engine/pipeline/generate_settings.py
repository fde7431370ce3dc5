"""The settings of generators of pictures: prompts, fall-backs, an external service."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

_ListOfText = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
]

_ListOfPaths = Annotated[
    tuple[Path, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str | Path) else value),
]


class PromptSettings(BaseModel):
    """What prompts may say, and what makes them longer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    blocked_words: _ListOfText = Field(
        (), description="Words and phrases that prompts may not have; * stands for more letters."
    )
    blocked_files: _ListOfPaths = Field(
        (),
        description="Text files with one such word on each line; its name is the reason given.",
    )
    magic_model: str = Field(
        "", description="Folder of a language model that writes magic prompts; empty: rules do."
    )
    magic_tokens: int = Field(
        60, ge=8, le=400, description="Most tokens that the language model adds."
    )


class ExternalImageSettings(BaseModel):
    """A server with OpenAI's /images/generations and /images/edits, for when memory runs out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        "", description="Address, e.g. https://api.openai.com/v1; empty: never. It sees prompts."
    )
    key_variable: str = Field(
        "OPENAI_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds its key.",
    )
    model: str = Field("gpt-image-1", min_length=1, description="Its model.")
    timeout_s: float = Field(120.0, gt=0, le=1800, description="Longest wait for a picture.")
    max_bytes: int = Field(
        64_000_000, ge=1_000, le=1_000_000_000, description="Longest answer that is taken."
    )

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("expected an address, for example https://api.openai.com/v1")
        return value.rstrip("/")


class GenerateSettings(BaseModel):
    """Generators of pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: PromptSettings = Field(
        default_factory=PromptSettings, description="What prompts may say."
    )
    smaller_text_to_image: str = Field(
        "sd15",
        description="Model that text_to_image falls back on when memory runs out; empty: none.",
    )
    smaller_inpaint: str = Field(
        "sd15_inpaint",
        description="Model that inpaint falls back on when memory runs out; empty: none.",
    )
    external: ExternalImageSettings = Field(
        default_factory=ExternalImageSettings, description="Used last, when memory runs out."
    )
