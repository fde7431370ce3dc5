"""Programs that speak: reading them, holding them back and ending them."""

import asyncio
import os
import select
import sys
from collections.abc import Awaitable

import psutil
import pytest

from engine.errors import MissingDependency
from processors.speech.child import Child
from tests.speaking import LoopFactory, both_loops, run_twice


def child_of(code: str, text: str) -> Awaitable[Child]:
    return Child.start([sys.executable, "-IS", "-c", code], text)


async def read_all(child: Child) -> int:
    total = 0
    while data := await child.read():
        total += len(data)
    return total


@both_loops
def test_child_that_reads_nothing_and_writes_much_does_not_block(make_loop: LoopFactory) -> None:
    code = "import os\nfor _ in range(100): os.write(2, b'e' * 10000); os.write(1, b'o' * 50000)"

    async def scene() -> None:
        child = await child_of(code, "x" * 1_000_000)
        try:
            assert await read_all(child) == 5_000_000
            assert await child.wait() == 0
            assert child.complaint == "e" * 400
        finally:
            await child.close()
            await child.close()

    run_twice(make_loop, scene)


@both_loops
def test_child_that_is_not_read_has_to_wait(make_loop: LoopFactory) -> None:
    code = """
import os, select
os.set_blocking(1, False)
total = 0
while total < 50_000_000 and select.select([], [1], [], 0.5)[1]:
    total += os.write(1, bytes(4096))
os.write(2, b"%d" % total)
"""

    async def scene() -> None:
        child = await child_of(code, "")
        try:
            assert await child.wait() == 0
            assert await read_all(child) == int(child.complaint)
            assert int(child.complaint) < 1_000_000
        finally:
            await child.close()

    run_twice(make_loop, scene)


@both_loops
def test_child_is_killed_with_its_own_children(make_loop: LoopFactory) -> None:
    code = """
import os, signal, sys
if os.fork() == 0:
    signal.pause()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(1, b"ready")
signal.pause()
"""

    async def scene() -> None:
        me = psutil.Process()
        others = set(me.children(recursive=True))
        child = await child_of(code, "")
        ends: list[int] = []
        try:
            assert await child.read() == b"ready"
            family = set(me.children(recursive=True)) - others
            assert len(family) == 2
            ends = [os.pidfd_open(process.pid) for process in family]
            await child.close()
            for end in ends:
                assert select.select([end], [], [], 10)[0]
        finally:
            await child.close()
            for end in ends:
                os.close(end)

    run_twice(make_loop, scene)


def test_child_that_cannot_be_started() -> None:
    with pytest.raises(MissingDependency, match="/no/such/program cannot be started"):
        asyncio.run(Child.start(["/no/such/program"], ""))
