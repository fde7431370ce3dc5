"""Changes to session descriptions that the WebRTC library has no setting for."""

import ipaddress
import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

_CONSTRAINED_BASELINE = re.compile(r"profile-level-id=42e01f", re.IGNORECASE)
_DIRECTION = re.compile(r"(?m)^a=(sendrecv|sendonly|recvonly|inactive)\s*$")

MAX_CANDIDATES = 32
"""Of one viewer, over its life: each further one costs more than the one before."""

_CANDIDATE = re.compile(r"^a=candidate:(\S+) (\d+) (\S+) (\d+) (\S+) (\d+) typ (\S+)")


def announce_h264(sdp: str, profile_level_id: str) -> str:
    """Put the true profile and level of what will be sent in place of the library's constant."""
    return _CONSTRAINED_BASELINE.sub(f"profile-level-id={profile_level_id}", sdp)


def announce_addresses(sdp: str, addresses: Sequence[IPv4Address | IPv6Address]) -> str:
    """Repeat each host candidate with every further address of the same family.

    For a server behind 1:1 NAT, whose own addresses nobody outside can reach.
    """
    lines = []
    for line in sdp.splitlines():
        lines.append(line)
        match = _CANDIDATE.match(line)
        if match is None or match[7] != "host" or is_mdns(line.removeprefix("a=")):
            continue
        version = ipaddress.ip_address(match[5]).version
        for number, address in enumerate(addresses):
            if address.version == version:
                lines.append(
                    f"a=candidate:{match[1]}p{number} {match[2]} {match[3]} "
                    f"{max(1, int(match[4]) - 1 - number)} {address} {match[6]} typ host"
                )
    return "\r\n".join(lines) + "\r\n"


def reachable_candidates_only(sdp: str) -> str:
    """Drop ``.local`` candidates and the end-of-candidates marks.

    Resolving a ``.local`` name costs a second and fails across networks. The viewer's checks
    reach the server without it and reveal the address (a peer-reflexive candidate, RFC 8445,
    7.3.1.3), so the library must go on waiting for checks instead of giving up at the mark.
    """
    kept: list[str] = []
    candidates = 0
    for line in sdp.splitlines():
        if line.startswith("a=candidate:"):
            candidates += 1
            if candidates > MAX_CANDIDATES or is_mdns(line.removeprefix("a=")):
                continue
        if line != "a=end-of-candidates":
            kept.append(line)
    return "\r\n".join(kept) + "\r\n"


def with_directions(sdp: str) -> str:
    """Write out the direction of media sections that leave it to the default (RFC 8866, 6.7)."""
    head, *sections = re.split(r"(?m)^(?=m=)", sdp)
    for number, section in enumerate(sections):
        if section.startswith(("m=audio", "m=video")) and not _DIRECTION.search(section):
            sections[number] = section.rstrip("\r\n") + "\r\na=sendrecv\r\n"
    return "".join([head, *sections])


def is_mdns(candidate: str) -> bool:
    """Tell whether a ``candidate:...`` line hides its address behind a ``.local`` name."""
    bits = candidate.split()
    return len(bits) > 4 and bits[4].lower().endswith(".local")
