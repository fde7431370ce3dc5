"""Chooses who speaks."""

import shutil
from collections.abc import Mapping

from engine.speech.settings import SynthesisSettings
from engine.speech.sound import SpeechProvider
from processors.speech import espeak, piper
from processors.speech.espeak import EspeakProvider, Installed, find_espeak
from processors.speech.openai_speech import OpenAISpeechProvider
from processors.speech.piper import PiperProvider

KEY_VARIABLE = "OPENAI_API_KEY"


def make_provider(
    settings: SynthesisSettings, environ: Mapping[str, str], installed: Installed | None = None
) -> SpeechProvider | None:
    """Make the provider that the settings ask for.

    Args:
        settings: Of the synthesis.
        environ: Environment; its ``OPENAI_API_KEY`` stands in for ``openai_key``.
        installed: What there is of espeak-ng; None: look for it, which starts a process.

    Returns:
        None where nobody speaks; ``explain`` tells why.

    Raises:
        SettingsError: The settings of the provider are wrong.
    """
    name = settings.provider
    if name == "openai" or (name == "auto" and settings.openai_url):
        return OpenAISpeechProvider(settings, settings.openai_key or environ.get(KEY_VARIABLE, ""))
    if name == "piper" or (name == "auto" and settings.piper_voice is not None):
        return PiperProvider(settings)
    if name == "none":
        return None
    installed = find_espeak() if installed is None else installed
    if name == "espeak-ng" or installed.usable:
        return EspeakProvider(settings, installed)
    return None


def explain(settings: SynthesisSettings, installed: Installed | None = None) -> str | None:
    """Tell why text cannot be spoken and how that can be changed.

    Args:
        settings: Of the synthesis.
        installed: What there is of espeak-ng; None: look for it, which starts a process.

    Returns:
        One or two sentences; None where text can be spoken, or shall not be.
    """
    name = settings.provider
    if name in ("none", "openai") or (name == "auto" and settings.openai_url):
        return None
    if name == "piper" or (name == "auto" and settings.piper_voice is not None):
        if shutil.which(settings.piper_program):
            return None
        return f"There is no program '{settings.piper_program}' to speak with: {piper.HINT}"
    if (find_espeak() if installed is None else installed).usable:
        return None
    text = f"Avatars cannot speak text: espeak-ng is not installed. {espeak.HINT}"
    if name == "espeak-ng":
        return text
    return f"{text}, or set speech.synthesis.piper_voice or speech.synthesis.openai_url."
