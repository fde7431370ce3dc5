"""Reading of long bodies into memory, within limits: multipart forms, JSON, base64.

The application's own limit (``client_max_size``) bounds ``request.read()`` only; the routes that
take files read the body's stream with limits of their own.
"""

import asyncio
import binascii
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from email.parser import HeaderParser
from email.utils import collapse_rfc2231_value
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

from aiohttp import StreamReader, web
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import from_json

from engine.errors import InvalidInput
from transport.http.negotiation import UnsupportedType
from transport.http.routing import Body, InvalidRequest, MalformedJson, checked

B = TypeVar("B", bound=Body)

FORM = "multipart/form-data"

_MOST_PARTS: Final = 64
_MOST_HEADERS: Final = 8192
_MOST_FIELDS: Final = 1 << 20
"""Bytes of all plain fields of a form together."""

_LONG: Final = 1 << 18
"""Bytes or characters from which work would hold up the event loop noticeably."""

_PIECE: Final = 1 << 16
"""Bytes of a long part that are handed on together."""

_DATA_URL: Final = re.compile(r"\s*data:[^,]{0,200};base64,", re.IGNORECASE)


class UploadTooLarge(InvalidInput):
    """A body, or a part of it, is longer than the settings allow."""

    http_status = 413


class BrokenUpload(InvalidInput):
    """A form cannot be read: cut off, or not built as its type says."""


