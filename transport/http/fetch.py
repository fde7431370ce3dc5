"""Downloads what callers point at, only from allowed hosts and within limits."""

import asyncio
import socket
from types import MappingProxyType
from typing import Final

from aiohttp import (
    ClientConnectionError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DefaultResolver,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from engine.errors import InvalidInput
from engine.speech.settings import FetchSettings
from transport.http.addresses import (
    AddressNotAllowed,
    AllowedHosts,
    InvalidUrl,
    is_public,
    private_hint,
)
from transport.http.version import VERSION

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CONNECTIONS: Final = 16
# Compressed answers would grow while being read.
_HEADERS: Final = MappingProxyType(
    {"Accept-Encoding": "identity", "User-Agent": f"avatar-server/{VERSION}"}
)


class FetchFailed(InvalidInput):
    """The other host gave nothing that can be used.

    424 (failed dependency, RFC 4918): the caller named that host, so the request is at fault and
    not this server; with 502 a proxy's own failures would look the same, and clients would retry.
    """

    http_status = 424


class FetchTimeout(FetchFailed):
    """The download took too long."""


class DownloadTooLarge(FetchFailed):
    """There is more to download than the settings allow; the status is that of uploads."""

    http_status = 413


class GuardedResolver(AbstractResolver):
    """Hands out public addresses only, so that these are what is connected to.

    Without a cache between this and the connector a name that changes its address (DNS
    rebinding) is checked for every connection. IP addresses in a URL are never resolved:
    ``AllowedHosts`` checks those.

    Args:
        resolver: Does the resolving.
        section: Where the settings are in the file, for messages.
    """

    def __init__(self, resolver: AbstractResolver, section: str = "speech.fetch") -> None:
        self._resolver = resolver
        self._section = section

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the public addresses of a host.

        Raises:
            OSError: The name does not resolve.
            AddressNotAllowed: It has none.
        """
        found = await self._resolver.resolve(host, port, family)
        public = [result for result in found if is_public(result["host"])]
        if found and not public:
            raise AddressNotAllowed(f"{host} has no public address.", private_hint(self._section))
        return public

    async def close(self) -> None:
        """Close the resolver that does the work."""
        await self._resolver.close()


class Fetcher:
    """Downloads into memory.

    Every host on the way, redirects included, is checked against the settings, and so is the very
    address that is connected to. Neither proxies and passwords of the environment nor cookies are
    used.

    Args:
        settings: What is allowed, and the limits.
        resolver: Resolves names; by default the system's resolver. Closed with this.
        section: Where the settings are in the file, for messages.

    Raises:
        SettingsError: An entry of ``allowed_hosts`` is no host.
    """

    def __init__(
        self,
        settings: FetchSettings,
        resolver: AbstractResolver | None = None,
        section: str = "speech.fetch",
    ) -> None:
        self._settings = settings
        self._section = section
        self._hosts = AllowedHosts(settings, section)
        self._resolver = resolver
        self._session: ClientSession | None = None

    async def fetch(self, url: str) -> bytes:
        """Download what an address leads to.

        Raises:
            InvalidUrl: It is no address of http or https, or carries a user name.
            AddressNotAllowed: The settings do not allow it or where it redirects to.
            DownloadTooLarge: It is longer than ``max_bytes``.
            FetchTimeout: It takes longer than ``timeout_s`` from name to last byte.
            FetchFailed: The host cannot be reached, or its answer is none that can be used.
        """
        target = self._hosts.check(url)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._follow(target)
        except TimeoutError:
            raise FetchTimeout(
                f"The download from {target.raw_host} took longer than "
                f"{self._settings.timeout_s:g} s.",
                f"Upload the file instead, or raise {self._section}.timeout_s.",
            ) from None

    async def close(self) -> None:
        """Close all connections; downloads that are under way fail."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def _follow(self, url: URL) -> bytes:
        first = url.raw_host
        for _ in range(self._settings.max_redirects + 1):
            found = await self._get(url)
            if isinstance(found, bytes):
                return found
            try:
                url = self._hosts.check_redirect(url, found)
            except InvalidUrl as error:
                raise FetchFailed(error.description, error.hint) from None
        raise FetchFailed(
            f"{first} redirects too often; {self._settings.max_redirects} redirects are followed.",
            f"Give the final address, or raise {self._section}.max_redirects.",
        )

    async def _get(self, url: URL) -> bytes | str:
        """Return what is there, or where it redirects to."""
        host = url.raw_host or ""
        try:
            async with self._connected().get(url, allow_redirects=False) as response:
                if response.status in _REDIRECTS:
                    return response.headers.get("Location", "")
                if response.status != 200:
                    raise FetchFailed(f"{host} answers with status {response.status}.")
                return await self._read(response, host)
        except (ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise failure_of(host, error) from error

    async def _read(self, response: ClientResponse, host: str) -> bytes:
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding != "identity":
            raise FetchFailed(
                f"{host} answers in the encoding {encoding[:20]!r}, which was not asked for."
            )
        most = self._settings.max_bytes
        too_large = DownloadTooLarge(
            f"What {host} sends is longer than {most} bytes.",
            f"Shorten it, or raise {self._section}.max_bytes.",
        )
        if (response.content_length or 0) > most:
            raise too_large
        chunks: list[bytes] = []
        length = 0
        async for chunk in response.content.iter_any():
            length += len(chunk)
            if length > most:
                raise too_large
            chunks.append(chunk)
        return b"".join(chunks)

    def _connected(self) -> ClientSession:
        if self._session is None:
            self._resolver = self._resolver or DefaultResolver()
            self._session = guarded_session(self._resolver, self._settings.private, self._section)
        return self._session


def guarded_session(
    resolver: AbstractResolver | None, private: bool, section: str
) -> ClientSession:
    """Return a client that connects to public addresses only, and follows nobody's settings but
    ours: no proxies, no cookies, no passwords of the environment. Limits of time are the caller's.

    Args:
        resolver: Resolves names; None: the system's. Not closed with the session.
        private: Let it connect to any address.
        section: Where the settings are in the file, for messages.
    """
    resolver = resolver or DefaultResolver()
    return ClientSession(
        connector=TCPConnector(
            resolver=resolver if private else GuardedResolver(resolver, section),
            use_dns_cache=False,
            force_close=True,
            limit=_CONNECTIONS,
        ),
        headers=_HEADERS,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None),
        auto_decompress=False,
        trust_env=False,
    )


def failure_of(host: str, error: Exception) -> FetchFailed:
    """Say what went wrong without the addresses that the library's own messages name."""
    match error:
        case ClientConnectorDNSError():
            return FetchFailed(f"The host {host} is not known.", "Check its spelling.")
        case ClientSSLError():
            return FetchFailed(f"{host} offers no TLS connection that can be trusted.")
        case ClientConnectorError():
            return FetchFailed(f"{host} does not take the connection.")
        case ClientConnectionError() | ClientPayloadError():
            return FetchFailed(f"{host} broke off in the middle.", "Try again.")
        case _:
            return FetchFailed(f"{host} does not answer in HTTP.")
