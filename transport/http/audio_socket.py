"""``/streams/{id}/audio``: a WebSocket that takes raw sound, for voice agents."""

import asyncio
import contextlib
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import ValidationError

from engine.errors import AvatarServerError, InvalidInput
from transport.http.speech_bodies import AudioMessage, error_message
from transport.speech.streamed import StreamedSound, open_stream
from transport.speech.voice import Voice
from transport.webrtc.peer import Peer

RATES: Final = (16_000, 24_000, 48_000)
REPORT_SECONDS: Final = 0.2
_MAX_MESSAGE: Final = 1 << 20
_HEARTBEAT: Final = 20.0


class BadAudioMessage(InvalidInput):
    """A message of the WebSocket makes no sense here."""


class ClientGone(AvatarServerError):
    """Who streamed the sound has gone before its end."""


async def serve_audio(request: web.Request, voice: Voice, peer: Peer) -> web.WebSocketResponse:
    """Take sound until the client leaves."""
    socket = web.WebSocketResponse(heartbeat=_HEARTBEAT, max_msg_size=_MAX_MESSAGE)
    await socket.prepare(request)
    await _AudioSocket(socket, voice, peer).run()
    return socket


class _AudioSocket:
    """One client's messages, one after the other; sound that is not read holds the client up."""

    def __init__(self, socket: web.WebSocketResponse, voice: Voice, peer: Peer) -> None:
        self._socket = socket
        self._voice = voice
        self._peer = peer
        self._feeding: StreamedSound | None = None
        self._own: dict[str, StreamedSound] = {}
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue(256)

    async def run(self) -> None:
        self._peer.listen(self._heard)
        sender = asyncio.create_task(self._report(), name="audio-reports")
        try:
            async for message in self._socket:
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    break
                try:
                    await self._take(message.data)
                except AvatarServerError as error:
                    self._refuse(error)
        finally:
            # Nothing is awaited before this: the server may cancel the handler of a lost client.
            self._peer.forget(self._heard)
            if self._feeding is not None and self._feeding.alive:
                self._feeding.fail(ClientGone("The client left before the end of its sound."))
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        if not self._socket.closed:
            await self._socket.close(code=WSCloseCode.OK)

    async def _take(self, data: str | bytes) -> None:
        if isinstance(data, bytes):
            if self._feeding is None:
                raise BadAudioMessage("Sound came before begin.", 'Send {"type": "begin"} first.')
            if self._feeding.alive:
                await self._feeding.feed(data)
            return
        try:
            message = AudioMessage.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            raise BadAudioMessage(f"{'.'.join(map(str, first['loc']))} {first['msg']}.") from None
        match message.type:
            case "begin":
                await self._begin(message.rate)
            case "end":
                await self._end()
            case "clear":
                self._clear()

    async def _begin(self, rate: int | None) -> None:
        if self._feeding is not None:
            await self._end()
        if rate not in RATES:
            rates = ", ".join(map(str, RATES))
            raise BadAudioMessage(f"The rate is {rate}.", f"Send s16le mono at one of {rates}.")
        self._feeding = await open_stream(self._voice, rate)
        self._own[self._feeding.saying.utterance.id] = self._feeding
        self._tell({"type": "queued", "utterance": self._feeding.saying.utterance.id})

    async def _end(self) -> None:
        feeding, self._feeding = self._feeding, None
        if feeding is not None:
            await feeding.end()

    def _clear(self) -> None:
        self._feeding = None
        for sound in list(self._own.values()):
            sound.drop()

    def _refuse(self, error: AvatarServerError) -> None:
        feeding, self._feeding = self._feeding, None
        if feeding is not None and feeding.alive:
            feeding.fail(error)
        self._tell(error_message(error.kind, str(error)))

    def _heard(self, subject: str, payload: dict[str, Any]) -> None:
        """Hand on what becomes of this client's own utterances."""
        utterance = payload.get("utterance")
        if utterance not in self._own or not subject.startswith("stream/"):
            return
        kind = subject.removeprefix("stream/")
        if kind in ("done", "interrupted", "error"):
            del self._own[utterance]
        if kind in ("started", "done", "interrupted"):
            self._tell({"type": kind, **payload})

    def _tell(self, message: dict[str, Any]) -> None:
        # A client that reads nothing must not fill the memory; it gets the newest reports.
        if self._outbox.full():
            self._outbox.get_nowait()
        self._outbox.put_nowait(message)

    async def _report(self) -> None:
        with contextlib.suppress(ConnectionResetError):
            while True:
                try:
                    message = await asyncio.wait_for(self._outbox.get(), REPORT_SECONDS)
                except TimeoutError:
                    played = self._played()
                    if played is None:
                        continue
                    message = played
                await self._socket.send_json(message)

    def _played(self) -> dict[str, Any] | None:
        speaker = self._voice.speaker
        if speaker.current is None or speaker.current.id not in self._own:
            return None
        position = speaker.position_ms
        return {"type": "played", "utterance": speaker.current.id, "position_ms": position}