class InvalidBase64(InvalidInput):
    """A text is not base64."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a form.

    Attributes:
        name: What the sender calls it, without folders, for messages only; may be empty.
        content_type: What the sender says it is, e.g. ``audio/wav``.
        data: Its content.
    """

    name: str
    content_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a form contains.

    Attributes:
        fields: Plain fields by name.
        files: Files by name, in the order they came.
    """

    fields: Mapping[str, str]
    files: Mapping[str, Sequence[Upload]]


async def read_parts(
    request: web.Request, files: Mapping[str, int], fields: Collection[str] = ()
) -> Parts:
    """Read a form (``multipart/form-data``, RFC 7578).

    What is a file and what a field is decided by its name, as clients disagree on which of them
    get a file name or a type.

    Args:
        request: Its body must not have been read.
        files: Names of the files, each with the most bytes that its files have together.
        fields: Names of the plain fields.

    Raises:
        UnsupportedType: The body is no such form.
        BrokenUpload: It is cut off or malformed, or has too many parts.
        UploadTooLarge: It, or a part of it, is too long.
        InvalidRequest: A part has another name, or a field is there twice.
    """
    reader = _PartReader(request, sum(files.values()) + _MOST_FIELDS)
    texts: dict[str, str] = {}
    uploads: dict[str, list[Upload]] = {}
    left = dict(files)
    left_for_fields = _MOST_FIELDS
    while (headers := await reader.next()) is not None:
        name = _parameter(headers, "name")
        if name in files:
            data = await reader.data(left[name], f"{name} is longer than {files[name]} bytes.")
            left[name] -= len(data)
            filename = _bare_name(_parameter(headers, "filename"))
            uploads.setdefault(name, []).append(Upload(filename, headers.get_content_type(), data))
        elif name not in fields:
            known = ", ".join(sorted({*files, *fields}))
            raise InvalidRequest(f"{name[:100]!r} is no part of this form; it takes {known}.")
        elif name in texts:
            raise InvalidRequest(f"{name}: given twice.")
        else:
            data = await reader.data(left_for_fields, f"The fields exceed {_MOST_FIELDS} bytes.")
            left_for_fields -= len(data)
            try:
                texts[name] = data.decode()
            except UnicodeDecodeError:
                raise InvalidRequest(f"{name}: not text in UTF-8.") from None
    return Parts(texts, uploads)


@dataclass(frozen=True, slots=True)
class OpenPart:
    """A part of a form whose content is still on its way.

    Attributes:
        name: Of the field.
        filename: What the sender calls it, without folders; may be empty.
        pieces: Its content, in pieces of some 64 KB to 1 MB; to be read to its end before the next
            part comes.
    """

    name: str
    filename: str
    pieces: AsyncIterator[bytes]


async def stream_parts(request: web.Request, max_bytes: int) -> AsyncIterator[OpenPart]:
    """Yield the parts of a form as they come in, for files that are too long for memory.

    Args:
        request: Its body must not have been read.
        max_bytes: Of all parts together.

    Raises:
        AvatarServerError: As ``read_parts``.
    """
    reader = _PartReader(request, max_bytes)
    left = [max_bytes]
    while (headers := await reader.next()) is not None:
        pieces = reader.pieces(left, UploadTooLarge(f"The form has more than {max_bytes} bytes."))
        filename = _bare_name(_parameter(headers, "filename"))
        yield OpenPart(_parameter(headers, "name"), filename, pieces)
        async for _ in pieces:
            """What was not wanted is passed over."""


async def read_multipart(
    request: web.Request, model: type[B], file_names: Collection[str], max_bytes: int
) -> tuple[B, Upload | None]:
    """Read a form that stands for a JSON body with at most one file beside it.

    A field's text is taken as it is where its type allows that, else as JSON.

    Args:
        request: Its body must not have been read.
        model: Of the fields.
        file_names: Names, any of which the file may have.
        max_bytes: Of the file.

    Raises:
        InvalidRequest: A field is missing or wrong, or there is more than one file.
        MalformedJson: A field's object or list is not JSON.
        AvatarServerError: As ``read_parts``.
    """
    known = {info.alias or name: info for name, info in model.model_fields.items()}
    parts = await read_parts(request, dict.fromkeys(file_names, max_bytes), known)
    uploads = [upload for several in parts.files.values() for upload in several]
    if len(uploads) > 1:
        raise InvalidRequest("More than one file in the form; it takes one.")
    values = {name: _value(known[name], name, text) for name, text in parts.fields.items()}
    return checked(model, values), uploads[0] if uploads else None


async def read_json(request: web.Request, model: type[B], max_bytes: int) -> B:
    """Read and check a JSON body that may be longer than the application's limit.

    No body at all counts as an empty object.

    Raises:
        UploadTooLarge: It is longer than ``max_bytes``.
        BrokenUpload: It is cut off.
        MalformedJson: It is not a JSON object.
        InvalidRequest: A field is missing or wrong.
    """
    raw = await _Stream(request, max_bytes).all(max_bytes)
    try:
        values = await asyncio.to_thread(_json, raw) if len(raw) > _LONG else _json(raw)
    except ValueError:
        raise MalformedJson("The body is not JSON.") from None
    if not isinstance(values, dict):
        raise MalformedJson("The body is not a JSON object.")
    return checked(model, values)


def decode_base64(text: str, max_bytes: int, name: str = "data") -> bytes:
    """Decode base64 (RFC 4648, padded), with or without the head of a data URL.

    Long texts are decoded in pieces, so that on a worker thread they let other threads run.

    Args:
        text: May contain white space.
        max_bytes: Of the result.
        name: Of the field, for messages.

    Raises:
        InvalidBase64: It is none.
        UploadTooLarge: The result is longer than ``max_bytes``.
    """
    head = _DATA_URL.match(text)
    at = head.end() if head else 0
    pieces: list[bytes] = []
    length, rest = 0, ""
    while at < len(text) or rest:
        last = at + _LONG >= len(text)
        whole = rest + "".join(text[at : at + _LONG].split())
        at += _LONG
        end = len(whole) if last else len(whole) - len(whole) % 4
        whole, rest = whole[:end], whole[end:]
        try:
            piece = binascii.a2b_base64(whole, strict_mode=True)
        except ValueError:
            raise _not_base64(name) from None
        if whole.endswith("=") and (rest or text[at:].strip()):
            raise _not_base64(name)
        length += len(piece)
        if length > max_bytes:
            raise UploadTooLarge(f"{name} is longer than {max_bytes} bytes.")
        pieces.append(piece)
    return b"".join(pieces)


def _not_base64(name: str) -> InvalidBase64:
    return InvalidBase64(f"{name} is not base64.", "Use the standard alphabet (+ and /), padded.")


class _Stream:
    """A request's body as it comes in, of which no more is held than is asked for."""

    def __init__(self, request: web.Request, max_bytes: int, before: bytes = b"") -> None:
        length = request.content_length or 0
        if length > max_bytes:
            raise UploadTooLarge(f"The body has {length} bytes; at most {max_bytes} are taken.")
        self._content: StreamReader = request.content
        self._buffer = bytearray(before)

    async def more(self) -> bool:
        """Wait for more of the body; False at its end."""
        try:
            chunk = await self._content.readany()
        except (web.RequestPayloadError, OSError):
            raise BrokenUpload("The body is cut off or badly compressed.") from None
        self._buffer += chunk
        return bool(chunk)

    async def all(self, limit: int) -> bytearray:
        """Return the whole of it."""
        while await self.more():
            if len(self._buffer) > limit:
                raise UploadTooLarge(f"The body is longer than {limit} bytes.")
        return self._buffer

    async def at_least(self, size: int) -> bytearray:
        """Return the buffer once it holds so many bytes."""
        while len(self._buffer) < size:
            if not await self.more():
                raise BrokenUpload("The form is cut off: its closing boundary is missing.")
        return self._buffer

    async def until(self, mark: bytes, limit: int, too_long: InvalidInput) -> bytes:
        """Return what comes before a mark, and take it and the mark out."""
        searched = 0
        while (end := self._buffer.find(mark, searched)) < 0:
            searched = max(0, len(self._buffer) - len(mark) + 1)
            if searched > limit:
                raise too_long
            await self.at_least(len(self._buffer) + 1)
        if end > limit:
            raise too_long
        with memoryview(self._buffer) as view, view[:end] as part:
            found = bytes(part)
        del self._buffer[: end + len(mark)]
        return found

    async def before(
        self, mark: bytes, left: list[int], too_long: InvalidInput
    ) -> AsyncIterator[bytes]:
        """Yield what comes before a mark, and take it and the mark out.

        Args:
            mark: What ends it.
            left: Bytes that may still come; counted down.
            too_long: Raised when more come.
        """
        while True:
            end = self._buffer.find(mark)
            ready = end if end >= 0 else len(self._buffer) - len(mark) + 1
            if ready >= _PIECE or (end >= 0 and ready > 0):
                left[0] -= ready
                if left[0] < 0:
                    raise too_long
                with memoryview(self._buffer) as view, view[:ready] as part:
                    piece = bytes(part)
                del self._buffer[:ready]
                yield piece
            elif end == 0:
                del self._buffer[: len(mark)]
                return
            else:
                await self.at_least(len(self._buffer) + 1)


