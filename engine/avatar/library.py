"""Which avatars there are, and keeping each one compiled.

Reading, hashing and loading happen in threads, compiling in processes, one at a time: the event
loop that sends pictures never waits for any of it.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.avatar import compile as compiler
from engine.avatar import pack as packs
from engine.avatar import spec as specs
from engine.avatar import worker
from engine.avatar.pack import Pack
from engine.avatar.spec import AvatarSpec
from engine.errors import (
    AvatarCompiling,
    AvatarError,
    AvatarNotFound,
    AvatarServerError,
    ClipChanged,
    PackError,
    Unavailable,
)
from engine.settings import AvatarSettings

_log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[2]

MAX_PAIRS = 32
"""How many avatars can be made of pairs of clips while the server runs."""

CHANGED_RETRIES = 3

_Signature = tuple[tuple[str, int, int], ...]


class CompileFailed(AvatarError):
    """The worker process reported an error, or died."""

    def __init__(self, description: str, kind: str = "CompileFailed") -> None:
        super().__init__(description)
        self._kind = kind

    @property
    def kind(self) -> str:
        """The name of the error that the worker met."""
        return self._kind


class LibraryClosed(Unavailable):
    """The server stops before the avatar was compiled."""


@dataclass
class Entry:
    """An avatar as the library knows it.

    Attributes:
        id: Names it in the API.
        spec: What it is made of; None when its description is wrong.
        pack: The compiled avatar, also while a newer one is being compiled.
        progress: Of the compilation under way, 0 to 1; None when there is none.
        error: Why there is no (newer) pack.
    """

    id: str
    spec: AvatarSpec | None = None
    pack: Pack | None = None
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
    """

    def __init__(
        self, settings: AvatarSettings, on_change: Callable[[Entry], None] = lambda _: None
    ) -> None:
        self._settings = settings
        self._on_change = on_change
        self._entries: dict[str, Entry] = {}
        self._pairs: dict[str, AvatarSpec] = {}
        self._configured: str | None = None
        self._queue: asyncio.Queue[Entry] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._refreshing = asyncio.Lock()

    async def start(self) -> None:
        """Find the avatars and begin to compile what is not compiled yet."""
        self._task = asyncio.create_task(self._work(), name="avatar-library")
        if self._settings.idle_video:
            self._configured = await self.add_pair(
                self._settings.idle_video, self._settings.gesture_video
            )
        await self.refresh()

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
            AvatarError: Too many pairs.
        """
        spec = await asyncio.to_thread(specs.from_pair, idle, gesture, self._settings)
        while (known := self._pairs.get(spec.id)) is not None and known.clips != spec.clips:
            spec = _renamed(spec, spec.id + "-2")
        if known is None:
            if len(self._pairs) >= MAX_PAIRS:
                raise AvatarError(
                    f"There are {MAX_PAIRS} avatars made of pairs already.",
                    "Give the clips a folder with an avatar.yaml instead.",
                )
            await asyncio.to_thread(_signature, spec)
            self._pairs[spec.id] = spec
            await self.refresh()
        return spec.id

    async def refresh(self) -> None:
        """Look at the folders again; new and changed avatars are queued for compiling."""
        async with self._refreshing:
            found = await asyncio.to_thread(lambda: list(self._scan()))
            for entry_id in set(self._entries) - {avatar_id for avatar_id, *_ in found}:
                del self._entries[entry_id]
            for avatar_id, spec, signature, error in found:
                entry = self._entries.setdefault(avatar_id, Entry(avatar_id))
                if entry.spec == spec and entry.signature == signature and not error:
                    continue
                entry.spec, entry.signature, entry.error = spec, signature, error
                if spec is None:
                    entry.settled.set()
                    self._on_change(entry)
                else:
                    entry.settled.clear()
                    self._queue.put_nowait(entry)

    async def ready(self, avatar_id: str, wait: float) -> Pack:
        """Return an avatar's pack, waiting for its compilation up to ``wait`` seconds.

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
        self,
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
        for spec in self._pairs.values():
            try:
                yield spec.id, spec, _signature(spec), None
            except AvatarServerError as error:
                yield spec.id, None, (), error

    async def _work(self) -> None:
        while True:
            entry = await self._queue.get()
            for _ in range(CHANGED_RETRIES):
                try:
                    await self._compile(entry)
                    break
                except CompileFailed as error:
                    entry.error = error
                    if error.kind != ClipChanged.__name__:
                        break
                except AvatarServerError as error:
                    entry.error = error
                    break
            entry.progress = None
            entry.settled.set()
            if entry.error is not None:
                _log.error("The avatar '%s' cannot be used: %s", entry.id, entry.error)
            self._on_change(entry)

    async def _compile(self, entry: Entry) -> None:
        spec = entry.spec
        if spec is None:
            return
        key = await asyncio.to_thread(compiler.pack_key, spec)
        target = self._settings.cache / f"{spec.id}-{key}.pack"
        entry.error = None
        if target.is_file():
            try:
                entry.pack = await asyncio.to_thread(packs.read, target)
                return
            except PackError as error:
                _log.warning("%s Compiling it again.", error)
        entry.progress = 0.0
        self._on_change(entry)
        await self._run_worker(entry, worker.to_json(spec, target))
        entry.pack = await asyncio.to_thread(packs.read, target)
        for old in self._settings.cache.glob(f"{spec.id}-{'?' * len(key)}.pack"):
            if old != target:
                old.unlink(missing_ok=True)

    async def _run_worker(self, entry: Entry, description: str) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            worker.__name__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_ROOT,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(description.encode())
            process.stdin.close()
            done = False
            async for line in process.stdout:
                message = json.loads(line)
                if "error" in message:
                    raise CompileFailed(message["error"]["description"], message["error"]["kind"])
                done = done or "done" in message
                entry.progress = message.get("progress", entry.progress)
                self._on_change(entry)
            if not done:
                raise CompileFailed(
                    f"The process that compiled '{entry.id}' ended with {await process.wait()}."
                )
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


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


def _renamed(spec: AvatarSpec, avatar_id: str) -> AvatarSpec:
    return AvatarSpec(avatar_id, spec.name, spec.states, spec.actions, spec.encoding)
