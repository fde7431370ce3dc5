"""``/streams``: viewers' streams, in the shape that clients of D-ID's streaming API know."""

from dataclasses import asdict
from typing import Any

from aiohttp import web

from engine.errors import Conflict
from engine.pipeline.control import PipelineChange
from processors.swap.processor import FaceSwap
from transport.http.keys import LIBRARY, PROCESSED, STREAMS
from transport.http.routing import InvalidRequest, Route
from transport.http.stream_bodies import (
    Answer,
    ChangeStream,
    CreatedStream,
    CreateStream,
    Description,
    IceCandidate,
    IceServerBody,
    SpeechAbilities,
    SpeechInfo,
    State,
    StateRequest,
    Status,
    StreamInfo,
    WithSession,
)
from transport.http.swap import wish_of
from transport.http.swap_bodies import FaceSwapInfo, swap_info
from transport.sessions import Stream

_PREFIXES = ("/talks", "/clips")


class NotProcessed(Conflict):
    """A played stream has nothing to process."""


def describe(stream: Stream, now: float) -> StreamInfo:
    """Return a stream's public description, without its secret."""
    sender = stream.media.sender
    figures = sender.statistics
    trip = figures.round_trip
    return StreamInfo(
        id=stream.id,
        video_id=stream.source,
        state=stream.media.state,
        connection=stream.peer.connection_state,
        age_seconds=round(now - stream.created, 3),
        codec=sender.codec,
        pictures_sent=figures.pictures,
        late_sends=figures.lateness.later_than(0.005),
        skipped_pictures=stream.media.skipped,
        largest_lateness_ms=round(figures.lateness.largest * 1000, 3),
        packets_sent=figures.packets,
        bytes_sent=figures.bytes,
        retransmitted=figures.retransmitted,
        keyframe_requests=figures.keyframe_requests,
        round_trip_ms=None if trip is None else round(trip * 1000, 3),
        fraction_lost=figures.fraction_lost,
        packets_lost=figures.packets_lost,
        jitter_ms=round(figures.jitter * 1000, 3),
        speech=_speech(stream),
        pipeline=asdict(stream.shared.pipeline.snapshot()) if stream.shared else None,
        face_swap=_face_swap(stream),
    )


def _face_swap(stream: Stream) -> FaceSwapInfo | None:
    shared = stream.shared
    if shared is None or FaceSwap.name not in shared.control.processors:
        return None
    return swap_info(shared.swap.state)


def find_stream(request: web.Request, body: WithSession | None) -> Stream:
    """Return the stream that a request is about.

    Raises:
        StreamNotFound, WrongSession: See ``StreamRegistry.find``.
    """
    given = (body.session_id if body else None) or request.query.get("session_id")
    return request.app[STREAMS].find(request.match_info["id"], given)


async def create(request: web.Request, body: CreateStream) -> CreatedStream:
    """Create a stream; see ``CreateStream``."""
    library, streams = request.app[LIBRARY], request.app[STREAMS]
    if bool(body.idle_video) != bool(body.gesture_video):
        raise InvalidRequest("idle_video and gesture_video must be given together.")
    if body.source is not None:
        source = body.source
    elif body.idle_video and body.gesture_video:
        source = await library.add_pair(body.idle_video, body.gesture_video)
    else:
        source = body.video_id or library.default_id()
    processed = request.app[PROCESSED]
    wish = wish_of(processed.swaps, body.face_swap)
    use_ai = body.use_ai or wish is not None
    if use_ai and body.source is None and source not in processed.adopted:
        source = f"avatar:{source}"
    if body.source is not None or use_ai or source in processed.adopted:
        processors = processed.processors(body.processors)
        if wish is not None and body.processors is None and FaceSwap.name not in processors:
            processors = (FaceSwap.name, *processors)
        stream, sdp = await streams.offer_processed(source, processors, body.session_timeout, wish)
    else:
        stream, sdp = await streams.offer(source, body.session_timeout)
    return CreatedStream(
        id=stream.id,
        session_id=stream.session_id,
        offer=Description(type="offer", sdp=sdp),
        ice_servers=[
            IceServerBody(
                urls=list(server.urls), username=server.username, credential=server.credential
            )
            for server in streams.webrtc.ice_servers
        ],
        video_id=source,
        state=stream.media.state,
        speech=_abilities(stream),
    )


def _speech(stream: Stream) -> SpeechInfo | None:
    if stream.voice is None or stream.media.sound is None:
        return None
    speaker = stream.voice.speaker
    current = speaker.current
    return SpeechInfo(
        utterance=current.id if current is not None else None,
        position_ms=speaker.position_ms if current is not None else 0,
        waiting=len(speaker.waiting),
        packets_sent=stream.media.sound.statistics.packets,
    )


