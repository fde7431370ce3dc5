"""``/faces`` and ``/swap``: pictures of faces, and pictures whose faces are swapped."""

import asyncio
import base64
from collections.abc import Sequence

from aiohttp import web
from pydantic_core import from_json

from engine.media.pictures import Format
from processors.swap.backend import SourceFace
from processors.swap.control import SwapChange
from processors.swap.faces import Chosen
from processors.swap.planning import no_faces
from transport.http.keys import PROCESSED
from transport.http.routing import InvalidRequest, MalformedJson, Route, checked, json_response
from transport.http.stream_bodies import Status
from transport.http.swap_bodies import (
    FaceSwapBody,
    KeptFaces,
    LikeBody,
    StreamFace,
    SwapAnswer,
    SwapForm,
    SwapRequest,
    kept_faces,
    swap_answer,
)
from transport.http.uploads import Upload, read_parts
from transport.processed import SwapWish
from transport.swaps.desk import SourcePicture, SwapDesk, SwappedPicture

MOST_SOURCES = 8
_JSON = "application/json"
_MEDIA_TYPES: dict[Format, str] = {"jpeg": "image/jpeg", "png": "image/png"}
_FORMATS: dict[str, Format] = {"jpeg": "jpeg", "jpg": "jpeg", "png": "png"}


def wish_of(desk: SwapDesk, body: FaceSwapBody | None) -> SwapWish | None:
    """Return what a caller wants of a stream's face swap, its faces found.

    Raises:
        FaceNotFound: A face is not kept.
        NoSuchFace, FaceTooSmall: A picture has no such face, or one of too few pixels.
    """
    if body is None:
        return None
    faces = None
    if body.faces is not None:
        if not body.faces:
            raise no_faces()
        faces = tuple(_chosen(desk, face) for face in body.faces)
    return SwapWish(SwapChange(body.values(), faces), body.model_dump_json(exclude_unset=True))


def _chosen(desk: SwapDesk, body: StreamFace) -> Chosen:
    source = desk.face(body.face).source(body.index)
    like = body.like
    likeness = None if like is None else _like(desk, like)
    return Chosen(body.face, source, body.index, body.person, likeness)


def _like(desk: SwapDesk, body: LikeBody) -> SourceFace:
    return desk.face(body.face).source(body.index)


async def add_face(request: web.Request, body: None) -> KeptFaces:
    """Take a picture and keep its faces."""
    desk = request.app[PROCESSED].swaps
    parts = await read_parts(request, {"picture": desk.limits.max_bytes})
    upload = _only(parts.files.get("picture", ()), "picture")
    face_id, picture = await desk.add(upload.data, upload.name or "the picture")
    return kept_faces(face_id, picture, desk.limits.keep_s)


async def remove_face(request: web.Request, body: None) -> Status:
    """Forget a picture; streams that use its faces go on."""
    request.app[PROCESSED].swaps.remove(request.match_info["id"])
    return Status()


async def swap(request: web.Request, body: None) -> web.Response:
    """Swap the faces of one picture."""
    desk = request.app[PROCESSED].swaps
    wanted = _wanted(request)
    limit = desk.limits.max_bytes
    parts = await read_parts(request, {"source": limit, "target": limit}, {"options"})
    options = _options(SwapForm(**parts.fields))
    target = _only(parts.files.get("target", ()), "target")
    sources = _sources(parts.files.get("source", ()), options)
    picture = await desk.swap(sources, target.data, options.values(), wanted)
    if _JSON in request.headers.get("Accept", ""):
        image = await asyncio.to_thread(base64.b64encode, picture.data)
        return json_response(swap_answer(picture, image.decode()).model_dump(mode="json"))
    headers = {"Faces-Found": str(len(picture.faces)), "Swapped-Faces": _swapped(picture)}
    return web.Response(
        body=picture.data, content_type=_MEDIA_TYPES[picture.format], headers=headers
    )


def _wanted(request: web.Request) -> Format | None:
    name = request.query.get("format")
    if name is None:
        return None
    if name.lower() not in _FORMATS:
        raise InvalidRequest(f"format: {name[:20]!r} is not one of {', '.join(_FORMATS)}.")
    return _FORMATS[name.lower()]


def _options(form: SwapForm) -> SwapRequest:
    try:
        values = from_json(form.options, allow_inf_nan=False)
    except ValueError:
        raise MalformedJson("options: not JSON.") from None
    if not isinstance(values, dict):
        raise MalformedJson("options: not a JSON object.")
    return checked(SwapRequest, values)


def _only(uploads: Sequence[Upload], name: str) -> Upload:
    if len(uploads) != 1:
        count = "missing" if not uploads else "given more than once"
        raise InvalidRequest(f"{name}: {count}.", f"Send one file named {name}.")
    return uploads[0]


def _sources(uploads: Sequence[Upload], options: SwapRequest) -> list[SourcePicture]:
    if not 1 <= len(uploads) <= MOST_SOURCES:
        raise InvalidRequest(f"source: send 1 to {MOST_SOURCES} files named source.")
    if options.faces is None:
        return [SourcePicture(one.data, one.name or "the source") for one in uploads]
    chosen = []
    for face in options.faces:
        if face.source >= len(uploads):
            raise InvalidRequest(
                f"options.faces: there is no source {face.source}; they count from 0."
            )
        upload = uploads[face.source]
        chosen.append(
            SourcePicture(upload.data, upload.name or "the source", face.index, face.person)
        )
    return chosen


def _swapped(picture: SwappedPicture) -> str:
    """Return ``person=source`` of every face that was swapped."""
    return ", ".join(
        f"{one.person}={one.source}" for one in picture.faces if one.source is not None
    )


_ERRORS = {
    400: "No such picture, no face in it, or a wrong option.",
    403: "The licence of a model forbids it.",
    413: "A picture is too large.",
    415: "The body is no form.",
    501: "A model is not here.",
    503: "Too many pictures at once.",
}

ROUTES = (
    Route(
        "POST",
        "/faces",
        add_face,
        "Keep the faces of a picture for face_swap.",
        answer=KeptFaces,
        status=201,
        errors=_ERRORS,
        reads_body=True,
        files={"picture": "PNG, JPEG, WebP or BMP."},
    ),
    Route(
        "DELETE",
        "/faces/{id}",
        remove_face,
        "Forget a picture of faces.",
        answer=Status,
        errors={404: "No such picture."},
    ),
    Route(
        "POST",
        "/swap",
        swap,
        "Swap the faces of one picture; with Accept: application/json a SwapAnswer.",
        body=SwapForm,
        answer=SwapAnswer,
        errors=_ERRORS,
        query=["format"],
        reads_body=True,
        files={
            "source": "Whose face is put in; up to 8 files of this name.",
            "target": "The picture whose faces are swapped.",
        },
    ),
)
