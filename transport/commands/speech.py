"""What speech is made with, from the settings."""

import functools
from collections.abc import Mapping, Sequence

from engine.speech.probability import SpeechProbability
from engine.speech.settings import CaptionSettings, SpeechSettings
from engine.speech.sound import Samples, Transcriber, Word
from engine.speech.voice import VoiceTracker
from processors.speech.espeak import find_espeak
from processors.speech.openai_speech import OpenAISpeechProvider
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
    installed = find_espeak()
    provider = make_provider(settings.synthesis, environ, installed)
    fetcher = Fetcher(settings.fetch)
    detector = functools.cache(lambda: probability_factory(settings.voice))

    def make_tracker() -> VoiceTracker:
        probability: SpeechProbability = detector()()
        return VoiceTracker(probability, settings.voice)

    async def close() -> None:
        await fetcher.close()
        if isinstance(provider, OpenAISpeechProvider):
            await provider.aclose()

    return SpeechTools(
        make_tracker=make_tracker,
        provider=provider,
        missing=explain(settings.synthesis, installed) or "",
        transcriber=_LazyWhisper(settings.captions) if settings.captions.model else None,
        fetch=fetcher.fetch,
        clean=clean,
        close=close,
    )


class _LazyWhisper:
    """Loads the model on the thread that transcribes, when there is something to transcribe."""

    def __init__(self, settings: CaptionSettings) -> None:
        self._settings = settings
        self._loaded: Transcriber | None = None

    def transcribe(self, samples: Samples) -> Sequence[Word]:
        if self._loaded is None:
            self._loaded = WhisperTranscriber(self._settings)
        return self._loaded.transcribe(samples)
