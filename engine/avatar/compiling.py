"""Getting packs: from the cache where they are there and whole, else from a worker process."""

import asyncio
import glob
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from engine.avatar import compile as compiler
from engine.avatar import pack as packs
from engine.avatar import worker
from engine.avatar.pack import Pack
from engine.avatar.spec import AvatarSpec
from engine.avatar.worker import Order
from engine.errors import AvatarError, PackError
from engine.motion.graph import MotionSettings

_log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[2]


class CompileFailed(AvatarError):
    """The worker process reported an error, or died."""

    def __init__(self, description: str, kind: str = "CompileFailed") -> None:
        super().__init__(description)
        self._kind = kind

    @property
    def kind(self) -> str:
        """The name of the error that the worker met."""
        return self._kind


class WorkerKilled(CompileFailed):
    """Something killed the worker process; the kernel does, when memory runs out."""

    def __init__(self, description: str) -> None:
        super().__init__(f"{description} Is there enough memory?", type(self).__name__)


class Compiler:
    """Compiles avatars in processes of their own and keeps the packs in a folder.

    Args:
        cache: The folder; made when the first pack is written.
        motion: How motion graphs are made.
        face_model: YuNet in ONNX form, for them; optional.
    """

    def __init__(self, cache: Path, motion: MotionSettings, face_model: Path | None) -> None:
        self._cache = cache
        self._motion = motion
        self._face_model = face_model

    async def plain(self, spec: AvatarSpec, on_progress: Callable[[float], None]) -> Pack:
        """Return the pack with hard cuts.

        Raises:
            AvatarServerError: It cannot be made.
        """
        key = await asyncio.to_thread(compiler.pack_key, spec)
        order = Order(spec, self._cache / f"{spec.id}-{key}.pack")
        return await self._get(order, _pattern(spec, key, ".pack"), on_progress)

    async def graph(self, spec: AvatarSpec, on_progress: Callable[[float], None]) -> Pack:
        """Return the pack with the motion graph.

        Raises:
            AvatarServerError: It cannot be made.
        """
        motion = self._motion.model_dump_json()
        key = await asyncio.to_thread(
            compiler.pack_key, spec, f"graph {worker.GRAPH_VERSION} {motion}"
        )
        target = self._cache / f"{spec.id}-{key}.graph.pack"
        order = Order(spec, target, self._motion, self._face_model)
        return await self._get(order, _pattern(spec, key, ".graph.pack"), on_progress)

    async def _get(self, order: Order, pattern: str, on_progress: Callable[[float], None]) -> Pack:
        if order.target.is_file():
            try:
                return await asyncio.to_thread(packs.read, order.target)
            except PackError as error:
                _log.warning("%s Compiling it again.", error)
        on_progress(0.0)
        await self.run_worker(order, on_progress)
        pack = await asyncio.to_thread(packs.read, order.target)
        for old in self._cache.glob(pattern):
            if old != order.target:
                old.unlink(missing_ok=True)
        return pack

    async def run_worker(self, order: Order, on_progress: Callable[[float], None]) -> None:
        """Have a worker process write a pack.

        Raises:
            CompileFailed: It reported an error, or died.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            worker.__name__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_ROOT,
            # Ctrl-C in a terminal is for the server, which ends its workers itself.
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(order.to_json().encode())
            process.stdin.close()
            done = False
            async for line in process.stdout:
                message = json.loads(line)
                if "error" in message:
                    raise CompileFailed(message["error"]["description"], message["error"]["kind"])
                done = done or "done" in message
                if "progress" in message:
                    on_progress(message["progress"])
            if not done:
                code = await process.wait()
                text = f"The process that compiled '{order.spec.id}' ended with {code}."
                raise WorkerKilled(text) if code < 0 else CompileFailed(text)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def _pattern(spec: AvatarSpec, key: str, suffix: str) -> str:
    """Return a pattern for all packs of an avatar."""
    return f"{glob.escape(spec.id)}-{'?' * len(key)}{suffix}"
