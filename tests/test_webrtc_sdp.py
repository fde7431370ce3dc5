"""Changes to session descriptions."""

from ipaddress import ip_address

from transport.webrtc import sdp

OFFER = "\r\n".join(
    [
        "v=0",
        "m=video 9 UDP/TLS/RTP/SAVPF 99",
        "a=fmtp:99 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        "a=candidate:a1 1 udp 2130706431 10.0.0.5 5000 typ host",
        "a=candidate:a2 1 udp 2130706431 fd00::2 5001 typ host",
        "a=candidate:a3 1 udp 1677729535 203.0.113.9 5000 typ srflx raddr 10.0.0.5 rport 5000",
        "a=candidate:a4 1 udp 2113937151 e1a379cd-0c12-4014.local 54369 typ host",
        "a=end-of-candidates",
        "",
    ]
)


def test_the_true_level_is_announced() -> None:
    text = sdp.announce_h264(OFFER, "42c020")
    assert "profile-level-id=42c020" in text
    assert "42e01f" not in text


def test_public_addresses_repeat_host_candidates_of_their_family() -> None:
    lines = sdp.announce_addresses(
        OFFER, [ip_address("198.51.100.7"), ip_address("2001:db8::7")]
    ).splitlines()
    added = [line.split() for line in lines if line not in OFFER.splitlines()]
    assert [(line[4], line[5], line[7]) for line in added] == [
        ("198.51.100.7", "5000", "host"),
        ("2001:db8::7", "5001", "host"),
    ]
    assert all(int(line[3]) < 2130706431 for line in added)
    assert len(lines) == len(OFFER.splitlines()) + 2


def test_hidden_candidates_and_the_end_mark_are_dropped() -> None:
    text = sdp.reachable_candidates_only(OFFER)
    assert ".local" not in text
    assert "end-of-candidates" not in text
    assert text.count("a=candidate") == 3
    assert text.endswith("\r\n")


def test_mdns_names_are_recognised() -> None:
    assert sdp.is_mdns("candidate:1 1 udp 2113937151 ABC.LOCAL 5 typ host")
    assert not sdp.is_mdns("candidate:1 1 udp 2113937151 10.0.0.1 5 typ host")
    assert not sdp.is_mdns("nonsense")
