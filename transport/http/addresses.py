"""Which addresses on the network a caller may make the server talk to.

A server that fetches what its callers name can be turned against the network it stands in (server-
side request forgery). So the host must be in a list of the settings, and its address must be one of
the public internet, however it is spelled.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from yarl import URL

from engine.errors import Forbidden, InvalidInput, SettingsError
from engine.speech.settings import FetchSettings

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_LONGEST_URL: Final = 8192
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_HOST: Final = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
# The C library and browsers read such a last label as a part of an IPv4 address.
_NUMERIC: Final = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")

# IANA's registries of special-purpose addresses, and multicast. Not ``ipaddress.is_global``, whose
# answers differ between releases of Python.
_NOT_PUBLIC_4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by number, but the host of every virtual machine on Azure
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_PUBLIC_6: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20")
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP: Final = 0x5EFE


class InvalidUrl(InvalidInput):
    """The address is not one of http or https."""


class AddressNotAllowed(Forbidden):
    """The settings do not allow the server to talk to this host."""


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet.

    IPv6 addresses that stand for an IPv4 address (mapped, NAT64, 6to4, ISATAP) are as public as
    that one; Teredo addresses are not.

    Raises:
        ValueError: It is no IP address.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _NOT_PUBLIC_4)
    if ip.scope_id is not None:
        return False
    mapped = _last_four(ip) if ip in _NAT64 else ip.ipv4_mapped
    if mapped is not None:
        return is_public(str(mapped))
    if ip not in _PUBLIC_6 or any(ip in network for network in _NOT_PUBLIC_6):
        return False
    # A tunnel's address: both its own prefix and the IPv4 address in it count.
    isatap = _last_four(ip) if (int(ip) >> 32) & 0xFDFFFFFF == _ISATAP else None
    return all(is_public(str(inner)) for inner in (ip.sixtofour, isatap) if inner is not None)


def _last_four(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)


def check_url(url: str, settings: FetchSettings, section: str = "speech.fetch") -> URL:
    """Check an address as far as that is possible without asking the name service.

    What a name resolves to is only known when connecting: connect through
    ``transport.http.fetch.GuardedResolver``.

    Args:
        url: What the caller gave.
        settings: What is allowed.
        section: Where the settings are in the file, for messages.

    Returns:
        The address to connect to: host in lower case, without trailing dot, in ASCII (IDNA).

    Raises:
        InvalidUrl: It is no address of http or https, or carries a user name.
        AddressNotAllowed: The settings do not allow it.
        SettingsError: An entry of ``allowed_hosts`` is no host.
    """
    return AllowedHosts(settings, section).check(url)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of the list; no ``host`` means all, no ``port`` means any."""

    host: str
    subdomains: bool
    port: int | None

    def matches(self, host: str, port: int | None) -> bool:
        if self.port not in (None, port):
            return False
        if self.subdomains:
            return host.endswith(f".{self.host}")
        return self.host in ("", host)


