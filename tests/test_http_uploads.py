"""Reading forms, long JSON and base64, whole, cut off, malformed and too long."""

import asyncio
import base64
import contextlib
import gzip
import io
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Literal, cast

import pytest
from aiohttp import FormData, StreamReader, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from pydantic import BaseModel

from engine.errors import AvatarServerError
from transport.http import guard
from transport.http.negotiation import UnsupportedType
from transport.http.routing import Body, InvalidRequest, MalformedJson
from transport.http.uploads import (
    BrokenUpload,
    InvalidBase64,
    Parts,
    Upload,
    UploadTooLarge,
    decode_base64,
    read_json,
    read_multipart,
    read_parts,
)

FORM = {"Content-Type": "multipart/form-data; boundary=XX"}
END = b"--XX--\r\n"


class Script(BaseModel):
    type: Literal["audio", "text"]
    input: str = ""


class Speak(Body):
    session_id: str | None = None
    script: Script | None = None
    loud: bool = False
    words: tuple[str, ...] = ()


class Pieces:
    """A body that comes in given pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.taken = 0

    async def readany(self) -> bytes:
        piece = next(self._pieces, b"")
        self.taken += len(piece)
        return piece


def request_with(
    pieces: Pieces | Iterable[bytes], headers: dict[str, str] | None = None
) -> web.Request:
    body = pieces if isinstance(pieces, Pieces) else Pieces(pieces)
    return make_mocked_request(
        "POST", "/", headers=headers or FORM, payload=cast(StreamReader, body)
    )


def part(name: str, data: bytes, more: str = "", filename: str | None = None) -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"{named}\r\n{more}\r\n'
    return head.encode() + data + b"\r\n"


async def parts_of(body: bytes, headers: dict[str, str] | None = None) -> Parts:
    return await read_parts(request_with([body], headers), {"audio": 1000}, ("text",))


@contextlib.asynccontextmanager
async def client_of(
    handler: Callable[[web.Request], Awaitable[Any]],
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async def endpoint(request: web.Request) -> web.Response:
        return web.json_response(await handler(request))

    app = web.Application(middlewares=[guard.errors], client_max_size=1000)
    app.router.add_post("/", endpoint)
    async with TestClient(TestServer(app)) as client:
        yield client


# Forms


async def test_a_client_sends_a_form_over_the_applications_limit() -> None:
    sound = random.Random(1).randbytes(300_000)

    async def handler(request: web.Request) -> Any:
        parts = await read_parts(request, {"audio": 300_000}, ("session_id",))
        (upload,) = parts.files["audio"]
        assert upload.data == sound
        return [upload.name, upload.content_type, dict(parts.fields)]

    form = FormData({"session_id": "söme"})
    form.add_field("audio", sound, filename="hello.wav", content_type="audio/wav")
    async with client_of(handler) as client:
        response = await client.post("/", data=form)
        assert await response.json() == ["hello.wav", "audio/wav", {"session_id": "söme"}]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
async def test_however_the_body_is_cut_into_packets(size: int) -> None:
    data = b"\r\n--X\r\n--XY\r\n\r\n--\r" + bytes(range(256))
    data = data.replace(b"\r\n--XY", b"\r\n--xXX")
    body = b"preamble\r\n" + part("audio", data, filename="a") + part("text", b"")
    body += part("audio", b"", filename="b") + part("audio", b"\r\n") + END + b"epilogue"
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    parts = await read_parts(request_with(pieces), {"audio": 1000}, ("text",))
    assert parts.fields == {"text": ""}
    assert [upload.data for upload in parts.files["audio"]] == [data, b"", b"\r\n"]
    assert [upload.name for upload in parts.files["audio"]] == ["a", "b", ""]


async def test_nothing_but_the_end_is_an_empty_form() -> None:
    assert await parts_of(b"--XX--") == Parts({}, {})


async def test_boundaries_may_be_quoted_and_followed_by_blanks() -> None:
    headers = {"Content-Type": 'Multipart/Form-Data; boundary="a b:c"'}
    body = part("text", b"x").replace(b"--XX", b"--a b:c \t") + b"--a b:c--"
    assert (await parts_of(body, headers)).fields == {"text": "x"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("talk.wav", "talk.wav"),
        ("../../etc/passwd", "passwd"),
        ("C:\\\\Users\\\\me\\\\talk.wav", "talk.wav"),
        ("..", ""),
        ("a\x1b[31mb\u202e.wav", "a[31mb.wav"),
        ("größe 你好.wav", "größe 你好.wav"),
        ("x" * 500, "x" * 100),
    ],
)
async def test_file_names_are_bare(given: str, kept: str) -> None:
    parts = await parts_of(part("audio", b"", filename=given) + END)
    assert parts.files["audio"][0].name == kept


@pytest.mark.parametrize(
    ("extended", "kept"),
    [
        ("filename*=UTF-8''na%C3%AFve.wav", "naïve.wav"),
        ("filename*=nonsense''a.wav", "a.wav"),
        ("filename*=idna''a%FF.wav", ""),
    ],
)
async def test_extended_file_names(extended: str, kept: str) -> None:
    body = part("audio", b"").replace(b'"audio"', f'"audio"; {extended}'.encode())
    assert (await parts_of(body + END)).files["audio"][0].name == kept


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"", BrokenUpload, "cut off"),
        (b"nothing of the kind", BrokenUpload, "cut off"),
        (b"-" * 20_000, BrokenUpload, "begin with its boundary"),
        (part("text", b"x"), BrokenUpload, "cut off"),
        (part("text", b"x")[:-1], BrokenUpload, "cut off"),
        (part("text", b"x") + b"--XX-\r\n", BrokenUpload, "end its line"),
        (part("text", b"x") + b"--XXY\r\n", BrokenUpload, "end its line"),
        (b"--XX" + b" " * 20_000, BrokenUpload, "end its line"),
        (b"--XX\r\nContent-Type: text/plain\r\n\r\nx\r\n" + END, BrokenUpload, "no name"),
        (b"--XX\r\n\r\nx\r\n" + END, BrokenUpload, "cut off"),
        (part("", b"x") + END, BrokenUpload, "no name"),
        (part("text", b"x", more="X: " + "y" * 9000 + "\r\n") + END, BrokenUpload, "headers"),
        (part("text", b"x") * 2 + END, InvalidRequest, "text: given twice"),
        (part("text", b"\xff") + END, InvalidRequest, "text: not text in UTF-8"),
        (part("other", b"x") + END, InvalidRequest, "'other' is no part of this form"),
        (part("audio", b"") * 65 + END, BrokenUpload, "more than 64 parts"),
        (part("audio", b"x" * 1001) + END, UploadTooLarge, "audio is longer than 1000 bytes"),
        (part("audio", b"x" * 501) * 2 + END, UploadTooLarge, "audio is longer than 1000 bytes"),
        (part("text", b"x" * (1 << 20) + b"x") + END, UploadTooLarge, "fields exceed"),
        (
            part("audio", b"", more="Content-Transfer-Encoding: base64\r\n") + END,
            BrokenUpload,
            "'base64'",
        ),
    ],
)
async def test_broken_forms(body: bytes, error: type[AvatarServerError], message: str) -> None:
    with pytest.raises(error, match=message):
        await parts_of(body)


@pytest.mark.parametrize(
    ("content_type", "error"),
    [
        ("", UnsupportedType),
        ("application/json", UnsupportedType),
        ("multipart/mixed; boundary=XX", UnsupportedType),
        ("multipart/form-data", BrokenUpload),
        ("multipart/form-data; boundary=", BrokenUpload),
        ("multipart/form-data; boundary=ä", BrokenUpload),
        (f"multipart/form-data; boundary={'x' * 71}", BrokenUpload),
    ],
)
async def test_other_types(content_type: str, error: type[AvatarServerError]) -> None:
    with pytest.raises(error):
        await parts_of(END, {"Content-Type": content_type})


async def test_an_endless_part_is_left_soon_after_the_limit() -> None:
    def endless() -> Iterable[bytes]:
        yield part("audio", b"")[:-2]
        while True:
            yield b"x" * 100

    body = Pieces(endless())
    with pytest.raises(UploadTooLarge):
        await read_parts(request_with(body), {"audio": 1000})
    assert body.taken < 1500


async def test_fields_are_bounded_together() -> None:
    body = part("a", b"x" * 600_000) + part("b", b"x" * 600_000) + END
    with pytest.raises(UploadTooLarge, match="The fields exceed 1048576 bytes"):
        await read_parts(request_with([body]), {}, ("a", "b"))


async def test_a_body_that_cannot_be_unpacked() -> None:
    def damaged() -> Iterable[bytes]:
        yield part("audio", b"x")
        raise web.RequestPayloadError("cannot decode gzip")

    with pytest.raises(BrokenUpload, match="cut off or badly compressed"):
        await read_parts(request_with(damaged()), {"audio": 1000})


async def test_a_form_that_says_it_is_too_long_is_not_read() -> None:
    request = request_with([], FORM | {"Content-Length": "10000000"})
    with pytest.raises(UploadTooLarge, match="The body has 10000000 bytes"):
        await read_parts(request, {"audio": 1000})


async def test_random_damage_gives_parts_or_an_error_of_ours() -> None:
    whole = part("text", b"hello") + part("audio", b"\r\n\r\n--X", filename="a.wav") + END
    random_ = random.Random(5)
    read = 0
    for _ in range(500):
        body = bytearray(whole)
        for _ in range(random_.randint(1, 4)):
            at = random_.randrange(len(body))
            body[at : at + random_.randint(0, 3)] = random_.choice(
                [b"", b"\r\n", b"--XX", b";", b'"', b"=", b"*", b"\xff", b"\x00", b":"]
            )
        try:
            await parts_of(bytes(body))
            read += 1
        except AvatarServerError:
            continue
    assert 0 < read < 500


async def test_the_client_gets_the_status() -> None:
    async def handler(request: web.Request) -> Any:
        await read_parts(request, {"audio": 1000})
        return None

    form = FormData()
    form.add_field("audio", io.BytesIO(b"x" * 3_000_000), filename="long.wav")
    async with client_of(handler) as client:
        response = await client.post("/", data=form)
        assert response.status == 413
        assert (await response.json())["kind"] == "UploadTooLarge"


async def test_a_client_that_leaves_in_the_middle() -> None:
    reading, failure = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def handler(request: web.Request) -> web.Response:
        reading.set()
        try:
            await read_parts(request, {"audio": 1000})
        except AvatarServerError as error:
            failure.set_result(error)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", handler)
    # Not TestServer: it cancels handlers whose client is gone, a real server does not.
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        _, writer = await asyncio.open_connection(host, port)
        head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n"
        head += f"Content-Type: {FORM['Content-Type']}\r\n\r\n"
        writer.write(head.encode() + part("audio", b"x"))
        await reading.wait()
        writer.close()
        await writer.wait_closed()
        assert isinstance(await failure, BrokenUpload)
    finally:
        await runner.cleanup()


# Forms that stand for a JSON body


async def speak(body: bytes) -> tuple[Speak, Upload | None]:
    return await read_multipart(request_with([body]), Speak, ("audio", "file"), 1000)


async def test_fields_are_text_or_json_as_their_type_wants() -> None:
    body = part("session_id", b"123") + part("script", b'{"type": "text", "input": "{hi}"}')
    body += part("loud", b"true") + part("words", b'["a", "b"]') + part("file", b"abc") + END
    speech, upload = await speak(body)
    assert speech == Speak(
        session_id="123", script=Script(type="text", input="{hi}"), loud=True, words=("a", "b")
    )
    assert upload is not None
    assert upload.data == b"abc"


async def test_a_text_field_that_looks_like_json_stays_text() -> None:
    speech, upload = await speak(part("session_id", b'{"a": 1}') + END)
    assert (speech.session_id, upload) == ('{"a": 1}', None)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (part("script", b'{"type": "te'), MalformedJson, "script: not JSON"),
        (part("script", b"audio"), InvalidRequest, "script: Input should be"),
        (part("script", b'{"type": "song"}'), InvalidRequest, "script.type: Input should be"),
        (part("loud", b"perhaps"), InvalidRequest, "loud: Input should be a valid boolean"),
        (part("script", b'{"type": "\\ud800"}'), MalformedJson, "script: not JSON"),
        (part("audio", b"a") + part("file", b"b"), InvalidRequest, "More than one file"),
        (part("music", b"a"), InvalidRequest, "it takes audio, file, loud, script, session_id"),
    ],
)
async def test_wrong_fields(body: bytes, error: type[AvatarServerError], message: str) -> None:
    with pytest.raises(error, match=message):
        await speak(body + END)


# JSON


async def speak_json(raw: bytes, limit: int = 1000) -> Speak:
    return await read_json(request_with([raw]), Speak, limit)


async def test_json_over_the_applications_limit() -> None:
    text = "ä" * 400_000

    async def handler(request: web.Request) -> Any:
        body = await read_json(request, Speak, 1_000_000)
        return body.script is not None and body.script.input == text

    async with client_of(handler) as client:
        raw = json.dumps({"script": {"type": "text", "input": text}}, ensure_ascii=False)
        response = await client.post("/", data=io.BytesIO(raw.encode()))
        assert await response.json() is True


async def test_no_body_is_an_empty_object() -> None:
    assert await speak_json(b"") == Speak()
    assert await speak_json(b" \n") == Speak()


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"{", MalformedJson),
        (b"\xff", MalformedJson),
        (b"[]", MalformedJson),
        (b'{"session_id": "\\ud800"}', MalformedJson),
        (b'{"loud": NaN}', MalformedJson),
        (b"[" * 900, MalformedJson),
        (b'{"loud": 7}', InvalidRequest),
        (b" " * 1001, UploadTooLarge),
    ],
)
async def test_wrong_json(raw: bytes, error: type[AvatarServerError]) -> None:
    with pytest.raises(error):
        await speak_json(raw)


async def test_compressed_json_counts_as_long_as_it_becomes() -> None:
    async def handler(request: web.Request) -> Any:
        return (await read_json(request, Speak, 100_000)).session_id

    async def status(length: int) -> int:
        raw = gzip.compress(json.dumps({"session_id": "x" * length}).encode())
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        async with client_of(handler) as client:
            return (await client.post("/", data=raw, headers=headers)).status

    assert await status(50_000) == 200
    assert await status(5_000_000) == 413


# base64


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 196_607, 196_608, 196_609, 600_000])
def test_base64_round_trips(length: int) -> None:
    data = random.Random(length).randbytes(length)
    text = base64.b64encode(data).decode()
    lines = base64.encodebytes(data).decode()
    assert decode_base64(text, length) == data
    assert decode_base64(lines, length) == data
    assert decode_base64(f"data:audio/wav;codecs=1;base64,{lines}", length) == data
    if length:
        with pytest.raises(UploadTooLarge, match=f"audio is longer than {length - 1} bytes"):
            decode_base64(text, length - 1, "audio")


@pytest.mark.parametrize(
    "text",
    [
        *("a", "ab", "abc", "ab=", "a===", "=abc", "ab==cd==", "ab-_", "abc!", "äbcd", "abcd\x00"),
        *("data:audio/wav,abcd", "data:;base64", "data:audio/wav;base64,a", "http://x/"),
        *("QQ==" + " " * 300_000 + "QQ==", "A" * 300_001, "A" * 262_144 + "===="),
    ],
    ids=lambda text: text[:30],
)
def test_what_is_not_base64(text: str) -> None:
    with pytest.raises(InvalidBase64, match="audio is not base64"):
        decode_base64(text, 1_000_000, "audio")


def test_base64_between_wide_blanks() -> None:
    assert decode_base64("QUJ" + " " * 300_000 + "D" + "\n" * 300_000, 3) == b"ABC"
