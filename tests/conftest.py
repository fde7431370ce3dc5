"""What every test gets: a watch over threads, tasks and logged errors, and the shared media."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient

from tests.serving import make_demo, serving
from transport.sessions import StreamRegistry

SHARED = Path(__file__).resolve().parents[2] / "shared"

# Threads that live as long as the process: they belong to a loop's default executor, or to a
# library that has no way to end them.
_LASTING_THREADS = ("asyncio_",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that parallel runs end together."""
    slow = {
        item.path
        for item in items
        if any(item.get_closest_marker(name) for name in ("browser", "install"))
    }
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder of real clips, faces and speech beside the checkout."""
    folder = SHARED / "media"
    if not folder.is_dir():
        pytest.skip(f"no real clips: {folder} does not exist")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiled avatar ``demo`` of ``tests.serving``."""
    folder = tmp_path_factory.mktemp("avatars")
    make_demo(folder)
    return folder


@pytest.fixture
async def server(root: Path) -> AsyncIterator[tuple[TestClient, StreamRegistry]]:
    """A whole server in the test's own loop: a client of it, and its streams."""
    async with serving(root) as parts:
        yield parts


@pytest.fixture(autouse=True)
def no_leaked_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail when a test leaves a thread behind.

    A file whose tests share a server names the pools of it that grow in ``LASTING_THREADS``.
    """
    lasting = _LASTING_THREADS + getattr(request.module, "LASTING_THREADS", ())
    before = set(threading.enumerate())
    yield
    left = [
        thread
        for thread in threading.enumerate()
        if thread not in before and not thread.name.startswith(lasting)
    ]
    for thread in left:
        thread.join(timeout=2)
    names = [thread.name for thread in left if thread.is_alive()]
    assert not names, f"threads left behind: {names}"


@pytest.fixture(autouse=True)
async def no_leaked_tasks(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Fail when an async test leaves a task behind."""
    yield
    me = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not me and not task.done()]
    if left:
        # Tasks that were cancelled or are at their last step get the chance to end.
        await asyncio.wait(left, timeout=2)
    names = [task.get_name() + " " + repr(task.get_coro()) for task in left if not task.done()]
    assert not names, f"tasks left behind: {names}"


@pytest.fixture(autouse=True)
def no_logged_errors(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Fail when a test logs an error, unless it is marked ``logs_errors``."""
    yield
    if request.node.get_closest_marker("logs_errors"):
        return
    records = [r for when in ("setup", "call") for r in caplog.get_records(when)]
    found = [record.getMessage() for record in records if record.levelno >= logging.ERROR]
    assert not found, f"errors logged: {found}"
