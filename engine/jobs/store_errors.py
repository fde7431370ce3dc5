"""Turns what drivers raise into errors that say what the user can do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from engine.errors import Unavailable
from engine.jobs.errors import StoreBusy, StoreDamaged, StoreFull, StoreUnreachable

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PG_FULL = "53100"
_PG_BUSY = ("55P03", "40P01", "57014", "53300")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn errors of the database into ``Unavailable``; mistakes in statements pass.

    Args:
        where: The database's address without its password, for the messages.

    Raises:
        Unavailable: See ``engine.jobs.errors``.
    """
    try:
        yield
    except DBAPIError as error:
        found = _classified(error, where)
        if found is None:
            raise
        raise found from error
    except sqlite3.Error as error:
        known = _of_sqlite(error, where)
        if known is None:
            raise
        raise known from error
    except PoolTimeout as error:
        raise StoreBusy(f"All connections to '{where}' are in use.", "Try again.") from error


def is_damage(error: BaseException) -> bool:
    """Return whether an error of sqlite3 means that the file is damaged."""
    return (
        isinstance(error, sqlite3.DatabaseError)
        and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED
    )


def _classified(error: DBAPIError, where: str) -> Unavailable | None:
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig, where)
    state = getattr(error.orig, "sqlstate", None)
    if state == _PG_FULL:
        return _full(where)
    if state in _PG_BUSY:
        return StoreBusy(f"'{where}' is busy: {error.orig}".strip(), "Try again.")
    lost = isinstance(error, (OperationalError, InterfaceError)) and state is None
    if error.connection_invalidated or lost or (state or "").startswith(("08", "57P", "28", "3D")):
        return StoreUnreachable(
            f"'{where}' cannot be reached: {error.orig}".strip(),
            "Is jobs.database right, and the database running?",
            retry_after=5.0,
        )
    return None


def _of_sqlite(error: sqlite3.Error, where: str) -> Unavailable | None:
    # Extended codes carry the plain one in their lowest byte.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY:
        return StoreBusy(
            f"'{where}' is locked by another process.",
            "Try again; if it stays so, look who has the file open.",
        )
    if code == sqlite3.SQLITE_FULL:
        return _full(where)
    if is_damage(error):
        return StoreDamaged(
            f"'{where}' is damaged: {error}.",
            "Restart the server: it sets the file aside and saves what can be read.",
            retry_after=60.0,
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreUnreachable(
            f"'{where}' cannot be opened for writing: {error}.",
            "Give the server the right to write to the file and its folder.",
            retry_after=10.0,
        )
    if code == sqlite3.SQLITE_IOERR:
        return StoreUnreachable(
            f"'{where}' cannot be read or written: {error}.",
            "Check the disk: its space, its quota and its health.",
            retry_after=10.0,
        )
    return None


def _full(where: str) -> StoreFull:
    return StoreFull(
        f"The disk of '{where}' is full.",
        "Free some space; waiting jobs go on by themselves.",
        retry_after=10.0,
    )
