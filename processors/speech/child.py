"""A program that is given a text and writes sound, with nothing left behind when it is closed."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import cast

from engine.errors import MissingDependency
from processors.speech.pieces import SpeechFailed

_HIGH_WATER = 256 * 1024
"""Bytes of unread output above which the program has to wait."""

_TAIL_BYTES = 4096
"""Bytes of the end of its error output that are kept."""

_STDOUT, _STDERR = 1, 2


class Child:
    """A child process in a process group of its own. Made by ``start``."""

    def __init__(self, transport: asyncio.SubprocessTransport, pipes: "_Pipes") -> None:
        self._transport = transport
        self._pipes = pipes

    @classmethod
    async def start(cls, arguments: Sequence[str], text: str) -> "Child":
        """Start a program, write a text to its standard input and close that.

        Raises:
            MissingDependency: It is not there, or is no program.
            SpeechFailed: The system cannot start it.
        """
        loop = asyncio.get_running_loop()
        starting = asyncio.ensure_future(
            loop.subprocess_exec(
                _Pipes,
                *arguments,
                # Ctrl-C in a terminal is for the server; and the group can be killed as a whole.
                start_new_session=True,
            )
        )
        try:
            # uvloop forgets a process if its start is cancelled.
            transport, pipes = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            if starting.exception() is None:
                await cls(*starting.result()).close()
            raise
        except OSError as error:
            text = f"{arguments[0]} cannot be started: {error.strerror or error}."
            if isinstance(error, FileNotFoundError | PermissionError):
                raise MissingDependency(text) from error
            raise SpeechFailed(text, "Is the machine out of memory or files?") from error
        stdin = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
        stdin.write(text.encode())
        stdin.write_eof()
        return cls(transport, pipes)

    async def read(self) -> bytes:
        """Return what the program has written since the last call; nothing at its end."""
        return await self._pipes.read()

    async def wait(self) -> int:
        """Wait until the program has ended by itself; its exit code, negative for a signal."""
        await self._pipes.exited.wait()
        code = self._transport.get_returncode()
        assert code is not None
        return code

    @property
    def complaint(self) -> str:
        """The last of what it wrote to its error output, in one line."""
        return " ".join(bytes(self._pipes.tail).decode(errors="replace").split())[-400:]

    async def close(self) -> None:
        """Kill what still runs, take its exit code and close the pipes. Can be called twice."""
        try:
            if self._transport.get_returncode() is None:
                # The leader has not been reaped, so nobody else can have its number.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._transport.get_pid(), signal.SIGKILL)
                await self._pipes.exited.wait()
        finally:
            self._transport.close()
        await self._pipes.closed.wait()


class _Pipes(asyncio.SubprocessProtocol):
    """The ends of a child's pipes: its output, held back while nobody reads, and its errors.

    Transports are cast, not checked: uvloop's are no subclasses of asyncio's.
    """

    def __init__(self) -> None:
        self._output = bytearray()
        self._ended = False
        self._paused = False
        self._news = asyncio.Event()
        self.tail = bytearray()
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDERR:
            self.tail += data
            del self.tail[:-_TAIL_BYTES]
            return
        self._output += data
        self._news.set()
        if len(self._output) > _HIGH_WATER and not self._paused:
            self._paused = True
            self._stdout().pause_reading()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == _STDOUT:
            self._ended = True
            self._news.set()

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._news.set()
        self.exited.set()
        self.closed.set()

    def _stdout(self) -> asyncio.ReadTransport:
        assert self._transport is not None
        return cast(asyncio.ReadTransport, self._transport.get_pipe_transport(_STDOUT))

    async def read(self) -> bytes:
        while not self._output and not self._ended:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._output)
        self._output.clear()
        if self._paused and not self._ended:
            self._paused = False
            self._stdout().resume_reading()
        return data


async def check_exit(child: Child, provider: str) -> None:
    """Wait for the end of a child whose output has ended.

    Raises:
        SpeechFailed: It failed, or was killed.
    """
    code = await child.wait()
    if code:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        said = f": {child.complaint}" if child.complaint else "."
        raise SpeechFailed(f"The speech provider '{provider}' {how}{said}")
