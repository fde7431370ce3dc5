"""A real server with S3's protocol for tests, and servers that fail in known ways."""

import http.client
import itertools
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from engine.jobs.bucket_files import BucketFiles
from engine.jobs.s3 import S3ObjectStore

SECRET = "wJalrXUtnFEMIexampleKEY"
PATIENCE_S = 0.3
_SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"


class Bucket:
    """An empty bucket.

    Args:
        endpoint: Of its server.
        name: Its name.
    """

    def __init__(self, endpoint: str, name: str) -> None:
        self.endpoint = endpoint
        self.address = f"s3://{name}/some/prefix"
        self.settings: dict[str, Any] = {"files": self.address, "files_endpoint": endpoint}

    def store(self, patience_s: float = 10.0) -> S3ObjectStore:
        """The objects under a prefix."""
        return S3ObjectStore(self.address, self.endpoint, patience_s=patience_s)

    def files(self, folder: Path) -> BucketFiles:
        """The files of jobs, as a machine with this folder sees them."""
        return BucketFiles(folder, self.store(), self.store())

    def objects(self) -> list[str]:
        """The keys of all objects, in order."""
        return sorted(item.key for item in self.store().find(""))


@contextmanager
def s3_server() -> Iterator[Callable[[], Bucket]]:
    """Run a server with S3's protocol; yields what makes a bucket. Skips where there is none."""
    pytest.importorskip("obstore", reason="obstore is not installed")
    pytest.importorskip("flask_cors", reason="moto's server is not installed")
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    # It writes a line for each request, so somebody has to read.
    reader = threading.Thread(target=lambda: [None for _ in process.stderr or ()])
    numbers = itertools.count()
    try:
        address = next((line for line in process.stderr if "Running on" in line), None)
        assert address is not None, "moto did not start"
        endpoint = "http" + address.strip().rpartition("http")[2]
        reader.start()
        yield lambda: _made(endpoint, f"jobs-{next(numbers)}")
    finally:
        process.kill()
        process.wait()
        if reader.ident is not None:
            reader.join()
        process.stderr.close()


def _made(endpoint: str, name: str) -> Bucket:
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"))
    headers = {"Authorization": f"{_SIGNED}, SignedHeaders=host, Signature=0"}
    connection.request("PUT", f"/{name}", headers=headers)
    assert connection.getresponse().status == 200
    connection.close()
    return Bucket(endpoint, name)


@contextmanager
def keys_in_environment() -> Iterator[None]:
    """Set the variables from which keys come, and no other of Amazon's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        yield


@contextmanager
def nobody() -> Iterator[str]:
    """The address of a server that is not there; nobody else comes there meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes connections and never answers; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def answering(answer: bytes, hang_up: bool = True) -> Iterator[str]:
    """A server that gives every request the same answer, and perhaps hangs up then; yields its
    address.
    """
    kept = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    connection.recv(65536)
                    connection.sendall(answer)
                    if hang_up:
                        connection.close()
                    else:
                        kept.append(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            # Closing alone wouldn't wake a thread that waits for connections.
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in kept:
                connection.close()
