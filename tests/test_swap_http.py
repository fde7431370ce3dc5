"""``/faces``, ``/swap``, and streams with faces of their own."""

import asyncio
import base64
import io
import json
import struct
import threading
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from aiohttp import ClientResponse, FormData
from aiohttp.test_utils import TestClient
from PIL import Image as Pillow

from engine.errors import NotFound
from engine.pipeline.frame import Image
from engine.pipeline.settings import CaptureSettings, PipelineSettings
from engine.pipeline.swap_settings import FaceSwapSettings, PictureSettings
from engine.settings import LiveSettings
from processors.provenance import COMPOSITE
from tests.pipeline_fakes import FakeClock
from tests.serving import serving
from tests.swap_material import FACES, MODELS, SHARED, changed_at, read, swap_models
from tests.viewer import Viewer
from transport.sessions import StreamRegistry
from transport.swaps.desk import SwapDesk
from transport.swaps.shelf import FaceNotFound, FaceShelf

pytestmark = pytest.mark.skipif(
    not (MODELS / "yunet_n_dynamic.onnx").is_file(), reason=f"no face detector in {MODELS}"
)

CAMERA = SHARED / "media" / "camera"
LIMITS = PictureSettings(max_bytes=2_000_000, max_pixels=4_000_000, at_once=1, waiting=1, kept=3)


@pytest.fixture
async def server(root: Path) -> AsyncIterator[tuple[TestClient, StreamRegistry]]:
    desk = SwapDesk(FaceSwapSettings(), LIMITS, swap_models())
    live = LiveSettings(allowed_sources=("file", "pattern", "avatar"), allowed_folders=(CAMERA,))
    pipeline = PipelineSettings(capture=CaptureSettings(width=320, height=240, loop=True))
    async with serving(root, live=live, pipeline=pipeline, swaps=desk) as parts:
        yield parts


def picture(name: str) -> bytes:
    return (FACES / name).read_bytes()


def form(**files: bytes | list[bytes] | str) -> FormData:
    """A form of files and of texts."""
    data = FormData()
    for name, value in files.items():
        if isinstance(value, str):
            data.add_field(name, value)
            continue
        for one in value if isinstance(value, list) else [value]:
            data.add_field(name, io.BytesIO(one), filename=f"{name}.jpg", content_type="image/jpeg")
    return data


async def add(client: TestClient, name: str) -> dict[str, Any]:
    response = await client.post("/faces", data=form(picture=picture(name)))
    assert response.status == 201, await response.text()
    return await response.json()


async def kind(response: ClientResponse) -> tuple[int, str]:
    return response.status, (await response.json())["kind"]


