"""One utterance of a stream while it is made, queued and played."""

import asyncio
from collections.abc import Sequence
from typing import Any

from engine.errors import AvatarServerError
from engine.speech.captions import Cue, CueMaker
from engine.speech.sound import Word
from engine.speech.utterance import Utterance
from transport.speech.scripts import Made


class Saying:
    """An utterance with its captions and the tasks that make it.

    Attributes:
        utterance: What the speaker plays.
        begun: Set when there is sound to play, or none will come.
        error: Why no more sound comes, if that is a fault.
        started_at: When it began to be played, in seconds on the stream's clock.
    """

    def __init__(self, utterance: Utterance) -> None:
        self.utterance = utterance
        self.begun = asyncio.Event()
        self.error: AvatarServerError | None = None
        self.started_at: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._maker = CueMaker()
        self._cues: list[Cue] = []
        self._shown = 0

    def add(self, made: Made) -> None:
        """Take what became ready."""
        piece = made.piece
        self.utterance.add(piece.packets, piece.spans, piece.horizon_ms, piece.complete)
        self.hear(made.words)
        if piece.complete:
            self._cues += self._maker.flush()
        if piece.packets or piece.complete:
            self.begun.set()

    def hear(self, words: Sequence[Word], last: bool = False) -> None:
        """Take words; the last ones close their caption."""
        self._cues += self._maker.add(words)
        if last:
            self._cues += self._maker.flush()

    def fail(self, error: AvatarServerError) -> None:
        """No more sound comes; what is there is played."""
        self.error = error
        whole = self.utterance
        whole.add((), whole.spans, whole.horizon_ms, complete=True)
        self.begun.set()

    def new_cues(self) -> Sequence[Cue]:
        """Return the captions that were not returned before; none until it is played."""
        if self.started_at is None:
            return ()
        shown, self._shown = self._shown, len(self._cues)
        return self._cues[shown:]

    def follow(self, task: asyncio.Task[None]) -> None:
        """Cancel a task when the utterance is over."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> set[asyncio.Task[None]]:
        """Stop making it; returns the tasks that are ending."""
        for task in self._tasks:
            task.cancel()
        return set(self._tasks)


def caption_event(utterance: str, cue: Cue) -> dict[str, Any]:
    """Return the payload of a ``caption`` event; times are since the utterance's start."""
    return {
        "utterance": utterance,
        "text": cue.text,
        "start_ms": round(cue.start * 1000),
        "end_ms": round(cue.end * 1000),
        "words": [
            {"text": w.text, "start_ms": round(w.start * 1000), "end_ms": round(w.end * 1000)}
            for w in cue.words
        ],
    }