class AllowedHosts:
    """The hosts that settings allow.

    Entries are host names or IP addresses, with a port or, for any port, without: what runs on the
    other ports of an allowed host is either public anyway or, with ``private``, trusted by whoever
    wrote the list.

    Args:
        settings: What is allowed.
        section: Where the settings are in the file, for messages.

    Raises:
        SettingsError: An entry is no host.
    """

    def __init__(self, settings: FetchSettings, section: str = "speech.fetch") -> None:
        self._private = settings.private
        self._section = section
        self._entries = tuple(self._entry(text) for text in settings.allowed_hosts)

    def _entry(self, text: str) -> _Entry:
        if text == "*":
            return _Entry("", subdomains=False, port=None)
        name = text.removeprefix("*.")
        if name.count(":") > 1 and not name.startswith("["):
            name = f"[{name}]"  # a bare IPv6 address
        try:
            url = _split(f"http://{name}")
        except InvalidUrl:
            url = None
        if url is None or url.raw_path_qs != "/" or url.raw_fragment:
            raise SettingsError(
                f"{self._section}.allowed_hosts: {text!r} is not a host.",
                'Write e.g. "cdn.example.org", "*.example.org" or "cdn.example.org:8443".',
            )
        return _Entry(url.raw_host or "", text.startswith("*."), url.explicit_port)

    def check(self, url: str) -> URL:
        """Check an address; see ``check_url``."""
        target = _split(url.strip(" "))
        return self._allowed(target, target.raw_host or "")

    def check_redirect(self, url: URL, location: str) -> URL:
        """Check where an answer from ``url`` leads.

        Args:
            url: The address that answered.
            location: Its ``Location`` header, relative or not.

        Raises:
            InvalidUrl: It leads nowhere.
            AddressNotAllowed: It leads to where the settings do not allow, or out of TLS.
        """
        try:
            target = _split(str(url.join(URL(location))) if location else "")
        except (ValueError, InvalidUrl):
            raise InvalidUrl(
                f"{url.raw_host} redirects to what is no address of http or https."
            ) from None
        if url.scheme == "https" and target.scheme == "http":
            raise AddressNotAllowed(
                f"{url.raw_host} redirects from https to http.", "Give the final address."
            )
        # IP addresses in a redirect may be internal ones of that host: they are not passed on.
        host = target.raw_host if _literal(target.raw_host or "") is None else "an IP address"
        return self._allowed(target, f"{url.raw_host} redirects to {host}, which")

    def _allowed(self, url: URL, subject: str) -> URL:
        host = url.raw_host or ""
        if not self._entries:
            raise AddressNotAllowed(
                f"This server may not connect to {host}: it is set up to fetch nothing.",
                f"Add the host to {self._section}.allowed_hosts.",
            )
        if not any(entry.matches(host, url.port) for entry in self._entries):
            raise AddressNotAllowed(
                f"{subject} is not an allowed host.",
                f"Add it to {self._section}.allowed_hosts, or give another address.",
            )
        if not self._private and _literal(host) is not None and not is_public(host):
            raise AddressNotAllowed(f"{subject} is not public.", private_hint(self._section))
        return url


def private_hint(section: str) -> str:
    """Return what to do when a host is refused for having no public address."""
    return f"If the server is meant to reach it, set {section}.private to true."


def _split(text: str) -> URL:
    """Parse an absolute address of http or https; its host comes back in one spelling only.

    Raises:
        InvalidUrl: It is none, or has a user name, or its host has characters of no host.
    """
    if len(text) > _LONGEST_URL:
        raise InvalidUrl(f"The address is longer than {_LONGEST_URL} characters.")
    if _CONTROL.search(text):
        raise InvalidUrl("The address contains control characters.", "Percent-encode them.")
    try:
        url = URL(text).with_fragment(None)
    except ValueError:
        raise InvalidUrl("The address cannot be read.", "Give http://HOST/PATH.") from None
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise InvalidUrl(
            "The address is not one of http or https.", "Give http://HOST/PATH or https://..."
        )
    if url.raw_user is not None or url.raw_password is not None:
        raise InvalidUrl(
            "The address contains a user name or password.", "Use a signed address instead."
        )
    host = url.raw_host.removesuffix(".").lower()
    ip = _literal(host)
    if ip is None and (_NUMERIC.fullmatch(host) or not _HOST.fullmatch(host)):
        raise InvalidUrl(f"{host[:100]!r} is not a host.", "Give a name or a.b.c.d.")
    if url.port == 0:
        raise InvalidUrl("Port 0 is no port.")
    return url.with_host(host if ip is None else ip.compressed)


def _literal(host: str) -> IpAddress | None:
    """Return the IP address that a host is, in the one spelling that is taken for it."""
    try:
        return ipaddress.ip_address(host) if "%" not in host else None
    except ValueError:
        return None
