"""What the files of jobs need of an object store."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from engine.errors import NotFound, Unavailable

_ADDRESS: Final = re.compile(
    r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9])"
    r"(?P<prefix>(?:/[A-Za-z0-9._=+@-]+)*)/?"
)


class ObjectStoreUnavailable(Unavailable):
    """The object store does not answer, or refuses us."""


class ObjectNotFound(NotFound):
    """The object store has no object of this key."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as a listing shows it.

    Attributes:
        key: Its name in the store, with slashes.
        bytes: Its size.
        changed: When it was written, in seconds since 1970, on the store's clock.
    """

    key: str
    bytes: int
    changed: float


@dataclass(frozen=True, slots=True)
class Download:
    """An object that is being read.

    Attributes:
        size: In bytes, as the store says.
        pieces: Its content; raises ``ObjectStoreUnavailable`` when that does not come.
    """

    size: int
    pieces: Iterator[bytes]


class ObjectStore(Protocol):
    """A store of objects; objects are written whole or not at all. Thread-safe.

    Every method raises ``ObjectStoreUnavailable`` when the store does not answer in time (some
    tries later) or refuses.
    """

    def put(self, key: str, source: Path) -> None:
        """Write an object, in place of any of this key."""
        ...

    def get(self, key: str) -> Download:
        """Begin to read an object.

        Raises:
            ObjectNotFound: There is none.
        """
        ...

    def copy(self, source: str, target: str) -> None:
        """Copy an object within the store.

        Raises:
            ObjectNotFound: There is none.
        """
        ...

    def find(self, folder: str) -> Iterator[StoredObject]:
        """Yield all objects whose key is ``<folder>/...``; an empty folder: all there are."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there are no error."""
        ...


def parse_address(address: str) -> tuple[str, str]:
    """Return the bucket and the prefix (perhaps empty) of ``s3://bucket/prefix``.

    Raises:
        ValueError: It is something else; says what is right.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or {".", ".."} & set(match["prefix"].split("/")):
        raise ValueError(
            "must be like s3://bucket or s3://bucket/prefix (letters, digits and ._=+@-; no '..')"
        )
    return match["bucket"], match["prefix"].strip("/")


def save(found: Download, path: Path) -> None:
    """Write an object to a file, whole and on the disk.

    Raises:
        ObjectStoreUnavailable: It ended early.
    """
    with path.open("xb") as file:
        for piece in found.pieces:
            file.write(piece)
        if file.tell() != found.size:
            raise ObjectStoreUnavailable(
                f"The object store has sent {file.tell()} of {found.size} bytes.", "Try again."
            )
        file.flush()
        # Else a loss of power could leave an empty file under the right name.
        os.fsync(file.fileno())
