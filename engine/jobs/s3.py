"""Objects in S3, or in a server with S3's protocol (MinIO, Ceph, R2, ...).

All traffic runs in threads of a compiled library (obstore), outside Python's lock, so it costs live
streams in the same process nothing but the network.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import MissingDependency
from engine.jobs.object_store import (
    Download,
    ObjectNotFound,
    ObjectStoreUnavailable,
    StoredObject,
    parse_address,
)

if TYPE_CHECKING:
    from obstore.store import S3Store

_PIECE: Final = 1 << 20
_UPLOADS: Final = 2
"""Parts of a file that are sent at a time: each has to arrive within the patience."""
_CONNECT_S: Final = 3.0
_MOST_S: Final = 6 * 3600.0
_RETRIES: Final = 3
_REFUSAL: Final = re.compile(r"<Code>([^<]{1,80})</Code>\s*<Message>([^<]{1,200})")


class S3ObjectStore:
    """A bucket, or the objects under a prefix of one.

    Keys come from ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and ``AWS_SESSION_TOKEN``, or
    from the role of the machine.

    Args:
        address: ``s3://bucket/prefix``.
        endpoint: Address of a server that is not Amazon's; empty: Amazon's.
        region: Empty: ``AWS_REGION``, ``AWS_DEFAULT_REGION`` or us-east-1.
        patience_s: A server silent for so long has failed. Reads and writes are then tried once
            more, so each takes at most about twice as long.

    Raises:
        MissingDependency: obstore is not installed.
    """

    def __init__(
        self, address: str, endpoint: str = "", region: str = "", patience_s: float = 10.0
    ) -> None:
        try:
            import obstore.store
        except ModuleNotFoundError as error:
            raise MissingDependency(
                f"'{error.name}', which jobs.files needs, is not installed.",
                "Install it: pip install -r requirements-cluster.txt",
            ) from error
        bucket, prefix = parse_address(address)
        self._where = f"{address} at {endpoint}" if endpoint else address
        patience = timedelta(seconds=patience_s)
        settings: dict[str, str] = {}
        if endpoint:
            # Under this name no variable of the environment goes before it.
            settings["aws_endpoint_url_s3"] = endpoint.rstrip("/")
        if region:
            settings["region"] = region
        self._store: S3Store = obstore.store.S3Store(
            bucket,
            prefix=prefix or None,
            config=settings,  # type: ignore[arg-type]  # a TypedDict whose keys are all optional
            client_options={
                "allow_http": endpoint.startswith("http:"),
                "connect_timeout": min(patience, timedelta(seconds=_CONNECT_S)),
                "read_timeout": patience,
                "timeout": timedelta(seconds=_MOST_S),
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": patience * 1.2},
        )

    def put(self, key: str, source: Path) -> None:
        """Write an object, in place of any of this key."""
        import obstore

        with self._translated(key):
            obstore.put(self._store, key, source, max_concurrency=_UPLOADS)

    def get(self, key: str) -> Download:
        """Begin to read an object."""
        import obstore

        with self._translated(key):
            found = obstore.get(self._store, key)
        return Download(found.meta["size"], self._pieces(key, iter(found.stream(_PIECE))))

    def copy(self, source: str, target: str) -> None:
        """Copy an object within the store."""
        import obstore

        with self._translated(source):
            obstore.copy(self._store, source, target)

    def find(self, folder: str) -> Iterator[StoredObject]:
        """Yield all objects whose key is ``<folder>/...``."""
        import obstore

        with self._translated(folder):
            for page in obstore.list(self._store, folder or None):
                for item in page:
                    yield StoredObject(
                        item["path"], item["size"], item["last_modified"].timestamp()
                    )

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        import obstore

        with self._translated(""):
            obstore.delete(self._store, keys)

    def _pieces(self, key: str, stream: Iterator[bytes]) -> Iterator[bytes]:
        with self._translated(key):
            yield from stream

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Turn errors of the library into ours; its own messages are pages long."""
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError as error:
            refusal = _REFUSAL.search(str(error))
            if refusal is not None and refusal[1] == "NoSuchBucket":
                raise self._unavailable(str(error)) from error
            raise ObjectNotFound(f"'{self._where}' has no object '{key}'.") from error
        except BaseError as error:
            raise self._unavailable(str(error)) from error

    def _unavailable(self, text: str) -> ObjectStoreUnavailable:
        return ObjectStoreUnavailable(
            f"The object store '{self._where}' cannot be used: {_reason(text)}.",
            "Are jobs.files and jobs.files_endpoint right, the server running, and its keys in "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY?",
            retry_after=5.0,
        )


def _reason(text: str) -> str:
    refusal = _REFUSAL.search(text)
    if refusal is not None:
        return f"{refusal[2].strip().rstrip('.')} ({refusal[1]})"
    for sign, meaning in (
        ("169.254.", "there are no keys"),
        ("kind: Timeout", "it does not answer in time"),
        ("kind: Connect", "no connection"),
    ):
        if sign in text:
            return meaning
    return text.partition("\n")[0].rpartition(" - ")[2][:200].rstrip(". ")
