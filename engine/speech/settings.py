"""The settings of speech."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_ListOfText = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
]


class VoiceSettings(BaseModel):
    """When the avatar moves to its voice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: Literal["auto", "silero", "energy"] = Field(
        "auto",
        description="What hears speech; auto: silero if faster-whisper is installed, else energy.",
    )
    threshold: float = Field(
        0.5, gt=0, lt=1, description="Likelihood of speech from which it counts as speech."
    )
    hysteresis: float = Field(
        0.15, ge=0, lt=1, description="How far the likelihood must fall below it to end."
    )
    min_speech_ms: int = Field(
        80, ge=0, le=2000, description="Shorter sounds do not make the avatar move."
    )
    pause_ms: int = Field(
        600, ge=0, le=10_000, description="The avatar rests in pauses longer than this."
    )

    @model_validator(mode="after")
    def _speech_can_end(self) -> "VoiceSettings":
        if self.hysteresis >= self.threshold:
            raise ValueError("hysteresis must be less than threshold")
        return self


class SynthesisSettings(BaseModel):
    """How text becomes speech."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Literal["auto", "espeak-ng", "piper", "openai", "none"] = Field(
        "auto", description="Who speaks; auto: openai, piper or espeak-ng, whatever is set up."
    )
    voice: str = Field("", description="Voice or language, e.g. en-us; empty: the provider's own.")
    rate: int = Field(
        165, ge=80, le=450, description="Words per minute, where the provider can be told."
    )
    piper_voice: Path | None = Field(
        None, description="A piper voice, NAME.onnx with NAME.onnx.json beside it."
    )
    piper_program: str = Field("piper", description="The piper program.")
    openai_url: str = Field(
        "", description="Address of an OpenAI-compatible server, e.g. http://127.0.0.1:8880/v1."
    )
    openai_key: str = Field("", description="Its key; the environment keeps it out of this file.")
    openai_model: str = Field("tts-1", description="Its model.")
    openai_voice: str = Field("alloy", description="Its voice, where voice is empty.")
    timeout_s: float = Field(
        10.0, gt=0, le=300, description="Longest wait for the provider's next piece of sound."
    )
    max_text: int = Field(20_000, ge=1, le=1_000_000, description="Most characters of one script.")


class FetchSettings(BaseModel):
    """Which addresses the server fetches sound from (audio_url)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allowed_hosts: _ListOfText = Field(
        (),
        description='Hosts, e.g. ["cdn.example.org"]; "*.example.org", "host:8443"; "*" for all.',
    )
    private: bool = Field(
        False, description="Allow allowed_hosts that have private or local addresses."
    )
    max_bytes: int = Field(
        50_000_000, ge=1000, le=2_000_000_000, description="Longer downloads are refused."
    )
    timeout_s: float = Field(
        20.0, gt=0, le=600, description="Longest time for a download, all in all."
    )
    max_redirects: int = Field(3, ge=0, le=20, description="Redirects that are followed.")


class CaptionSettings(BaseModel):
    """How speech without a text gets its captions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        "", description="Folder of a faster-whisper model (CTranslate2); empty: no transcription."
    )
    language: str = Field("", description="Of the speech, e.g. en; empty: found out.")
    live_s: float = Field(
        2.5, ge=0.5, le=30, description="Streamed sound is transcribed in steps of this length."
    )
    threads: int = Field(1, ge=1, le=16, description="Threads of the transcription.")


class SpeechSettings(BaseModel):
    """What avatars say, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="Offer sound to viewers and take scripts.")
    loudness: float = Field(
        -19.0, ge=-40, le=-9, description="Loudness of speech in LUFS (EBU R128, mono)."
    )
    peak: float = Field(-1.5, ge=-12, le=0, description="Highest true peak in dBTP.")
    max_gain: float = Field(
        24.0, ge=0, le=60, description="Most that quiet speech is raised, in dB."
    )
    bitrate: int = Field(
        48_000, ge=12_000, le=256_000, description="Bits per second of the Opus sound."
    )
    max_seconds: float = Field(
        600.0, gt=0, le=7200, description="Longest utterance; longer ones are refused."
    )
    max_queue: int = Field(
        50, ge=1, le=10_000, description="Utterances of one stream that may wait."
    )
    max_upload: int = Field(
        50_000_000, ge=1000, le=2_000_000_000, description="Bytes of an uploaded sound file."
    )
    buffer_s: float = Field(
        20.0, ge=1, le=600, description="Streamed sound that is taken ahead of being played."
    )
    prebuffer_ms: int = Field(
        40, ge=0, le=2000, description="Streamed sound that is gathered before it is played."
    )
    workers: int = Field(
        2, ge=1, le=64, description="Threads that prepare utterances, for all streams together."
    )
    voice: VoiceSettings = Field(
        default_factory=VoiceSettings, description="When the avatar moves to its voice."
    )
    synthesis: SynthesisSettings = Field(
        default_factory=SynthesisSettings, description="How text becomes speech."
    )
    fetch: FetchSettings = Field(
        default_factory=FetchSettings, description="Where audio_url may point."
    )
    captions: CaptionSettings = Field(
        default_factory=CaptionSettings, description="Captions of speech without a text."
    )
