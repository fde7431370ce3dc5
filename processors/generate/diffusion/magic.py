"""Writes the prompt that is used: checked, and richer where that is wanted."""

from typing import Any

from engine.errors import SettingsError
from processors.generate.declaration import Context, Services
from processors.generate.diffusion.checkpoint import ModelUnusable
from processors.generate.diffusion.libraries import Libraries, resolve_device
from processors.generate.model_folders import model_folder
from processors.generate.prompts import PromptFilter, by_model, richer
from processors.models.memory import ModelSpec

_WORKING_BYTES = 500_000_000


class PromptWriter:
    """Checks prompts, and makes them richer.

    Args:
        services: Where models, memory and settings are.
        libraries: torch and transformers.

    Raises:
        SettingsError: A list of words cannot be read.
    """

    def __init__(self, services: Services, libraries: Libraries) -> None:
        self._services = services
        self._libraries = libraries
        self._settings = services.generate.prompts
        self._filter = PromptFilter(self._settings)

    def write(self, prompt: str, how: str, context: Context) -> str:
        """Return the prompt that is used.

        Args:
            prompt: What was asked for.
            how: ``off``, ``rules`` or ``model``.
            context: Of the job.

        Raises:
            PromptRejected: The settings forbid it.
            SettingsError: ``model`` without one in the settings.
            ModelNotFound, ModelUnusable: The language model is missing or damaged.
        """
        made = richer(prompt, how, self._filter.check, lambda given: self._by_model(given, context))
        if made != prompt:
            context.log(f"The prompt became: {made}")
        return made

    def _by_model(self, prompt: str, context: Context) -> str:
        name = self._settings.magic_model
        if not name:
            raise SettingsError(
                "There is no language model for magic prompts.",
                "Name its folder in generate.prompts.magic_model, or set magic_prompt to rules.",
            )
        folder = model_folder(name, self._services, "a causal language model of transformers")
        weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))

        def load() -> tuple[Any, Any]:
            transformers = self._libraries.transformers
            try:
                tokenizer = transformers.AutoTokenizer.from_pretrained(
                    folder, local_files_only=True
                )
                model = transformers.AutoModelForCausalLM.from_pretrained(
                    folder, local_files_only=True, use_safetensors=True, dtype="auto"
                )
            except (OSError, ValueError, KeyError, RuntimeError) as error:
                raise ModelUnusable(
                    f"The language model in {folder} cannot be loaded: {error}.",
                    "It needs config.json, model.safetensors and the tokenizer's files.",
                ) from error
            return tokenizer, model.eval()

        def move(pair: tuple[Any, Any], device: str) -> tuple[Any, Any]:
            return pair[0], pair[1].to(device)

        context.progress(0.0, "Writing the prompt")
        device = resolve_device(self._libraries.torch, context.place.device)
        spec = ModelSpec(f"{name}/prompts", weights, load, move)
        with self._services.memory.use(spec, device, _WORKING_BYTES, context) as (
            tokenizer,
            model,
        ):
            tokens = self._settings.magic_tokens
            return by_model(self._libraries.torch, tokenizer, model, prompt, tokens)
