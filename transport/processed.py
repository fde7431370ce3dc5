"""Processed streams: pipelines that viewers share, and the cameras that browsers send in."""

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from capture.avatar import AvatarSource
from capture.pushed import PushedFeed
from capture.sources import parse_source
from engine.avatar.library import AvatarLibrary
from engine.clock import Clock, monotonic
from engine.errors import AvatarCompiling, Forbidden, NotFound, Unavailable
from engine.pipeline.control import PipelineChange, PipelineControl
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.protocols import Processor, Source
from engine.pipeline.settings import PipelineSettings
from engine.pipeline.statistics import Snapshot, Statistics
from engine.settings import LiveSettings
from processors.registry import build_chain
from processors.swap.control import SwapChange, SwapControl
from processors.swap.processor import FaceSwap
from transport.swaps.desk import SwapDesk
from transport.webrtc.live import LiveEncoder, ProcessedMedia

_log = logging.getLogger(__name__)

MakeFactories = Callable[[Statistics], Mapping[str, Callable[[], Processor]]]
"""From the statistics of a pipeline (an overlay draws them) to its processors."""

WEBRTC = "webrtc"
AVATAR = "avatar"


class SourceNotAllowed(Forbidden):
    """The settings do not let callers from the network use this kind of source."""


class PublisherNotFound(NotFound):
    """Nobody sends a camera under this id, or not any more."""


class TooManyPipelines(Unavailable):
    """The server runs as many pipelines as it may."""


@dataclass(frozen=True, slots=True)
class SwapWish:
    """What a caller wants of a stream's face swap.

    Attributes:
        change: From what the settings say, or from how the stream is at present.
        key: The same for wishes that are the same, so that their streams can be shared.
    """

    change: SwapChange
    key: str


@dataclass(eq=False)
class Shared:
    """A pipeline and who watches it; a kept one goes on without viewers."""

    key: tuple[str, ...]
    pipeline: Pipeline
    control: PipelineControl
    encoder: LiveEncoder
    swap: SwapControl
    viewers: int = 0
    kept: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def states(self) -> AvatarSource | None:
        """Return the source if it has states; it may be another one later."""
        source = self.pipeline.source
        return source if isinstance(source, AvatarSource) else None


