"""Streams end to end: the HTTP API, real ICE, DTLS and SRTP, and a decoder at the other end."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from aiortc.codecs.h264 import h264_depayload

from engine.avatar.encode import split_nal_units
from engine.settings import StreamSettings, WebRtcSettings
from tests.serving import BRIGHT, DARK, WAVING_PICTURES, serving
from tests.viewer import Viewer
from transport.sessions import Stream, StreamRegistry

TOLERANCE = 14
NAL_IDR = 5


@pytest.fixture
async def viewer(server: tuple[TestClient, StreamRegistry]) -> AsyncIterator[Viewer]:
    viewer = Viewer(server[0])
    yield viewer
    await viewer.close()


async def pictures_until(viewer: Viewer, level: int) -> int:
    """Count decoded pictures until one has about this brightness."""
    for count in range(1, 60):
        if abs(await viewer.brightness() - level) <= TOLERANCE:
            return count
    raise AssertionError(f"no picture of brightness {level}")


def payload(event: str, subject: str) -> dict[str, Any]:
    assert event.startswith(subject + ":"), event
    found: dict[str, Any] = json.loads(event[len(subject) + 1 :])
    return found


@pytest.mark.parametrize("codec", ["video/H264", "video/VP8"])
async def test_a_viewer_sees_idle_then_gesture_then_idle(codec: str, viewer: Viewer) -> None:
    await viewer.connect(codec=codec, video_id="demo")
    assert abs(await viewer.brightness() - DARK) <= TOLERANCE
    response = await viewer.command("state", state="gesture")
    assert (response.status, await response.json()) == (200, {"state": "gesture"})
    await pictures_until(viewer, BRIGHT)
    assert (await viewer.command("interrupt")).status == 200
    await pictures_until(viewer, DARK)


async def test_timestamps_of_decoded_pictures_are_even(viewer: Viewer) -> None:
    await viewer.connect(video_id="demo")
    stamps = [(await viewer.frame()).pts for _ in range(60)]
    assert {b - a for a, b in itertools.pairwise(stamps)} == {3600}


async def test_an_action_plays_once_and_its_end_is_told(viewer: Viewer) -> None:
    await viewer.connect(video_id="demo")
    assert payload(await viewer.event(), "stream/ready") == {"state": "idle"}
    response = await viewer.command("state", state="wave")
    assert await response.json() == {"state": "wave"}
    entered = payload(await viewer.event(), "stream/state")
    assert entered["state"] == "wave"
    assert payload(await viewer.event(), "stream/done") == {"action": "wave"}
    back = payload(await viewer.event(), "stream/state")
    assert back["state"] == "idle"
    assert (back["rtp_timestamp"] - entered["rtp_timestamp"]) % 2**32 == WAVING_PICTURES * 3600


async def test_events_also_arrive_on_a_channel_that_the_client_opens(viewer: Viewer) -> None:
    await viewer.connect(video_id="demo", channel="JanusDataChannel")
    first, second = await viewer.event(), await viewer.event()
    assert payload(first, "stream/ready") == payload(second, "stream/ready")


async def test_a_state_asked_for_before_connecting_plays_first(viewer: Viewer) -> None:
    await viewer.create(video_id="demo")
    answer = await viewer.answer()
    assert (await viewer.command("state", state="gesture")).status == 200
    await viewer.send_answer(answer)
    assert abs(await viewer.brightness() - BRIGHT) <= TOLERANCE


async def test_candidates_may_come_before_the_answer(viewer: Viewer) -> None:
    await viewer.create(video_id="demo")
    answer = await viewer.answer()
    lines = [line for line in answer.splitlines() if line.startswith("a=candidate:")]
    for line in lines:
        response = await viewer.command("ice", candidate=line[2:], sdpMid="0", sdpMLineIndex=0)
        assert response.status == 200
    assert (await viewer.command("ice", candidate=None)).status == 200
    bare = "\r\n".join(line for line in answer.splitlines() if "candidate" not in line)
    assert (await viewer.send_answer(bare + "\r\n")).status == 200
    assert abs(await viewer.brightness() - DARK) <= TOLERANCE


async def test_mdns_candidates_neither_delay_nor_break_the_connection(viewer: Viewer) -> None:
    await viewer.create(video_id="demo")
    hidden = [
        line.replace(line.split()[4], "0b9ad1b6-0d2e-4b5c-9f0e-1f2e3d4c5b6a.local")
        if line.startswith("a=candidate:")
        else line
        for line in (await viewer.answer()).splitlines()
    ]
    async with asyncio.timeout(5):
        assert (await viewer.send_answer("\r\n".join(hidden) + "\r\n")).status == 200
        assert abs(await viewer.brightness() - DARK) <= TOLERANCE


async def test_figures_of_a_stream(server: tuple[TestClient, StreamRegistry]) -> None:
    client, registry = server
    viewer = Viewer(client)
    await viewer.connect(video_id="demo")
    for _ in range(30):
        await viewer.frame()
    (stream,) = registry.streams()
    while stream.media.sender.statistics.round_trip is None:
        await viewer.frame()
    path = f"/streams/{stream.id}?session_id={stream.session_id}"
    info = await (await client.get(path)).json()
    assert info["pictures_sent"] >= 30
    assert info["packets_sent"] >= info["pictures_sent"]
    assert info["bytes_sent"] > 0
    assert info["codec"] == "H264"
    assert info["connection"] == "connected"
    assert 0 <= info["round_trip_ms"] < 1000
    assert "session_id" not in info
    listed = await (await client.get("/streams")).json()
    assert [item["id"] for item in listed] == [stream.id]
    text = await (await client.get("/metrics")).text()
    assert "avatar_streams_connected 1.0" in text
    assert 'avatar_send_lateness_seconds_bucket{le="+Inf"}' in text
    status = await (await client.get("/status")).json()
    assert status["streams"][0]["id"] == stream.id
    assert status["process"]["memory_bytes"] > 0
    await viewer.close()


async def test_lost_packets_are_sent_again(
    server: tuple[TestClient, StreamRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, registry = server
    viewer = Viewer(client)
    await viewer.connect(video_id="demo")
    await viewer.frame()
    (stream,) = registry.streams()
    sender = stream.media.sender
    real, sent = sender._send_rtp, 0

    def lossy(packet: bytes) -> int:
        nonlocal sent
        sent += 1
        return len(packet) if sent % 7 == 0 else real(packet)

    monkeypatch.setattr(sender, "_send_rtp", lossy)
    stamps = [(await viewer.frame()).pts for _ in range(40)]
    monkeypatch.setattr(sender, "_send_rtp", real)
    assert sender.statistics.retransmitted > 0
    assert {b - a for a, b in itertools.pairwise(stamps)} == {3600}
    await viewer.close()


async def test_whep(server: tuple[TestClient, StreamRegistry]) -> None:
    client, registry = server
    viewer = Viewer(client)
    viewer.peer.addTransceiver("video", direction="recvonly")
    await viewer.peer.setLocalDescription(await viewer.peer.createOffer())
    offer = viewer.peer.localDescription.sdp
    headers = {"Content-Type": "application/sdp"}
    assert (await client.post("/whep/demo", data=offer)).status == 415
    refused = await client.post("/whep/demo", data="nonsense", headers=headers)
    assert refused.status == 406
    response = await client.post("/whep/demo", data=offer, headers=headers)
    assert response.status == 201
    assert response.content_type == "application/sdp"
    place = response.headers["Location"]
    answer = type(viewer.peer.localDescription)(await response.text(), "answer")
    await viewer.peer.setRemoteDescription(answer)
    assert abs(await viewer.brightness() - DARK) <= TOLERANCE
    trickle = {"Content-Type": "application/trickle-ice-sdpfrag"}
    ufrag = next(line for line in offer.splitlines() if line.startswith("a=ice-ufrag:"))
    fragment = f"{ufrag}\r\na=mid:0\r\na=end-of-candidates\r\n"
    assert (await client.patch(place, data=fragment, headers=trickle)).status == 204
    restart = "a=ice-ufrag:other\r\n"
    assert (await client.patch(place, data=restart, headers=trickle)).status == 422
    assert (await client.delete(place + "x")).status == 403
    assert (await client.delete(place)).status == 200
    assert registry.streams() == []
    assert (await client.delete(place)).status == 404
    await viewer.close()


async def test_two_viewers_do_not_hear_of_each_other(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client, _ = server
    one, two = Viewer(client), Viewer(client)
    await asyncio.gather(one.connect(video_id="demo"), two.connect(video_id="demo"))
    await one.command("state", state="gesture")
    await pictures_until(one, BRIGHT)
    assert abs(await two.brightness() - DARK) <= TOLERANCE
    assert one.events.qsize() >= 1
    assert [json.loads(two.events.get_nowait().partition(":")[2])["state"]] == ["idle"]
    assert two.events.empty()
    await asyncio.gather(one.close(), two.close())


async def test_closing_the_server_tells_its_viewers(root: Path) -> None:
    async with serving(root) as (client, _):
        viewer = Viewer(client)
        await viewer.connect(video_id="demo")
        await viewer.frame()
    while not (event := await viewer.event()).startswith("stream/closing"):
        pass
    assert payload(event, "stream/closing") == {"reason": "shutdown"}
    await viewer.close()


async def test_a_viewer_that_hangs_up_is_forgotten(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = asyncio.Event()
    end = StreamRegistry.end

    async def end_and_tell(self: StreamRegistry, stream: Stream, reason: str) -> None:
        await end(self, stream, reason)
        ended.set()

    monkeypatch.setattr(StreamRegistry, "end", end_and_tell)
    settings = StreamSettings(seed=1, lost_timeout=2.0)
    async with serving(root, streams=settings) as (client, registry):
        viewer = Viewer(client)
        await viewer.connect(video_id="demo")
        await viewer.frame()
        await viewer.close()
        await asyncio.wait_for(ended.wait(), 10)
        assert registry.streams() == []
        assert registry.ended == {"lost": 1}


async def test_ports_and_addresses_follow_the_settings(root: Path) -> None:
    settings = WebRtcSettings(
        udp_ports="42000-42015", public_addresses=(IPv4Address("198.51.100.7"),)
    )
    async with serving(root, webrtc=settings) as (client, _):
        viewer = Viewer(client)
        await viewer.create(video_id="demo")
        lines = [
            line.split()
            for line in viewer.stream["offer"]["sdp"].splitlines()
            if line.startswith("a=candidate:")
        ]
        assert {int(line[5]) for line in lines} <= set(range(42000, 42016))
        assert "198.51.100.7" in {line[4] for line in lines}
        await viewer.send_answer(await viewer.answer())
        assert abs(await viewer.brightness() - DARK) <= TOLERANCE
        await viewer.close()


async def test_a_picture_loss_is_answered_by_the_next_keyframe(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client, registry = server
    viewer = Viewer(client)
    await viewer.connect(video_id="demo")
    await viewer.frame()
    (stream,) = registry.streams()
    sender = stream.media.sender
    (receiver,) = [r for r in viewer.peer.getReceivers() if r.track.kind == "video"]
    await receiver._send_rtcp_pli(sender._ssrc)
    units: list[bytes] = []
    send = sender._send_payloads

    def note(payloads: Sequence[bytes], media_time: int) -> int:
        units.append(b"".join(h264_depayload(payload) for payload in payloads))
        return send(payloads, media_time)

    sender._send_payloads = note  # type: ignore[method-assign]
    while not any(nal[0] & 31 == NAL_IDR for unit in units for nal in split_nal_units(unit)):
        await viewer.frame()
    assert sender.statistics.keyframe_requests == 1
    assert len(units) <= 0.5 * 25 + 2
    await viewer.close()
