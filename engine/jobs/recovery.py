"""A damaged SQLite file is set aside, and what can be read of it goes into a new one."""

import fcntl
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Engine

from engine.jobs.errors import StoreDamaged, StoreUnreachable
from engine.jobs.schema import counters, jobs, log, notices, parents
from engine.jobs.store_errors import is_damage

_log = logging.getLogger(__name__)

_PARTS = ("", "-wal", "-shm")
"""The files of one database; the log with the latest transactions belongs to it."""


def opened(path: Path, make: Callable[[], Engine], repair: bool) -> tuple[BinaryIO, str]:
    """Claim the use of a database file, and see to it that it is whole.

    Args:
        path: The file; may be absent.
        make: Makes an empty database of our tables under this name.
        repair: Look for damage, and repair it.

    Returns:
        A lock to be closed after the database, and what was done; empty: nothing.

    Raises:
        StoreDamaged: It is damaged, and another process uses it.
        StoreUnreachable: The folder cannot be written to.
    """
    lock_path = path.with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = lock_path.open("ab")
    except OSError as error:
        raise StoreUnreachable(
            f"'{lock_path}' cannot be written: {error.strerror}.",
            "Give the server the right to write to jobs.folder.",
        ) from error
    try:
        # Whoever has the database open holds the lock shared.
        fcntl.flock(lock, fcntl.LOCK_SH)
        notice = _set_aside(path, make, lock) if repair and _damage(path) else ""
    except BaseException:
        lock.close()
        raise
    return lock, notice


def _damage(path: Path) -> str:
    """Return what is wrong with a database file; empty: nothing."""
    if not path.exists():
        return ""
    try:
        with closing(sqlite3.connect(path, timeout=5)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return str(error)
        # Locked or out of reach: that shows again, with the right message, when it is opened.
        return ""
    return "" if found == "ok" else str(found)


def _set_aside(path: Path, make: Callable[[], Engine], lock: BinaryIO) -> str:
    fcntl.flock(lock, fcntl.LOCK_UN)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StoreDamaged(
            f"'{path}' is damaged, and another process uses it.",
            "Stop all servers and workers, then start one: it saves what can be read.",
        ) from error
    damage = _damage(path)
    if not damage:
        fcntl.flock(lock, fcntl.LOCK_SH)
        return ""
    aside = _free_name(path)
    for part in _PARTS:
        with suppress(FileNotFoundError):
            Path(f"{path}{part}").rename(f"{aside}{part}")
    engine = make()
    try:
        saved = _salvage(aside, engine)
    finally:
        engine.dispose()
    fcntl.flock(lock, fcntl.LOCK_SH)
    notice = (
        f"'{path}' was damaged ({damage.splitlines()[0]}). It is kept as '{aside.name}'; "
        f"a new one was made, and {saved} jobs were taken over."
    )
    _log.warning("%s", notice)
    return notice


def _free_name(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return aside


def _salvage(damaged: Path, engine: Engine) -> int:
    """Copy every row that can be read; return how many jobs that were."""
    saved: set[object] = set()
    target = sqlite3.connect(engine.url.database or "", isolation_level=None)
    with closing(target), closing(sqlite3.connect(damaged)) as source:
        target.execute("PRAGMA foreign_keys = OFF")
        target.execute("BEGIN IMMEDIATE")
        for table in (jobs, parents, log, notices):
            names = [column.name for column in table.columns]
            places = ",".join("?" * len(names))
            insert = f"INSERT OR IGNORE INTO {table.name} ({','.join(names)}) VALUES ({places})"
            for row in _readable(source, table.name, names):
                if table is jobs:
                    saved.add(row[0])
                elif row[0] not in saved:
                    continue
                with suppress(sqlite3.IntegrityError):
                    target.execute(insert, row)
        # Numbers go on above every one that was used.
        target.execute(
            f"UPDATE {counters.name} SET value = "
            f"(SELECT coalesce(max(max(changed), max(number)), 0) FROM {jobs.name}) "
            "WHERE name = 'changes'"
        )
        kept = int(target.execute(f"SELECT count(*) FROM {jobs.name}").fetchone()[0])
        target.execute("COMMIT")
    return kept


def _readable(
    source: sqlite3.Connection, table: str, names: list[str]
) -> Iterator[tuple[object, ...]]:
    """Yield the rows before the first damaged place, then those behind the last one."""
    columns = ",".join(names)
    for order in ("ASC", "DESC"):
        try:
            yield from source.execute(f"SELECT {columns} FROM {table} ORDER BY rowid {order}")
        except sqlite3.DatabaseError as error:
            _log.warning("Part of '%s' cannot be read: %s", table, error)
        else:
            return
