"""A list of processors as one step of the pipeline; survives what they do wrong.

A processor may raise, return too few pictures, pictures of the wrong size, or values that are not
numbers. Each such failure is counted and reported at most once a second. What becomes of the
frames depends on the processor: one that fails closed withholds them (a face that should have been
hidden is never shown); any other is left out for this batch, the frames pass as they are, and
after ``bypass_after`` failures in a row it is left out for good.
"""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.clock import Clock, monotonic
from engine.errors import AvatarServerError
from engine.pipeline.feeder import conform
from engine.pipeline.frame import Frame
from engine.pipeline.protocols import Processor, Step, Stepped
from engine.pipeline.turn import Turn

log = logging.getLogger(__name__)

REPORT_EVERY_S = 1.0


class BadResult(AvatarServerError):
    """A processor returned something other than one fitting picture for each frame."""


class _Link:
    """A processor and how it has fared."""

    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        own = isinstance(processor, Stepped)
        self.steps: Sequence[Step] = processor.steps if own else (processor.process,)
        self.gates = [threading.Lock() for _ in self.steps[1:]]
        self.faults = 0
        self.in_a_row = 0
        self.bypassed = False
        self.reported_at = float("-inf")
        self.reported_faults = 0


@dataclass(slots=True)
class _Run:
    """Frames of one size on their way through a processor.

    Attributes:
        frames: Before it.
        work: What the last step returned.
        error: What it raised, if it did.
    """

    frames: list[Frame]
    work: Any
    error: Exception | None = None

    def take(self, step: Step) -> None:
        """One step further."""
        if self.error is None:
            try:
                self.work = step(self.work)
            except Exception as error:  # noqa: BLE001 - one processor must not end the stream
                self.error = error


class Chain:
    """Applies processors in order.

    Where several threads apply it, the next batch begins as soon as the one before has come to the
    second step of a processor that works in steps; other processors belong to the step before them.

    Args:
        processors: In the order in which they are applied; closed with the chain.
        bypass_after: Failures in a row after which a processor is left out for good, unless it
            fails closed.
        clock: Seconds; used to limit the reports.
    """

    def __init__(
        self, processors: Iterable[Processor], bypass_after: int = 10, clock: Clock = monotonic
    ) -> None:
        self._links = [_Link(processor) for processor in processors]
        self._bypass_after = bypass_after
        self._clock = clock

    @property
    def names(self) -> tuple[str, ...]:
        """The processors in order."""
        return tuple(link.processor.name for link in self._links)

    @property
    def parallel(self) -> bool:
        """Whether several threads may apply the chain at once: all its processors allow it."""
        return all(link.processor.traits.parallel for link in self._links)

    @property
    def faults(self) -> Mapping[str, int]:
        """Failures so far, by processor; only those that have failed."""
        return {link.processor.name: link.faults for link in self._links if link.faults}

    @property
    def bypassed(self) -> tuple[str, ...]:
        """Processors left out because they kept failing."""
        return tuple(link.processor.name for link in self._links if link.bypassed)

    def apply(self, frames: Sequence[Frame], turn: Turn | None = None) -> list[Frame]:
        """The processed frames, in order; frames that must not be shown are left out.

        A processor is given frames of one size at a time.

        Args:
            frames: A batch.
            turn: See ``Transform``.
        """
        current = list(frames)
        turn = Turn() if turn is None else turn
        try:
            for link in self._links:
                current = self._through(link, current, turn)
        finally:
            turn.leave()
        return current

    def close(self) -> None:
        """Close every processor."""
        for link in self._links:
            link.processor.close()

    def _through(self, link: _Link, frames: list[Frame], turn: Turn) -> list[Frame]:
        bypassed = link.bypassed
        same_size = groupby(frames, key=lambda frame: frame.image.shape)
        runs = [_Run(run, run) for run in (list(group) for _, group in same_size)]
        # Also a batch that this processor leaves alone goes through its gates, to keep the order.
        for number, step in enumerate(link.steps):
            if number:
                turn.move(link.gates[number - 1])
            for run in runs if not bypassed else ():
                run.take(step)
        if bypassed:
            return frames
        return [frame for run in runs for frame in self._ended(link, run)]

    def _ended(self, link: _Link, run: _Run) -> list[Frame]:
        run.take(lambda images: _check(link.processor, run.frames, images))
        if run.error is not None:
            self._failed(link, run.error)
            return [] if link.processor.traits.fails_closed else run.frames
        link.in_a_row = 0
        checked: list[Frame] = run.work
        return checked

    def _failed(self, link: _Link, error: Exception) -> None:
        link.faults += 1
        link.in_a_row += 1
        processor = link.processor
        if link.in_a_row >= self._bypass_after and not processor.traits.fails_closed:
            link.bypassed = True
            log.warning(
                "processor %s is left out after %d failures in a row; the last: %s",
                processor.name,
                link.in_a_row,
                error,
            )
            return
        now = self._clock()
        if now - link.reported_at >= REPORT_EVERY_S:
            log.warning(
                "processor %s failed %d times since the last report; the last: %s",
                processor.name,
                link.faults - link.reported_faults,
                error,
            )
            link.reported_at = now
            link.reported_faults = link.faults


def _check(
    processor: Processor, frames: Sequence[Frame], images: Sequence[npt.NDArray[np.generic]]
) -> list[Frame]:
    if len(images) != len(frames):
        raise BadResult(
            f"The processor {processor.name} returned {len(images)} pictures "
            f"for {len(frames)} frames."
        )
    checked = []
    for frame, image in zip(frames, images, strict=True):
        fitting = conform(image)
        if fitting.shape != frame.image.shape and not processor.traits.resizes:
            raise BadResult(
                f"The processor {processor.name} returned a picture of "
                f"{fitting.shape[1]}x{fitting.shape[0]} for one of "
                f"{frame.size[0]}x{frame.size[1]}."
            )
        checked.append(frame if fitting is frame.image else frame.with_image(fitting))
    return checked