class ProcessedStreams:
    """Makes pipelines for viewers; those who ask for the same one share it.

    Args:
        settings: The ``live`` section.
        pipeline: The ``pipeline`` section.
        make_factories: See ``MakeFactories``.
        library: Where avatars come from, for ``avatar:ID``.
        clock: Monotonic seconds.
        swaps: Callers' faces, and the face swap of each pipeline; closed with this.
        on_late: Told by each pipeline's display how late a frame was, in seconds; must be quick.
    """

    def __init__(
        self,
        settings: LiveSettings,
        pipeline: PipelineSettings,
        make_factories: MakeFactories,
        library: AvatarLibrary,
        clock: Clock = monotonic,
        swaps: SwapDesk | None = None,
        on_late: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._on_late = on_late
        self.swaps = swaps or SwapDesk(clock=clock)
        self._settings = settings
        self._pipeline = pipeline
        self._make_factories = make_factories
        self._library = library
        self._clock = clock
        self._changed: set[Shared] = set()
        self._shared: dict[tuple[str, ...], Shared] = {}
        self._adopted: dict[str, Shared] = {}
        self._publishers: dict[str, PushedFeed] = {}
        self._numbers = itertools.count(1)
        self._stopping: set[asyncio.Task[None]] = set()
        self._making = asyncio.Lock()

    # Cameras that browsers send in.

    def publish(self, publisher_id: str) -> PushedFeed:
        """Take frames under an id; viewers watch ``webrtc:ID``."""
        feed = PushedFeed(f"{WEBRTC}:{publisher_id}", self._clock)
        self._publishers[publisher_id] = feed
        return feed

    def unpublish(self, publisher_id: str) -> None:
        """The camera is gone; pipelines that read it end."""
        feed = self._publishers.pop(publisher_id, None)
        if feed is not None:
            feed.end()

    # Pipelines that somebody else runs.

    def adopt(
        self,
        name: str,
        pipeline: Pipeline,
        control: PipelineControl,
        encoder: LiveEncoder,
        swap: SwapControl,
    ) -> None:
        """Let viewers watch a pipeline under a name, as if it were an avatar's id."""
        self._adopted[name] = Shared((name,), pipeline, control, encoder, swap, kept=True)

    @property
    def adopted(self) -> tuple[str, ...]:
        """The names of adopted pipelines."""
        return tuple(self._adopted)

    # Viewers.

    def processors(self, wanted: Sequence[str] | None) -> Sequence[str]:
        """Return the chain that was asked for, or that of the settings."""
        return self._pipeline.processors if wanted is None else tuple(wanted)

    async def watch(
        self, source: str, processors: Sequence[str], wish: SwapWish | None = None
    ) -> tuple[ProcessedMedia, Shared]:
        """Return media for one more viewer of a pipeline, which is made if need be.

        Args:
            source: What is shown.
            processors: The chain.
            wish: Of its face swap; None: as the settings have it.

        Raises:
            SourceNotAllowed: The settings forbid this kind of source.
            PublisherNotFound: Nobody sends this camera.
            TooManyPipelines: The limit is reached.
            AvatarServerError: The source or a processor cannot be used.
        """
        async with self._making:
            shared = self._adopted.get(source) or await self._find(source, processors, wish)
            shared.viewers += 1
        media = ProcessedMedia(
            shared.encoder, lambda: self._leave(shared), shared.states, self._clock
        )
        return media, shared

    async def _find(self, source: str, processors: Sequence[str], wish: SwapWish | None) -> Shared:
        self._check_allowed(source)
        # Whoever has faces of their own must not get a pipeline with those of others.
        key = (source, *processors, *((wish.key,) if wish is not None else ()))
        shared = self._shared.get(key)
        if shared is not None and not shared.pipeline.ended:
            return shared
        running = len(self._own())
        if running >= self._settings.max_pipelines:
            raise TooManyPipelines(
                f"The server runs {running} pipelines, its limit.",
                "Try again later, or raise live.max_pipelines.",
                retry_after=5,
            )
        return await self._make(key, source, processors, wish)

    def snapshots(self) -> dict[str, Snapshot]:
        """Return the statistics of every pipeline by its name."""
        everyone = (*self._own(), *self._adopted.values())
        pipelines = [shared.pipeline for shared in everyone]
        return {pipeline.name: pipeline.snapshot() for pipeline in pipelines}

    async def change(
        self, shared: Shared, change: PipelineChange, wish: SwapWish | None = None
    ) -> None:
        """Change a running pipeline, for all who watch it.

        Args:
            shared: The pipeline.
            change: What is to be different.
            wish: What is to be different in its face swap.

        Raises:
            SourceNotAllowed: The settings forbid the new source.
            AvatarServerError: It cannot be changed so; nothing has changed.
        """
        if change.source is not None:
            self._check_allowed(change.source)
        await asyncio.to_thread(_apply, shared, change, wish)
        # It no longer is what its key says: the next who asks for that gets a pipeline anew.
        if self._shared.get(shared.key) is shared:
            del self._shared[shared.key]
            self._changed.add(shared)

    async def close(self) -> None:
        """Stop every pipeline."""
        for shared in self._own():
            self._stop(shared)
        while self._stopping:
            await asyncio.gather(*self._stopping)
        await asyncio.to_thread(self.swaps.close)

    def _own(self) -> list[Shared]:
        return [*self._shared.values(), *self._changed]

    def _check_allowed(self, source: str) -> None:
        kind = source.partition(":")[0]
        if kind not in self._settings.allowed_sources:
            raise SourceNotAllowed(
                f"The source {source!r} is not allowed.",
                f"live.allowed_sources has: {', '.join(self._settings.allowed_sources)}.",
            )

    def _source(self, text: str) -> Source:
        kind, _, rest = text.partition(":")
        if kind == AVATAR:
            pack = self._library.entry(rest).pack
            if pack is None:
                raise AvatarCompiling(f"The avatar {rest!r} is being compiled.", retry_after=5)
            return AvatarSource(text, pack, random.getrandbits(64), self._clock)
        if kind == WEBRTC:
            if rest not in self._publishers:
                raise PublisherNotFound(f"Nobody sends a camera as {text!r}.", "POST /whip first.")
            return self._publishers[rest].subscribe()
        folders = self._settings.allowed_folders
        return parse_source(text, self._pipeline.capture, self._clock, folders)

    async def _make(
        self,
        key: tuple[str, ...],
        source: str,
        processors: Sequence[str],
        wish: SwapWish | None,
    ) -> Shared:
        loop = asyncio.get_running_loop()
        statistics = Statistics(self._clock)
        swap = self.swaps.control()
        factories = {**self._make_factories(statistics), **swap.factories()}
        after = self._pipeline.bypass_after
        opened = self._source(source)
        if wish is not None:
            await asyncio.to_thread(_set_up, swap, wish)
        chain = await asyncio.to_thread(build_chain, processors, factories, after)
        name = f"live-{next(self._numbers)}"
        encoder = LiveEncoder(name, loop, self._settings, self._clock)

        def on_end(error: BaseException | None) -> None:
            loop.call_soon_threadsafe(self._ended, shared, error)

        pipeline = Pipeline(
            opened,
            chain,
            [encoder],
            self._pipeline,
            name=name,
            statistics=statistics,
            clock=self._clock,
            on_end=on_end,
            on_late=self._on_late,
        )
        control = PipelineControl(
            pipeline, processors, self._source, lambda names: build_chain(names, factories, after)
        )
        shared = Shared(key, pipeline, control, encoder, swap)
        await asyncio.to_thread(pipeline.start)
        self._shared[key] = shared
        return shared

    def _leave(self, shared: Shared) -> None:
        shared.viewers -= 1
        if shared.viewers == 0 and not shared.kept:
            self._stop(shared)

    def _ended(self, shared: Shared, error: BaseException | None) -> None:
        if error is not None:
            _log.warning("pipeline %s ended: %s", shared.pipeline.name, error)
        shared.ended.set()
        self._forget(shared)

    def _forget(self, shared: Shared) -> None:
        self._changed.discard(shared)
        if self._shared.get(shared.key) is shared:
            del self._shared[shared.key]

    def _stop(self, shared: Shared) -> None:
        self._forget(shared)
        task = asyncio.create_task(self._stop_quietly(shared), name="pipeline-stop")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _stop_quietly(self, shared: Shared) -> None:
        try:
            await asyncio.to_thread(shared.pipeline.stop)
        except Exception as error:  # noqa: BLE001 - whatever it was, the others are stopped too
            _log.warning("pipeline %s did not stop well: %s", shared.pipeline.name, error)


def _set_up(swap: SwapControl, wish: SwapWish) -> None:
    with swap.changed(wish.change):
        return


def _apply(shared: Shared, change: PipelineChange, wish: SwapWish | None) -> None:
    """Make both changes, or, where one fails, neither."""
    if wish is None:
        shared.control.apply(change)
        return
    with shared.swap.changed(wish.change) as anew:
        shared.control.apply(change, anew and FaceSwap.name in shared.control.processors)
