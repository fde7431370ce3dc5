"""Which avatars there are, and keeping each one compiled.

Reading, hashing and loading happen in threads, compiling in processes, one at a time: the event
loop that sends pictures never waits for any of it.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.avatar import spec as specs
from engine.avatar.compiling import CompileFailed, Compiler, WorkerKilled
from engine.avatar.pack import Pack
from engine.avatar.spec import AvatarSpec
from engine.errors import (
    AvatarCompiling,
    AvatarError,
    AvatarNotFound,
    AvatarServerError,
    ClipChanged,
    Unavailable,
)
from engine.motion.graph import MotionSettings
from engine.settings import AvatarSettings

_log = logging.getLogger(__name__)

MAX_PAIRS = 32
"""How many avatars can be made of pairs of clips while the server runs."""

RETRIES = 3
_PASSING = (ClipChanged.__name__, WorkerKilled.__name__)

_PLAIN, _GRAPH = 0, 1

_Signature = tuple[tuple[str, int, int], ...]


class TooManyPairs(Unavailable):
    """As many avatars are made of pairs as may be."""


class LibraryClosed(Unavailable):
    """The server stops before the avatar was compiled."""


@dataclass
class Entry:
    """An avatar as the library knows it.

    Attributes:
        id: Names it in the API.
        spec: What it is made of; None when its description is wrong.
        pack: The compiled avatar, also while a newer one is being compiled.
        graph_pack: The same with loops and transitions, once it is made.
        progress: Of the compilation under way, 0 to 1; None when there is none.
        error: Why there is no (newer) pack.
    """

    id: str
    spec: AvatarSpec | None = None
    pack: Pack | None = None
    graph_pack: Pack | None = None
    progress: float | None = None
    error: AvatarServerError | None = None
    signature: _Signature = ()
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> str:
        """``ready``, ``compiling``, ``waiting`` or ``failed``."""
        if self.pack is not None:
            return "ready"
        if self.progress is not None:
            return "compiling"
        return "failed" if self.error is not None else "waiting"


class AvatarLibrary:
    """Finds, compiles and hands out avatars.

    Args:
        settings: The ``avatars`` section.
        on_change: Called with an entry whenever its progress or status changes.
        motion: The ``motion`` section.
        face_model: YuNet in ONNX form, for aligning transitions; optional.
    """

    def __init__(
        self,
        settings: AvatarSettings,
        on_change: Callable[[Entry], None] = lambda _: None,
        motion: MotionSettings | None = None,
        face_model: Path | None = None,
    ) -> None:
        self._settings = settings
        self._on_change = on_change
        self._entries: dict[str, Entry] = {}
        self._pairs: dict[str, AvatarSpec] = {}
        self._configured: str | None = None
        self._compiler = Compiler(settings.cache, motion or MotionSettings(), face_model)
        # Plain packs of all avatars come before the first motion graph.
        self._queue: asyncio.PriorityQueue[tuple[int, int, Entry]] = asyncio.PriorityQueue()
        self._queued: set[tuple[int, str]] = set()
        self._order = itertools.count()
        self._task: asyncio.Task[None] | None = None
        self._refreshing = asyncio.Lock()

    async def start(self) -> None:
        """Find the avatars and begin to compile what is not compiled yet."""
        self._task = asyncio.create_task(self._work(), name="avatar-library")
        if not self._settings.folder.is_dir():
            _log.warning("avatars.folder: there is no folder %s", self._settings.folder)
        if self._settings.idle_video:
            self._configured = await self.add_pair(
                self._settings.idle_video, self._settings.gesture_video
            )
        await self.refresh()
        if self._entries and self.default_id() not in self._entries:
            _log.warning("avatars.default: there is no avatar '%s'", self.default_id())

    async def close(self) -> None:
        """Stop compiling; a compilation under way is abandoned without a trace."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for entry in self._entries.values():
            if not entry.settled.is_set():
                entry.error = entry.error or LibraryClosed("The server is stopping.")
                entry.settled.set()

    def entries(self) -> list[Entry]:
        """Return all avatars, the default one first."""
        default = self.default_id()
        return sorted(self._entries.values(), key=lambda e: (e.id != default, e.id))

    def default_id(self) -> str:
        """Return the id of the avatar that plays when none is named.

        The classic pair of the settings comes before ``avatars.default``.
        """
        return self._configured or self._settings.default

    def entry(self, avatar_id: str) -> Entry:
        """Return one avatar.

        Raises:
            AvatarNotFound: There is none of this id.
        """
        try:
            return self._entries[avatar_id]
        except KeyError:
            known = ", ".join(entry.id for entry in self.entries()) or "none"
            raise AvatarNotFound(
                f"There is no avatar {avatar_id!r}.", f"There are: {known}."
            ) from None

    async def add_pair(self, idle: str, gesture: str) -> str:
        """Make an avatar of two clips and return its id; the same pair gives the same avatar.

        Raises:
            PathNotAllowed: A clip lies outside the allowed folders.
            ClipError: A clip is missing.
            TooManyPairs: There are too many already.
        """
        spec = await asyncio.to_thread(specs.from_pair, idle, gesture, self._settings)
        if spec.id not in self._pairs:
            if len(self._pairs) >= MAX_PAIRS:
                raise TooManyPairs(
                    f"There are {MAX_PAIRS} avatars made of pairs already.",
                    "Give the clips a folder with an avatar.yaml instead.",
                    retry_after=3600,
                )
            await asyncio.to_thread(_signature, spec)
            self._pairs[spec.id] = spec
            await self.refresh()
        return spec.id

    async def refresh(self) -> None:
        """Look at the folders again; new and changed avatars are queued for compiling."""
        async with self._refreshing:
            pairs = list(self._pairs.values())
            found = await asyncio.to_thread(lambda: list(self._scan(pairs)))
            for entry_id in set(self._entries) - {avatar_id for avatar_id, *_ in found}:
                del self._entries[entry_id]
            for avatar_id, spec, signature, error in found:
                entry = self._entries.setdefault(avatar_id, Entry(avatar_id))
                if entry.spec == spec and entry.signature == signature and not error:
                    continue
                if error is not None and str(error) != str(entry.error):
                    _log.error("avatar '%s' cannot be used: %s", avatar_id, error)
                entry.spec, entry.signature, entry.error = spec, signature, error
                if spec is None:
                    entry.settled.set()
                    self._on_change(entry)
                else:
                    entry.settled.clear()
                    self._enqueue(_PLAIN, entry)

    async def playable(self, avatar_id: str, wait: float) -> tuple[Pack, ...]:
        """Return an avatar's packs, the best one first; see ``ready`` for the rest."""
        plain = await self.ready(avatar_id, wait)
        graph = self.entry(avatar_id).graph_pack
        return (plain,) if graph is None else (graph, plain)

    async def ready(self, avatar_id: str, wait: float) -> Pack:
        """Return an avatar's plain pack, waiting for its compilation up to ``wait`` seconds.

        Raises:
            AvatarNotFound: There is no such avatar.
            AvatarCompiling: It is not compiled yet.
            AvatarServerError: Whatever kept it from being compiled.
        """
        if avatar_id not in self._entries:
            await self.refresh()
        entry = self.entry(avatar_id)
        if entry.pack is None and not entry.settled.is_set() and wait > 0:
            try:
                await asyncio.wait_for(entry.settled.wait(), wait)
            except TimeoutError:
                _log.debug("%s: still compiling after %.1f s", avatar_id, wait)
        if entry.pack is not None:
            return entry.pack
        if entry.error is not None:
            raise entry.error
        raise AvatarCompiling(
            f"The avatar {avatar_id!r} is being compiled ({entry.progress or 0:.0%}).",
            "Try again in a few seconds.",
            retry_after=5,
        )

    def _scan(
        self, pairs: Sequence[AvatarSpec]
    ) -> Iterator[tuple[str, AvatarSpec | None, _Signature, AvatarServerError | None]]:
        folder = self._settings.folder
        folders = (
            sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        )
        for path in folders:
            try:
                spec = specs.read_folder(path, self._settings)
                if spec is not None:
                    yield path.name, spec, _signature(spec), None
            except AvatarServerError as error:
                yield path.name, None, (), error
        for spec in pairs:
            try:
                yield spec.id, spec, _signature(spec), None
            except AvatarServerError as error:
                yield spec.id, None, (), error

    async def _work(self) -> None:
        while True:
            stage, _, entry = await self._queue.get()
            self._queued.discard((stage, entry.id))
            try:
                await self._compile(entry, stage)
                if stage == _PLAIN and self._settings.transitions == "morph":
                    self._enqueue(_GRAPH, entry)
            except Exception as error:  # noqa: BLE001 - one avatar must not end the others' turn
                if not isinstance(error, AvatarServerError):
                    _log.exception("compiling '%s' failed", entry.id)
                    error = CompileFailed(f"Compiling '{entry.id}' failed: {error}.")
                entry.error = error
                what = "cannot be used" if entry.pack is None else "stays as it is"
                _log.error("avatar '%s' %s: %s", entry.id, what, error)
            entry.progress = None
            entry.settled.set()
            if entry.pack is None:
                # A pair that cannot be used is forgotten once its callers have heard why.
                self._pairs.pop(entry.id, None)
            self._on_change(entry)

    async def _compile(self, entry: Entry, stage: int) -> None:
        """Bring one of an entry's packs up to date, anew where a clip changes meanwhile."""

        def on_progress(done: float) -> None:
            entry.progress = done
            self._on_change(entry)

        for attempt in range(RETRIES):
            spec = entry.spec
            if spec is None or self._entries.get(entry.id) is not entry:
                return
            entry.error = None
            try:
                if stage == _PLAIN:
                    entry.pack = await self._compiler.plain(spec, on_progress)
                    if entry.graph_pack and not _same_clips(entry.pack, entry.graph_pack):
                        entry.graph_pack = None
                else:
                    entry.graph_pack = await self._compiler.graph(spec, on_progress)
                return
            except CompileFailed as error:
                if error.kind not in _PASSING or attempt == RETRIES - 1:
                    raise

    def _enqueue(self, stage: int, entry: Entry) -> None:
        if (stage, entry.id) not in self._queued:
            self._queued.add((stage, entry.id))
            self._queue.put_nowait((stage, next(self._order), entry))


def _signature(spec: AvatarSpec) -> _Signature:
    """Return what changes when a clip changes on disk; cheaper than reading it."""
    found = []
    for path in spec.clips:
        try:
            stat = path.stat()
        except OSError as error:
            raise AvatarError(
                f"The avatar '{spec.id}' names {path.name}: {error.strerror}.",
                "Check the file's name in avatar.yaml.",
            ) from None
        found.append((str(path), stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def _same_clips(one: Pack, other: Pack) -> bool:
    """Tell whether two packs can be of the same clips, by their names and roles."""
    return {(c.name, c.state, c.action) for c in one.clips} == {
        (c.name, c.state, c.action) for c in other.clips
    }
