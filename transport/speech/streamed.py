"""Sound that comes in while it is played: what a voice agent sends."""

import asyncio

from engine.errors import AvatarServerError
from engine.speech.encoder import PcmPreparation, prepare_pcm
from engine.speech.sound import PACKET_MS
from transport.speech.saying import Saying
from transport.speech.scripts import Made
from transport.speech.transcription import LiveTranscription
from transport.speech.voice import Voice

_ROOM_CHECK = 0.05


class StreamedSound:
    """One utterance that is fed from outside; every call comes from one task.

    Args:
        voice: Says it.
        saying: Its place in the queue.
        preparation: Turns its PCM into packets.
        captions: Writes it down, if anything does.
    """

    def __init__(
        self,
        voice: Voice,
        saying: Saying,
        preparation: PcmPreparation,
        captions: LiveTranscription | None,
    ) -> None:
        self._voice = voice
        self._preparation = preparation
        self._captions = captions
        self.saying = saying

    @property
    def alive(self) -> bool:
        """Whether it is being played or will be."""
        return self._voice.alive(self.saying)

    async def feed(self, pcm: bytes) -> None:
        """Take sound (s16le, mono); returns once there is room for more.

        Raises:
            SoundError: It is longer than may be.
        """
        piece = await self._voice.studio.run(self._preparation.feed, pcm)
        if self.alive:
            self._voice.take(self.saying, Made(piece))
        if self._captions is not None:
            await self._captions.feed(pcm)
        await self._room()

    async def end(self) -> None:
        """Nothing more comes."""
        piece = await self._voice.studio.run(self._preparation.finish)
        if self.alive:
            self._voice.take(self.saying, Made(piece))
        if self._captions is not None:
            await self._captions.finish()

    def drop(self) -> None:
        """Cut it off."""
        self._voice.drop(self.saying)

    def fail(self, error: AvatarServerError) -> None:
        """Cut it off and say why."""
        self._voice.fail(self.saying, error)
        self._voice.drop(self.saying)

    async def _room(self) -> None:
        """Wait while more is ready than may be; a sender is held up by not being read."""
        limit = self._voice.studio.settings.buffer_s
        while self.alive and self._ahead() > limit:  # noqa: ASYNC110 - no packet that is played sets an event
            await asyncio.sleep(_ROOM_CHECK)

    def _ahead(self) -> float:
        speaker, utterance = self._voice.speaker, self.saying.utterance
        played = speaker.position_ms if speaker.current is utterance else 0
        return (len(utterance.packets) * PACKET_MS - played) / 1000


async def open_stream(voice: Voice, rate: int) -> StreamedSound:
    """Begin an utterance of streamed sound.

    Raises:
        SoundError: The rate cannot be used.
        SpeechQueueFull: Too much is waiting.
    """
    studio = voice.studio
    preparation = await studio.run(prepare_pcm, rate, studio.settings, studio.tools.make_tracker)
    saying = voice.queue()
    captions: LiveTranscription | None = None
    if studio.tools.transcriber is not None:
        captions = LiveTranscription(studio, studio.tools.transcriber, rate)
        voice.listen(saying, captions.words())
    return StreamedSound(voice, saying, preparation, captions)