def decode(data: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def declared(data: bytes) -> str:
    """The digital source type in a picture's XMP, as Pillow reads it."""
    with Pillow.open(io.BytesIO(data)) as file:
        is_png = file.format == "PNG"
        xmp = file.info["XML:com.adobe.xmp"] if is_png else file.info["xmp"].decode()
    rest = xmp.partition('DigitalSourceType="')[2]
    return str(rest.partition('"')[0])


# Faces.


async def test_a_picture_is_kept_and_forgotten(server: tuple[TestClient, StreamRegistry]) -> None:
    client = server[0]
    one = await add(client, "mona_lisa.jpg")
    assert (len(one["faces"]), one["chosen"], one["note"]) == (1, 0, "")
    six = await add(client, "six_people.jpg")
    assert len(six["faces"]) == 6
    lefts = [face["box"][0] for face in six["faces"]]
    assert lefts == sorted(lefts)
    assert six["chosen"] == 2
    assert "number 3 from the left is taken" in six["note"]
    assert (await client.delete(f"/faces/{one['id']}")).status == 200
    assert await kind(await client.delete(f"/faces/{one['id']}")) == (404, "FaceNotFound")


async def test_pictures_that_cannot_serve(server: tuple[TestClient, StreamRegistry]) -> None:
    client = server[0]

    async def post(data: bytes) -> tuple[int, str]:
        return await kind(await client.post("/faces", data=form(picture=data)))

    assert await post(picture("no_face_coffee.png")) == (400, "NoFace")
    assert await post(b"no picture at all") == (400, "PictureError")
    assert await post(picture("mona_lisa.jpg")[:3000]) == (400, "PictureError")
    assert await post(bytes(LIMITS.max_bytes + 1)) == (413, "UploadTooLarge")
    assert await post(bomb()) == (400, "PictureError")
    other = await client.post("/faces", data=form(photo=picture("einstein.jpg")))
    assert await kind(other) == (400, "InvalidRequest")
    assert await kind(await client.post("/faces", json={})) == (415, "UnsupportedType")


def bomb() -> bytes:
    """A small PNG that says it has 2,500 million pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(50_001 * 200), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


async def test_only_so_many_pictures_are_kept(server: tuple[TestClient, StreamRegistry]) -> None:
    client = server[0]
    ids = [(await add(client, "einstein.jpg"))["id"] for _ in range(LIMITS.kept + 1)]
    assert len(set(ids)) == len(ids)
    statuses = [(await client.delete(f"/faces/{one}")).status for one in ids]
    assert statuses == [404, *[200] * LIMITS.kept]


def test_what_nobody_uses_is_forgotten() -> None:
    clock = FakeClock()
    shelf = FaceShelf(10, 60.0, clock)
    first, second = shelf.put(None), shelf.put(None)  # type: ignore[arg-type]  # never looked at
    clock.advance(40)
    shelf.get(first)
    clock.advance(40)
    assert len(shelf) == 1
    shelf.get(first)
    with pytest.raises(FaceNotFound):
        shelf.get(second)
    assert issubclass(FaceNotFound, NotFound)


# Pictures.


async def test_a_picture_is_swapped_and_says_what_it_is(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client = server[0]
    data = form(source=picture("mona_lisa.jpg"), target=picture("einstein.jpg"))
    response = await client.post("/swap", data=data)
    assert response.status == 200
    assert response.content_type == "image/jpeg"
    assert (response.headers["Faces-Found"], response.headers["Swapped-Faces"]) == ("1", "1=0")
    raw = await response.read()
    assert declared(raw) == COMPOSITE
    before, after = read("einstein.jpg"), decode(raw)
    assert after.shape == before.shape
    assert np.abs(after[-60:, -80:].astype(int) - before[-60:, -80:]).max() > 100
    assert np.abs(after[:60, :60].astype(int) - before[:60, :60]).mean() < 3


async def test_two_faces_for_two_of_six_people(server: tuple[TestClient, StreamRegistry]) -> None:
    client = server[0]
    options = {"faces": [{"source": 1, "person": 2}, {"source": 0, "person": 5}]}
    sources = [picture("mona_lisa.jpg"), picture("einstein.jpg")]
    data = form(source=sources, target=picture("six_people.jpg"), options=json.dumps(options))
    response = await client.post(
        "/swap?format=png", data=data, headers={"Accept": "application/json"}
    )
    answer = await response.json()
    assert [face["source"] for face in answer["faces"]] == [None, 0, None, None, 1, None]
    raw = base64.b64decode(answer["image"])
    assert (answer["format"], answer["digital_source_type"]) == ("png", declared(raw))
    before, after = read("six_people.jpg"), decode(raw)
    changes = [changed_at(before, after, face["box"]) for face in answer["faces"]]
    assert [change > 5 for change in changes] == [False, True, False, False, True, False]
    assert [change == 0 for change in changes] == [True, False, True, True, False, True]


@pytest.mark.parametrize(
    ("mode", "shape"), [("L", (320, 240)), ("RGBA", (320, 240)), ("I;16", (320, 240))]
)
async def test_targets_of_many_kinds(
    server: tuple[TestClient, StreamRegistry], mode: str, shape: tuple[int, int]
) -> None:
    einstein = Pillow.open(FACES / "einstein.jpg")
    if mode == "I;16":
        levels = np.asarray(einstein.convert("L"), np.uint16) * 257
        coded = cv2.imencode(".png", levels)[1].tobytes()
    else:
        file = io.BytesIO()
        einstein.convert(mode).save(file, "PNG")
        coded = file.getvalue()
    data = form(source=picture("mona_lisa.jpg"), target=coded)
    response = await server[0].post("/swap", data=data)
    assert (response.status, response.content_type) == (200, "image/png")
    assert response.headers["Swapped-Faces"] == "1=0"
    assert decode(await response.read()).shape == read("einstein.jpg").shape


async def test_exif_rotation_is_applied(server: tuple[TestClient, StreamRegistry]) -> None:
    upright = Pillow.open(FACES / "einstein.jpg")
    exif = Pillow.Exif()
    exif[0x0112] = 6  # stored turned: to be shown turned by 90 degrees clockwise
    file = io.BytesIO()
    upright.transpose(Pillow.Transpose.ROTATE_90).save(file, "JPEG", exif=exif, quality=95)
    data = form(source=picture("mona_lisa.jpg"), target=file.getvalue())
    response = await server[0].post("/swap", data=data)
    assert response.headers["Swapped-Faces"] == "1=0"
    assert decode(await response.read()).shape == read("einstein.jpg").shape


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"target": "einstein.jpg"}, (400, "InvalidRequest")),
        ({"source": "einstein.jpg"}, (400, "InvalidRequest")),
        ({"source": "no_face_coffee.png", "target": "einstein.jpg"}, (400, "NoFace")),
        ({"source": "einstein.jpg", "target": "no_face_coffee.png"}, (400, "NoTargetFace")),
    ],
)
async def test_what_is_missing_is_said(
    server: tuple[TestClient, StreamRegistry], files: dict[str, str], expected: tuple[int, str]
) -> None:
    data = form(**{name: picture(file) for name, file in files.items()})
    assert await kind(await server[0].post("/swap", data=data)) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("{", (400, "MalformedJson")),
        ("[]", (400, "MalformedJson")),
        ('{"opacity": 3}', (400, "InvalidRequest")),
        ('{"faces": [{"source": 1}]}', (400, "InvalidRequest")),
        ('{"faces": [{"source": 0, "index": 4}]}', (400, "NoSuchFace")),
        ('{"model": "none of this name"}', (400, "WrongKindOfModel")),
        ('{"model": "inswapper_128"}', (501, "MissingDependency")),
    ],
)
async def test_wrong_options_are_named(
    server: tuple[TestClient, StreamRegistry], options: str, expected: tuple[int, str]
) -> None:
    source, target = picture("mona_lisa.jpg"), picture("einstein.jpg")
    data = form(source=source, target=target, options=options)
    assert await kind(await server[0].post("/swap", data=data)) == expected


async def test_unknown_formats_are_refused(server: tuple[TestClient, StreamRegistry]) -> None:
    assert await kind(await server[0].post("/swap?format=gif")) == (400, "InvalidRequest")


async def test_more_pictures_than_may_wait_are_refused() -> None:
    entered, release = threading.Event(), threading.Event()

    class Blocked(SwapDesk):
        def _read(self, data: bytes, name: str) -> Any:
            entered.set()
            release.wait(10)
            return super()._read(data, name)

    desk = Blocked(FaceSwapSettings(), LIMITS, swap_models())
    tasks = [asyncio.create_task(desk.add(picture("einstein.jpg"), "one")) for _ in range(2)]
    await asyncio.to_thread(entered.wait, 10)
    with pytest.raises(Exception, match="2 pictures") as refused:
        await desk.add(picture("einstein.jpg"), "three")
    assert type(refused.value).__name__ == "TooManyPictures"
    release.set()
    assert len({face_id for face_id, _ in await asyncio.gather(*tasks)}) == 2
    await asyncio.to_thread(desk.close)


# Streams.

SOURCE = "file:" + str(CAMERA / "person_1280x720.mp4")


async def people(client: TestClient, viewer: Viewer, found: bool = True) -> dict[str, Any]:
    """The stream's face swap, once somebody has been seen (or nobody any more)."""
    path = f"/streams/{viewer.stream['id']}"
    for _ in range(200):
        await viewer.frame()
        response = await client.get(path, params={"session_id": viewer.stream["session_id"]})
        info = (await response.json())["face_swap"]
        if bool(info["people"]) == found:
            return info
    raise AssertionError("nobody was seen")


async def patch(client: TestClient, viewer: Viewer, **body: Any) -> ClientResponse:
    secret = {"session_id": viewer.stream["session_id"]}
    return await client.patch(f"/streams/{viewer.stream['id']}", json=body | secret)


async def test_a_stream_with_faces_of_its_own(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client, registry = server
    mona, einstein = [(await add(client, f"{n}.jpg"))["id"] for n in ("mona_lisa", "einstein")]
    one, two = Viewer(client), Viewer(client)
    wish = {"faces": [{"face": mona}], "opacity": 0.9}
    await one.connect(source=SOURCE, processors=["face_swap"], face_swap=wish)
    info = await people(client, one)
    assert [face["face"] for face in info["faces"]] == [mona]
    assert info["settings"]["opacity"] == 0.9
    assert [person["source"] for person in info["people"]] == [0]
    # Others with other faces get a pipeline of their own.
    await two.connect(source=SOURCE, face_swap={"faces": [{"face": einstein}]})
    first, second = registry.streams()
    assert first.shared is not None
    assert second.shared is not None
    assert first.shared is not second.shared
    # Only what is given changes; the face may be forgotten meanwhile.
    assert (await client.delete(f"/faces/{mona}")).status == 200
    changed = await (await patch(client, one, face_swap={"feather": 0.2})).json()
    assert changed["face_swap"]["settings"]["feather"] == 0.2
    assert changed["face_swap"]["settings"]["opacity"] == 0.9
    assert changed["face_swap"]["faces"][0]["face"] == mona
    person = (await people(client, one))["people"][0]["id"]
    body = {"faces": [{"face": einstein, "person": person}], "detect_every": 3}
    assert (await patch(client, one, face_swap=body)).status == 200
    info = await people(client, one)
    assert info["faces"][0] == {
        "face": einstein,
        "index": None,
        "person": person,
        "by_likeness": False,
    }
    await asyncio.gather(*(registry.end(stream, "deleted") for stream in registry.streams()))
    await asyncio.gather(one.close(), two.close())


async def test_wishes_that_cannot_be_met_change_nothing(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client, registry = server
    mona = (await add(client, "mona_lisa.jpg"))["id"]
    viewer = Viewer(client)
    await viewer.connect(source=SOURCE, face_swap={"faces": [{"face": mona}]})
    before = await people(client, viewer)
    for wish, expected in (
        ({"faces": [{"face": "face_unknown"}]}, (404, "FaceNotFound")),
        ({"faces": [{"face": mona, "index": 3}]}, (400, "NoSuchFace")),
        ({"faces": []}, (400, "NoSourceFace")),
        ({"opacity": -1}, (400, "InvalidRequest")),
        ({"model": "inswapper_128"}, (501, "MissingDependency")),
        ({"faces": [{"face": mona, "like": {"face": mona}}]}, (501, "MissingDependency")),
    ):
        assert await kind(await patch(client, viewer, face_swap=wish)) == expected
    bad = await patch(client, viewer, processors=["sharpen"], face_swap={"opacity": 0.1})
    assert await kind(bad) == (400, "UnknownProcessor")
    after = await people(client, viewer)
    assert (after["settings"], after["faces"]) == (before["settings"], before["faces"])
    assert after["people"][0]["source"] == 0
    await registry.end(registry.streams()[0], "deleted")
    await viewer.close()


async def test_without_a_face_a_stream_is_refused_and_can_get_one_later(
    server: tuple[TestClient, StreamRegistry],
) -> None:
    client, registry = server
    body = {"source": SOURCE, "processors": ["face_swap"]}
    assert await kind(await client.post("/streams", json=body)) == (400, "NoSourceFace")
    viewer = Viewer(client)
    await viewer.connect(source=SOURCE, processors=["mirror"])
    await viewer.frame()
    refused = await patch(client, viewer, processors=["mirror", "face_swap"])
    assert await kind(refused) == (400, "NoSourceFace")
    mona = (await add(client, "mona_lisa.jpg"))["id"]
    wish = {"faces": [{"face": mona}]}
    given = await patch(client, viewer, processors=["mirror", "face_swap"], face_swap=wish)
    assert given.status == 200
    assert (await people(client, viewer))["people"][0]["source"] == 0
    await registry.end(registry.streams()[0], "deleted")
    await viewer.close()


async def test_the_mark_is_up_to_the_server(server: tuple[TestClient, StreamRegistry]) -> None:
    client, registry = server
    mona = (await add(client, "mona_lisa.jpg"))["id"]
    wish = {"faces": [{"face": mona}], "mark": False, "fail_closed": False}
    viewer = Viewer(client)
    await viewer.connect(video_id="demo", face_swap=wish)
    info = await people(client, viewer, found=False)
    assert info["settings"]["mark"] is True
    assert info["settings"]["fail_closed"] is True
    # The avatar of the tests is plain grey; only the mark has edges.
    image = (await viewer.frame()).to_ndarray(format="gray")
    assert int(np.ptp(image[-28:, -28:])) > 60
    assert int(np.ptp(image[:32, 12:])) < 30
    await registry.end(registry.streams()[0], "deleted")
    await viewer.close()


async def test_the_routes_are_described(server: tuple[TestClient, StreamRegistry]) -> None:
    description = await (await server[0].get("/openapi.json")).json()
    forms = description["paths"]["/swap"]["post"]["requestBody"]["content"]
    assert "multipart/form-data" in forms
    assert "/faces/{id}" in description["paths"]
    create = description["components"]["schemas"]["CreateStream"]["properties"]
    assert "face_swap" in create
