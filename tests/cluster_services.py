"""Real services for the tests of several machines: PostgreSQL and Redis, each on its own.

They run in temporary folders, on sockets and ports that nobody else has, and end with the test.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 30.0


class RedisServer:
    """A Redis server with a password, which can be stopped and started again, empty, on its port.

    Args:
        folder: Its working folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.password = secrets.token_hex(8)
        self.port = _free_port()
        self.url = f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        settings += ["--requirepass", self.password]
        self._process = subprocess.Popen(
            ["redis-server", *settings], stdout=subprocess.PIPE, text=True, cwd=self._folder
        )
        assert self._process.stdout is not None
        seen = []
        for line in self._process.stdout:
            seen.append(line)
            if "Ready to accept connections" in line:
                return
        raise AssertionError(f"Redis did not start: {''.join(seen)}")

    def stop(self) -> None:
        """End it if it runs; what it knew is forgotten."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate(timeout=PATIENCE_S)


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Run a Redis server. Skips where there is none."""
    pytest.importorskip("celery", reason="celery[redis] is not installed")
    if shutil.which("redis-server") is None:
        pytest.skip("Redis's server is not installed (Debian: redis-server)")
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server with an empty database; yield its URL. Skips where there is none."""
    pytest.importorskip("psycopg", reason="the driver psycopg is not installed")
    programs = _postgres_programs()
    # It refuses to run as root.
    account: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
    data = folder / "pg"
    data.mkdir()
    if account:
        shutil.chown(data, **account)
    make = [programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync"]
    make += ["-E", "UTF8", "--locale=C"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd="/", **account)
    # A socket's path may have about 100 characters, so it can't lie in a deep folder; the port is
    # only a part of its name. Errors of clients are not logged, so the pipe never fills.
    socket = ["-k", "/tmp", "-c", "listen_addresses=", "-c", f"port={_port(data)}"]
    # Nothing has to outlive a power failure here.
    fast = ["-c", "fsync=off", "-c", "log_min_messages=log"]
    run = [programs / "postgres", "-D", data, *socket, *fast]
    server = subprocess.Popen(run, stderr=subprocess.PIPE, text=True, cwd="/", **account)
    assert server.stderr is not None
    try:
        for line in server.stderr:
            if "ready to accept connections" in line:
                break
        yield f"postgresql+psycopg://postgres@/postgres?host=/tmp&port={_port(data)}"
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(30)
        server.stderr.close()


def _port(data: Path) -> int:
    return 20_000 + data.stat().st_ino % 40_000


def _postgres_programs() -> Path:
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    candidates = [Path(found).resolve().parent] if found else []
    for folder in [*candidates, *folders]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.skip("PostgreSQL's server is not installed (Debian: postgresql)")
