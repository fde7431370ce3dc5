"""The voice of one stream: scripts in, sound and events out."""

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import AvatarServerError, Unavailable
from engine.speech.captions import Cue, web_vtt
from engine.speech.sound import Word
from engine.speech.speaker import Ended, Speaker, Started
from engine.speech.utterance import Utterance
from transport.speech.saying import Saying, caption_event
from transport.speech.scripts import Made
from transport.speech.studio import SpeechStudio
from transport.webrtc.sound import SoundSender

_log = logging.getLogger(__name__)

FIRST_SOUND_WAIT = 2.0
"""Seconds that a call waits for the first sound, to report what is wrong with a script."""

KEPT_CAPTIONS = 2000

Notify = Callable[[str, dict[str, Any]], None]


class SpeechQueueFull(Unavailable):
    """As much is waiting to be said as may."""


class SpeechBroken(AvatarServerError):
    """Something that should not happen happened while speech was made; the log has it."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """What an interrupt cut off.

    Attributes:
        utterance: Its id.
        position_ms: How much of it was sent.
    """

    utterance: str
    position_ms: int


class Voice:
    """Says what a stream is given, one thing after the other.

    Args:
        studio: Shared by all streams.
    """

    def __init__(self, studio: SpeechStudio) -> None:
        self.studio = studio
        self.speaker = Speaker(studio.settings.voice.pause_ms, self._on_event)
        self._sound: SoundSender | None = None
        self._notify: Notify = lambda subject, payload: None
        self._sayings: dict[str, Saying] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._captions: deque[tuple[float, str, Cue]] = deque(maxlen=KEPT_CAPTIONS)

    def bind(self, sound: SoundSender, notify: Notify) -> None:
        """Take what sends the sound, and the way to the viewer's ear."""
        self._sound, self._notify = sound, notify

    def say(
        self,
        made: AsyncGenerator[Made, None],
        heard: AsyncGenerator[Sequence[Word], None] | None = None,
        prebuffer_ms: int = 0,
    ) -> Saying:
        """Queue an utterance that is made from now on.

        Args:
            made: Makes its sound.
            heard: Finds its words, where the sound brings none.
            prebuffer_ms: Sound that must be there before it is played, if it is more than that of
                streamed sound.

        Raises:
            SpeechQueueFull: Too much is waiting.
        """
        saying = self.queue(prebuffer_ms)
        saying.follow(self._task(self._make(saying, made)))
        if heard is not None:
            self.listen(saying, heard)
        return saying

    def listen(self, saying: Saying, heard: AsyncGenerator[Sequence[Word], None]) -> None:
        """Show the words of an utterance as captions while they are found."""
        saying.follow(self._task(self._listen(saying, heard)))

    def queue(self, prebuffer_ms: int = 0) -> Saying:
        """Queue an utterance that is empty at first; ``take`` fills it.

        Args:
            prebuffer_ms: As for ``say``.

        Raises:
            SpeechQueueFull: Too much is waiting.
        """
        waiting, limit = len(self.speaker.waiting), self.studio.settings.max_queue
        if waiting >= limit:
            raise SpeechQueueFull(
                f"{waiting} utterances are waiting, the limit.", "Interrupt, or wait.", 1.0
            )
        prebuffer = max(prebuffer_ms, self.studio.settings.prebuffer_ms)
        saying = Saying(Utterance("utt_" + secrets.token_urlsafe(9), prebuffer))
        self._sayings[saying.utterance.id] = saying
        self.speaker.say(saying.utterance)
        ahead = waiting + (self.speaker.current is not None)
        if ahead:
            self._notify("stream/queued", {"utterance": saying.utterance.id, "waiting": ahead})
        return saying

    async def first_sound(self, saying: Saying) -> None:
        """Wait a little for the first sound.

        Raises:
            AvatarServerError: There will be none.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(saying.begun.wait(), FIRST_SOUND_WAIT)
        if saying.error is not None and not saying.utterance.packets:
            raise saying.error

    def take(self, saying: Saying, made: Made) -> None:
        """Add what became ready of an utterance."""
        saying.add(made)
        self._show_captions(saying)
        self._wake()

    def hear(self, saying: Saying, words: Sequence[Word], last: bool = False) -> None:
        """Add words of an utterance, to be shown as captions."""
        saying.hear(words, last)
        self._show_captions(saying)

    def fail(self, saying: Saying, error: AvatarServerError) -> None:
        """Say why an utterance ends early; what is there of it is played."""
        saying.fail(error)
        self._notify(
            "stream/error",
            {
                "utterance": saying.utterance.id,
                "kind": error.kind,
                "description": error.description,
            },
        )
        if not saying.utterance.packets:
            self.speaker.drop(saying.utterance)
        self._wake()

    def drop(self, saying: Saying) -> None:
        """Cut an utterance off, or take it out of the queue."""
        self.speaker.drop(saying.utterance)
        self._wake()

    def alive(self, saying: Saying) -> bool:
        """Tell whether an utterance is being played or will be."""
        return saying.utterance.id in self._sayings

    def interrupt(self) -> Interruption | None:
        """Fall silent and forget what was queued."""
        current, position = self.speaker.current, self.speaker.position_ms
        self.speaker.interrupt()
        self._wake()
        return Interruption(current.id, position) if current is not None else None

    def web_vtt(self) -> str:
        """Return what was said so far as WebVTT; times count from the start of the stream."""
        return web_vtt((offset, cue) for offset, _, cue in self._captions)

    async def close(self) -> None:
        """Fall silent and end all tasks."""
        self.speaker.interrupt()
        while self._ending:
            await asyncio.gather(*self._ending, return_exceptions=True)

    def _task(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name="speech")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _make(self, saying: Saying, made: AsyncGenerator[Made, None]) -> None:
        try:
            async with contextlib.aclosing(made):
                async for part in made:
                    self.take(saying, part)
        except AvatarServerError as error:
            self.fail(saying, error)
        except Exception:  # noqa: BLE001 - whatever it was, the stream goes on
            _log.exception("making speech failed")
            self.fail(saying, SpeechBroken("The speech could not be made."))

    async def _listen(self, saying: Saying, heard: AsyncGenerator[Sequence[Word], None]) -> None:
        try:
            async with contextlib.aclosing(heard):
                async for words in heard:
                    self.hear(saying, words)
            self.hear(saying, (), last=True)
        except AvatarServerError as error:
            _log.warning("no captions: %s", error)
        except Exception:  # noqa: BLE001 - speech goes on without captions
            _log.exception("transcribing failed")

    def _wake(self) -> None:
        if self._sound is not None:
            self._sound.wake()

    def _on_event(self, event: Started | Ended) -> None:
        saying = self._sayings[event.utterance.id]
        if isinstance(event, Started):
            self._started(saying, event.at)
        else:
            self._ended(saying, event)

    def _started(self, saying: Saying, at: float) -> None:
        saying.started_at = at
        utterance = saying.utterance
        payload = {
            "utterance": utterance.id,
            "rtp_timestamp": self._timestamp(at),
            "duration_ms": utterance.duration_ms if utterance.complete else None,
        }
        self._notify("stream/started", payload)
        self._show_captions(saying)

    def _ended(self, saying: Saying, event: Ended) -> None:
        utterance = saying.utterance.id
        del self._sayings[utterance]
        if event.interrupted:
            saying.cancel()
            self._forget_captions(utterance, event.position_ms / 1000)
        if saying.error is not None and saying.started_at is None:
            return
        subject = "stream/interrupted" if event.interrupted else "stream/done"
        payload = {
            "utterance": utterance,
            "rtp_timestamp": self._timestamp(event.at),
            "position_ms": event.position_ms,
        }
        if event.interrupted:
            payload["dropped"] = saying.started_at is None
        self._notify(subject, payload)

    def _timestamp(self, at: float | None) -> int | None:
        return self._sound.media_time(at) if self._sound is not None and at is not None else None

    def _show_captions(self, saying: Saying) -> None:
        epoch = self._sound.epoch if self._sound is not None else None
        for cue in saying.new_cues():
            assert saying.started_at is not None
            offset = saying.started_at - epoch if epoch is not None else 0.0
            self._captions.append((offset, saying.utterance.id, cue))
            self._notify("caption", caption_event(saying.utterance.id, cue))

    def _forget_captions(self, utterance: str, position: float) -> None:
        kept = [c for c in self._captions if c[1] != utterance or c[2].start < position]
        self._captions = deque(kept, maxlen=KEPT_CAPTIONS)
