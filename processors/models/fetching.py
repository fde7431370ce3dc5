"""One file from one address, going on where an earlier attempt ended (RFC 9110, 14.2 and 13.1.5).

What has arrived lies in ``NAME.part``; ``NAME.part.json`` says where it came from. Both stay when
an attempt ends early, whatever ends it.
"""

import http.client
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from engine.errors import Unavailable

_CHUNK = 1 << 18
_PASSING = (
    http.HTTPStatus.REQUEST_TIMEOUT,
    http.HTTPStatus.TOO_EARLY,
    http.HTTPStatus.TOO_MANY_REQUESTS,
)
"""What says "later" though it is said to be the client's fault."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and how many there will be, or None if nobody knows."""


class TransferFailed(Unavailable):
    """An address did not give the file.

    Args:
        description: What happened.
        lasting: The same request would fail again, so another address is needed.
    """

    def __init__(self, description: str, lasting: bool) -> None:
        super().__init__(description)
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where the bytes of a part came from.

    Attributes:
        url: The address.
        validator: Its strong ETag or its Last-Modified; "" if it gave neither.
    """

    url: str
    validator: str


def part_of(target: Path) -> Path:
    """Where an unfinished download of ``target`` lies."""
    return target.with_name(f"{target.name}.part")


def discard(target: Path) -> None:
    """Remove an unfinished download of ``target``."""
    part_of(target).unlink(missing_ok=True)
    _origin_file(target).unlink(missing_ok=True)


def fetch(
    url: str, target: Path, timeout: float, on_progress: Progress, any_origin: bool = False
) -> None:
    """Download to the part of ``target`` until it is whole.

    Args:
        url: http or https.
        target: The file that it will be; its part lies beside it.
        timeout: Seconds without a byte after which the attempt fails.
        on_progress: See ``Progress``.
        any_origin: Go on with a part from another address too: for files whose hash is known, as
            only that shows whether the pieces fit.

    Raises:
        TransferFailed: The address gave no file, or not all of it.
        OSError: The part cannot be written.
    """
    part, start = part_of(target), 0
    origin = _read_origin(target)
    if part.exists() and origin is not None:
        same = origin.url == url and bool(origin.validator)
        start = part.stat().st_size if same or any_origin else 0
    request = urllib.request.Request(url, headers={"User-Agent": "avatar-server"})
    # The file as it is: a compressed transfer has other lengths and ranges.
    request.add_header("Accept-Encoding", "identity")
    if start:
        request.add_header("Range", f"bytes={start}-")
        if origin is not None and origin.url == url and origin.validator:
            request.add_header("If-Range", origin.validator)
    response = _open(request, timeout, start, target)
    if response is None:
        return
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0
        if response.headers.get_content_type() == "text/html":
            raise TransferFailed(f"{url}: answered with a web page", lasting=True)
        total = _total(response, start)
        _write_origin(target, _Origin(url, _validator(response)))
        _receive(response, part, start, total, on_progress)


def _open(request: urllib.request.Request, timeout: float, start: int, target: Path) -> Any:
    """Return the response, or None if the part is whole already."""
    try:
        return urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
                if error.headers.get("Content-Range", "") == f"bytes */{start}":
                    return None
                discard(target)
                raise TransferFailed(f"{request.full_url}: the file has changed", False) from None
            client = error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR
            lasting = client and error.code not in _PASSING
            raise TransferFailed(
                f"{request.full_url}: {error.code} {error.reason}", lasting
            ) from None
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", None) or error
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        raise TransferFailed(f"{request.full_url}: {reason}", lasting=False) from None


def _total(response: Any, start: int) -> int | None:
    """Return how long the whole file is, if the server says so."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != start:
            raise TransferFailed(f"{response.url}: answered with another range", lasting=True)
        return int(match[2]) if match[2] != "*" else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _validator(response: Any) -> str:
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return str(etag)
    return str(response.headers.get("Last-Modified", ""))


def _receive(
    response: Any, part: Path, start: int, total: int | None, on_progress: Progress
) -> None:
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        done = start
        while True:
            on_progress(done, total)
            chunk = _read(response)
            if not chunk:
                break
            file.write(chunk)
            done += len(chunk)
        _flush(file)
    if total is not None and done != total:
        raise TransferFailed(f"{response.url}: broke off at {done} of {total} bytes", lasting=False)


def _read(response: Any) -> bytes:
    try:
        return bytes(response.read(_CHUNK))
    except (OSError, http.client.HTTPException) as error:
        raise TransferFailed(f"{response.url}: {error}", lasting=False) from None


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _origin_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.part.json")


def _read_origin(target: Path) -> _Origin | None:
    try:
        return _Origin(**json.loads(_origin_file(target).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write_origin(target: Path, origin: _Origin) -> None:
    _origin_file(target).write_text(json.dumps(asdict(origin)), encoding="utf-8")
