"""Downloading what callers point at: which hosts, which addresses, how much and how long."""

import asyncio
import contextlib
import datetime
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer, unused_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from yarl import URL

from engine.errors import Forbidden, InvalidInput, SettingsError
from engine.speech.settings import FetchSettings
from transport.http import fetch as fetching
from transport.http.addresses import (
    AddressNotAllowed,
    AllowedHosts,
    InvalidUrl,
    check_url,
    is_public,
)
from transport.http.fetch import (
    DownloadTooLarge,
    Fetcher,
    FetchFailed,
    FetchTimeout,
    GuardedResolver,
)

HOST = "127.0.0.1"
SOUND = bytes(range(256)) * 40
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Names(AbstractResolver):
    """Resolves from a table; a name with several answers gives them one after the other."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {name: list(several) for name, several in answers.items()}
        self.asked: list[str] = []
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self._answers.get(host.replace(".", "_"))
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        self.closed = True


async def sound(request: web.Request) -> web.Response:
    return web.Response(body=SOUND)


@contextlib.asynccontextmanager
async def serve(handler: Handler = sound) -> AsyncIterator[int]:
    """Serve all paths by one handler; yields the port."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    async with TestServer(app, host=HOST) as server:
        assert server.port is not None
        yield server.port


@contextlib.asynccontextmanager
async def fetcher(
    resolver: AbstractResolver | None = None, **settings: Any
) -> AsyncIterator[Fetcher]:
    """A fetcher that may connect to this machine, unless told otherwise."""
    made = Fetcher(FetchSettings(**{"allowed_hosts": "*", "private": True} | settings), resolver)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def this_machine_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 127.0.0.1, and no other address, count as public for names."""
    monkeypatch.setattr(fetching, "is_public", lambda address: address == HOST)


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1"),
        *("169.253.0.1", "192.169.0.1", "198.17.0.1", "198.20.0.1", "223.255.255.255"),
        *("2606:4700::1", "2a00:1450::1", "2001:4860:4860::8888", "2003::1"),
        *("::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "2606:4700::5efe:808:808"),
    ],
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1"),
        *("127.255.0.1", "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255"),
        *("192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1"),
        *("203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
        *(
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::8.8.8.8",
            "fe80::1",
            "fe80::1%eth0",
            "2606:4700::1%eth0",
            "fec0::1",
        ),
        *("fc00::1", "fd00:ec2::254", "ff02::1", "100::1", "2001:db8::1", "3fff::1", "5f00::1"),
        *("2001::1", "2001:0:7f00:1::", "2001:20::1"),
        *("::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"),
        *("64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::808:808"),
        *("2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::1"),
        *("2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:10.0.0.1", "2002:808:808::5efe:a00:1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("http://example.org", "http://example.org"),
        (" https://EXAMPLE.Org./a?b=c#d ", "https://example.org/a?b=c"),
        ("https://example.org:8443/", "https://example.org:8443/"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
        ("http://8.8.8.8./", "http://8.8.8.8/"),
        ("http://８.８.８.８/", "http://8.8.8.8/"),
        ("http://[2606:4700:0:0::0001]:81/", "http://[2606:4700::1]:81/"),
        ("http://[::ffff:8.8.8.8]/", "http://[::ffff:808:808]/"),
        ("http://0xabc.example/", "http://0xabc.example/"),
    ],
)
def test_an_address_is_brought_into_one_spelling(url: str, checked: str) -> None:
    assert str(check_url(url, FetchSettings(allowed_hosts="*"))) == checked


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.org", "//example.org/", "/etc/passwd", "http://", "http:///x", "http:x"),
        *("ftp://example.org/", "file:///etc/passwd", "data:audio/wav;base64,AAAA", "ws://a.b/"),
        *("http://user@example.org/", "http://user:pass@example.org/", "http://:pass@example.org/"),
        *("http://example.org\\@127.0.0.1/", "http://exa mple.org/", "http://example.org\n/"),
        *("http://exa\tmple.org/", "http://example.org/\r\nHost: x", "http://example.org/\x00"),
        *(
            "http://example.org:0/",
            "http://example.org:99999/",
            "http://[::1/",
            "http://[fe80::1%25lo]/",
        ),
        *("http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://017700000001/"),
        *("http://0177.0.0.1/", "http://127.1/", "http://127.0.0.0x1/", "http://127.0.0.1.5/"),
        *("http://256.0.0.1/", "http://example.1/", "http://0x/", "http://%31%32%37.0.0.1/"),
        *("http://a..b/", "http://example.org../", "http://*.example.org/", "http://\ud800/"),
        *("http://" + "a" * 64 + ".org/", "http://" + "a." * 130 + "org/"),
        "http://example.org/" + "a" * 8192,
    ],
    ids=lambda url: ascii(url)[:40],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(InvalidUrl):
        check_url(url, FetchSettings(allowed_hosts="*", private=True))


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/", "http://127.0.0.1./", "http://１２７.0.0.1/", "http://①②⑦.0.0.1/"),
        *("http://127。0。0。1/", "http://169.254.169.254/latest/meta-data/", "http://0.0.0.0/"),
        *("http://[::1]/", "http://[::]/", "http://[::ffff:7f00:1]/", "http://[::ffff:10.0.0.1]/"),
        *("http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "https://[fd00:ec2::254]/"),
    ],
)
def test_private_addresses_in_a_url(url: str) -> None:
    with pytest.raises(AddressNotAllowed, match=r"is not public.*jobs\.webhooks\.private"):
        check_url(url, FetchSettings(allowed_hosts="*"), "jobs.webhooks")
    check_url(url, FetchSettings(allowed_hosts="*", private=True))


@pytest.mark.parametrize(
    ("entry", "url", "allowed"),
    [
        ("example.org", "http://example.org/", True),
        ("Example.ORG.", "https://example.org:8443/", True),
        ("example.org", "http://www.example.org/", False),
        ("example.org", "http://example.org.evil.test/", False),
        ("example.org", "http://notexample.org/", False),
        ("*.example.org", "http://a.b.example.org/", True),
        ("*.example.org", "http://example.org/", False),
        ("*.example.org", "http://notexample.org/", False),
        ("example.org:8443", "https://example.org:8443/", True),
        ("example.org:443", "https://example.org/", True),
        ("example.org:443", "http://example.org/", False),
        ("*.example.org:8443", "https://a.example.org:8443/", True),
        ("bücher.example", "http://xn--bcher-kva.example/", True),
        ("xn--bcher-kva.example", "http://BÜCHER.example/", True),
        ("8.8.8.8", "http://8.8.8.8/", True),
        ("2606:4700::1", "http://[2606:4700:0::1]/", True),
        ("[2606:4700::1]:81", "http://[2606:4700::1]:81/", True),
        ("[2606:4700::1]:81", "http://[2606:4700::1]/", False),
        ("*", "http://anything.test:81/", True),
    ],
)
def test_entries_of_the_list(entry: str, url: str, allowed: bool) -> None:
    settings = FetchSettings(allowed_hosts=("other.test", entry))
    if allowed:
        check_url(url, settings)
    else:
        with pytest.raises(AddressNotAllowed, match=r"not an allowed host.*speech\.fetch\.allowed"):
            check_url(url, settings)


def test_an_empty_list_allows_nothing() -> None:
    with pytest.raises(Forbidden, match=r"example\.org.*speech\.fetch\.allowed_hosts"):
        check_url("http://example.org/", FetchSettings(private=True))


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "https://example.org",
        "example.org/a",
        "a b",
        "*.*.org",
        "**",
        "u@a.b",
        "a?b",
    ],
)
def test_an_entry_that_is_no_host_is_told_at_once(entry: str) -> None:
    with pytest.raises(SettingsError, match=r"speech\.fetch\.allowed_hosts: .* is not a host"):
        Fetcher(FetchSettings(allowed_hosts=(entry,)))


# Where redirects lead


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b?c", "https://example.org/b?c"),
        ("b", "https://example.org/a/b"),
        ("//other.test/b", "https://other.test/b"),
        ("https://OTHER.test./b#c", "https://other.test/b"),
        ("b c", "https://example.org/a/b%20c"),
    ],
)
def test_a_redirect_may_be_relative(location: str, target: str) -> None:
    hosts = AllowedHosts(FetchSettings(allowed_hosts="*"))
    assert str(hosts.check_redirect(URL("https://example.org/a/"), location)) == target


@pytest.mark.parametrize(
    ("location", "error", "said", "unsaid"),
    [
        ("", InvalidUrl, "no address", "x"),
        ("ftp://example.org/", InvalidUrl, "no address", "ftp"),
        ("https://u:p@example.org/", InvalidUrl, "no address", "u:p"),
        ("http://[", InvalidUrl, "no address", "["),
        ("http://example.org/", AddressNotAllowed, "from https to http", "private"),
        ("https://db.internal/?secret", AddressNotAllowed, "db.internal, which is not", "secret"),
        ("https://10.1.2.3/", AddressNotAllowed, "an IP address, which is not an", "10.1"),
        ("https://10.0.0.1/", AddressNotAllowed, "an IP address, which is not public", "10.0"),
    ],
)
def test_a_redirect_that_is_refused(
    location: str, error: type[Exception], said: str, unsaid: str
) -> None:
    hosts = AllowedHosts(FetchSettings(allowed_hosts=("example.org", "10.0.0.1")))
    with pytest.raises(error) as caught:
        hosts.check_redirect(URL("https://example.org/x"), location)
    message = str(caught.value).replace("example.org", "")
    assert said in message
    assert unsaid not in message


# Connecting


async def test_a_download() -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(body=SOUND)

    async with serve(handler) as port, fetcher() as it:
        assert await it.fetch(f"http://{HOST}:{port}/talk.wav?a=b%2Bc") == SOUND
    (request,) = seen
    assert request.raw_path == "/talk.wav?a=b%2Bc"
    assert request.headers["Accept-Encoding"] == "identity"


async def test_what_is_not_allowed_is_not_connected_to() -> None:
    resolver = Names(localhost=[[HOST]])
    async with serve() as port:
        async with fetcher(resolver, allowed_hosts="example.org") as it:
            with pytest.raises(AddressNotAllowed, match="localhost is not an allowed host"):
                await it.fetch(f"http://localhost:{port}/")
        async with fetcher(resolver, private=False) as it:
            with pytest.raises(AddressNotAllowed, match=rf"{HOST} is not public"):
                await it.fetch(f"http://{HOST}:{port}/")
    assert resolver.asked == []


async def test_a_name_with_a_private_address() -> None:
    resolver = Names(localhost=[[HOST, "::1"]])
    async with serve() as port:
        async with fetcher(resolver, private=False) as it:
            with pytest.raises(
                AddressNotAllowed, match="localhost has no public address"
            ) as caught:
                await it.fetch(f"http://localhost:{port}/")
            assert HOST not in str(caught.value)
        async with fetcher(resolver) as it:
            assert await it.fetch(f"http://localhost:{port}/") == SOUND


@pytest.mark.usefixtures("this_machine_is_public")
async def test_what_was_checked_is_what_is_connected_to() -> None:
    # A private address beside a public one is left out, and the name is resolved only once.
    resolver = Names(cdn_test=[["10.0.0.1", HOST], ["10.0.0.1"]])
    async with serve() as port, fetcher(resolver, private=False) as it:
        assert await it.fetch(f"http://cdn.test:{port}/") == SOUND
        assert resolver.asked == ["cdn.test"]
        with pytest.raises(AddressNotAllowed, match=r"cdn\.test has no public address"):
            await it.fetch(f"http://cdn.test:{port}/")
    assert resolver.closed


@pytest.mark.usefixtures("this_machine_is_public")
async def test_a_name_that_becomes_private_between_redirects() -> None:
    async def handler(request: web.Request) -> web.Response:
        raise web.HTTPFound("/again")

    resolver = Names(cdn_test=[[HOST], ["127.0.0.2"]])
    async with serve(handler) as port, fetcher(resolver, private=False) as it:
        with pytest.raises(AddressNotAllowed, match=r"cdn\.test has no public address"):
            await it.fetch(f"http://cdn.test:{port}/")
    assert resolver.asked == ["cdn.test", "cdn.test"]


@pytest.mark.usefixtures("this_machine_is_public")
@pytest.mark.parametrize(
    "target", ["http://127.0.0.1/", "http://[::ffff:7f00:1]/", "http://db.internal/"]
)
async def test_a_redirect_to_a_private_host(target: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(target)

    resolver = Names(cdn_test=[[HOST]], db_internal=[["10.0.0.5"]])
    async with serve(handler) as port, fetcher(resolver, private=False) as it:
        with pytest.raises(AddressNotAllowed, match="public") as caught:
            await it.fetch(f"http://cdn.test:{port}/")
    assert "10.0.0.5" not in str(caught.value)


async def test_the_guard_says_of_no_addresses_what_the_resolver_says() -> None:
    guarded = GuardedResolver(Names(nothing=[[]]))
    assert await guarded.resolve("nothing") == []
    with pytest.raises(OSError, match="not known"):
        await guarded.resolve("unknown.test")
    await guarded.close()


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{HOST}:{unused_port()}")
    async with serve() as port, fetcher() as it:
        assert await it.fetch(f"http://{HOST}:{port}/") == SOUND


async def test_cookies_are_not_kept() -> None:
    cookies: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        response = web.Response(body=b"x")
        response.set_cookie("a", "b")
        return response

    async with serve(handler) as port, fetcher(Names(cdn_test=[[HOST]])) as it:
        for _ in range(2):
            await it.fetch(f"http://cdn.test:{port}/")
    assert cookies == [None, None]


# Redirects


async def test_redirects_are_followed_and_checked_one_by_one() -> None:
    async def handler(request: web.Request) -> web.Response:
        match request.path:
            case "/a":
                raise web.HTTPFound("b")
            case "/b":
                raise web.HTTPPermanentRedirect(f"//other.test:{request.url.port}/c")
            case _:
                return web.Response(text=str(request.url.host))

    resolver = Names(cdn_test=[[HOST]], other_test=[[HOST]])
    async with serve(handler) as port:
        url = f"http://cdn.test:{port}/a"
        async with fetcher(resolver, max_redirects=2) as it:
            assert await it.fetch(url) == b"other.test"
        async with fetcher(resolver, max_redirects=1) as it:
            with pytest.raises(FetchFailed, match=r"cdn\.test redirects too often; 1 .*max_red"):
                await it.fetch(url)
        async with fetcher(resolver, allowed_hosts="cdn.test") as it:
            with pytest.raises(AddressNotAllowed, match=r"cdn\.test redirects to other\.test"):
                await it.fetch(url)


async def test_a_redirect_loop_ends() -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("/loop")

    async with serve(handler) as port, fetcher(max_redirects=3) as it:
        with pytest.raises(FetchFailed, match="too often; 3"):
            await it.fetch(f"http://{HOST}:{port}/loop")
    assert asked == ["/loop"] * 4


@pytest.mark.parametrize("headers", [{}, {"Location": "mailto:a@b.c"}, {"Location": "http://["}])
async def test_a_redirect_to_nowhere(headers: dict[str, str]) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=302, headers=headers)

    async with serve(handler) as port, fetcher() as it:
        with pytest.raises(FetchFailed, match="redirects to what is no address") as caught:
            await it.fetch(f"http://{HOST}:{port}/")
    assert caught.value.http_status == 424


# Limits


async def test_a_length_over_the_limit_is_not_read() -> None:
    left = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1001"})
        await response.prepare(request)
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return response

    async with serve(handler) as port, fetcher(max_bytes=1000) as it:
        with pytest.raises(DownloadTooLarge, match=r"longer than 1000 bytes.*fetch\.max_bytes"):
            await it.fetch(f"http://{HOST}:{port}/")
        await left.wait()


async def test_an_endless_answer_is_left_at_the_limit() -> None:
    left = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            with contextlib.suppress(ConnectionResetError):
                while True:
                    await response.write(bytes(500))
        finally:
            left.set()
        return response

    async with serve(handler) as port, fetcher(max_bytes=1_000_000) as it:
        with pytest.raises(DownloadTooLarge) as caught:
            await it.fetch(f"http://{HOST}:{port}/")
        assert caught.value.http_status == 413
        await left.wait()


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("chunked", [False, True])
async def test_the_limit_is_exact(chunked: bool, extra: int) -> None:
    async def handler(request: web.Request) -> web.Response:
        response = web.Response(body=bytes(1000 + extra))
        if chunked:
            response.enable_chunked_encoding()
        return response

    async with serve(handler) as port, fetcher(max_bytes=1000) as it:
        if extra:
            with pytest.raises(DownloadTooLarge):
                await it.fetch(f"http://{HOST}:{port}/")
        else:
            assert len(await it.fetch(f"http://{HOST}:{port}/")) == 1000


async def test_a_compressed_bomb_is_not_unpacked() -> None:
    async def handler(request: web.Request) -> web.Response:
        bomb = gzip.compress(bytes(10_000_000))
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with serve(handler) as port, fetcher() as it:
        with pytest.raises(FetchFailed, match="in the encoding 'gzip'"):
            await it.fetch(f"http://{HOST}:{port}/")


@pytest.mark.parametrize("sends", ["nothing", "head", "drip", "informational"])
async def test_a_slow_answer_is_left(sends: str) -> None:
    left = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        transport = request.transport
        assert transport is not None
        try:
            if sends in ("head", "drip"):
                await response.prepare(request)
            while sends == "drip" and not transport.is_closing():
                await response.write(b"x")
                await asyncio.sleep(0)
            while sends == "informational" and not transport.is_closing():
                transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await asyncio.sleep(0)
            await asyncio.Event().wait()
        finally:
            left.set()
        return response

    async with serve(handler) as port, fetcher(timeout_s=0.2, max_bytes=2_000_000_000) as it:
        with pytest.raises(
            FetchTimeout, match=rf"{HOST} took longer than 0\.2 s.*fetch\.timeout_s"
        ):
            await it.fetch(f"http://{HOST}:{port}/")
        await left.wait()


async def test_a_slow_name_service_counts() -> None:
    class Asleep(Names):
        async def resolve(self, *args: Any, **kwargs: Any) -> list[ResolveResult]:
            await asyncio.Event().wait()
            return []

    async with fetcher(Asleep(), timeout_s=0.05) as it:
        with pytest.raises(FetchTimeout):
            await it.fetch("http://cdn.test/")


# Other hosts' faults


@pytest.mark.parametrize("status", [204, 206, 304, 404, 500])
async def test_another_status(status: int) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status)

    async with serve(handler) as port, fetcher() as it:
        with pytest.raises(FetchFailed, match=f"{HOST} answers with status {status}") as caught:
            await it.fetch(f"http://{HOST}:{port}/")
    assert isinstance(caught.value, InvalidInput)
    assert caught.value.http_status == 424


async def test_an_answer_that_breaks_off() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.close()
        return response

    async with serve(handler) as port, fetcher() as it:
        with pytest.raises(FetchFailed, match="broke off"):
            await it.fetch(f"http://{HOST}:{port}/")


@contextlib.asynccontextmanager
async def answering(raw: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Answer every connection with some bytes; yields the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "does not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 20_000 + b"\r\n\r\n", "does not answer in HTTP"),
        (b"", "broke off"),
        (b"HTTP/1.1 200 OK\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "does not answer in HTTP"),
    ],
)
async def test_what_is_no_web_server(raw: bytes, message: str) -> None:
    async with answering(raw) as port, fetcher() as it:
        with pytest.raises(FetchFailed, match=rf"{HOST} {message}"):
            await it.fetch(f"http://{HOST}:{port}/")


async def test_hosts_that_cannot_be_reached() -> None:
    async with fetcher(Names(cdn_test=[[HOST]])) as it:
        with pytest.raises(FetchFailed, match=r"cdn\.test does not take the connection") as caught:
            await it.fetch(f"http://cdn.test:{unused_port()}/")
        assert HOST not in str(caught.value)
        with pytest.raises(FetchFailed, match=r"The host unknown\.test is not known"):
            await it.fetch("http://unknown.test/")


async def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    async with answering(b"", self_signed(tmp_path)) as port, fetcher() as it:
        with pytest.raises(FetchFailed, match="no TLS connection that can be trusted"):
            await it.fetch(f"https://{HOST}:{port}/")


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime(2020, 1, 1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=36_500))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "test.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_closing_ends_downloads() -> None:
    asked = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        return web.Response()

    async with serve(handler) as port, fetcher() as it:
        download = asyncio.create_task(it.fetch(f"http://{HOST}:{port}/"))
        await asked.wait()
        await it.close()
        with pytest.raises(FetchFailed, match="broke off"):
            await download


async def test_closing_what_was_never_used() -> None:
    resolver = Names()
    async with fetcher(resolver):
        pass
    assert resolver.closed
