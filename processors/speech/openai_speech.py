"""Speech by a server with OpenAI's ``POST /v1/audio/speech``: OpenAI, Kokoro-FastAPI, LocalAI."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import aiohttp

from engine.errors import SettingsError
from engine.speech.settings import SynthesisSettings
from engine.speech.sound import SpeechChunk
from processors.speech.pieces import Manner, Recital, SpeechFailed, recite
from processors.speech.text import sentences

NAME = "openai"

_RATE = 24_000
"""Samples per second of the response format ``pcm``."""

_NATURAL_WPM = 165
_MAX_ERROR_BYTES = 16 * 1024
_MAX_MESSAGE = 300
_SOUND_TYPES = ("audio/pcm", "audio/x-pcm", "audio/l16", "audio/raw", "application/octet-stream")
_LIKELY_TEMPORARY = (408, 429, 500, 502, 503, 504)


class OpenAISpeechProvider:
    """Has an OpenAI-compatible server speak; implements ``SpeechProvider``.

    It holds connections: call ``aclose`` at the end.

    Args:
        settings: Of the synthesis; ``openai_url`` is set.
        key: Sent as bearer token, never shown; may be empty.

    Raises:
        SettingsError: The address is missing or is none.
    """

    name = NAME

    def __init__(self, settings: SynthesisSettings, key: str) -> None:
        if not settings.openai_url.startswith(("http://", "https://")):
            raise SettingsError(
                f"speech.synthesis.openai_url is no address: '{settings.openai_url}'.",
                "For example http://127.0.0.1:8880/v1 or https://api.openai.com/v1.",
            )
        self._settings = settings
        self._url = settings.openai_url.rstrip("/") + "/audio/speech"
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    async def speak(self, text: str, voice: str) -> AsyncGenerator[SpeechChunk, None]:
        """Speak a text; see ``SpeechProvider``.

        Raises:
            SpeechFailed: The server refuses, hangs, breaks off or sends no sound.
        """
        name = voice or self._settings.voice or self._settings.openai_voice

        async def begin(piece: str) -> Recital:
            return await self._request(piece, name)

        manner = Manner(NAME, _RATE, self._settings.timeout_s)
        chunks = recite(sentences(text), begin, manner)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _request(self, piece: str, voice: str) -> Recital:
        body: dict[str, Any] = {
            "model": self._settings.openai_model,
            "voice": voice,
            "input": piece,
            "response_format": "pcm",
        }
        if self._settings.rate != _NATURAL_WPM:
            body["speed"] = round(min(4.0, max(0.25, self._settings.rate / _NATURAL_WPM)), 2)
        if self._session is None:
            # Only the wait for the next sound is limited, by whoever reads.
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            response = await self._session.post(
                self._url, json=body, headers=headers, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:
            raise SpeechFailed(
                f"The speech server {self._url} cannot be reached: {self._safe(str(error))}.",
                "Is it running? See speech.synthesis.openai_url.",
            ) from error
        recital = _Response(response, self._url)
        try:
            await self._check(response)
        except BaseException:
            await recital.close()
            raise
        return recital

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status != 200:
            hint = "" if response.status in _LIKELY_TEMPORARY else "See speech.synthesis.openai_*."
            raise SpeechFailed(
                f"The speech server {self._url} answered {response.status}:"
                f" {self._safe(await _message(response))}.",
                hint,
            )
        if "Content-Type" in response.headers and response.content_type not in _SOUND_TYPES:
            raise SpeechFailed(
                f"The speech server {self._url} sent {response.content_type} instead of plain PCM:"
                f" {self._safe(await _message(response))}.",
                "It must know the response format 'pcm'.",
            )

    def _safe(self, message: str) -> str:
        message = " ".join(message.split())[:_MAX_MESSAGE].rstrip(".")
        return message.replace(self._key, "***") if self._key else message


class _Response:
    """The sound of a piece, while it arrives."""

    def __init__(self, response: aiohttp.ClientResponse, url: str) -> None:
        self._response = response
        self._url = url

    async def read(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise SpeechFailed(
                f"The speech server {self._url} broke off: {error}.", "Try again."
            ) from error

    async def close(self) -> None:
        # Not release(): the rest of an interrupted sound is of no interest.
        self._response.close()


async def _message(response: aiohttp.ClientResponse) -> str:
    """What a server says about an error: OpenAI's and FastAPI's forms, else the text itself."""
    try:
        data = await response.content.read(_MAX_ERROR_BYTES)
    except (aiohttp.ClientError, OSError):
        return response.reason or ""
    text = data.decode(errors="replace")
    try:
        found = json.loads(text)
    except ValueError:
        return text or response.reason or ""
    for key in ("error", "detail", "message"):
        if isinstance(found, dict) and key in found:
            found = found[key]
    return found if isinstance(found, str) else json.dumps(found)
