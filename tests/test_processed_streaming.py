"""Processed streams end to end: pipelines watched over WebRTC, and cameras sent in by WHIP."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestClient
from aiortc import (
    AudioStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from av import VideoFrame

from capture.pattern import read_code
from engine.pipeline.settings import CaptureSettings, PipelineSettings
from engine.settings import LiveSettings
from tests.serving import BRIGHT, DARK, serving
from tests.viewer import Viewer
from transport.sessions import StreamRegistry

PIPELINE = PipelineSettings(capture=CaptureSettings(width=320, height=240, fps=25))


@pytest.fixture
async def server(root: Path) -> AsyncIterator[tuple[TestClient, StreamRegistry]]:
    async with serving(root, pipeline=PIPELINE) as parts:
        yield parts


def pipelines() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("live-")]


async def numbers(viewer: Viewer, count: int) -> list[int]:
    """Read the frame numbers in so many pictures of the test chart."""
    found = []
    while len(found) < count:
        code = read_code((await viewer.frame()).to_ndarray(format="bgr24"))
        if code is not None:
            found.append(code[0])
    return found


class Camera(VideoStreamTrack):
    """A camera whose picture is one grey."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        image = np.full((120, 160, 3), self._level, np.uint8)
        frame = VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts, frame.time_base = pts, Fraction(time_base)
        return frame


