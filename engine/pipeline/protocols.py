"""What the pipeline asks of its parts, kept as small as it can use them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from engine.pipeline.frame import Frame, Image
from engine.pipeline.turn import Turn


class Source(Protocol):
    """Where frames come from. ``read`` is called on one thread, the rest from any."""

    @property
    def name(self) -> str:
        """What the user calls it, e.g. ``camera:0``."""

    @property
    def live(self) -> bool:
        """True where time goes on without the reader (newest wins), False for files (wait)."""

    @property
    def problem(self) -> str | None:
        """Why no frames come at present, in words for the user; None when all is well."""

    def open(self) -> None:
        """Get ready to read.

        Raises:
            AvatarServerError: The source cannot be used; says what to do.
        """

    def read(self) -> Frame | None:
        """The next frame, waiting for it; None at the end or when interrupted.

        The caller owns the image. ``captured_at`` is on the pipeline's clock.
        """

    def interrupt(self) -> None:
        """Make the present and every later ``read`` return None within 0.5 s."""

    def close(self) -> None:
        """Release everything; called once ``read`` has returned for the last time."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a chain must know about a processor.

    Attributes:
        parallel: May be called from several threads at once, in any order of frames.
        fails_closed: A frame that it could not process must not be shown.
        resizes: May return pictures of another size than it was given.
    """

    parallel: bool = False
    fails_closed: bool = False
    resizes: bool = False


class Processor(Protocol):
    """Turns pictures into pictures."""

    @property
    def name(self) -> str:
        """The name it has in settings."""

    @property
    def traits(self) -> Traits:
        """See ``Traits``."""

    def process(self, frames: Sequence[Frame]) -> Sequence[Image]:
        """One picture for each frame, in the same order.

        Args:
            frames: At least one, all of the same size. The images may be written into and
                returned.

        Returns:
            ``uint8[height, width, 3]``, BGR. May raise anything: the chain deals with it.
        """

    def close(self) -> None:
        """Release models and memory."""


Step = Callable[[Any], Any]


@runtime_checkable
class Stepped(Processor, Protocol):
    """A processor whose work falls into steps, each of which may have another batch in it.

    Batches come to each step in their order, one at a time, on different threads.
    """

    @property
    def steps(self) -> Sequence[Step]:
        """At least one: the first takes what ``process`` takes, each further one what the one
        before it returned, the last returns what ``process`` returns."""


class Transform(Protocol):
    """The processing stage as the pipeline sees it: usually a chain of processors."""

    @property
    def parallel(self) -> bool:
        """May be applied by several workers at once."""

    @property
    def faults(self) -> Mapping[str, int]:
        """Failures so far, by processor."""

    @property
    def bypassed(self) -> tuple[str, ...]:
        """Processors that are left out because they kept failing."""

    def apply(self, frames: Sequence[Frame], turn: Turn | None = None) -> list[Frame]:
        """The frames to be shown, in order; a frame left out must not be shown.

        Args:
            frames: A batch.
            turn: The batch's place in the order of batches: the next one begins when it moves on
                or is over. Needed where several threads apply the transform.
        """

    def close(self) -> None:
        """Release what it holds; never called while ``apply`` runs."""


class Sink(Protocol):
    """Where frames go. All calls come from the display thread."""

    @property
    def name(self) -> str:
        """What the user calls it, e.g. ``record:x.mp4``."""

    def show(self, frame: Frame) -> None:
        """Take a frame without waiting; its image is read-only and shared.

        Raises:
            AvatarServerError: This sink is done for; it is removed, the others go on.
        """

    def close(self) -> None:
        """The last frame has been shown."""