def _abilities(stream: Stream) -> SpeechAbilities:
    if stream.voice is None:
        return SpeechAbilities(enabled=False, provider=None, captions=False)
    tools = stream.voice.studio.tools
    name = tools.provider.name if tools.provider is not None else None
    return SpeechAbilities(
        enabled=True, provider=name, captions=name is not None or tools.transcriber is not None
    )


async def take_answer(request: web.Request, body: Answer) -> Status:
    """Take the viewer's answer."""
    stream = find_stream(request, body)
    if body.answer.type != "answer":
        raise InvalidRequest("answer.type: expected 'answer'.")
    await stream.peer.accept(body.answer.sdp)
    return Status()


async def take_candidate(request: web.Request, body: IceCandidate) -> Status:
    """Take one of the viewer's candidates."""
    stream = find_stream(request, body)
    await stream.peer.add_candidate(body.candidate, body.sdpMid, body.sdpMLineIndex)
    return Status()


async def set_state(request: web.Request, body: StateRequest) -> State:
    """Go to a state or play an action."""
    return State(state=find_stream(request, body).media.request(body.state))


async def get_stream(request: web.Request, body: None) -> StreamInfo:
    """Describe one stream."""
    streams = request.app[STREAMS]
    return describe(find_stream(request, body), streams.now())


async def list_streams(request: web.Request, body: None) -> list[StreamInfo]:
    """Describe all streams."""
    streams = request.app[STREAMS]
    now = streams.now()
    return [describe(stream, now) for stream in streams.streams()]


async def change_stream(request: web.Request, body: ChangeStream) -> StreamInfo:
    """Change a processed stream, for all who watch it."""
    stream = find_stream(request, body)
    if stream.shared is None:
        raise NotProcessed("This stream plays an avatar without processing.", "Use .../state.")
    processed = request.app[PROCESSED]
    wish = wish_of(processed.swaps, body.face_swap)
    change = PipelineChange.model_validate(body.model_dump(exclude={"session_id", "face_swap"}))
    await processed.change(stream.shared, change, wish)
    return describe(stream, request.app[STREAMS].now())


async def delete_stream(request: web.Request, body: WithSession) -> Status:
    """End a stream."""
    await request.app[STREAMS].end(find_stream(request, body), "deleted")
    return Status()


STREAM_ERRORS = {400: "The body is wrong.", 403: "Wrong session_id.", 404: "No such stream."}


def stream_route(method: str, suffix: str, handler: Any, summary: str, **more: Any) -> Route:
    """Declare a route under ``/streams`` with the aliases that other servers' clients use."""
    path = "/streams" + suffix
    return Route(
        method, path, handler, summary, aliases=[prefix + path for prefix in _PREFIXES], **more
    )


ROUTES = (
    stream_route(
        "POST",
        "",
        create,
        "Create a stream and get an offer.",
        body=CreateStream,
        answer=CreatedStream,
        status=201,
        errors={
            400: "The body is wrong.",
            403: "A clip is outside the allowed folders.",
            404: "No such avatar.",
            503: "At the limit, or the avatar is being compiled.",
        },
    ),
    stream_route("GET", "", list_streams, "List the streams.", answer=list[StreamInfo]),
    stream_route(
        "GET",
        "/{id}",
        get_stream,
        "Describe a stream.",
        answer=StreamInfo,
        query=["session_id"],
        errors=STREAM_ERRORS,
    ),
    stream_route(
        "PATCH",
        "/{id}",
        change_stream,
        "Change a processed stream.",
        body=ChangeStream,
        answer=StreamInfo,
        errors=STREAM_ERRORS | {409: "The stream is not a processed one."},
    ),
    stream_route(
        "DELETE",
        "/{id}",
        delete_stream,
        "End a stream.",
        body=WithSession,
        answer=Status,
        query=["session_id"],
        errors=STREAM_ERRORS,
    ),
    stream_route(
        "POST",
        "/{id}/sdp",
        take_answer,
        "Answer the offer.",
        body=Answer,
        answer=Status,
        errors=STREAM_ERRORS | {406: "The answer cannot be used.", 409: "It was answered already."},
    ),
    stream_route(
        "POST",
        "/{id}/ice",
        take_candidate,
        "Add a candidate.",
        body=IceCandidate,
        answer=Status,
        errors=STREAM_ERRORS,
    ),
    stream_route(
        "POST",
        "/{id}/state",
        set_state,
        "Go to a state or play an action.",
        body=StateRequest,
        answer=State,
        errors=STREAM_ERRORS,
    ),
)