async def send_camera(
    client: TestClient, level: int, sound: bool = False
) -> tuple[RTCPeerConnection, str]:
    """Send a camera in; return its connection and the address of its resource."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    if sound:
        peer.addTrack(AudioStreamTrack())
    peer.addTrack(Camera(level))
    await peer.setLocalDescription(await peer.createOffer())
    response = await client.post(
        "/whip", data=peer.localDescription.sdp, headers={"Content-Type": "application/sdp"}
    )
    assert response.status == 201, await response.text()
    await peer.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
    return peer, response.headers["Location"]


@pytest.mark.parametrize("codec", ["video/H264", "video/VP8"])
async def test_a_test_chart_arrives_in_order(
    codec: str, server: tuple[TestClient, StreamRegistry]
) -> None:
    viewer = Viewer(server[0])
    await viewer.connect(codec=codec, source="pattern:", processors=["none"])
    found = await numbers(viewer, 20)
    assert found == sorted(set(found))
    assert found[-1] - found[0] < 60
    await viewer.close()


async def test_processors_change_while_the_picture_goes_on(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client, registry = server
    viewer = Viewer(client)
    await viewer.connect(source="pattern:", processors=[])
    await numbers(viewer, 3)
    secret = {"session_id": viewer.stream["session_id"]}
    path = f"/streams/{viewer.stream['id']}"
    response = await client.patch(path, json=secret | {"mirror": True, "batch_size": 2})
    assert response.status == 200
    assert (await response.json())["pipeline"]["batch_size"] == 2
    # The mirrored chart cannot be read; the connection stays the same one.
    for _ in range(60):
        if read_code((await viewer.frame()).to_ndarray(format="bgr24")) is None:
            break
    else:
        pytest.fail("the picture was never mirrored")
    assert (await client.patch(path, json=secret | {"mirror": False})).status == 200
    await numbers(viewer, 3)
    bad = await client.patch(path, json=secret | {"processors": ["sharpen"]})
    assert (bad.status, (await bad.json())["kind"]) == (400, "UnknownProcessor")
    assert (await client.patch(path, json={"mirror": True})).status == 403
    await numbers(viewer, 3)
    info = await (await client.get(path, params=secret)).json()
    assert info["pipeline"]["latency"]["end_to_end"]["p95_ms"] > 0
    metrics = await (await client.get("/metrics")).text()
    for stage in ("fed", "taken", "processed", "shown", "end_to_end"):
        assert f'quantile="0.95",stage="{stage}"' in metrics
    assert 'place="input"' in metrics
    assert len(registry.streams()) == 1
    await viewer.close()


async def test_viewers_of_the_same_source_share_its_pipeline(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client, registry = server
    one, two = Viewer(client), Viewer(client)
    await one.connect(source="pattern:", processors=["none"])
    await numbers(one, 2)
    before = set(pipelines())
    await two.connect(source="pattern:", processors=["none"], codec="video/VP8")
    await numbers(two, 2)
    assert set(pipelines()) == before
    first, second = registry.streams()
    assert first.shared is second.shared
    await registry.end(first, "deleted")
    await numbers(two, 3)
    await registry.end(second, "deleted")
    await asyncio.gather(one.close(), two.close())


async def test_the_last_viewer_stops_the_pipeline(root: Path) -> None:
    async with serving(root, pipeline=PIPELINE) as (client, registry):
        viewer = Viewer(client)
        await viewer.connect(source="pattern:", processors=[])
        await numbers(viewer, 2)
        assert pipelines()
        (stream,) = registry.streams()
        await registry.end(stream, "deleted")
        await viewer.close()
    assert pipelines() == []


async def test_a_camera_goes_in_and_comes_back(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client, _ = server
    camera, place = await send_camera(client, 180)
    viewer = Viewer(client)
    await viewer.connect(source=f"webrtc:{place.split('/')[2]}", processors=["none"])
    for _ in range(60):
        if abs(await viewer.brightness() - 180) < 12:
            break
    else:
        pytest.fail("the camera's grey never came back")
    assert (await client.delete(place + "x")).status == 403
    assert (await client.delete(place)).status == 200
    assert (await client.delete(place)).status == 404
    while not (event := await viewer.event()).startswith("stream/closing"):
        pass
    assert "source_ended" in event
    await asyncio.gather(viewer.close(), camera.close())


async def test_an_avatar_can_be_processed(server: tuple[TestClient, StreamRegistry]) -> None:
    client, _ = server
    viewer = Viewer(client)
    await viewer.connect(video_id="demo", use_ai=True, processors=["mirror"])
    assert viewer.stream["video_id"] == "avatar:demo"
    assert abs(await viewer.brightness() - DARK) < 16
    assert (await viewer.command("state", state="gesture")).status == 200
    for _ in range(60):
        if abs(await viewer.brightness() - BRIGHT) < 16:
            break
    else:
        pytest.fail("the gesture never came")
    assert (await viewer.command("state", state="dance")).status == 404
    await viewer.close()


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"source": "camera:0"}, 403, "SourceNotAllowed"),
        ({"source": "file:/etc/passwd"}, 403, "SourceNotAllowed"),
        ({"source": "screen:"}, 403, "SourceNotAllowed"),
        ({"source": "webrtc:nobody"}, 404, "PublisherNotFound"),
        ({"source": "avatar:nobody"}, 404, "AvatarNotFound"),
        ({"source": "pattern:", "processors": ["sharpen"]}, 400, "UnknownProcessor"),
        ({"source": "pattern:", "processors": ["anonymise"]}, 404, "ModelNotFound"),
    ],
)
async def test_sources_and_processors_that_cannot_be_used(
    body: dict[str, Any],
    status: int,
    kind: str,
    server: tuple[TestClient, StreamRegistry],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("AVATAR_MODELS", str(tmp_path))
    response = await server[0].post("/streams", json=body)
    found = await response.json()
    assert (response.status, found["kind"]) == (status, kind), found
    assert server[1].streams() == []


async def test_files_only_from_allowed_folders(root: Path, tmp_path: Path) -> None:
    settings = LiveSettings(
        allowed_sources=("file",), allowed_folders=(root / "videos",), max_pipelines=1
    )
    async with serving(root, live=settings) as (client, registry):
        inside = root / "videos" / "demo" / "gesture.mp4"
        for path, status in (("/etc/passwd", 403), (str(inside), 201)):
            response = await client.post("/streams", json={"source": f"file:{path}"})
            assert response.status == status, await response.text()
        other = {"source": f"file:{inside}", "processors": ["mirror"]}
        response = await client.post("/streams", json=other)
        assert (await response.json())["kind"] == "TooManyPipelines"
        assert len(registry.streams()) == 1


async def test_a_played_stream_cannot_be_patched(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    viewer = Viewer(server[0])
    await viewer.create(video_id="demo")
    body = {"session_id": viewer.stream["session_id"], "mirror": True}
    response = await server[0].patch(f"/streams/{viewer.stream['id']}", json=body)
    assert (response.status, (await response.json())["kind"]) == (409, "NotProcessed")
    await viewer.close()


async def test_whip_refuses_what_is_no_camera(server: tuple[TestClient, StreamRegistry]) -> None:
    client, _ = server
    sdp = {"Content-Type": "application/sdp"}
    assert (await client.post("/whip", data="v=0")).status == 415
    assert (await client.post("/whip", data="v=0", headers=sdp)).status == 406
    assert (await client.post("/whip", data="m=video nonsense", headers=sdp)).status == 406
    assert (await client.patch("/whip/a/b", data="", headers=sdp)).status == 404
    options = await client.options("/whip")
    assert options.headers["Accept-Post"] == "application/sdp"


async def grey_comes(viewer: Viewer, level: int) -> None:
    for _ in range(90):
        if abs(await viewer.brightness() - level) < 12:
            return
    pytest.fail("the camera's grey never came back")


async def test_a_viewer_that_leaves_takes_nothing_from_the_others(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client, registry = server
    camera, place = await send_camera(client, 150)
    source = f"webrtc:{place.split('/')[2]}"
    one, two, three = Viewer(client), Viewer(client), Viewer(client)
    await one.connect(source=source, processors=["none"])
    await two.connect(source=source, processors=["mirror"])
    await grey_comes(one, 150)
    await grey_comes(two, 150)
    await registry.end(registry.streams()[0], "deleted")
    await grey_comes(two, 150)
    await registry.end(registry.streams()[0], "deleted")
    await three.connect(source=source, processors=["none"])
    await grey_comes(three, 150)
    await asyncio.gather(*(end.close() for end in (one, two, three, camera)))


async def test_sound_beside_the_camera_is_not_received(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client, _ = server
    camera, place = await send_camera(client, 90, sound=True)
    viewer = Viewer(client)
    await viewer.connect(source=f"webrtc:{place.split('/')[2]}", processors=["none"])
    await grey_comes(viewer, 90)
    directions = {t.kind: t.currentDirection for t in camera.getTransceivers()}
    assert directions == {"audio": "inactive", "video": "sendonly"}
    await asyncio.gather(viewer.close(), camera.close())


async def test_a_changed_pipeline_is_not_what_the_next_viewer_gets(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client, registry = server
    one, two = Viewer(client), Viewer(client)
    await one.connect(source="pattern:", processors=["none"])
    await numbers(one, 2)
    secret = {"session_id": one.stream["session_id"]}
    path = f"/streams/{one.stream['id']}"
    assert (await client.patch(path, json=secret | {"mirror": True})).status == 200
    await two.connect(source="pattern:", processors=["none"])
    await numbers(two, 2)
    first, second = registry.streams()
    assert first.shared is not second.shared
    await asyncio.gather(one.close(), two.close())


async def test_a_paused_stream_is_not_taken_for_lost(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client, registry = server
    viewer = Viewer(client)
    await viewer.connect(source="pattern:", processors=["none"])
    await numbers(viewer, 2)
    (stream,) = registry.streams()
    sender = stream.media.sender
    sender.listen(1e9)
    assert sender.last_heard == 1e9
    sender.listen(2e9)
    heard = sender.last_heard
    receiver = viewer.peer.getReceivers()[0]
    # Any packet counts, also a report about somebody else's stream.
    await receiver._send_rtcp_pli(12345)
    async with asyncio.timeout(10):
        while sender.last_heard in (heard, 1e9):
            sender.listen(3e9)
            await viewer.frame()
    await viewer.close()


@pytest.mark.parametrize("path", ["/whip", "/whep/demo"])
async def test_mangled_offers_are_refused_or_answered_never_a_failure(
    path: str, server: tuple[TestClient, StreamRegistry]
) -> None:
    client, _ = server
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("video", direction="sendrecv")
    await peer.setLocalDescription(await peer.createOffer())
    lines = peer.localDescription.sdp.splitlines()
    await peer.close()
    chance = random.Random(5)
    headers = {"Content-Type": "application/sdp"}
    for number in range(len(lines)):
        mangled = list(lines)
        kind = chance.choice(["drop", "double", "cut"])
        if kind == "drop":
            del mangled[number]
        elif kind == "double":
            mangled.insert(number, mangled[number])
        else:
            mangled[number] = mangled[number][: len(mangled[number]) // 2]
        text = "\r\n".join(mangled) + "\r\n"
        response = await client.post(path, data=text, headers=headers)
        assert response.status in (201, 406), (kind, lines[number], await response.text())
        if response.status == 201:
            assert (await client.delete(response.headers["Location"])).status == 200
