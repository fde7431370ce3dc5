"""Pictures by a server with OpenAI's ``POST /images/generations`` and ``/images/edits``.

It is asked only where the settings name it, as the last resort when memory runs out.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from engine.errors import Unavailable
from engine.pipeline.generate_settings import ExternalImageSettings

SIZES = ((1024, 1024), (1536, 1024), (1024, 1536))
"""Width and height of the pictures that such servers make."""

_MAX_MESSAGE = 300
_MAX_ERROR_BYTES = 16 * 1024
_LOOK_AGAIN_S = 0.1
_LIKELY_TEMPORARY = (408, 429, 500, 502, 503, 504)


class ExternalFailed(Unavailable):
    """The external server refused, hung, broke off or sent no picture."""


def nearest_size(width: int, height: int) -> tuple[int, int]:
    """Return the size of ``SIZES`` whose shape is nearest to that of a picture."""
    wanted = width / height
    return min(SIZES, key=lambda size: max(size[0] / size[1] / wanted, wanted * size[1] / size[0]))


class ExternalImages:
    """Asks an external server for pictures.

    Args:
        settings: Its address, model and limits; ``url`` is set.
        environ: Environment variables; one of them holds its key.
    """

    def __init__(self, settings: ExternalImageSettings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._key = environ.get(settings.key_variable, "")

    def generate(self, prompt: str, size: tuple[int, int], check: Callable[[], None]) -> bytes:
        """Return a picture of a prompt, as a file's bytes.

        Args:
            prompt: What it shows.
            size: One of ``SIZES``.
            check: Called some ten times a second; raises to end it.

        Raises:
            ExternalFailed: There is none.
        """
        body = self._fields(prompt, size)
        return asyncio.run(self._within("/images/generations", {"json": {**body, "n": 1}}, check))

    def edit(
        self,
        prompt: str,
        picture: bytes,
        mask: bytes,
        size: tuple[int, int],
        check: Callable[[], None],
    ) -> bytes:
        """Return a picture in which a part was painted anew, as a file's bytes.

        Args:
            prompt: What it shows.
            picture: PNG of ``size``.
            mask: PNG of ``size`` with transparency, which is where it is painted.
            size: One of ``SIZES``.
            check: See ``generate``.

        Raises:
            ExternalFailed: There is none.
        """
        form = aiohttp.FormData()
        for name, value in self._fields(prompt, size).items():
            form.add_field(name, value)
        form.add_field("image", picture, filename="image.png", content_type="image/png")
        form.add_field("mask", mask, filename="mask.png", content_type="image/png")
        return asyncio.run(self._within("/images/edits", {"data": form}, check))

    def _fields(self, prompt: str, size: tuple[int, int]) -> dict[str, str]:
        fields = {
            "model": self._settings.model,
            "prompt": prompt,
            "size": f"{size[0]}x{size[1]}",
        }
        if not self._settings.model.startswith("gpt-image"):
            # Those always answer so, and refuse to be told.
            fields["response_format"] = "b64_json"
        return fields

    async def _within(self, path: str, how: dict[str, Any], check: Callable[[], None]) -> bytes:
        task = asyncio.ensure_future(self._ask(path, how))
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=_LOOK_AGAIN_S)
                check()
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _ask(self, path: str, how: dict[str, Any]) -> bytes:
        settings = self._settings
        url = settings.url + path
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limit = aiohttp.ClientTimeout(total=settings.timeout_s)
        try:
            async with aiohttp.ClientSession(timeout=limit) as session:
                async with session.post(
                    url, headers=headers, allow_redirects=False, **how
                ) as response:
                    if response.status != 200:
                        raise await self._refusal(url, response)
                    found = _picture_in(await self._read(url, response))
                if isinstance(found, bytes):
                    return found
                async with session.get(found) as response:
                    if response.status != 200:
                        raise await self._refusal(found, response)
                    return await self._read(found, response)
        except TimeoutError as error:
            raise ExternalFailed(
                f"The image server {url} did not answer within {settings.timeout_s:g} s.",
                "See generate.external.timeout_s.",
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ExternalFailed(
                f"The image server {url} cannot be reached: {self._safe(str(error))}.",
                "Is it running? See generate.external.url.",
            ) from error
        except ValueError as error:
            raise ExternalFailed(
                f"The image server {url} sent no picture: {self._safe(str(error))}.",
                "It must answer like OpenAI's, with b64_json or url.",
            ) from error

    async def _read(self, url: str, response: aiohttp.ClientResponse) -> bytes:
        most = self._settings.max_bytes
        found = bytearray()
        async for block in response.content.iter_chunked(1 << 16):
            found += block
            if len(found) > most:
                raise ExternalFailed(
                    f"The image server {url} sent more than {most} bytes.",
                    "See generate.external.max_bytes.",
                )
        return bytes(found)

    async def _refusal(self, url: str, response: aiohttp.ClientResponse) -> ExternalFailed:
        text = (await response.content.read(_MAX_ERROR_BYTES)).decode(errors="replace")
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        for key in ("error", "message", "detail"):
            if isinstance(found, dict) and key in found:
                found = found[key]
        message = found if isinstance(found, str) else text or response.reason or ""
        hint = "" if response.status in _LIKELY_TEMPORARY else "See generate.external."
        return ExternalFailed(
            f"The image server {url} answered {response.status}: {self._safe(message)}.", hint
        )

    def _safe(self, message: str) -> str:
        message = " ".join(message.split())[:_MAX_MESSAGE].rstrip(".")
        return message.replace(self._key, "***") if self._key else message


def _picture_in(data: bytes) -> bytes | str:
    """Return the picture in an answer, or the address where it is.

    Raises:
        ValueError: There is neither.
    """
    answer = json.loads(data)
    items = answer.get("data") if isinstance(answer, dict) else None
    item = items[0] if isinstance(items, list) and items else None
    if isinstance(item, dict) and isinstance(item.get("b64_json"), str):
        try:
            return base64.b64decode(item["b64_json"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"b64_json is damaged ({error})") from None
    if isinstance(item, dict) and str(item.get("url", "")).startswith(("http://", "https://")):
        return str(item["url"])
    raise ValueError("its answer has no data")
