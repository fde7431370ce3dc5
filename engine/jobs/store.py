"""The store: one SQLAlchemy engine, short transactions, and errors that say what to do.

Every writing transaction begins by advancing the counter of changes, which gives each change its
place in one order, and makes writers wait for each other on PostgreSQL as SQLite's own lock does.
So on both, a transaction that writes sees everything that was committed before it, and a reader
who has seen all up to a change never finds an earlier one appear later.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event, select, update
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from engine.errors import MissingDependency, SettingsError
from engine.jobs.data_version import DataVersion
from engine.jobs.errors import StoreTooNew
from engine.jobs.recovery import opened
from engine.jobs.schema import SCHEMA_VERSION, counters, metadata
from engine.jobs.settings import JobSettings
from engine.jobs.store_errors import translated

DURABLE = "durable"


@dataclass(frozen=True, slots=True)
class Writing:
    """A transaction that writes.

    Attributes:
        connection: For statements.
        change: The number of this change; goes into ``changed`` of every job it touches.
    """

    connection: Connection
    change: int

    def reserve(self, count: int) -> int:
        """Return the first of ``count`` further numbers."""
        statement = (
            update(counters)
            .where(counters.c.name == "changes")
            .values(value=counters.c.value + count)
            .returning(counters.c.value)
        )
        return int(self.connection.execute(statement).scalar_one()) - count + 1


class Store:
    """The database of jobs. May be used by any number of threads; not across ``fork``.

    Args:
        settings: Where it is; a SQLite file is made if there is none.
        repair: Look whether the file is damaged: then it is set aside, and as much as can be read
            is taken over into a new one: see ``notice``. Worker processes leave that to those who
            start them.

    Raises:
        StoreUnreachable: It cannot be opened.
        StoreDamaged: It is damaged, and in use by another process.
        StoreTooNew: A newer version of this program made it.
        SettingsError: ``jobs.database`` is no address of a database.
        MissingDependency: The driver is not installed.
    """

    def __init__(self, settings: JobSettings, repair: bool = True) -> None:
        self.notice = ""
        """What happened to a damaged store; empty: nothing."""
        self._lock = None
        url = settings.database
        if not url:
            path = settings.folder.absolute() / "jobs.sqlite"
            url = f"sqlite:///{path}"
            self._lock, self.notice = opened(
                path, partial(self._make, url, settings.busy_s), repair
            )
        self._where = _address(url)
        try:
            self._engine = self._make(url, settings.busy_s)
        except BaseException:
            if self._lock is not None:
                self._lock.close()
            raise
        self._data_version = _data_version(url, settings.busy_s)
        self._last: tuple[int, int] | None = None
        """A version of the data, and the number of the last change then or later."""

    @property
    def where(self) -> str:
        """The address of the database, without its password."""
        return self._where

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection for reading; all that it reads is of one moment (on SQLite).

        Raises:
            Unavailable: The store is locked, full, damaged or cannot be reached.
        """
        with translated(self._where), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[Writing]:
        """Give a transaction, committed at the end, undone if an exception leaves it.

        Args:
            durable: On the disk when it returns. Otherwise a power failure (not the death of a
                process) may undo it, in order and never by half: right for progress and leases.

        Raises:
            Unavailable: As for ``read``.
        """
        with translated(self._where), self._engine.connect() as plain:
            connection = plain.execution_options(**{DURABLE: durable, "writes": True})
            with connection.begin():
                if not durable and connection.dialect.name == "postgresql":
                    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                yield Writing(connection, Writing(connection, 0).reserve(1))

    def changes(self) -> int:
        """Return the number of the last change; cheap while there is none (on SQLite).

        Raises:
            Unavailable: As for ``read``.
        """
        version, last = None, self._last
        if self._data_version is not None:
            with translated(self._where):
                version = self._data_version.now()
        if last is not None and last[0] == version:
            return last[1]
        with self.read() as connection:
            query = select(counters.c.value).where(counters.c.name == "changes")
            change = int(connection.execute(query).scalar_one())
        if version is not None:
            self._last = version, change
        return change

    def close(self) -> None:
        """Give up all connections."""
        self._engine.dispose()
        if self._data_version is not None:
            self._data_version.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _make(self, url: str, busy_s: float) -> Engine:
        """Return an engine for a database with our tables."""
        engine = _engine(url, busy_s)
        try:
            with translated(engine.url.render_as_string(hide_password=True)):
                _make_tables(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine


def _engine(url: str, busy_s: float) -> Engine:
    options: dict[str, Any] = {
        "json_serializer": partial(json.dumps, ensure_ascii=False, separators=(",", ":")),
        "pool_size": 8,
        "max_overflow": 24,
    }
    if url.startswith("sqlite"):
        engine = sqlalchemy.create_engine(url, connect_args={"timeout": busy_s}, **options)
        event.listen(engine, "connect", _connected)
        event.listen(engine, "begin", _began)
        return engine
    try:
        return sqlalchemy.create_engine(
            url,
            pool_pre_ping=True,
            connect_args={"options": f"-c lock_timeout={int(busy_s * 1000)}", "connect_timeout": 5},
            **options,
        )
    except NoSuchModuleError:
        raise SettingsError(
            f"jobs.database: '{sqlalchemy.make_url(url).drivername}' is not a known database.",
            "Write e.g. postgresql+psycopg://user:password@host/name.",
        ) from None
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"'{error.name}', the driver for jobs.database, is not installed.",
            'Install it: pip install "psycopg[binary]>=3.2,<4".',
        ) from error


def _data_version(url: str, busy_s: float) -> DataVersion | None:
    parsed = sqlalchemy.make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return DataVersion(parsed.database, busy_s)


def _connected(connection: Any, _record: object) -> None:
    # The driver must not begin transactions by itself: _began does.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _began(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("writes"):
        level = "FULL" if options[DURABLE] else "NORMAL"
        connection.exec_driver_sql(f"PRAGMA synchronous = {level}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("BEGIN")


def _address(url: str) -> str:
    """Return an address without its password.

    Raises:
        SettingsError: It is none.
    """
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        # Not the library's words: they may have the password.
        raise SettingsError(
            "jobs.database is not the address of a database.",
            "Write e.g. postgresql+psycopg://user:password@host/name, special characters of the"
            " password percent-encoded.",
        ) from None


_MAKING = threading.Lock()


def _make_tables(engine: Engine) -> None:
    writing = engine.execution_options(**{DURABLE: True, "writes": True})
    with _MAKING, writing.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Several servers may start at once; the number is any that others don't use.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7046029254386353131)")
        metadata.create_all(connection)
        query = select(counters.c.name, counters.c.value)
        found = {row[0]: row[1] for row in connection.execute(query)}
        for name, value in (("schema", SCHEMA_VERSION), ("changes", 0), ("held", 0)):
            if name not in found:
                connection.execute(counters.insert().values(name=name, value=value))
        if found.get("schema", 0) > SCHEMA_VERSION:
            raise StoreTooNew(
                f"The database of jobs has version {found['schema']}; this program knows "
                f"{SCHEMA_VERSION}.",
                "Update the program, or set jobs.folder to another folder.",
            )
