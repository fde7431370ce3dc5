"""The HTTP API without media: shapes, errors, secrets, limits, origins, tokens."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from engine.settings import IceServer, ServerSettings, StreamSettings, WebRtcSettings
from tests.fakes import FakeClock, flat_clip
from tests.serving import serving
from tests.viewer import Viewer
from transport.sessions import StreamRegistry
from transport.webrtc.peer import Peer


@pytest.fixture
def client(server: tuple[TestClient, StreamRegistry]) -> TestClient:
    return server[0]


async def create(client: TestClient, **body: Any) -> dict[str, Any]:
    response = await client.post("/streams", json={"video_id": "demo"} | body)
    assert response.status == 201
    found: dict[str, Any] = await response.json()
    return found


async def error_of(response: Any) -> tuple[int, str, str]:
    body = await response.json()
    assert body.keys() == {"kind", "description"}
    return response.status, body["kind"], body["description"]


async def test_a_created_stream_has_what_clients_rely_on(client: TestClient) -> None:
    stream = await create(client)
    assert stream["offer"]["type"] == "offer"
    assert "m=video" in stream["offer"]["sdp"]
    assert "m=application" in stream["offer"]["sdp"]
    assert len(stream["session_id"]) >= 32
    assert stream["ice_servers"] == []
    assert stream["video_id"] == "demo"


@pytest.mark.parametrize("prefix", ["", "/talks", "/clips"])
async def test_the_routes_of_similar_apis_and_their_extra_fields_work(
    prefix: str, client: TestClient
) -> None:
    extra = {"source_url": "https://x/y.png", "config": {"stitch": True}, "stream_warmup": True}
    response = await client.post(f"{prefix}/streams", json=extra)
    assert response.status == 201
    stream = await response.json()
    path = f"{prefix}/streams/{stream['id']}"
    secret = {"session_id": stream["session_id"]}
    assert (await client.post(f"{path}/ice", json=secret)).status == 200
    response = await client.delete(path, json=secret)
    assert (response.status, await response.json()) == (200, {"status": "ok"})
    assert (await error_of(await client.delete(path, json=secret)))[:2] == (404, "StreamNotFound")


async def test_every_later_call_wants_the_secret(client: TestClient) -> None:
    stream = await create(client)
    path = f"/streams/{stream['id']}"
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/sdp", {"answer": {"type": "answer", "sdp": "x"}}),
        ("POST", "/ice", {"candidate": None}),
        ("POST", "/state", {"state": "gesture"}),
        ("POST", "/interrupt", {}),
        ("GET", "", {}),
        ("DELETE", "", {}),
    ]
    for method, suffix, body in calls:
        for secret in (None, "", "x", stream["session_id"][:-1], stream["session_id"] + "x"):
            sent = body if secret is None else body | {"session_id": secret}
            response = await client.request(method, path + suffix, json=sent)
            assert (await error_of(response))[:2] == (403, "WrongSession"), (method, suffix)
            response = await client.request(method, "/streams/none" + suffix, json=sent)
            assert (await error_of(response))[:2] == (404, "StreamNotFound")


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"{", "MalformedJson"),
        (b"[]", "MalformedJson"),
        (b'"text"', "MalformedJson"),
        (b"\xff\xfe", "MalformedJson"),
        (b"[" * 100_000, "MalformedJson"),
        (b'{"video_id": 5}', "InvalidRequest"),
        (b'{"session_timeout": -1}', "InvalidRequest"),
        (b'{"session_timeout": "soon"}', "InvalidRequest"),
        (b'{"idle_video": "idle.mp4"}', "InvalidRequest"),
        (b'{"source": 5}', "InvalidRequest"),
    ],
)
async def test_bodies_that_are_wrong(raw: bytes, kind: str, client: TestClient) -> None:
    assert (await error_of(await client.post("/streams", data=raw)))[:2] == (400, kind)


async def test_a_body_that_is_too_large_is_refused(client: TestClient) -> None:
    response = await client.post("/streams", data=io.BytesIO(b" " * (2 << 20)))
    assert (await error_of(response))[0] == 413


async def test_unknown_things_are_404(client: TestClient) -> None:
    response = await client.post("/streams", json={"video_id": "nobody"})
    status, kind, description = await error_of(response)
    assert (status, kind) == (404, "AvatarNotFound")
    assert "demo" in description
    assert (await error_of(await client.get("/nothing")))[:2] == (404, "NotFound")
    response = await client.put("/streams")
    assert (await error_of(response))[0] == 405
    assert "POST" in response.headers["Allow"]
    assert (await error_of(await client.get("/avatars/nobody/poster")))[0] == 404


async def test_unknown_states_are_404_and_named(client: TestClient) -> None:
    stream = await create(client)
    response = await client.post(
        f"/streams/{stream['id']}/state",
        json={"state": "dance", "session_id": stream["session_id"]},
    )
    status, kind, description = await error_of(response)
    assert (status, kind) == (404, "StateNotFound")
    assert "idle, gesture, wave" in description


@pytest.mark.parametrize(
    "path",
    ["../secret.mp4", "/etc/passwd", "..\\secret.mp4", "demo/../../secret.mp4", "link.mp4"],
)
async def test_clips_outside_the_folder_are_refused(
    path: str, client: TestClient, root: Path
) -> None:
    secret = root / "secret.mp4"
    if not secret.exists():
        flat_clip(secret, 1, 0.2)
        (root / "videos" / "link.mp4").symlink_to(secret)
    body = {"idle_video": path, "gesture_video": "demo/gesture.mp4"}
    status, kind, _ = await error_of(await client.post("/streams", json=body))
    expected = (400, "AvatarError") if "\\" in path else (403, "PathNotAllowed")
    assert (status, kind) == expected


async def test_a_pair_of_clips_can_be_named(client: TestClient, root: Path) -> None:
    absolute = str(root / "videos" / "demo" / "idle.mp4")
    stream = await create(client, idle_video=absolute, gesture_video="demo/gesture.mp4")
    assert stream["video_id"].startswith("pair-idle-gesture-")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"type": "answer", "sdp": "nonsense"}, "BadSdp"),
        ({"type": "answer", "sdp": ""}, "BadSdp"),
        ({"type": "answer", "sdp": "v=0\r\nm=video\r\n"}, "BadSdp"),
        ({"type": "answer", "sdp": "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"}, "BadSdp"),
    ],
)
async def test_answers_that_cannot_be_used(
    answer: dict[str, str], kind: str, client: TestClient
) -> None:
    stream = await create(client)
    body = {"answer": answer, "session_id": stream["session_id"]}
    response = await client.post(f"/streams/{stream['id']}/sdp", json=body)
    assert (await error_of(response))[:2] == (406, kind)


async def test_an_answer_of_the_wrong_type_is_refused(client: TestClient) -> None:
    stream = await create(client)
    body = {"answer": {"type": "offer", "sdp": "x"}, "session_id": stream["session_id"]}
    response = await client.post(f"/streams/{stream['id']}/sdp", json=body)
    assert (await error_of(response))[:2] == (400, "InvalidRequest")


async def test_no_shared_codec_is_406(client: TestClient) -> None:
    viewer = Viewer(client)
    await viewer.create(video_id="demo")
    sdp = await viewer.answer()
    other = sdp.replace("H264/90000", "H265/90000").replace("VP8/90000", "AV1/90000")
    assert (await error_of(await viewer.send_answer(other)))[:2] == (406, "NoSharedCodec")
    assert (await viewer.send_answer(sdp)).status == 200
    await viewer.close()


async def test_an_offer_is_answered_once(client: TestClient) -> None:
    viewer = Viewer(client)
    await viewer.connect(video_id="demo")
    again = await viewer.send_answer(viewer.peer.localDescription.sdp)
    assert (await error_of(again))[:2] == (409, "AlreadyAnswered")
    await viewer.frame()
    await viewer.close()


async def test_two_answers_at_once_connect_once(client: TestClient) -> None:
    viewer = Viewer(client)
    await viewer.create(video_id="demo")
    sdp = await viewer.answer()
    responses = await asyncio.gather(*(viewer.send_answer(sdp) for _ in range(4)))
    assert sorted(response.status for response in responses) == [200, 409, 409, 409]
    await viewer.frame()
    await viewer.close()


async def test_deleting_while_connecting_leaves_nothing(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client, registry = server
    viewer = Viewer(client)
    await viewer.create(video_id="demo")
    sdp = await viewer.answer()
    path = f"/streams/{viewer.stream['id']}"
    secret = {"session_id": viewer.stream["session_id"]}
    answered, deleted = await asyncio.gather(
        viewer.send_answer(sdp), client.delete(path, json=secret)
    )
    assert deleted.status == 200
    assert answered.status in (200, 404, 406)
    assert registry.streams() == []
    await viewer.close()


async def test_bad_candidates_are_refused(client: TestClient) -> None:
    stream = await create(client)
    path = f"/streams/{stream['id']}/ice"
    for text in ("candidate:x", "nonsense", "candidate:1 1 udp x 1.2.3.4 y typ host"):
        body = {"candidate": text, "sdpMid": "0", "session_id": stream["session_id"]}
        assert (await error_of(await client.post(path, json=body)))[:2] == (400, "BadCandidate")
    tcp = "candidate:1 1 tcp 1518214911 10.0.0.1 9 typ host tcptype active"
    body = {"candidate": tcp, "sdpMid": "0", "session_id": stream["session_id"]}
    assert (await client.post(path, json=body)).status == 200


async def test_avatars_are_described(client: TestClient) -> None:
    await create(client)
    demo = (await (await client.get("/avatars")).json())[0]
    assert demo["id"] == "demo"
    assert demo["status"] == "ready"
    assert demo["progress"] == 1.0
    assert demo["states"] == ["idle", "gesture"]
    assert demo["actions"] == ["wave"]
    assert (demo["fps"], demo["size"], demo["codecs"]) == (25.0, [64, 64], ["H264", "VP8"])
    poster = await client.get(demo["poster"])
    assert poster.content_type == "image/jpeg"
    assert (await poster.read()).startswith(b"\xff\xd8")


async def test_one_stream_over_the_limit_is_503(root: Path) -> None:
    async with serving(root, streams=StreamSettings(max_streams=2)) as (client, registry):
        bodies = [client.post("/streams", json={"video_id": "demo"}) for _ in range(5)]
        responses = await asyncio.gather(*bodies)
        assert sorted(r.status for r in responses) == [201, 201, 503, 503, 503]
        refused = next(r for r in responses if r.status == 503)
        assert (await error_of(refused))[1] == "TooManyStreams"
        assert int(refused.headers["Retry-After"]) > 0
        await registry.end(registry.streams()[0], "deleted")
        await create(client)


async def test_a_failed_creation_gives_its_place_back(root: Path) -> None:
    async with serving(root, streams=StreamSettings(max_streams=1)) as (client, _):
        for _ in range(3):
            assert (await client.post("/streams", json={"video_id": "nobody"})).status == 404
        await create(client)


async def test_streams_end_by_themselves(root: Path) -> None:
    clock = FakeClock()
    settings = StreamSettings(connect_timeout=12, session_timeout=100)
    async with serving(root, streams=settings, clock=clock) as (client, registry):
        await create(client, session_timeout=5)
        await create(client)
        short, long = registry.streams()
        assert list(registry.over(clock())) == []
        clock.advance(5)
        assert list(registry.over(clock())) == [(short, "timeout")]
        clock.advance(7)
        assert [reason for _, reason in registry.over(clock())] == ["timeout", "never_connected"]
        long.media.sender.last_heard = clock()
        assert [stream for stream, _ in registry.over(clock())] == [short]
        clock.advance(10)
        assert (long, "lost") in list(registry.over(clock()))


async def test_ice_servers_are_handed_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def offer(self: Peer) -> str:
        return "v=0"  # the real one would ask the TURN server for a candidate

    monkeypatch.setattr(Peer, "offer", offer)
    turn = IceServer(urls=("turn:t.example:3478",), username="u", credential="c")
    async with serving(root, webrtc=WebRtcSettings(ice_servers=(turn,))) as (client, _):
        assert (await create(client))["ice_servers"] == [
            {"urls": ["turn:t.example:3478"], "username": "u", "credential": "c"}
        ]


async def test_tokens(root: Path) -> None:
    async with serving(root, ServerSettings(tokens=("sesame",))) as (client, _):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic !!"}):
            response = await client.get("/avatars", headers=headers)
            assert (await error_of(response))[:2] == (401, "Unauthorized")
            assert "WWW-Authenticate" in response.headers
        # "user:sesame", "sesame:" and "sesame" in base64.
        for value in ("Bearer sesame", "Basic dXNlcjpzZXNhbWU=", "Basic c2VzYW1lOg==",
                      "Basic c2VzYW1l"):  # fmt: skip
            assert (await client.get("/avatars", headers={"Authorization": value})).status == 200
        assert (await client.get("/health")).status == 200


async def test_origins(root: Path) -> None:
    settings = ServerSettings(cors_origins=("https://a.example",), tokens=("sesame",))
    async with serving(root, settings) as (client, _):
        ask = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
        response = await client.options("/streams", headers=ask)
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        other = await client.options("/streams", headers=ask | {"Origin": "https://b.example"})
        assert "Access-Control-Allow-Origin" not in other.headers
        assert (await error_of(other))[:2] == (403, "OriginNotAllowed")
        foreign = await client.post("/streams", json={}, headers={"Origin": "https://b.example"})
        assert (await error_of(foreign))[:2] == (403, "OriginNotAllowed")
        refused = await client.get("/avatars", headers={"Origin": "https://a.example"})
        assert refused.status == 401
        assert refused.headers["Access-Control-Allow-Origin"] == "https://a.example"


async def test_openapi_describes_every_route(client: TestClient) -> None:
    document = json.loads(await (await client.get("/openapi.json")).text())
    assert document["openapi"].startswith("3.1")
    served = {
        (route.method, route.resource.canonical)
        for route in client.app.router.routes()
        if route.resource is not None and not route.resource.canonical.startswith("/web")
    }
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    pages = {("GET", "/"), ("HEAD", "/"), ("GET", "/studio")}
    assert {entry for entry in served if entry[0] != "HEAD"} - pages == described
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]


async def test_security_headers_and_pages(client: TestClient) -> None:
    response = await client.get("/")
    assert response.status == 200
    assert response.content_type == "text/html"
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert (await client.get("/web/main.js")).content_type.endswith("javascript")
    assert (await client.get("/web/../server.py")).status == 404
    assert (await client.get("/web/%2e%2e/http/app.py")).status == 404


@pytest.mark.logs_errors
async def test_an_unexpected_failure_is_json_without_details(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: StreamRegistry) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(StreamRegistry, "streams", fail)
    status, kind, description = await error_of(await client.get("/streams"))
    monkeypatch.undo()
    assert (status, kind) == (500, "InternalError")
    assert "secret" not in description
