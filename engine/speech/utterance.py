"""One thing that is said: its packets, its voice and its words, which may still be coming."""

from collections.abc import Sequence

from engine.speech.sound import PACKET_MS, Span, Word


class Utterance:
    """Sound that is played once; it may grow while it is played.

    Args:
        name: Its id, in events.
        prebuffer_ms: Sound that must be there before it is played, unless it is complete.
    """

    def __init__(self, name: str, prebuffer_ms: int) -> None:
        self.id = name
        self._prebuffer = -(-prebuffer_ms // PACKET_MS)
        self.packets: list[bytes] = []
        self.spans: tuple[Span, ...] = ()
        self.horizon_ms = 0
        self.complete = False
        self.words: list[Word] = []

    def add(
        self, packets: Sequence[bytes], spans: tuple[Span, ...], horizon_ms: int, complete: bool
    ) -> None:
        """Take what has become ready.

        Args:
            packets: Opus packets of 20 ms that follow those before.
            spans: All stretches of voice so far.
            horizon_ms: Up to where they are known.
            complete: Nothing more will come.
        """
        self.packets += packets
        self.spans, self.horizon_ms, self.complete = spans, horizon_ms, complete

    @property
    def duration_ms(self) -> int:
        """Of the sound that is ready."""
        return len(self.packets) * PACKET_MS

    def ready(self, position: int) -> bool:
        """Tell whether playing may begin, or go on after a gap, at a packet's number."""
        return self.complete or len(self.packets) - position >= max(1, self._prebuffer)