class _PartReader:
    """Walks through a form. (aiohttp's reader has no bound on preambles and numbers of parts.)

    Args:
        request: With the form as its body.
        max_data: Bytes of all parts together.
    """

    def __init__(self, request: web.Request, max_data: int) -> None:
        head = Message()
        head["Content-Type"] = request.headers.get("Content-Type", "")
        if head.get_content_type() != FORM:
            raise UnsupportedType(f"Expected Content-Type: {FORM}.")
        boundary = _parameter(head, "boundary", "Content-Type")
        if not 1 <= len(boundary) <= 70 or not boundary.isascii():
            raise BrokenUpload(
                "The form's Content-Type has no boundary.", "Let the HTTP library write it."
            )
        self._mark = f"\r\n--{boundary}".encode()
        # The first boundary has no line before it.
        self._stream = _Stream(request, max_data + _MOST_PARTS * _MOST_HEADERS, b"\r\n")
        self._parts = 0

    async def next(self) -> Message | None:
        """Return the next part's headers, or None after the last part.

        The part before it must have been read.
        """
        if self._parts == 0:
            absent = BrokenUpload("The form does not begin with its boundary.")
            await self._stream.until(self._mark, _MOST_HEADERS, absent)
        if (await self._stream.at_least(2)).startswith(b"--"):
            return None
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise BrokenUpload(f"The form has more than {_MOST_PARTS} parts.")
        broken = BrokenUpload("A boundary of the form does not end its line.")
        if (await self._stream.until(b"\r\n", 100, broken)).strip(b" \t"):
            raise broken
        too_long = BrokenUpload(f"A part's headers are longer than {_MOST_HEADERS} bytes.")
        head = await self._stream.until(b"\r\n\r\n", _MOST_HEADERS, too_long)
        headers = HeaderParser().parsestr(head.decode(errors="replace"))
        if not _parameter(headers, "name"):
            raise BrokenUpload("A part of the form has no name.")
        encoding = str(headers.get("Content-Transfer-Encoding", "binary")).strip().lower()
        if encoding not in ("binary", "8bit", "7bit"):
            raise BrokenUpload(
                f"A part has the transfer encoding {encoding[:20]!r}.", "Send it as it is."
            )
        return headers

    def pieces(self, left: list[int], too_long: InvalidInput) -> AsyncIterator[bytes]:
        """Return the content of the part whose headers were returned last, as it comes."""
        return self._stream.before(self._mark, left, too_long)

    async def data(self, limit: int, too_long: str) -> bytes:
        """Return the content of the part whose headers were returned last."""
        return await self._stream.until(self._mark, limit, UploadTooLarge(too_long))


def _parameter(headers: Message, name: str, header: str = "Content-Disposition") -> str:
    """Return a header's parameter, empty where it is missing or cannot be decoded."""
    try:
        return collapse_rfc2231_value(headers.get_param(name, "", header)).strip()
    except ValueError:
        return ""


def _bare_name(filename: str) -> str:
    """Return a file's name without folders and whatever would garble a message."""
    name = PurePosixPath(filename.replace("\\", "/")).name
    return "".join(char for char in name if char.isprintable())[:100].strip(". ")


def _value(info: FieldInfo, name: str, text: str) -> Any:
    """Return a field's text, or what it is as JSON where the field takes no such text."""
    annotation: Any = info.annotation
    try:
        TypeAdapter(annotation).validate_python(text)
        return text
    except ValidationError:
        pass
    try:
        return _json(text.encode())
    except ValueError:
        if text.lstrip().startswith(("{", "[")):
            raise MalformedJson(f"{name}: not JSON.") from None
        return text  # the model says what it expects


def _json(raw: bytes | bytearray) -> Any:
    """Parse JSON, faster than ``json`` does and, unlike it, without lone surrogates and NaN."""
    return from_json(raw, allow_inf_nan=False, cache_strings="keys") if raw.strip() else {}
