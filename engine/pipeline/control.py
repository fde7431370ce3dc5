"""Changing a pipeline while it runs: one way in for keys, commands and the HTTP API."""

import threading
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from engine.pipeline.pipeline import Pipeline
from engine.pipeline.protocols import Source, Transform

OVERLAY = "overlay"
MIRROR = "mirror"


class PipelineChange(BaseModel):
    """What is to be different; what is None stays as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    processors: tuple[str, ...] | None = Field(None, description="The chain, in order.")
    overlay: bool | None = Field(None, description="Draw rates and latency into the picture.")
    mirror: bool | None = Field(None, description="Mirror the picture.")
    batch_size: int | None = Field(None, ge=1, le=64, description="Most frames at once.")
    source: str | None = Field(None, description="Where frames come from, e.g. camera:1.")
    paused: bool | None = Field(None, description="Let the picture stand still.")


class PipelineControl:
    """Changes a running pipeline; from any thread but an event loop's, as models load here.

    Args:
        pipeline: What is changed.
        processors: The names of its present chain.
        make_source: From ``camera:1`` to a source that is not opened.
        make_transform: From names of processors to a chain.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        processors: Sequence[str],
        make_source: Callable[[str], Source],
        make_transform: Callable[[Sequence[str]], Transform],
    ) -> None:
        self.pipeline = pipeline
        self._processors = tuple(processors)
        self._make_source = make_source
        self._make_transform = make_transform
        self._lock = threading.Lock()

    @property
    def processors(self) -> tuple[str, ...]:
        """The names of the present chain."""
        return self._processors

    def apply(self, change: PipelineChange, anew: bool = False) -> None:
        """Make all of the change, or, where that fails, none of it.

        Args:
            change: What is to be different.
            anew: Make the chain anew even where its names stay, as its settings have changed.

        Raises:
            AvatarServerError: A processor or the source cannot be used; nothing has changed.
        """
        with self._lock:
            wanted = self._wanted(change)
            changed = anew or wanted != self._processors
            transform = self._make_transform(wanted) if changed else None
            try:
                if change.source is not None:
                    self.pipeline.set_source(self._make_source(change.source))
            except BaseException:
                if transform is not None:
                    transform.close()
                raise
            if transform is not None:
                self.pipeline.set_transform(transform)
                self._processors = wanted
            if change.batch_size is not None:
                self.pipeline.set_batch_size(change.batch_size)
            if change.paused is not None:
                self.pipeline.pause(change.paused)

    def toggle(self, name: str) -> bool:
        """Put ``mirror`` or ``overlay`` into the chain or take it out; returns whether it is in."""
        wanted = name not in self._processors
        self.apply(PipelineChange.model_validate({name: wanted}))
        return wanted

    def next_processor(self, choices: Sequence[str]) -> str:
        """Replace the processor that is one of ``choices`` by the one after it.

        Returns:
            The name of the processor that is now in the chain.
        """
        at = next((name for name in self._processors if name in choices), None)
        following = choices[(choices.index(at) + 1) % len(choices)] if at else choices[0]
        kept = tuple(name for name in self._processors if name != at)
        self.apply(PipelineChange(processors=(following, *kept)))
        return following

    def _wanted(self, change: PipelineChange) -> tuple[str, ...]:
        names = list(self._processors if change.processors is None else change.processors)
        if change.mirror is not None:
            names = [name for name in names if name != MIRROR]
            names[:0] = [MIRROR] if change.mirror else []
        if change.overlay is not None or OVERLAY in names:
            shown = OVERLAY in names if change.overlay is None else change.overlay
            names = [name for name in names if name != OVERLAY] + ([OVERLAY] if shown else [])
        return tuple(names)
