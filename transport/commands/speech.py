"""What speech is made with, from the settings."""

import functools
from collections.abc import Mapping

from engine.speech.probability import SpeechProbability
from engine.speech.settings import SpeechSettings
from engine.speech.sound import Transcriber
from engine.speech.voice import VoiceTracker
from processors.speech.providers import explain, make_provider
from processors.speech.silero import probability_factory
from processors.speech.text import clean
from processors.speech.whisper import WhisperTranscriber
from transport.http.fetch import Fetcher
from transport.speech.studio import SpeechTools


def speech_tools(settings: SpeechSettings, environ: Mapping[str, str]) -> SpeechTools:
    """Return what speech is made with; models are loaded when they are first needed.

    Args:
        settings: The ``speech`` section.
        environ: Environment variables.
    """
    provider = make_provider(settings.synthesis, environ)
    fetcher = Fetcher(settings.fetch)
    detector = functools.cache(lambda: probability_factory(settings.voice))

    def make_tracker() -> VoiceTracker:
        probability: SpeechProbability = detector()()
        return VoiceTracker(probability, settings.voice)

    async def close() -> None:
        await fetcher.close()
        if provider is not None and hasattr(provider, "aclose"):
            await provider.aclose()

    transcriber: Transcriber | None = None
    if settings.captions.model:
        transcriber = WhisperTranscriber(settings.captions)
    return SpeechTools(
        make_tracker=make_tracker,
        provider=provider,
        missing=explain(settings.synthesis) or "",
        transcriber=transcriber,
        fetch=fetcher.fetch,
        clean=clean,
        close=close,
    )
