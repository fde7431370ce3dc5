"""What stands between the network and the handlers: errors, origins, tokens, headers."""

import base64
import binascii
import hmac
import logging
import math
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from aiohttp import web

from engine.errors import (
    AvatarServerError,
    Conflict,
    Forbidden,
    InvalidInput,
    MissingDependency,
    NotFound,
    Unavailable,
)
from transport.http.routing import json_response

_log = logging.getLogger(__name__)

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUSES: Final[tuple[tuple[type[AvatarServerError], int], ...]] = (
    (InvalidInput, 400),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Unavailable, 503),
    (MissingDependency, 501),
)

_OPEN_PATHS: Final = ("/health", "/", "/studio")
_OPEN_PREFIX: Final = "/web/"
_SECRET_PATH: Final = re.compile(r"(/talks|/clips)?/streams/[^/]+/(audio|events|captions\.vtt)")
"""Opened by browsers' own objects, which cannot send a header: the session_id is their secret."""

_KNOWN_ORIGIN: Final = web.RequestKey("known_origin", str)

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; media-src 'self' blob: mediastream:; img-src 'self' data: blob:; "
        "connect-src 'self'; style-src 'self'; script-src 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_ALLOWED_METHODS: Final = "GET, POST, PATCH, DELETE, OPTIONS"
_ALLOWED_HEADERS: Final = "Authorization, Content-Type"
_EXPOSED_HEADERS: Final = "Location, Retry-After, Link, Faces-Found, Swapped-Faces"


class OriginNotAllowed(Forbidden):
    """A page of another origin called, and the settings do not allow it."""


class Unauthorized(Forbidden):
    """The server wants a token."""

    http_status = 401


def error_response(error: AvatarServerError) -> web.Response:
    """Turn an error into its status and JSON body."""
    usual = next((s for kind, s in _STATUSES if isinstance(error, kind)), 500)
    status = getattr(error, "http_status", usual)
    body: dict[str, Any] = {"kind": error.kind, "description": str(error)}
    problems = getattr(error, "problems", None)
    if problems:
        # What is wrong with each field, for forms.
        body["problems"] = problems
    response = json_response(body, status)
    if isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="avatar-server"'
    return response


@web.middleware
async def errors(request: web.Request, handler: Next) -> web.StreamResponse:
    """Answer every failure as JSON; only the unexpected ones are logged with a trace."""
    try:
        return await handler(request)
    except AvatarServerError as error:
        return error_response(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kind = type(error).__name__.removeprefix("HTTP")
        response = json_response({"kind": kind, "description": error.reason}, error.status)
        if isinstance(error, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:  # noqa: BLE001 - the last resort: whatever it was, the client gets JSON
        # Not the path: it may hold a secret.
        resource = request.match_info.route.resource
        _log.exception("%s %s failed", request.method, resource.canonical if resource else "?")
        return json_response(
            {"kind": "InternalError", "description": "The server failed; its log says why."}, 500
        )


def origins(allowed: Sequence[str]) -> Callable[[web.Request, Next], Awaitable[web.StreamResponse]]:
    """Return middleware that lets browsers of the allowed origins call the API (CORS)."""

    @web.middleware
    async def middleware(request: web.Request, handler: Next) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        known = origin is not None and ("*" in allowed or origin in allowed)
        preflight = (
            request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        )
        if origin is not None and not known and not _same_host(origin, request):
            response: web.StreamResponse = error_response(
                OriginNotAllowed(
                    f"Pages of {origin!r} may not call this server.",
                    "Add it to server.cors_origins.",
                )
            )
        else:
            if known and origin is not None:
                request[_KNOWN_ORIGIN] = origin
            response = web.Response(status=204) if preflight else await handler(request)
        if known and preflight:
            response.headers["Access-Control-Allow-Methods"] = _ALLOWED_METHODS
            response.headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
            response.headers["Access-Control-Max-Age"] = "600"
        return response

    return middleware


def _same_host(origin: str, request: web.Request) -> bool:
    """Tell whether a page comes from this server; a proxy may have changed the scheme."""
    return origin.partition("://")[2].lower() == request.host.lower()


def tokens(accepted: Sequence[str]) -> Callable[[web.Request, Next], Awaitable[web.StreamResponse]]:
    """Return middleware that asks for one of the accepted tokens, if there are any."""

    @web.middleware
    async def middleware(request: web.Request, handler: Next) -> web.StreamResponse:
        is_open = (
            request.path in _OPEN_PATHS
            or request.path.startswith(_OPEN_PREFIX)
            or _SECRET_PATH.fullmatch(request.path) is not None
        )
        if accepted and not is_open and not _carries(request, accepted):
            raise Unauthorized(
                "This server wants an access token.", "Send Authorization: Bearer TOKEN."
            )
        return await handler(request)

    return middleware


def _carries(request: web.Request, accepted: Sequence[str]) -> bool:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    given = [value.strip()]
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            pair = ""
        # "user:token", "token:" and a bare "token" are all in use.
        given += [pair, *pair.split(":", 1)]
    elif scheme.lower() != "bearer":
        return False
    return any(
        hmac.compare_digest(candidate.encode(errors="replace"), token.encode())
        for candidate in given
        for token in accepted
        if candidate
    )


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add security and CORS headers to every answer (an ``on_response_prepare`` signal)."""
    if "Origin" in request.headers:
        response.headers["Vary"] = "Origin"
    known = request.get(_KNOWN_ORIGIN)
    if known is not None:
        response.headers["Access-Control-Allow-Origin"] = known
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
