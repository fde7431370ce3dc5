"""``POST /streams/{id}`` and the like: what a stream says, and what is heard of it."""

from aiohttp import web

from engine.motion.step import REST_STATE
from engine.speech.decode import sound_seconds
from transport.http.audio_socket import serve_audio
from transport.http.event_stream import send_events
from transport.http.keys import STREAMS, STUDIO
from transport.http.routing import InvalidRequest
from transport.http.speech_bodies import Interrupted, Script, Speak, Speaking
from transport.http.stream_bodies import WithSession
from transport.http.streams import STREAM_ERRORS, find_stream, stream_route
from transport.http.uploads import FORM, Upload, decode_base64, read_json, read_multipart
from transport.speech.saying import Saying
from transport.speech.scripts import play_sound, speak_text
from transport.speech.transcription import transcribe_sound
from transport.speech.voice import Voice

_FILE_NAMES = ("audio", "file")
_TEXT_BYTES = 8 << 20
"""Of a JSON body beside its base64: a long text with every character escaped."""

_TEXT_PREBUFFER_MS = 200
"""Providers give some sound at once and then pause for breath."""


async def speak(request: web.Request, body: None) -> Speaking:
    """Say something; returns once there is sound to play."""
    # Before a long body is taken in, at least the stream must be there.
    request.app[STREAMS].known(request.match_info["id"])
    given, upload = await _read(request)
    stream = find_stream(request, given)
    voice = stream.speaking()
    sound = b""
    if upload is None and given.script is not None and given.script.type == "text":
        saying = _say_text(voice, given.script)
    else:
        sound = upload.data if upload is not None else await _sound(voice, given.script)
        saying = _say_sound(voice, sound)
    await voice.first_sound(saying)
    # Only now: whoever waits for the sound does not wait for this.
    duration = await voice.studio.run(sound_seconds, sound) if sound else None
    return Speaking(
        duration=duration,
        video_id=stream.source,
        session_id=stream.session_id,
        utterance=saying.utterance.id,
    )


async def _read(request: web.Request) -> tuple[Speak, Upload | None]:
    limit = request.app[STUDIO].settings.max_upload
    if request.content_type == FORM:
        return await read_multipart(request, Speak, _FILE_NAMES, limit)
    return await read_json(request, Speak, limit * 4 // 3 + _TEXT_BYTES), None


async def _sound(voice: Voice, script: Script | None) -> bytes:
    if script is None:
        raise InvalidRequest(
            "script: missing.", 'Send {"script": {"type": "text", "input": "..."}} or a file.'
        )
    if (script.audio is None) == (script.audio_url is None):
        raise InvalidRequest("script: either audio or audio_url must be given.")
    if script.audio is not None:
        limit = voice.studio.settings.max_upload
        return await voice.studio.run(decode_base64, script.audio, limit, "script.audio")
    assert script.audio_url is not None
    return await voice.studio.fetch(script.audio_url)


def _say_text(voice: Voice, script: Script) -> Saying:
    if not script.input:
        raise InvalidRequest("script.input: missing.")
    text = voice.studio.text(script.input)
    made = speak_text(voice.studio.provider(), voice.studio, text, script.voice or "")
    return voice.say(made, prebuffer_ms=_TEXT_PREBUFFER_MS)


def _say_sound(voice: Voice, sound: bytes) -> Saying:
    studio = voice.studio
    writer = studio.tools.transcriber
    heard = transcribe_sound(studio, writer, sound) if writer is not None else None
    return voice.say(play_sound(studio, sound), heard)


async def interrupt(request: web.Request, body: WithSession) -> Interrupted:
    """Fall silent, forget what is queued, and go back to rest."""
    stream = find_stream(request, body)
    cut = stream.voice.interrupt() if stream.voice is not None else None
    stream.media.request(REST_STATE)
    return Interrupted(
        utterance=cut.utterance if cut else None, position_ms=cut.position_ms if cut else None
    )


async def stream_audio(request: web.Request, body: None) -> web.WebSocketResponse:
    """Take sound as it comes, and tell what has been played."""
    stream = find_stream(request, None)
    return await serve_audio(request, stream.speaking(), stream.peer)


async def events(request: web.Request, body: None) -> web.StreamResponse:
    """Send a stream's events as they happen."""
    return await send_events(request, find_stream(request, None).peer)


async def captions(request: web.Request, body: None) -> web.Response:
    """Return what was said so far as WebVTT."""
    text = find_stream(request, None).speaking().web_vtt()
    headers = {"Content-Disposition": 'inline; filename="captions.vtt"'}
    return web.Response(text=text, content_type="text/vtt", charset="utf-8", headers=headers)


_NO_VOICE = {409: "The stream has no voice, or the server cannot speak text."}

ROUTES = (
    stream_route(
        "POST",
        "/{id}",
        speak,
        "Say a text or play sound.",
        body=Speak,
        reads_body=True,
        files={"audio": "Sound, or a video with sound, instead of a script; file is taken too."},
        answer=Speaking,
        errors=STREAM_ERRORS
        | _NO_VOICE
        | {
            413: "The sound or text is too long.",
            424: "The sound cannot be downloaded.",
            503: "Too much is waiting, or the provider of speech failed.",
        },
    ),
    stream_route(
        "POST",
        "/{id}/interrupt",
        interrupt,
        "Fall silent and go back to rest.",
        body=WithSession,
        answer=Interrupted,
        errors=STREAM_ERRORS,
    ),
    stream_route(
        "GET",
        "/{id}/audio",
        stream_audio,
        "Stream sound in (WebSocket).",
        status=101,
        query=["session_id"],
        media_type="application/octet-stream",
        errors=STREAM_ERRORS | _NO_VOICE,
    ),
    stream_route(
        "GET",
        "/{id}/events",
        events,
        "The stream's events (server-sent events).",
        query=["session_id"],
        media_type="text/event-stream",
        errors=STREAM_ERRORS,
    ),
    stream_route(
        "GET",
        "/{id}/captions.vtt",
        captions,
        "What was said so far (WebVTT).",
        query=["session_id"],
        media_type="text/vtt",
        errors=STREAM_ERRORS | _NO_VOICE,
    ),
)
